"""One process for several groups, on a real Kafka and a real PostgreSQL: as exact as a process for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from consumers.batch import Recorder, take, transaction_on
from consumers.extent import Extent, ends_of, start
from consumers.failures import TooManyDeadLetters
from consumers.log import Source
from consumers.record import Record
from consumers.verdicts import Group
from entitlements import ledger
from schemas.codec import InvalidMessage, Message
from tests import toys
from tests.toys import Toy, message
from tests.yard import Yard, numbered, wait_until

READ = 3_000


def outcomes(yard: Yard) -> dict[str, Counter[str]]:
    """What the records came to, by group."""
    found: dict[str, Counter[str]] = {}
    with yard.engine.connect() as connection:
        rows = connection.execute(sa.select(ledger.provenance.c.consumer_group, ledger.provenance.c.outcome))
        for group, outcome in rows:
            found.setdefault(group, Counter())[outcome] += 1
    return found


def reached(yard: Yard) -> dict[str, int]:
    """How many records each group has got past, in all partitions."""
    found: Counter[str] = Counter()
    with yard.engine.connect() as connection:
        for position in ledger.positions(connection):
            found[position.group] += position.next_offset
    return dict(found)


def two(yard: Yard) -> tuple[Group[Toy], Group[Toy]]:
    return toys.group(yard.topic, name="first"), toys.group(yard.topic, name="second")


def test_instances_of_one_set_of_groups_share_the_partitions(yard: Yard) -> None:
    """In whichever order the groups are named it is one group of Kafka's; each record counts once in each of ours."""
    yard.make_topic(partitions=4)
    first, second = two(yard)

    def members() -> int:
        found = yard.admin.describe_groups(["first+second"])["first+second"]["members"]
        return sum(yard.topic in str(member["member_assignment"]) for member in found)

    with yard.running(first, second), ExitStack() as until_end:
        wait_until(lambda: reached(yard).keys() == {"first", "second"}, "one has all partitions")
        until_end.enter_context(yard.running(second, first))
        wait_until(lambda: members() == 2, "both have partitions")
        yard.put([message(name) for name in numbered(READ)])
        wait_until(lambda: reached(yard) == {"first": READ, "second": READ}, "all is read")

    assert yard.names() == Counter(numbered(READ))
    assert {group: counts.total() for group, counts in outcomes(yard).items()} == {"first": READ, "second": READ}


def test_groups_that_stand_at_different_offsets_each_read_what_they_have_not(yard: Yard) -> None:
    """One is ahead, one has no row yet: the log is read from who is furthest behind, and nobody records twice."""
    yard.make_topic(partitions=2)
    yard.put([message(name) for name in numbered(50)])
    first, second = two(yard)
    yard.run_to_the_end(first)

    with yard.running(first, second):
        wait_until(lambda: reached(yard) == {"first": 50, "second": 50}, "the new one has caught up")
        yard.put([message(name) for name in numbered(10, "later")])
        wait_until(lambda: reached(yard) == {"first": 60, "second": 60}, "both go on")

    assert {group: counts.total() for group, counts in outcomes(yard).items()} == {"first": 60, "second": 60}
    assert yard.names() == Counter(numbered(50) + numbered(10, "later"))


def test_each_group_is_fed_from_its_own_topics_alone(yard: Yard) -> None:
    """Nor does a row that stands for a topic it no longer reads make it read that again."""
    yard.make_topic()
    other = replace(yard, topic=f"{yard.topic}-other")
    other.make_topic()
    yard.put([message("a")])
    other.put([message("b")])
    first, second = two(yard)
    both = replace(first, topics=(yard.topic, other.topic))
    former = replace(second, topics=(other.topic,))
    other.run_to_the_end(former)
    other.put([message("c")])

    with yard.running(both, second):
        wait_until(lambda: reached(yard) == {"first": 3, "second": 2}, "all is read")
    other.admin.delete_topics([other.topic])

    read = sa.select(ledger.provenance.c.consumer_group, ledger.provenance.c.topic, ledger.provenance.c.offset)
    with yard.engine.connect() as connection:
        places = sorted(tuple(row) for row in connection.execute(read))
    assert places == [
        ("first", yard.topic, 0),
        ("first", other.topic, 0),
        ("first", other.topic, 1),
        ("second", yard.topic, 0),
        ("second", other.topic, 0),
    ]


def test_what_one_group_cannot_read_is_set_aside_in_that_one_alone(yard: Yard) -> None:
    """Its dead letters are its own, and once too many are in a row the process stops and says which group it is."""
    yard.make_topic()
    yard.put([message(name) for name in numbered(3)])
    first, second = two(yard)
    strict = replace(second, decide=refuse)

    yard.run_to_the_end(first, strict, dead_letters_in_a_row=3)
    yard.put([message("one-more")])
    with pytest.raises(TooManyDeadLetters, match=r"^second has set aside 3 records in a row"):
        yard.run(first, strict, dead_letters_in_a_row=3)

    assert outcomes(yard) == {"first": Counter(recorded=3), "second": Counter(dead_letter=3)}
    assert set(yard.column(sa.select(ledger.dead_letters.c.consumer_group))) == {"second"}


