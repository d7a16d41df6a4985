"""
`entitle rebuild` on a real Kafka and a real PostgreSQL: what it builds, what a swap exchanges, whatever happens.

Long because all of it is asked of one Kafka, which takes seconds to start.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from consumers.log import Source
from entitlements import beside, exchange, feed
from entitlements.api import snapshots
from entitlements.beside import Names, Note
from entitlements.everyone import CustomerName
from entitlements.reading import facts_of
from ops import explain_commands, rebuild_command, rebuild_difference_told, rebuild_place, rebuild_swap
from ops.rebuild import shares
from ops.rebuild_place import CannotRebuild, Place
from ops.rebuild_swap import Swapping
from ops.settings import Environment
from ops.stack import running
from schemas.topics import EVENTS
from tests.feeding import SCHEMA, SETTINGS_SCHEMA, behind, seqs, settled
from tests.rebuilding import BEFORE, REBUILD, Ground, billed, ground, misreading, prepare, put
from tests.stripe_builders import events, paid
from tests.yard import PATIENCE_S, wait_until

CUSTOMERS, INVOICES = 10, 60
MANY = 50
"""Invoices, each of two events: more than are read while everybody waits, where a test says that these are few."""

WRONG = ("cus_3", "cus_7")
MISSED = "cus_5"
"""Whom the version that misreads has never named to anybody."""

JANUARY = datetime(2026, 1, 15, tzinfo=UTC)
LIVE = Names(live=SCHEMA)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """A Kafka of this module's own."""
    folder: Path = tmp_path_factory.mktemp("kafka")
    with running(folder, database=False, say=lambda _: None) as stack:
        assert stack.kafka is not None
        source = prepare(stack.kafka.address)
        put(source, *billed(INVOICES, customers=CUSTOMERS))
        yield source


@pytest.fixture
def place(source: Source, fresh_database: str) -> Iterator[Ground]:
    """A database in which a version has misread two customers' invoices, and missed one customer."""
    with ground(source, fresh_database) as found:
        found.consume(misreading(WRONG, missed=(MISSED,)))
        yield found


@pytest.fixture
def built(place: Ground) -> Ground:
    """The same with a rebuild that has caught up."""
    place.built()
    return place


def swapping(place: Ground, **given: Any) -> Swapping:
    """A swap in this process."""
    url = sa.make_url(place.url).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
    variables = {"ENTITLE_KAFKA": place.source.bootstrap, "ENTITLE_DATABASE_URL": url, "ENTITLE_SCHEMA": SCHEMA}
    return Swapping(place=rebuild_place.place(Environment(variables=variables)), coming=REBUILD, **given)


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


def test_partitions_are_split_evenly() -> None:
    """By what is left of each; none without records, no part without partitions."""
    left = {(EVENTS, 0): 5, (EVENTS, 1): 9, (EVENTS, 2): 3, (EVENTS, 3): 0, (EVENTS, 4): 4}

    assert shares(left, 2) == [[(EVENTS, 1), (EVENTS, 2)], [(EVENTS, 0), (EVENTS, 4)]]
    assert shares(left, 9) == [[(EVENTS, 1)], [(EVENTS, 0)], [(EVENTS, 4)], [(EVENTS, 2)]]


# Who is at work while it is swapped


# A schema that is renamed keeps its oid.
OF = "(SELECT relnamespace::text FROM pg_class WHERE oid = (SELECT tableoid FROM {} LIMIT 1))"
ONE, OTHER = f"SELECT {OF.format('grants')}", f"SELECT {OF.format('invoices')}"
BOTH = f"SELECT {OF.format('grants')} || ' ' || {OF.format('provenance')}"
LOOKS = {"AUTOCOMMIT": (BOTH,), "READ COMMITTED": (ONE, OTHER), "REPEATABLE READ": (ONE, BOTH, OTHER)}
"""What a transaction of each kind asks: of which schema the tables are that it sees."""


def look(place: Ground, isolation: str, stop: threading.Event, seen: list[tuple[str, frozenset[str]]]) -> None:
    """Transactions one after the other, each of them with what a session has prepared before."""
    with place.own(connections=1) as engine:
        database = engine.execution_options(isolation_level=isolation)
        while not stop.is_set():
            with database.connect() as connection:
                tables = [connection.exec_driver_sql(each).scalar_one() for each in LOOKS[isolation]]
                facts_of(connection, integration="main", customer=WRONG[0])
                connection.commit()
            seen.append((isolation, frozenset(" ".join(tables).split())))


