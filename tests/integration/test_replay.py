"""
`entitle replay` on a real Kafka and a real PostgreSQL: what was missed is recorded, once, whatever happens.

Long because all of it is asked of one Kafka, which takes seconds to start.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import Result
from kafka import KafkaProducer

from consumers.extent import ends_of
from consumers.log import Source
from consumers.runner import run
from entitlements import ledger, replays
from entitlements.domain.facts import Fact
from entitlements.letters import Letter, Which, letters
from entitlements.store import TABLE_OF
from entitlements.tables import grants, invoices
from ops.operator_log import LogUnavailable, make_topics, publish_catalog
from ops.processes import DECIDERS, group
from ops.stack import running
from schemas.codec import InvalidMessage, Message, encode_stripe
from schemas.topics import CONSUMER_GROUPS, EVENTS, KEEP_FOR_EVER, topics
from tests.asking import SETTINGS_SCHEMA, listening
from tests.operating import Place, called
from tests.pure_core import catalog
from tests.stripe_builders import Line, events, paid
from tests.yard import PATIENCE_S, wait_until

WANTED = topics(event_partitions=2, event_retention_ms=KEEP_FOR_EVER, replication_factor=1, min_insync_replicas=1)
CUSTOMERS, INVOICES = 20, 120
BAD = [(b"cus_3", b"{", [("ce_id", b"evt_bad"), ("ce_integration", b"main")])]
FACTS = tuple(TABLE_OF.values())


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """A Kafka of this module's own with a catalog, two events for each of many invoices, and what is no event."""
    folder: Path = tmp_path_factory.mktemp("kafka")
    with running(folder, database=False, say=lambda _: None) as stack:
        assert stack.kafka is not None
        source = Source(bootstrap=stack.kafka.address)
        make_topics(source, WANTED, lambda _: None)
        publish_catalog(source, catalog(), applied_by="ann", in_force_from=None, at=datetime.now(UTC))
        put(source, *(encode_stripe(integration="main", event=each) for each in billed(INVOICES)), *BAD)
        yield source


def billed(count: int, prefix: str = "in", customer: str = "cus") -> list[dict[str, Any]]:
    """Finalized and paid, each invoice of one of the customers."""
    bills = [
        paid(Line(id=f"il_{prefix}_{number}"), id=f"{prefix}_{number}", customer=f"{customer}_{number % CUSTOMERS}")
        for number in range(count)
    ]
    return [{**each, "id": f"evt_{prefix}_{number}"} for number, each in enumerate(events(*bills))]


def put(source: Source, *messages: Any) -> None:
    producer = KafkaProducer(bootstrap_servers=source.bootstrap)
    for number, (key, value, headers) in enumerate(messages):
        producer.send(EVENTS, key=key, value=value, headers=headers, partition=number % 2)
    producer.flush(timeout=PATIENCE_S)
    producer.close()


@pytest.fixture
def place(source: Source, fresh_database: str) -> Iterator[Place]:
    """What the consumers made of that log, all of it."""
    with listening(fresh_database) as api:
        found = Place(source=source, url=fresh_database, api=api)
        found.consume()
        yield found


def replayed(place: Place, *arguments: str) -> dict[str, Any]:
    found = json.loads(place.entitle("replay", *arguments, "--yes", "--json").stdout)
    assert isinstance(found, dict)
    return found


def facts(place: Place) -> Mapping[str, list[tuple[Any, ...]]]:
    with place.api.engine.connect() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(sa.select(table).order_by(table.c.digest))]
            for table in FACTS
        }


def beside(place: Place) -> list[tuple[Any, ...]]:
    """Provenance, but for whether a record was the first to say so and when it was read."""
    left_out = ("outcome", "recorded_at")
    columns = [column for column in ledger.provenance.c if column.name not in left_out]
    query = sa.select(*columns).order_by(*ledger.provenance.primary_key.columns)
    with place.api.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def offsets(place: Place) -> tuple[ledger.Position, ...]:
    with place.api.engine.connect() as connection:
        return ledger.positions(connection)


def forget(place: Place, table: sa.Table = grants) -> int:
    """As if a consumer had written nothing for a while."""
    with place.api.engine.begin() as connection:
        return connection.execute(sa.delete(table)).rowcount


def test_what_was_missed_is_recorded_and_nothing_else_changes(place: Place) -> None:
    """After a replay of everything the facts are those of before the loss; offsets never moved."""
    before, was, held = facts(place), beside(place), offsets(place)
    lost = forget(place)

    found = replayed(place, "--all")
    again = replayed(place, "--all")

    total = 2 * INVOICES + len(BAD) + 1
    assert (found["records"], found["of"], found["finished"], found["learnt"]) == (total, total, True, {"grants": lost})
    assert (again["learnt"], "recorded" in again["outcomes"], again["replay"]) == ({}, False, found["replay"] + 1)
    assert (facts(place), beside(place), offsets(place)) == (before, was, held)
    assert found["dead_letters"] == {"before": 3, "gone": [], "new": []}


