"""The runner on a real Kafka and a real PostgreSQL: what becomes of each record."""

from __future__ import annotations

from collections import Counter

import pytest
import sqlalchemy as sa

from consumers.extent import ends_of
from consumers.failures import TooManyDeadLetters
from entitlements import ledger
from tests import toys
from tests.toys import Toy, message
from tests.yard import Message, Yard, numbered, wait_until


def test_each_record_is_recorded_once_and_the_rows_say_where_to_go_on(yard: Yard) -> None:
    """What is on the topic is in the table once; outcomes, changes and next offsets are those of the records."""
    yard.make_topic()
    yard.put([message("a"), message("b"), message("a"), message("c", kind="toy.ignored")])

    yard.run_to_the_end()

    assert yard.names() == Counter("ab")
    assert yard.outcomes() == Counter(recorded=2, duplicate=1, ignored=1)
    assert yard.next_offsets() == [4]
    assert yard.column(sa.select(ledger.changes.c.customer)) == ["cus_1"]
    with yard.engine.connect() as connection:
        first = connection.execute(sa.select(ledger.provenance).order_by("offset")).mappings().first()
    assert first is not None
    assert tuple(first[name] for name in ("integration", "event_id", "event_type", "object_id")) == (
        "main",
        "a",
        "toy.named",
        "in_1",
    )
    assert [Toy(name="a").digest] == [bytes(digest) for digest in first["facts"]]


def test_batching_leaves_the_same_rows(yard: Yard) -> None:
    """One record a batch and all in one batch come to the same facts and outcomes."""
    yard.make_topic()
    yard.put([message(name) for name in "abacbd"] + [(None, b"{", [])])
    yard.run_to_the_end(source=yard.source(max_poll_records=1))
    one_by_one = yard.outcomes(), yard.names()
    for table in (toys.toys, ledger.provenance, ledger.dead_letters, ledger.consumer_offsets):
        yard.execute(sa.delete(table))

    yard.run_to_the_end()

    assert one_by_one == (yard.outcomes(), yard.names())


def test_poison_is_set_aside_and_its_neighbours_are_recorded(yard: Yard) -> None:
    """Unreadable bytes, an unreadable message, a value the database refuses: dead letters with reason and address."""
    yard.make_topic()
    unreadable: Message = (b"key", b"{\x00", [("h\x00", b"\xff")])
    yard.put([message("a"), unreadable, message("unreadable"), message("b\x00"), (b"key", None, []), message("c")])

    yard.run_to_the_end()

    assert yard.names() == Counter("ac")
    assert yard.next_offsets() == [6]
    with yard.engine.connect() as connection:
        letters = connection.execute(sa.select(ledger.dead_letters).order_by("offset")).mappings().all()
    assert [letter["offset"] for letter in letters] == [1, 2, 3, 4]
    assert {yard.topic} == {letter["topic"] for letter in letters}
    assert "the value is not JSON" in letters[0]["reason"]
    assert letters[1]["reason"] == "nobody can read this name"
    assert "NUL" in letters[2]["reason"]
    assert letters[3]["reason"] == "the record has no value"
    assert (bytes(letters[0]["key"]), bytes(letters[0]["value"])) == (b"key", b"{\x00")
    assert letters[0]["headers"] == [["h\\x00", "/w=="]]
    assert all("Traceback" in letter["detail"] for letter in letters)


@pytest.mark.parametrize("settings", [{}, {"compression_type": "lz4"}], ids=["plain", "lz4"])
def test_a_record_that_kafkas_client_cannot_unpack_is_set_aside_alone(yard: Yard, settings: dict[str, str]) -> None:
    """One bad header: a dead letter of that offset; its neighbours in the batch and around it are recorded."""
    yard.make_topic()
    key, value, headers = message("x")
    unpackable: Message = (key, value, [*headers, (toys.NOT_UTF8, b"")])
    yard.put([message("a")])
    yard.put_in_one_batch([message("b"), unpackable, message("c"), unpackable, message("d")], **settings)
    yard.put([message("e")])

    yard.run_to_the_end(source=yard.source(max_poll_records=2))

    assert yard.names() == Counter("abcde")
    assert yard.next_offsets() == [7]
    with yard.engine.connect() as connection:
        letters = connection.execute(sa.select(ledger.dead_letters).order_by("offset")).mappings().all()
    assert [(letter["topic"], letter["partition"], letter["offset"]) for letter in letters] == [
        (yard.topic, 0, 2),
        (yard.topic, 0, 4),
    ]
    assert letters[0]["reason"] == "Kafka's client cannot read it: the name of a header is not UTF-8"
    assert (letters[0]["key"], letters[0]["value"], letters[0]["headers"]) == (None, None, [])
    assert letters[0]["appended_at"] is not None


