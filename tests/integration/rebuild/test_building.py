"""`entitle rebuild` on a real Kafka and a real PostgreSQL: what it builds, also followed, also killed."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from consumers.log import Source
from entitlements import beside, feed
from ops.rebuild_place import CannotRebuild
from tests.feeding import SCHEMA
from tests.integration.rebuild.sharing import (
    environment,
    killing,
)
from tests.rebuilding import BEFORE, REBUILD, Ground, billed, ground, put
from tests.yard import PATIENCE_S, wait_until


def test_it_builds_swaps_and_swaps_back(place: Ground) -> None:
    """Built, swapped, swapped back and forth: each time one is whole what the other was, and goes on where it is."""
    wrong = place.facts()

    place.built()
    right = place.facts(REBUILD)
    done = place.rebuild("--swap")

    assert wrong != right
    assert (done["serves"], done["kept"], done["still_ms"] < 1000) == (SCHEMA, BEFORE, True)
    assert (place.facts(), place.facts(BEFORE), place.schemas()) == (right, wrong, {SCHEMA, BEFORE})
    assert place.offsets() == place.offsets(BEFORE)
    place.rebuild("--swap-back")
    assert (place.facts(), place.facts(BEFORE), place.schemas()) == (wrong, right, {SCHEMA, BEFORE})
    place.rebuild("--swap-back")
    assert (place.facts(), place.facts(BEFORE), place.schemas()) == (right, wrong, {SCHEMA, BEFORE})
    place.rebuild("--drop")
    assert (place.facts(), place.schemas()) == (right, {SCHEMA})


def test_a_rebuild_is_what_a_version_that_was_never_wrong_has_recorded(place: Ground, source: Source) -> None:
    """By several processes: facts, provenance, dead letters, indexes, constraints; and nothing for the relay in it."""
    place.rebuild("--no-follow", "--processes", "3")
    with place.own(REBUILD) as database, database.begin() as connection:
        waiting = feed.waiting(connection, most=1)
    rebuilt = (place.facts(REBUILD), place.provenance(REBUILD), place.shape(REBUILD))
    place.rebuild("--swap")
    place.rebuild("--drop")
    with place.engine.begin() as connection:
        beside.drop(connection, SCHEMA)
    with ground(source, place.url) as again:
        again.consume()

        assert (again.facts(), again.provenance(), again.shape()) == rebuilt
    assert waiting == ()


def test_a_follower_goes_on_until_a_swap_takes_over(built: Ground) -> None:
    """What comes is in the rebuild at once; a second one is refused; the first leaves to a swap, and says so."""
    command = [sys.executable, "-m", "ops", "rebuild", "--processes", "1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment(built), stdout=pipe, stderr=pipe, text=True) as other:
        try:
            assert other.stderr is not None
            assert any("following" in line for line in iter(other.stderr.readline, ""))
            put(built.source, *billed(3, customers=3, prefix="followed"))
            wait_until(lambda: "followed_2" in str(built.facts(REBUILD)["grants"]), "it follows")
            with pytest.raises(CannotRebuild, match="another `entitle rebuild` of entitlements is at work already"):
                built.entitle("rebuild", "--no-follow")
            assert built.rebuild("--status")["rebuild"]["behind"] == 0

            built.consume()
            built.rebuild("--swap")

            told, _ = other.communicate(timeout=PATIENCE_S)
        finally:
            other.kill()
    assert (other.returncode, "somebody else has it now" in " ".join(told.split())) == (0, True)
    assert built.offsets() == built.offsets(BEFORE)


STEPS_OF_A_BUILD = (
    "COMMENT ON SCHEMA",
    "DROP INDEX",
    "EXECUTE record_",
    "VACUUM .* grants",
    "CREATE INDEX grants",
)


def test_kill_9_at_every_step_of_a_rebuild(place: Ground) -> None:
    """Begun again, it goes on where it was; what it makes in the end is what one makes that nobody has killed."""
    serves = place.facts()
    for step in STEPS_OF_A_BUILD:
        assert (step, killing(place, step, "--no-follow", "--processes", "1")) == (step, -signal.SIGKILL)
        assert place.facts() == serves
        with pytest.raises(CannotRebuild):
            place.entitle("rebuild", "--swap", "--yes")
        assert place.schemas() <= {SCHEMA, REBUILD}
    place.built()
    killed = (place.facts(REBUILD), place.provenance(REBUILD), place.shape(REBUILD))
    place.rebuild("--discard")
    place.built()

    assert (place.facts(REBUILD), place.provenance(REBUILD), place.shape(REBUILD)) == killed
