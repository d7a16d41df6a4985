"""The runner refuses a log that is not the one it has recorded, and never starts over by itself."""

from __future__ import annotations

import signal
import time
from collections import Counter

import pytest
import sqlalchemy as sa
from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from consumers.extent import extents
from consumers.failures import AnotherLog, OffsetOutOfRange, is_transient
from consumers.log import METADATA_AGE_MS, Log
from entitlements import ledger
from tests.toys import message
from tests.yard import PATIENCE_S, Yard, wait_until


def test_another_topic_of_the_same_name_is_refused(yard: Yard) -> None:
    """A topic made anew is another log: the consumer stops, says both ids, and records nothing."""
    yard.make_topic()
    yard.put([message("a")])
    yard.run_to_the_end()
    yard.admin.delete_topics([yard.topic])
    wait_until(lambda: yard.topic not in yard.admin.list_topics(), "deleted")
    yard.make_topic()
    yard.put([message("b"), message("c")])

    with pytest.raises(AnotherLog, match=r"topic id .* rebuild"):
        yard.run()

    assert yard.names() == Counter("a")


def test_a_topic_made_anew_while_the_consumer_was_not_looking_stops_it(yard: Yard) -> None:
    """kafka-python goes on by name, at an offset that means something else; the runner sees the other id and stops."""
    yard.make_topic()
    yard.put([message("a")])

    def is_over() -> bool:
        yard.put([message("b")])
        time.sleep(0.5)
        return process.poll() is not None

    with yard.program(max_poll_records=20, listen=True) as process:
        wait_until(lambda: yard.next_offsets() == [1], "the old one is read")
        time.sleep(0.7)
        process.send_signal(signal.SIGSTOP)
        yard.admin.delete_topics([yard.topic])
        wait_until(lambda: yard.topic not in yard.admin.list_topics(), "deleted")
        yard.make_topic()
        yard.put([message("b"), message("b")])
        process.send_signal(signal.SIGCONT)
        # At once where a fetch was under way, else when the metadata are next refreshed.
        wait_until(is_over, "it stops", patience=METADATA_AGE_MS / 1000 + PATIENCE_S)
        assert process.stderr is not None
        said = process.stderr.read()

    assert process.returncode == 1
    assert b"AnotherLog: toys has recorded" in said


def test_another_cluster_is_refused(yard: Yard) -> None:
    """Offsets recorded from another Kafka mean nothing here: the consumer stops and says both ids."""
    yard.make_topic()
    yard.put([message("a")])
    yard.run_to_the_end()
    yard.execute(sa.update(ledger.consumer_offsets).values(cluster_id="of-old"))

    with pytest.raises(AnotherLog, match="cluster of-old"):
        yard.run()


def test_an_offset_beyond_the_end_is_refused(yard: Yard) -> None:
    """A log that is shorter than what was recorded of it has lost records: the consumer stops and says so."""
    yard.make_topic()
    yard.put([message("a")])
    yard.run_to_the_end()
    yard.execute(sa.update(ledger.consumer_offsets).values(next_offset=7))

    with pytest.raises(OffsetOutOfRange, match=r"offset 7 .* \[0, 1\)"):
        yard.run()


def test_an_offset_that_retention_has_taken_is_refused(yard: Yard) -> None:
    """Records that were deleted before they were recorded stop the consumer; it does not skip them."""
    yard.make_topic()
    yard.put([message("a"), message("b"), message("c")])
    yard.run_to_the_end()
    yard.execute(sa.update(ledger.consumer_offsets).values(next_offset=1))
    yard.admin.delete_records({TopicPartition(yard.topic, 0): 2})

    with pytest.raises(OffsetOutOfRange, match=r"offset 1 .* \[2, 3\)"):
        yard.run()


def test_a_log_that_is_not_as_it_was_settled_is_an_error_to_be_waited_out(yard: Yard) -> None:
    """Neither another topic's id nor an offset that Kafka lacks passes for a poll without records: it would spin."""
    yard.make_topic()
    yard.put([message("a")])
    place = yard.topic, 0
    topic_id = extents(yard.source(), [place])[place].topic_id
    log = Log(yard.source(), partitions=[place])

    for next_offset, of, complaint in ((0, "another", "another topic"), (7, topic_id, "does not have the record")):
        log.settle(place, next_offset, of)
        with pytest.raises(KafkaError, match=complaint) as raised:
            log.poll(PATIENCE_S)
        assert is_transient(raised.value)
        assert log.unsettled() == {place}
    log.settle(place, 0, topic_id)
    found = log.poll(PATIENCE_S)
    log.close()

    assert [record.offset for record in found] == [0]


def test_a_group_without_a_row_starts_where_the_log_starts(yard: Yard) -> None:
    """A new group begins with the oldest record there is, even if that is not offset 0."""
    yard.make_topic()
    yard.put([message("a"), message("b"), message("c")])
    yard.admin.delete_records({TopicPartition(yard.topic, 0): 2})

    yard.run_to_the_end()

    assert yard.names() == Counter("c")
