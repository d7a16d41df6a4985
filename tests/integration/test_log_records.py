"""Single records of a real Kafka, read by their addresses."""

from __future__ import annotations

from kafka.structs import TopicPartition

from ops.log_records import FETCH_BYTES, records_at
from tests.yard import Yard


def test_records_are_read_by_their_addresses(yard: Yard) -> None:
    """In any order and partition, larger than a fetch, with key and headers; not those that are gone."""
    yard.make_topic(partitions=2)
    large = b"x" * (3 * FETCH_BYTES)
    yard.put([(b"k", b"%d" % number, [("h", b"%d" % number)]) for number in range(200)], partition=0)
    yard.put([(b"l", large, []), (b"m", b"small", [])], partition=1)
    yard.admin.delete_records({TopicPartition(yard.topic, 0): 50})
    wanted = [(yard.topic, *place) for place in ((1, 1), (0, 199), (0, 50), (0, 49), (0, 200), (1, 0), (0, 50))]

    found = records_at(yard.source(), wanted)

    assert {(address[1:], record.value) for address, record in found.items()} == {
        ((1, 1), b"small"),
        ((1, 0), large),
        ((0, 199), b"199"),
        ((0, 50), b"50"),
    }
    record = found[yard.topic, 0, 199]
    assert (record.key, record.headers, record.offset) == (b"k", (("h", b"199"),), 199)