def test_a_consumer_that_runs_gets_past_what_it_cannot_unpack(yard: Yard) -> None:
    """A member of the group that starts inside the bad batch records what is behind it, and what comes later."""
    yard.make_topic()
    yard.put_in_one_batch([message("a"), (b"key", b"value", [(toys.NOT_UTF8, b"")]), message("b")])
    yard.run_to_the_end()
    yard.execute(sa.delete(toys.toys))
    yard.execute(sa.update(ledger.consumer_offsets).values(next_offset=2))

    with yard.running():
        wait_until(lambda: yard.next_offsets() == [3], "what is behind it is read")
        yard.put([message("c")])
        wait_until(lambda: yard.next_offsets() == [4], "what comes later is read")

    assert yard.names() == Counter("bc")


def test_a_batch_in_a_codec_that_is_not_installed_is_set_aside(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its records are dead letters that name the codec; too many of them stop the consumer as any others do."""
    yard.make_topic()
    yard.put([message("a")])
    yard.put_in_one_batch([message(name) for name in numbered(5)], compression_type="lz4")
    yard.put([message("b")])
    monkeypatch.setattr("kafka.codec.has_lz4", lambda: False)

    with pytest.raises(TooManyDeadLetters, match=r"offset 5: Kafka's client cannot .* lz4"):
        yard.run_to_the_end(dead_letters_in_a_row=4)
    yard.run_to_the_end()

    assert yard.names() == Counter("ab")
    assert yard.column(sa.select(ledger.dead_letters.c.offset).order_by("offset")) == [1, 2, 3, 4, 5]


def test_a_replay_in_place_doubles_no_dead_letter(yard: Yard) -> None:
    """Reading a partition again from its beginning leaves one dead letter and one outcome of each record."""
    yard.make_topic()
    yard.put([message("a"), message("unreadable")])
    yard.run_to_the_end()
    yard.execute(sa.update(ledger.consumer_offsets).values(next_offset=0))

    yard.run_to_the_end()

    assert yard.column(sa.select(ledger.dead_letters.c.offset)) == [1]
    assert yard.outcomes() == Counter(duplicate=1, dead_letter=1)


def test_too_many_dead_letters_in_a_row_stop_the_consumer_and_keep_it_stopped(yard: Yard) -> None:
    """As many as the limit says are set aside, to be looked at; starting again changes nothing."""
    yard.make_topic()
    yard.put([message("a"), *[message("unreadable")] * 9])
    two_a_batch = yard.source(max_poll_records=2)

    with pytest.raises(TooManyDeadLetters, match=r"set aside 4 records in a row .*offset 5: nobody can read this name"):
        yard.run_to_the_end(source=two_a_batch, dead_letters_in_a_row=4)
    at_first = yard.next_offsets(), yard.outcomes()
    with pytest.raises(TooManyDeadLetters):
        yard.run_to_the_end(source=two_a_batch, dead_letters_in_a_row=4)

    assert ([5], Counter(recorded=1, dead_letter=4)) == at_first
    assert at_first == (yard.next_offsets(), yard.outcomes())


def test_dead_letters_that_are_not_in_a_row_do_not_add_up(yard: Yard) -> None:
    """A fact between them starts the count anew; an ignored message does not."""
    yard.make_topic()
    bad = message("unreadable")
    yard.put([bad, bad, message("a"), bad, message("a"), bad, message("b", kind="toy.ignored"), bad])

    yard.run_to_the_end(dead_letters_in_a_row=2)

    assert yard.outcomes() == Counter(dead_letter=5, recorded=1, duplicate=1, ignored=1)
    assert yard.column(sa.select(ledger.consumer_offsets.c.dead_letters_in_a_row)) == [2]


def test_a_bug_ends_the_process_and_commits_nothing_of_its_batch(yard: Yard) -> None:
    """An exception that nobody foresaw is raised; the records before it in its batch are not recorded either."""
    yard.make_topic()
    yard.put([message("a"), message("bug")])

    with pytest.raises(KeyError, match="bug"):
        yard.run()

    assert yard.names() == Counter()
    assert yard.next_offsets() == [0]


def test_a_replay_feeds_several_groups_in_one_pass_and_ends_by_itself(yard: Yard) -> None:
    """Each group has its own rows, takes only what it has not recorded yet, and stops at the end as it was."""
    yard.make_topic(partitions=2)
    yard.put([message(name) for name in numbered(50)])
    until = ends_of(yard.source(), [yard.topic])
    first, second = toys.group(yard.topic, name="first"), toys.group(yard.topic, name="second")
    yard.run(first, until=until)
    yard.put([message(name) for name in numbered(10, "too-late")])

    yard.run(first, second, until=until)

    assert yard.names() == Counter(numbered(50))
    assert sorted(2 * list(until.values())) == sorted(yard.next_offsets())
    assert yard.outcomes() == Counter(recorded=50, duplicate=50)
