"""What `entitle rebuild` refuses and what it says, on a real Kafka and a real PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from entitlements import beside
from entitlements.beside import Note
from ops.rebuild_place import CannotRebuild, Place
from tests.feeding import SCHEMA
from tests.integration.rebuild.sharing import (
    JANUARY,
    LIVE,
    process,
)
from tests.rebuilding import BEFORE, REBUILD, Ground, billed, put

READS_NOTHING = (
    "from consumers import verdicts; from ops import cli; from schemas.codec import InvalidMessage\n"
    "def refused(*_): return InvalidMessage('nobody can read this')\n"
    "verdicts._read = refused\n"
    "cli.main()"
)
"""The command line of a version that can read no record."""


def test_what_could_not_be_dropped_after_a_swap_is_said_and_the_swap_counts(built: Ground) -> None:
    """Somebody reads in what was kept before: it is swapped, exit code 0, and said how that is dropped."""
    built.rebuild("--swap")
    built.built()
    right = built.facts(REBUILD)
    impatient = Place.database

    def database(*given: Any, **named: Any) -> sa.Engine:
        engine: sa.Engine = impatient(*given, **named)
        sa.event.listen(engine, "begin", lambda each: each.exec_driver_sql("SET LOCAL statement_timeout = '500ms'"))
        return engine

    with (
        built.own(BEFORE, application="a long report") as other,
        other.connect() as reading,
        pytest.MonkeyPatch.context() as patch,
    ):
        reading.exec_driver_sql("SET idle_in_transaction_session_timeout = 0")  # however long the rest takes
        reading.exec_driver_sql("SELECT FROM grants LIMIT 1")
        patch.setattr(Place, "database", database)
        done = built.entitle("rebuild", "--swap", "--yes")
        built.built()
        with pytest.raises(
            CannotRebuild, match=r"entitlements_older, which an .* process \d+ \(a long report"
        ) as refused:
            built.entitle("rebuild", "--swap", "--yes")
    told = " ".join((done.stderr + done.stdout).split())

    assert (done.exit_code, built.facts()) == (0, right)
    assert re.search(r"entitlements_before, swapped out at .*, will be dropped for what serves now", done.stderr)
    assert "entitlements_older, which was kept before that, could not be dropped and is still there: the" in told
    assert "alone, `DROP SCHEMA entitlements_older CASCADE`." in told
    assert "nothing was changed" in str(refused.value)
    assert built.schemas() == {SCHEMA, BEFORE, REBUILD, LIVE.older}
    assert built.rebuild("--swap")["not_dropped"] is None
    assert built.schemas() == {SCHEMA, BEFORE}


@pytest.mark.parametrize("way", ["--swap", "--swap-back"])
def test_a_swap_that_another_waits_for_is_left_to_it_in_one_line(built: Ground, way: str) -> None:
    """Reading on what is left it makes way, as all do; nothing is swapped, and it says so, exit code 1."""
    if way == "--swap-back":
        built.rebuild("--swap")
    serves, schemas = built.facts(), built.schemas()
    program = (
        "from ops import cli, rebuild\n"
        "def leaves(*_): raise rebuild.Leaving\n"
        "rebuild.Building._left = leaves\n"  # where it asks whether it is wanted, when there are many records left
        "cli.main()"
    )
    done = process(built, "-c", program, "rebuild", way, "--yes")

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("entitle: another `entitle rebuild` waits to swap or to drop what is built")
    assert (built.facts(), built.schemas()) == (serves, schemas)


def test_kafka_away_is_one_line(built: Ground) -> None:
    """Whatever is asked of a rebuild, exit code 1."""
    for said in (["--status"], ["--swap", "--yes"], ["--no-follow"]):
        done = process(built, "-m", "ops", "rebuild", *said, ENTITLE_KAFKA="127.0.0.1:1")

        told = done.stderr.splitlines()
        assert (done.returncode, done.stdout, [each for each in told if "Traceback" in each]) == (1, "", [])
        assert told[-1].startswith("entitle: Kafka, which is where ENTITLE_KAFKA says, did not do what it was asked: ")


def test_a_version_that_cannot_read_is_said_to_be_the_rebuild_s(place: Ground) -> None:
    """Not that a consumer has stopped, none has: which schema, where to look, and what to do."""
    serves = place.facts()
    put(place.source, *billed(2, customers=1, prefix="fine"))
    done = process(place, "-c", READS_NOTHING, "rebuild", "--no-follow", ENTITLE_DEAD_LETTERS_IN_A_ROW="5")
    letters = process(place, "-m", "ops", "dead-letters", "list", "--json", ENTITLE_SCHEMA=REBUILD)

    last = done.stderr.splitlines()[-1]
    assert (done.returncode, place.facts()) == (1, serves)
    assert last.startswith(f"entitle: the log is read no further into {REBUILD}, {SCHEMA} serves on: ")
    assert "has set aside 5 records in a row" in last
    assert f"See `ENTITLE_SCHEMA={REBUILD} entitle dead-letters list`." in last
    assert "drop what was built with `entitle rebuild --discard`, then begin anew" in last
    assert "consumer" not in last
    assert "nobody can read this" in letters.stdout


def test_swapping_back_with_a_version_that_cannot_read_never_says_to_drop_a_rebuild(built: Ground) -> None:
    """What was swapped out is dropped by another word, and nobody builds it anew."""
    built.rebuild("--swap")
    put(built.source, *billed(2, customers=1, prefix="fine"))
    done = process(built, "-c", READS_NOTHING, "rebuild", "--swap-back", "--yes", ENTITLE_DEAD_LETTERS_IN_A_ROW="1")

    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith(f"entitle: the log is read no further into {BEFORE}, {SCHEMA} serves on: ")
    assert (
        "swap back with a version that can read them, or drop what was swapped out with `entitle rebuild --dr" in last
    )
    assert "--discard" not in last


def test_what_must_not_serve_is_refused(place: Ground) -> None:
    """Nothing there, unfinished, of another version, with other tables, far behind: each is said, nothing changes."""
    rebuild: Callable[..., Any] = lambda *said: place.entitle("rebuild", *said, "--yes")  # noqa: E731
    serves = place.facts()

    def refused(*said: str) -> str:
        with pytest.raises(CannotRebuild) as error:
            rebuild(*said)
        return str(error.value)

    assert refused("--swap") == "there is no rebuild; `entitle rebuild` begins one"
    assert refused("--discard") == "there is no rebuild"
    assert refused("--drop") == refused("--swap-back") == "there is no schema that was swapped out"
    place.built()
    with place.engine.begin() as connection:
        connection.exec_driver_sql(f"DROP INDEX {REBUILD}.grants_by_integration_customer")
    assert "not finished: 0 records are left to read, and it is to be completed" in refused("--swap")
    with place.engine.begin() as connection:
        note = beside.find(connection, REBUILD)
        beside.note(connection, REBUILD, Note(by="bob", begun_at=JANUARY, version="another"))
    assert note is not None
    for said in ("--swap", "--no-follow"):
        assert "was begun by another version of this program (another, this one is" in refused(said)
    with place.engine.begin() as connection:
        connection.exec_driver_sql(f"COMMENT ON SCHEMA {REBUILD} IS 'mine'")
        connection.exec_driver_sql(f"UPDATE {REBUILD}.migrations SET version_num = '0001'")  # noqa: S608
    assert "no `entitle rebuild` has noted" in refused("--no-follow")
    others = refused("--swap")
    assert "are those of another version (migration 0001" in others
    assert others.endswith("drop it with `entitle rebuild --discard`, then begin anew")
    assert (place.facts(), place.schemas()) == (serves, {SCHEMA, REBUILD})
    assert rebuild("--discard").exit_code == 0
    assert place.schemas() == {SCHEMA}


def test_what_it_says_at_each_step_is_for_a_person(place: Ground) -> None:
    """What happened, to what, and what to do next; without a yes nothing is done."""

    def said(*arguments: str) -> str:
        done = place.entitle("rebuild", *arguments)
        return " ".join((done.stderr + done.stdout).split())

    assert "Rebuild: none; `entitle rebuild` begins one" in said("--status")
    assert re.search(r"caught up with the log: [\d,]+ records in .* `entitle rebuild --swap`", said("--no-follow"))
    asked = place.entitle("rebuild", "--swap")
    assert (asked.exit_code, "Swap the rebuild (0 records behind) in for entitlements?" in asked.stderr) == (1, True)
    assert place.schemas() == {SCHEMA, REBUILD}
    swapped = said("--swap", "--yes")
    assert re.search(r"everything stood still for \d+ ms", swapped)
    assert "kept as entitlements_before" in swapped
    assert re.search(r"Swapped out: entitlements_before, swapped out at .* 0 records behind", said("--status"))
    assert "Dropped entitlements_before; entitlements serves on." in said("--drop", "--yes")
    unclear = [place.entitle("rebuild", *each).exit_code for each in (["--swap", "--drop"], ["--swap", "--json"])]
    assert unclear == [2, 2]