def test_nobody_sees_half_of_each(built: Ground) -> None:
    """While schemas are exchanged ten times all that a transaction sees is of one, none fails, and consumers go on."""
    stop, seen = threading.Event(), list[tuple[str, frozenset[str]]]()
    threads = [threading.Thread(target=look, args=(built, each, stop, seen)) for each in (*LOOKS, *LOOKS)]
    more = billed(200, customers=CUSTOMERS, prefix="more")
    with built.consuming(), ExitStack() as until_done:
        until_done.callback(stop.set)
        for thread in threads:
            thread.start()
        built.rebuild("--swap")
        for number in range(9):
            put(built.source, *more[number * 40 : number * 40 + 40])
            built.rebuild("--swap-back")
    for thread in threads:
        thread.join(PATIENCE_S)

    assert {len(schemas) for _, schemas in seen} == {1}
    assert len({schemas for _, schemas in seen}) == 2
    assert min(Counter(isolation for isolation, _ in seen).values()) > 20
    built.rebuild("--swap-back")  # catches the other one up
    assert len(built.facts()["invoices"]) == 2 * (INVOICES + 180)


def test_what_the_live_one_knows_is_known_after_a_swap(built: Ground) -> None:
    """What its consumers have read while the swap began is read in the swap's own transaction; also at another try."""
    late = billed(3, customers=3, prefix="late")

    def on_lock(connection: sa.Connection, names: Sequence[str]) -> None:
        if not once:
            once.append(True)
            put(built.source, *late)
            built.consume()  # as if they had been committed just before the tables were locked
        lock(connection, names)

    def on_exchange(*given: Any, **named: Any) -> None:
        twice.append(True)
        if len(twice) == 1:
            raise sa.exc.OperationalError("", {}, _Busy())
        swap(*given, **named)

    once: list[bool] = []
    twice: list[bool] = []
    lock, swap = exchange.lock, exchange.exchange
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exchange, "lock", on_lock)
        patch.setattr(exchange, "exchange", on_exchange)
        done = swapping(built).swap()

    assert done.tries == 2
    assert built.offsets() == built.offsets(BEFORE)
    assert {f"late_{number}" for number in range(3)} <= {str(row[3]) for row in built.facts()["grants"]}


def test_what_came_while_it_was_compared_is_read_before_the_swap_begins(built: Ground) -> None:
    """To compare may take minutes: it is caught up once more, and says so."""
    look = rebuild_difference_told.news_of

    def long_look(*given: Any, **named: Any) -> frozenset[CustomerName]:
        looks.append(True)
        put(built.source, *billed(MANY, customers=CUSTOMERS, prefix=f"look_{len(looks)}"))
        built.consume()
        return look(*given, **named)

    looks: list[bool] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rebuild_command, "news_of", long_look)
        done = [built.entitle("rebuild", way, "--yes") for way in ("--swap", "--swap-back")]

    assert [f"read {2 * MANY} more records, which came meanwhile" in each.stderr for each in done] == [True, True]
    assert built.offsets() == built.offsets(BEFORE)


def test_what_the_live_one_has_read_is_read_before_anybody_waits(built: Ground) -> None:
    """However much more that is than what was built has: the log is read to its end before a table is locked."""
    put(built.source, *billed(MANY, customers=CUSTOMERS, prefix="ahead"))
    built.consume()

    done = swapping(built).swap()

    assert (done.tries, done.meanwhile) == (1, 0)
    assert built.offsets() == built.offsets(BEFORE)


@pytest.mark.parametrize(("when", "locked"), [("end", 1), ("lock", 2)])
def test_nobody_waits_for_more_than_some_hundred_records(built: Ground, when: str, locked: int) -> None:
    """Where the live one is far ahead at a try, that is given up: before the tables are locked, or as soon as then."""
    locks: list[bool] = []

    def far_ahead() -> None:
        put(built.source, *billed(MANY, customers=CUSTOMERS, prefix=f"far_{when}"))
        built.consume()

    def on_drained(*given: Any) -> Any:
        held = drained(*given)
        if when == "end" and not locks and not ahead:
            ahead.append(True)
            far_ahead()
        return held

    def on_lock(connection: sa.Connection, names: Sequence[str]) -> None:
        locks.append(True)
        if when == "lock" and len(locks) == 1:
            far_ahead()
        lock(connection, names)

    ahead: list[bool] = []
    lock, drained = exchange.lock, Swapping._drained
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rebuild_swap, "MOST_LEFT", MANY)
        patch.setattr(exchange, "lock", on_lock)
        patch.setattr(Swapping, "_drained", on_drained)
        done = swapping(built).swap()

    assert (done.tries, len(locks), done.meanwhile) == (2, locked, 0)
    assert built.offsets() == built.offsets(BEFORE)


