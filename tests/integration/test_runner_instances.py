"""Instances of one group that come, go, are killed, or wait for a server: exactly once all the same."""

from __future__ import annotations

import logging
import signal
import time
import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

import pytest
import sqlalchemy as sa

from consumers.extent import Extent, extents, start
from consumers.log import Log, Source
from consumers.record import Partition
from consumers.telling import Health
from entitlements import ledger
from tests import toys
from tests.toys import Toy, message
from tests.yard import PATIENCE_S, Yard, numbered, wait_until


def test_kill_9_of_one_of_two_instances_loses_and_doubles_nothing(yard: Yard) -> None:
    """An instance killed in mid-run leaves no trace: every name once, every record one outcome, the end reached."""
    yard.make_topic(partitions=4)
    count = 4000
    yard.put([message(name) for name in numbered(count)])

    with yard.program(max_poll_records=20) as first, yard.program(max_poll_records=20) as second:
        wait_until(lambda: sum(yard.next_offsets()) > count // 8, "an eighth is read")
        first.send_signal(signal.SIGKILL)
        yard.put([message(name) for name in numbered(count, "later")])
        wait_until(lambda: sum(yard.next_offsets()) == 2 * count, "all is read")
        second.send_signal(signal.SIGTERM)
        assert second.wait(PATIENCE_S) == 0

    assert yard.names() == Counter(numbered(count) + numbered(count, "later"))
    assert yard.outcomes() == Counter(recorded=2 * count)


def test_an_instance_whose_row_was_moved_rolls_back_and_goes_on_from_the_row(
    yard: Yard, caplog: pytest.LogCaptureFixture
) -> None:
    """Fencing: nothing of the stale batch stays, and what comes after the row's offset is recorded."""
    yard.make_topic()
    yard.put([message("stale-1"), message("stale-2")])
    moved: list[bool] = []

    def record_while_another_is_faster(connection: sa.Connection, facts: Sequence[Toy]) -> frozenset[bytes]:
        if not moved:
            moved.append(True)
            yard.execute(sa.update(ledger.consumer_offsets).values(next_offset=2))
        return toys.record(connection, facts)

    with caplog.at_level(logging.WARNING), yard.running(toys.group(yard.topic, record=record_while_another_is_faster)):
        wait_until(lambda: "another instance has recorded" in caplog.text, "fenced")
        yard.put([message("fresh")])
        wait_until(lambda: yard.next_offsets() == [3], "the fresh one is read")

    assert yard.names() == Counter(["fresh"])
    assert yard.outcomes() == Counter(recorded=1)


def test_an_instance_that_is_overtaken_in_every_batch_is_ready(yard: Yard) -> None:
    """As one that a deploy starts beside busy ones: it could do the work, and waiting for quiet might take for ever."""
    yard.make_topic()
    yard.put([message(name) for name in numbered(8)])
    ready_at: list[int] = []

    def record_while_another_is_faster(connection: sa.Connection, facts: Sequence[Toy]) -> frozenset[bytes]:
        yard.execute(sa.update(ledger.consumer_offsets).values(next_offset=ledger.consumer_offsets.c.next_offset + 1))
        return toys.record(connection, facts)

    def on_health(health: Health) -> None:
        ready_at.extend(yard.next_offsets() if health.ready else [])

    group = toys.group(yard.topic, record=record_while_another_is_faster)
    with yard.running(group, source=yard.source(max_poll_records=1), on_health=on_health):
        wait_until(lambda: bool(ready_at), "ready")

    assert ready_at[0] == 1
    assert yard.names() == Counter()


@pytest.mark.parametrize("rows", [1, 0], ids=["row", "no-row-yet"])
def test_an_owner_that_goes_on_while_another_settles_is_no_gap(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """Its row moves past the end that Kafka said a moment ago: no reason to ask for a rebuild; nothing is lost."""
    yard.make_topic()
    yard.put([message("first")])
    place = yard.topic, 0
    if rows:
        yard.run_to_the_end()
    overtaken: list[int] = []

    def overtaking(source: Source, partitions: Collection[Partition]) -> dict[Partition, Extent]:
        found = extents(source, partitions)
        if partitions and not overtaken:
            overtaken.append(found[place].end)
            yard.put([message("of-the-owner")])
            owners = replace(start("toys", place, found[place]), next_offset=2)
            with yard.engine.begin() as connection:
                ledger.begin(connection, [owners])
                connection.execute(sa.update(ledger.consumer_offsets).values(next_offset=2))
        return found

    monkeypatch.setattr("consumers.runner.extents", overtaking)
    with yard.running():
        wait_until(lambda: bool(overtaken), "overtaken")
        yard.put([message("later")])
        wait_until(lambda: yard.next_offsets() == [3], "the later one is read")

    assert overtaken == [1]
    assert yard.names() == Counter(["first"] * rows + ["later"])


def test_who_stops_leaves_the_group_at_once(yard: Yard) -> None:
    """The other instance has all partitions long before the session of the one that left would have timed out."""
    yard.make_topic(partitions=2)
    slow_to_notice = yard.source(session_timeout_ms=45_000)

    with yard.running(source=slow_to_notice) as first, yard.running(source=slow_to_notice):
        wait_until(lambda: _members(yard) == 2, "two members")
        yard.put([message("a")], partition=0)
        yard.put([message("b")], partition=1)
        wait_until(lambda: sum(yard.next_offsets()) == 2, "both read")
        first.set()
        wait_until(lambda: _members(yard) == 1, "one member", patience=15)
        yard.put([message("c")], partition=0)
        yard.put([message("d")], partition=1)
        wait_until(lambda: sum(yard.next_offsets()) == 4, "all read by the other", patience=15)

    assert yard.names() == Counter("abcd")


def _members(yard: Yard) -> int:
    described = yard.admin.describe_groups(["toys"])["toys"]
    mine = [member for member in described["members"] if yard.topic in str(member["member_assignment"])]
    return len(mine)


def test_a_database_that_is_away_is_waited_for(yard: Yard) -> None:
    """Nothing is lost while Postgres refuses connections; health says so, and work resumes by itself."""
    yard.make_topic()
    states: list[Health] = []

    with yard.running(on_health=states.append):
        yard.put([message("a")])
        wait_until(lambda: yard.names() == Counter("a"), "the first is read")
        with yard.without_database():
            yard.put([message("b")])
            wait_until(lambda: not states[-1].ready, "health says that it waits")
        wait_until(lambda: yard.names() == Counter("ab"), "the second is read")
        wait_until(lambda: states[-1].ready, "health says that it works")

    assert yard.outcomes() == Counter(recorded=2)


def test_a_topic_that_is_not_there_is_waited_for(yard: Yard) -> None:
    """A consumer that starts before its topic exists says so, and reads it once it does."""
    states: list[Health] = []

    with yard.running(on_health=states.append):
        wait_until(lambda: any(yard.topic in state.detail for state in states), "it says which topic")
        yard.make_topic()
        yard.put([message("a")])
        wait_until(lambda: yard.names() == Counter("a"), "it is read")


def test_a_kafka_that_is_away_is_waited_for_until_told_to_stop(yard: Yard) -> None:
    """One log line says so, however often it is tried; and SIGTERM needs no Kafka to end it in good order."""
    with yard.program(max_poll_records=20, kafka="127.0.0.1:1", listen=True) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        time.sleep(3)
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(PATIENCE_S) == 0

    assert b"toys is waiting: KafkaTimeoutError" in said
    assert rest == b""


def test_a_join_that_outlasts_a_poll_is_completed(yard: Yard) -> None:
    """A member that polls in small steps gets its partitions: kafka-python 3.0.12 by itself forgets its join."""
    yard.make_topic()

    for _ in range(3):
        log = Log(yard.source(), group_id=f"toys-{uuid.uuid4().hex}", topics=[yard.topic])
        deadline = time.monotonic() + 10
        while not log.unsettled() and time.monotonic() < deadline:
            log.poll(0.001)
        assigned = log.unsettled()
        log.close()

        assert assigned == {(yard.topic, 0)}