ASKED = {
    f"--offsets {EVENTS}-1:10-30 --group grants": (20, False),
    "--event evt_in_7 --event catalog-1": (2, False),
    "--event evt_in_7 --scan": (1, True),
    "--event evt_bad": (1, True),
    "--customer cus_3": (12, False),
    "--customer cus_3 --scan": (13, True),
    "--until 2020-01-01T00:00:00Z": (0, False),
    "--since 2099-01-01T00:00:00Z": (0, False),
}
"""How many records that is, and whether provenance has them not, or is not asked."""


def test_exactly_what_is_asked_for_is_read(place: Place) -> None:
    """By offsets, event, customer or time; what provenance has not is looked for in the log, and that is said."""
    for asked, (records, looked_for) in ASKED.items():
        done = place.entitle("replay", *asked.split(), "--yes")
        said, told = (" ".join(text.split()) for text in (done.stderr, done.stdout))

        count = f"{records} record{'' if records == 1 else 's'}"
        assert (asked, f"{count} " in said, "looking through" in said) == (asked, True, looked_for)
        assert (asked, done.exit_code, f": {count} what" in told) == (asked, 0 if records else 1, records > 0)


def test_a_span_of_time_is_that_of_the_log(place: Place) -> None:
    """What Kafka had from one record's moment on up to another's, by the broker's clock, in every partition."""
    with place.api.engine.connect() as connection:
        appended = sa.select(ledger.provenance.c.appended_at).where(ledger.provenance.c.consumer_group == "grants")
        moments = sorted(connection.execute(appended).scalars())
    since, until = moments[len(moments) // 4], moments[len(moments) // 2]

    found = replayed(place, "--since", since.isoformat(), "--until", until.isoformat(), "--group", "grants")

    assert found["records"] == sum(since <= each < until for each in moments) > 0


def test_what_nobody_confirms_is_not_read(place: Place, source: Source) -> None:
    """It asks, and without a yes nothing is begun; what is unclear is exit code 2."""
    asked = place.entitle("replay", "--all")
    unclear = [
        called(source, "replay", *each, ENTITLE_DATABASE_URL=place.url).exit_code
        for each in ([], ["--all", "--event", "evt_1"], ["--all", "--json"], ["--resume", "--all"], ["--offsets", "x"])
    ]

    with place.api.engine.connect() as connection:
        assert replays.latest(connection) is None
    assert (asked.exit_code, "Read them again?" in asked.stderr, unclear) == (1, True, [2] * 5)


def test_kill_9_and_ctrl_c_in_the_middle_and_the_rest_is_read_once(place: Place) -> None:
    """Killed, interrupted and resumed, a replay leaves what an undisturbed one does, and counts everything once."""
    before, was = facts(place), beside(place)
    lost = forget(place)
    for number, ending in enumerate((signal.SIGKILL, signal.SIGINT, signal.SIGKILL)):
        with program(place, "--all" if number == 0 else "--resume", held=IN_A_TRANSACTION) as process:
            go_on(place, process, 3)
            process.send_signal(ending)
            process.wait(PATIENCE_S)
        assert process.returncode == (130 if ending is signal.SIGINT else -signal.SIGKILL)
        assert (steps(place), 0 < len(facts(place)["grants"]) < lost) == (3 * (number + 1), True)
    replayed(place, "--event", "catalog-1")  # one that is finished is not what is gone on with

    found = json.loads(place.entitle("replay", "--resume", "--yes", "--json").stdout)

    assert (found["records"], found["finished"], found["learnt"]) == (found["of"], True, {"grants": lost})
    assert sum(found["outcomes"].values()) == len(was)
    assert (facts(place), beside(place)) == (before, was)


def steps(place: Place) -> int:
    with place.api.engine.connect() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(replays.replay_steps)).scalar_one()


IN_A_TRANSACTION = "replay.replays.append = held(replay.replays.append)"
BETWEEN_TWO = "replay.Replaying._step = held(replay.Replaying._step)"
"""Where a replay waits to be told to go on: within the transaction of each of its steps, or before."""