def refuse(message: Message) -> Sequence[Toy]:
    raise InvalidMessage("nobody can read this")


def test_a_group_whose_row_was_moved_holds_up_no_other(yard: Yard) -> None:
    """Another process was faster in one group: the batch is recorded in the others; that one goes on from its row."""
    yard.make_topic()
    yard.put([message("a"), message("b")])
    moved: list[bool] = []
    first, second = two(yard)

    def record_while_another_is_faster(connection: sa.Connection, facts: Sequence[Toy]) -> frozenset[bytes]:
        if not moved:
            moved.append(True)
            rows = sa.update(ledger.consumer_offsets).where(ledger.consumer_offsets.c.consumer_group == "first")
            yard.execute(rows.values(next_offset=2))
        return toys.record(connection, facts)

    with yard.running(replace(first, record=record_while_another_is_faster), second):
        wait_until(lambda: reached(yard) == {"first": 2, "second": 2}, "the other one has read them")
        yard.put([message("c")])
        wait_until(lambda: reached(yard) == {"first": 3, "second": 3}, "both go on")

    assert {group: counts.total() for group, counts in outcomes(yard).items()} == {"first": 1, "second": 3}
    assert yard.names() == Counter("abc")


def test_a_batch_is_recorded_in_the_groups_that_nobody_overtook(yard: Yard) -> None:
    """At once, not after another round: groups that are overtaken in every batch would starve those beside them."""
    place = yard.topic, 0
    here = Extent(cluster_id="cluster", topic_id="topic", beginning=0, end=1)
    starts = {(name, place): start(name, place, here) for name in ("first", "second")}
    with yard.engine.begin() as connection:
        ledger.begin(connection, [replace(starts["first", place], next_offset=1), starts["second", place]])
    key, value, headers = message("a")
    record = Record(topic=yard.topic, partition=0, offset=0, timestamp=0, key=key, value=value, headers=tuple(headers))

    recorder = Recorder(
        transaction=partial(transaction_on, yard.engine, toys.SCHEMA), decode=toys.decode, groups=two(yard), limit=0
    )
    taken = take(recorder, [record], starts)

    assert taken.overtaken is not None
    assert taken.overtaken.lost == {("first", *place)}
    assert outcomes(yard) == {"second": Counter(recorded=1)}
    assert reached(yard) == {"first": 1, "second": 1}


def test_what_two_groups_state_alike_is_recorded_by_one_of_them(yard: Yard) -> None:
    """As if they took their turns, though it is written for both at once."""
    place = yard.topic, 0
    here = Extent(cluster_id="cluster", topic_id="topic", beginning=0, end=2)
    starts = {(name, place): start(name, place, here) for name in ("first", "second")}
    with yard.engine.begin() as connection:
        ledger.begin(connection, [*starts.values()])
    records = []
    for offset, name in enumerate(("a", "b", "a")):
        key, value, headers = message(name)
        records.append(
            Record(topic=yard.topic, partition=0, offset=offset, timestamp=0, key=key, value=value, headers=(*headers,))
        )

    recorder = Recorder(
        transaction=partial(transaction_on, yard.engine, toys.SCHEMA), decode=toys.decode, groups=two(yard), limit=0
    )
    taken = take(recorder, records, starts)

    assert outcomes(yard) == {"first": Counter(recorded=2, duplicate=1), "second": Counter(duplicate=3)}
    assert {group: len(facts) for group, facts in taken.learnt.items()} == {"first": 2, "second": 0}
    assert yard.names() == Counter("ab")


@pytest.mark.parametrize("beside", [["first"], ["first", "second"]], ids=["one-apart", "all-apart"])
def test_processes_apart_beside_a_joint_one_cost_no_record_and_starve_no_group(yard: Yard, beside: list[str]) -> None:
    """As during a deploy from the one layout to the other: all own the same partitions, and each record counts once."""
    yard.make_topic(partitions=2)
    names = numbered(READ)
    small = yard.source(max_poll_records=50)
    groups = {group.name: group for group in two(yard)}
    with yard.running(*groups.values(), source=small):
        yard.put([message(name) for name in names[:100]])
        wait_until(lambda: reached(yard) == {"first": 100, "second": 100}, "the joint one is at work")
        with running_apart(yard, [groups[name] for name in beside], small):
            for at in range(100, READ, 100):
                yard.put([message(name) for name in names[at : at + 100]])
            wait_until(lambda: reached(yard) == {"first": READ, "second": READ}, "all is read while both are there")

    assert yard.names() == Counter(names)
    assert {group: counts.total() for group, counts in outcomes(yard).items()} == {"first": READ, "second": READ}
    assert sum(ends_of(yard.source(), [yard.topic]).values()) == READ


@contextmanager
def running_apart(yard: Yard, groups: Sequence[Group[Any]], source: Source) -> Iterator[None]:
    """A process's loop for each of *groups*, while the context lasts."""
    with ExitStack() as until_end:
        for group in groups:
            until_end.enter_context(yard.running(group, source=source))
        yield