def test_consumers_that_stay_far_ahead_are_said(built: Ground) -> None:
    """With the log read to its end, and the live one ahead all the same, it gives up, says why, and changes nothing."""
    with built.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE consumer_offsets SET next_offset = next_offset + 1000")
    before = built.facts()

    with pytest.raises(CannotRebuild, match=r"the consumers read faster than the swap can: they were \d+,000 records"):
        swapping(built, patience_s=0.3).swap()

    assert (built.facts(), built.schemas()) == (before, {SCHEMA, REBUILD})


@pytest.mark.parametrize("way", ["ask", "look_up", "entitle explain"])
def test_who_asks_while_it_swaps_is_told_what_it_has_recorded(
    built: Ground, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Who was let in just before is let in for whoever waits behind the swap: such a question is of after it."""
    monkeypatch.setattr(snapshots, "ANSWER_SECONDS", PATIENCE_S)
    customer, told = f"late_{way.split()[-1]}", list[set[str]]()

    def asked() -> set[str]:
        def known(connection: sa.Connection) -> set[str]:
            return {str(each.status) for each in facts_of(connection, integration="main", customer=customer).grants}

        if way == "look_up":
            return asyncio.run(asking.look_up(known))
        if way == "ask":
            return asyncio.run(asking.ask(lambda snapshot: (snapshot.terms(), known(snapshot.connection))[1]))
        with explain_commands._snapshot() as snapshot:
            return (snapshot.terms(), known(snapshot.connection))[1]

    def on_lock(connection: sa.Connection, names: Sequence[str]) -> None:
        put(built.source, *late)
        built.consume()
        lock(connection, names)
        question.start()
        wait_until(lambda: _waits(connection), "the question waits")

    late = [
        {**each, "id": f"evt_{customer}_{at}"} for at, each in enumerate(events(paid(customer=customer, id=customer)))
    ]
    question = threading.Thread(target=lambda: told.append(asked()))
    lock = exchange.lock
    with built.own(connections=1) as engine:
        asking = snapshots.Snapshots(engine, lambda: JANUARY)
        monkeypatch.setattr(explain_commands, "database", lambda: engine)
        before = asked()  # its session is at hand, and has prepared what it asks
        monkeypatch.setattr(exchange, "lock", on_lock)
        done = swapping(built).swap()
        question.join(PATIENCE_S)
        asking.close()

    assert (before, told, done.tries) == (set(), [{"open", "paid"}], 1)
    assert done.meanwhile > 0


def _waits(connection: sa.Connection) -> bool:
    """Whether anybody waits for what this session holds."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))"
    return bool(connection.exec_driver_sql(query).scalar_one())


def test_roles_may_do_afterwards_what_they_might_before(built: Ground) -> None:
    """What was granted on what served goes over with a swap, and what was taken away since does not come back."""
    role = f"reports_{uuid.uuid4().hex}"

    def may() -> tuple[bool, ...]:
        query = (
            f"SELECT has_schema_privilege('{role}', '{SCHEMA}', 'USAGE'), "
            f"has_table_privilege('{role}', '{SCHEMA}.grants', 'SELECT WITH GRANT OPTION'), "
            f"has_table_privilege('{role}', '{SCHEMA}.grants', 'DELETE'), "
            f"has_table_privilege('{role}', '{SCHEMA}.invoices', 'SELECT'), "
            f"has_table_privilege('{role}', '{SCHEMA}.feed', 'SELECT')"
        )
        return tuple(say(query).one())

    def say(statement: str) -> sa.CursorResult[Any]:
        with built.engine.begin() as connection:
            return connection.exec_driver_sql(statement)  # its rows are at hand already

    say(f"CREATE ROLE {role}")
    try:
        say(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {role}")
        say(f"GRANT SELECT ON {SCHEMA}.grants TO {role} WITH GRANT OPTION")
        say(f"GRANT SELECT ON {SCHEMA}.invoices, {SCHEMA}.feed TO {role}")
        granted = may()
        built.rebuild("--swap")
        swapped = may()
        say(f"REVOKE SELECT ON {SCHEMA}.invoices FROM {role}")  # noqa: S608
        built.rebuild("--swap-back")
        back = may()
    finally:
        say(f"DROP OWNED BY {role}")
        say(f"DROP ROLE {role}")

    assert granted == swapped == (True, True, False, True, True)
    assert back == (True, True, False, False, True)


def test_offsets_of_another_log_mean_nothing(built: Ground) -> None:
    """Where the live consumers had read another cluster's log, and further, a swap does not wait for it."""
    with built.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE consumer_offsets SET cluster_id = 'lost', next_offset = next_offset + 1000")

    built.rebuild("--swap")
    built.consume()

    assert {each.cluster_id for each in built.offsets(BEFORE)} == {"lost"}


def test_who_holds_a_table_is_named(built: Ground) -> None:
    """A transaction that goes on holds up a swap, which gives up, says who it is, and has changed nothing."""
    before = built.facts()
    with built.own(application="a long report") as other, other.connect() as reading:
        pid = reading.exec_driver_sql("SELECT pg_backend_pid() FROM grants LIMIT 1").scalar_one()

        with pytest.raises(CannotRebuild, match=rf"process {pid} \(a long report, idle in transaction.*has grants"):
            swapping(built, patience_s=0.5).swap()

        assert (built.facts(), built.schemas()) == (before, {SCHEMA, REBUILD})
        reading.rollback()
        swapping(built, patience_s=5).swap()
    assert built.schemas() == {SCHEMA, BEFORE}


def test_a_transaction_that_has_touched_nothing_holds_up_nobody(built: Ground) -> None:
    """Begun before a swap, it sees what serves after it, whole."""
    with built.own() as database, database.connect() as reading:
        reading.execution_options(isolation_level="REPEATABLE READ")
        reading.exec_driver_sql("SELECT 1")
        built.rebuild("--swap")

        known = facts_of(reading, integration="main", customer=WRONG[0])
    assert {grant.status for grant in known.grants} == {"open", "paid"}


# What gateways are told


def test_gateways_are_told_exactly_who_is_answered_otherwise(built: Ground) -> None:
    """Numbers and identity go on; who was answered wrongly and who was missed is told, and nobody else."""
    settled(built.engine, JANUARY)
    told = behind(built.engine)
    with built.engine.connect() as connection:
        identity, head = feed.identity(connection), feed.position(connection).head
    assert MISSED not in {each.customer for each in told}

    built.rebuild("--swap")
    settled(built.engine, JANUARY)

    news = behind(built.engine, head)
    assert {each.customer for each in news} == {*WRONG, MISSED}
    assert sorted(seq for _, seq in seqs(news)) == [head + 1, head + 2, head + 3]
    with built.engine.connect() as connection:
        assert feed.identity(connection) == identity
        assert not feed.position(connection).is_walking
    built.rebuild("--swap-back")
    settled(built.engine, JANUARY)
    assert {each.customer for each in behind(built.engine, head + 3)} == {*WRONG, MISSED}


def test_what_waits_to_be_told_is_told_after_the_swap(built: Ground) -> None:
    """Changes that the relay has not taken up go over to what serves."""
    built.rebuild("--swap")

    settled(built.engine, JANUARY)

    told = {each.customer for each in behind(built.engine) if each.customer.startswith("cus_")}
    assert told == {f"cus_{number}" for number in range(CUSTOMERS)}


def test_customers_known_to_differ_are_told_first(built: Ground) -> None:
    """Before everybody in the feed is looked at again."""
    settled(built.engine, JANUARY)
    swapping(built, news=[CustomerName(integration="main", customer=WRONG[1])]).swap()

    with built.engine.connect() as connection:
        waiting = [each.customer for each in feed.waiting(connection, most=10)]
    assert waiting == [MISSED, WRONG[1]]


# Killed, refused, left


def killing(place: Ground, before: str, *arguments: str) -> int:
    """`entitle rebuild` in a process of its own, which kills itself before a statement that matches; its exit code."""
    program = (
        "import os, re, signal, sys; from sqlalchemy import Engine, event; from ops import cli\n"
        "@event.listens_for(Engine, 'before_cursor_execute')\n"
        "def before(connection, cursor, statement, *_):\n"
        f"    if re.search({before!r}, statement): os.kill(os.getpid(), signal.SIGKILL)\n"
        "cli.main()"
    )
    environment = {
        **os.environ,
        "ENTITLE_KAFKA": place.source.bootstrap,
        "ENTITLE_DATABASE_URL": place.url,
        "ENTITLE_SCHEMA": SCHEMA,
        "ENTITLE_SETTINGS_SCHEMA": SETTINGS_SCHEMA,
    }
    command = [sys.executable, "-c", program, "rebuild", *arguments]
    return subprocess.run(command, env=environment, check=False, capture_output=True, timeout=PATIENCE_S).returncode


STEPS_OF_A_BUILD = (
    "COMMENT ON SCHEMA",
    "DROP INDEX",
    r"EXECUTE record_invoices",
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


def test_kill_9_at_every_step_of_a_swap(built: Ground) -> None:
    """At each of its statements the session ends: the old serves, whole, or the new does, and the swap can be done."""
    old, new = built.facts(), built.facts(REBUILD)
    statements: list[str] = []
    for number in count():
        statements = ended_at(built, number)
        whole = {SCHEMA, BEFORE} if built.schemas() & {BEFORE} else {SCHEMA, REBUILD}
        assert built.schemas() == whole, statements[-1]
        serves, other = built.facts(), built.facts(REBUILD if REBUILD in whole else BEFORE)
        assert (serves, other) == ((new, old) if BEFORE in whole else (old, new)), statements[-1]
        if BEFORE in whole:
            break
    assert len(statements) > 15, statements
    assert sum("RENAME TO" in each for each in statements) == 3
    assert statements[-1].startswith("DROP SCHEMA"), statements[-1]


def ended_at(place: Ground, number: int) -> list[str]:
    """A swap whose session is gone before the statement of that number; those that it came to."""
    statements: list[str] = []

    def before(connection: sa.Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if connection.engine.url.database != sa.make_url(place.url).database or threading.current_thread() is not me:
            return
        statements.append(statement)
        if len(statements) == number + 1:
            raise _Killed

    me = threading.current_thread()
    sa.event.listen(sa.Engine, "before_cursor_execute", before)
    try:
        swapping(place).swap()
    except _Killed:
        pass
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", before)
    return statements


class _Busy(Exception):
    """What psycopg2 says of a wait that was cut short."""

    pgcode = "57014"


class _Killed(BaseException):
    """As if the process were gone."""


@pytest.mark.parametrize("step", ["LOCK TABLE", "SET SCHEMA", "pg_notify"])
def test_kill_9_in_the_middle_of_a_swap(built: Ground, step: str) -> None:
    """The process itself is killed with everything locked: at once the old serves, whole, and the swap can be done."""
    old, new = built.facts(), built.facts(REBUILD)

    assert killing(built, step, "--swap", "--yes") == -signal.SIGKILL
    assert (built.facts(), built.facts(REBUILD), built.schemas()) == (old, new, {SCHEMA, REBUILD})
    built.rebuild("--swap")

    assert (built.facts(), built.facts(BEFORE)) == (new, old)


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
    program = (
        "from consumers import batch, verdicts; from ops import cli; from schemas.codec import InvalidMessage\n"
        "def refused(*_): return InvalidMessage('nobody can read this')\n"
        "verdicts._read = refused\n"
        "cli.main()"
    )
    done = process(place, "-c", program, "rebuild", "--no-follow", ENTITLE_DEAD_LETTERS_IN_A_ROW="5")
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
    program = (
        "from consumers import verdicts; from ops import cli; from schemas.codec import InvalidMessage\n"
        "def refused(*_): return InvalidMessage('nobody can read this')\n"
        "verdicts._read = refused\n"
        "cli.main()"
    )
    done = process(built, "-c", program, "rebuild", "--swap-back", "--yes", ENTITLE_DEAD_LETTERS_IN_A_ROW="1")

    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith(f"entitle: the log is read no further into {BEFORE}, {SCHEMA} serves on: ")
    assert (
        "swap back with a version that can read them, or drop what was swapped out with `entitle rebuild --dr" in last
    )
    assert "--discard" not in last


def process(place: Ground, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own."""
    environment = {
        **os.environ,
        "ENTITLE_KAFKA": place.source.bootstrap,
        "ENTITLE_DATABASE_URL": place.url,
        "ENTITLE_SCHEMA": SCHEMA,
        "ENTITLE_SETTINGS_SCHEMA": SETTINGS_SCHEMA,
        **settings,
    }
    line = [sys.executable, *command]
    return subprocess.run(line, env=environment, check=False, capture_output=True, text=True, timeout=PATIENCE_S)


def test_a_follower_goes_on_until_a_swap_takes_over(built: Ground) -> None:
    """What comes is in the rebuild at once; a second one is refused; the first leaves to a swap, and says so."""
    environment = {
        **os.environ,
        "ENTITLE_KAFKA": built.source.bootstrap,
        "ENTITLE_DATABASE_URL": built.url,
        "ENTITLE_SCHEMA": SCHEMA,
        "ENTITLE_SETTINGS_SCHEMA": SETTINGS_SCHEMA,
    }
    command = [sys.executable, "-m", "ops", "rebuild", "--processes", "1"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as other:
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