def program(place: Place, *arguments: str, held: str) -> subprocess.Popen[bytes]:
    """The replay in a process of its own, ten records at a time, which waits for a line before each step is done."""
    stepwise = (
        "import signal, sys; from ops import cli, replay; replay.AT_ONCE = 10; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "  # whoever runs the tests may have it ignored
        f"held = lambda do: lambda *given: (sys.stdin.readline(), do(*given))[1]; {held}; cli.main()"
    )
    environment = {
        **os.environ,
        "ENTITLE_KAFKA": place.source.bootstrap,
        "ENTITLE_DATABASE_URL": place.url,
        "ENTITLE_SCHEMA": "public",
        "ENTITLE_SETTINGS_SCHEMA": SETTINGS_SCHEMA,
    }
    return subprocess.Popen(
        [sys.executable, "-c", stepwise, "replay", *arguments, "--yes"],
        env=environment,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def go_on(place: Place, process: subprocess.Popen[bytes], count: int) -> None:
    """Let it do so many steps, and wait until it has done them."""
    assert process.stdin is not None
    wanted = steps(place) + count
    process.stdin.write(b"\n" * count)
    process.stdin.flush()
    wait_until(lambda: steps(place) == wanted, f"it has done {count} steps")


def test_two_that_go_on_with_one_replay_do_it_once(place: Place) -> None:
    """The slower one is told so and stops; what is counted is right, and what is finished is said to be."""
    lost = forget(place)
    with program(place, "--all", held=BETWEEN_TWO) as slower:
        go_on(place, slower, 1)
        found = json.loads(place.entitle("replay", "--resume", "--yes", "--json").stdout)
        _, complaint = slower.communicate(b"\n", timeout=PATIENCE_S)

    again = place.entitle("replay", "--resume", "--yes", "--json")

    assert (slower.returncode, b"another process goes on with replay 1" in complaint) == (1, True)
    assert (found["finished"], found["learnt"], found["records"]) == (True, {"grants": lost}, found["of"])
    assert (json.loads(again.stdout), again.stderr) == (found, "replay 1 is finished\n")


def test_consumers_at_work_and_a_replay_at_once_leave_what_either_would(place: Place) -> None:
    """While consumers read new events all that is old is read again: the facts are those of one undisturbed pass."""
    stop = threading.Event()

    def consume(name: str) -> None:
        run([group(name)], place.source, place.api.engine, "public", stop=stop)

    forget(place, invoices)
    threads = [threading.Thread(target=consume, args=(name,)) for name in CONSUMER_GROUPS]
    for thread in threads:
        thread.start()
    try:
        more = billed(80, "live", "cus_live")
        for number in range(0, len(more), 40):
            put(place.source, *(encode_stripe(integration="main", event=each) for each in more[number : number + 40]))
            replayed(place, "--all")
        ends = ends_of(place.source, [EVENTS])
        wait_until(
            lambda: all(
                each.next_offset == ends[each.topic, each.partition] for each in offsets(place) if each.topic == EVENTS
            ),
            "the consumers have read everything",
        )
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE_S)
    mixed = facts(place), beside(place)
    with place.api.engine.begin() as connection:
        for table in (*FACTS, ledger.provenance, ledger.consumer_offsets):
            connection.execute(sa.delete(table))
    place.consume()

    assert (facts(place), beside(place)) == mixed


def test_what_was_set_aside_before_stops_no_replay(place: Place, source: Source) -> None:
    """Ten in a row that no version could read, with a limit of three: it is known of them, and it goes on."""
    put(source, *[(b"k", b"{", [("ce_id", b"evt_worse")])] * 20)
    place.consume()

    done = place_called(place, "replay", "--all", "--yes", "--json", ENTITLE_DEAD_LETTERS_IN_A_ROW="3")

    found = json.loads(done.stdout)
    assert (found["finished"], found["outcomes"]["dead_letter"]) == (True, found["dead_letters"]["before"])
    assert found["dead_letters"]["before"] >= 60


def test_a_version_that_cannot_read_stops_and_one_that_can_goes_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends where a consumer would, with the commands to use, and nothing is missed behind what it has done."""

    def refuse(_: Message) -> tuple[Fact, ...]:
        raise InvalidMessage("a wrong version reads nothing")

    before, there = (facts(place), beside(place)), len(letters_of(place))
    with monkeypatch.context() as wrong:
        wrong.setattr("ops.processes.DECIDERS", {**DECIDERS, "invoices": refuse})
        with pytest.raises(LogUnavailable, match=r"invoices has set aside 3 records in a row .*--resume 1"):
            place_called(place, "replay", "--all", "--yes", ENTITLE_DEAD_LETTERS_IN_A_ROW="3")
    set_aside = len(letters_of(place)) - there

    found = json.loads(place_called(place, "replay", "--resume", "--yes", "--json").stdout)
    redriven = place.entitle("dead-letters", "redrive", "--because", "a wrong version")

    assert (set_aside, found["finished"], found["records"], len(found["dead_letters"]["new"])) == (
        3,
        True,
        found["of"],
        3,
    )
    assert redriven.exit_code == 0
    assert (facts(place), beside(place)) == before


def letters_of(place: Place) -> tuple[Letter, ...]:
    with place.api.engine.connect() as connection:
        return letters(connection, Which())


def place_called(place: Place, *arguments: str, **more: str) -> Result:
    return called(place.source, *arguments, ENTITLE_DATABASE_URL=place.url, **more)


def test_the_whole_of_what_an_operator_sees(place: Place) -> None:
    """How many and how they were found is said beforehand, on stderr; what came of it afterwards, on stdout."""
    forget(place)

    done = place.entitle("replay", "--customer", "cus_3", "--yes")

    assert done.stderr == f"12 records of {EVENTS} through grants, invoices and revocations, found by provenance\n"
    [first, *others] = done.stdout.splitlines()
    assert re.fullmatch(r"Replay 1 \(--customer cus_3\), begun by \S+ at .* UTC: 12 records *", first)
    assert [each.rstrip() for each in others] == [
        "  what they came to, over grants, invoices and revocations: 12 recorded, 12 known already and 12",
        "  ignored",
        "  facts that are new, or known to be older now: 12 in grants",
        "  no open dead letters, before or now",
    ]
