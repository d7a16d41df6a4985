"""What is left of a batch that cannot be unpacked as a whole."""

from __future__ import annotations

import struct

import pytest
from kafka.errors import CorruptRecordError
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.util import calc_crc32c
from kafka.structs import TopicPartition

from consumers.record import Record
from consumers.unpacking import record_of, unpacked
from tests.toys import NOT_UTF8

LZ4 = 3


def batch(*headers: str, first_offset: int = 0, compression: int = 0) -> bytearray:
    """As it comes from a broker: a record for each header, whose name it has, at consecutive offsets."""
    builder = DefaultRecordBatchBuilder(2, compression, False, -1, -1, -1, batch_size=1 << 20)
    for number, name in enumerate(headers):
        builder.append(number, 1_700_000_000_000, b"key", b"value" * 50, [(name, b"")])
    data: bytearray = builder.build()
    struct.pack_into(">q", data, 0, first_offset)
    return data


def patched(data: bytearray, old: bytes, new: bytes) -> bytearray:
    """With other bytes, and the checksum that they have."""
    assert data.count(old) == 1
    data = data.replace(old, new)
    struct.pack_into(">I", data, 17, calc_crc32c(memoryview(data)[21:]))
    return data


def read(data: bytearray, fetch_offset: int = 0, at_most: int = 100) -> list[Record]:
    found = unpacked(fetch_offset, TopicPartition("t", 0), MemoryRecords(data))
    return [record_of(record) for record in found.take(at_most)]


def readable(records: list[Record]) -> dict[int, bool]:
    return {record.offset: record.unreadable is None for record in records}


@pytest.mark.parametrize("compression", [0, LZ4])
def test_a_record_with_an_unreadable_header_costs_no_other(compression: int) -> None:
    """Before it, behind it, and in the next batch records are as they were; it keeps its offset and says why."""
    data = batch("a", NOT_UTF8, "b", first_offset=7, compression=compression) + batch("c", first_offset=10)

    records = read(data)

    assert readable(records) == {7: True, 8: False, 9: True, 10: True}
    assert [record.headers for record in records] == [(("a", b""),), (), (("b", b""),), (("c", b""),)]
    assert (records[1].key, records[1].value, records[1].timestamp) == (None, None, 1_700_000_000_000)
    assert records[1].unreadable == "Kafka's client cannot read it: the name of a header is not UTF-8"


def test_reading_goes_on_behind_an_unreadable_record() -> None:
    """A fetch from the middle of its batch, where a broker sends all of the batch, begins where it was asked to."""
    assert readable(read(batch("a", NOT_UTF8, "b"), fetch_offset=2)) == {2: True}


def test_attributes_are_a_byte() -> None:
    """kafka-python takes them for a number of several bytes; the record has its own offset all the same."""
    data = batch("a", "bb", "c")
    start = data.index(b"\x00\x00\x02\x06key")
    data = patched(data, bytes(data[start : start + 7]), b"\x80" + bytes(data[start + 1 : start + 7]))

    assert readable(read(data)) == {0: True, 1: False, 2: True}


def test_a_record_without_an_end_takes_those_behind_it_along() -> None:
    """Where the next one begins cannot be known: each offset up to the batch's last is unreadable."""
    data = batch("a", "bb", "c")
    start = data.index(b"\x00\x00\x02\x06key") - 2
    data = patched(data, bytes(data[start : start + 9]), b"\xfe\x7f" + bytes(data[start + 2 : start + 9]))

    records = read(data + batch("d", first_offset=3))

    assert readable(records) == {0: True, 1: False, 2: False, 3: True}
    assert "CorruptRecordError: a record of 8191 bytes" in str(records[1].unreadable)


def test_a_batch_that_nobody_can_decompress_is_unreadable_record_by_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its offsets says which codec is missing, and the next batch is read."""
    data = batch("a", "b", compression=LZ4) + batch("c", first_offset=2)
    monkeypatch.setattr("kafka.codec.has_lz4", lambda: False)

    records = read(data)

    assert readable(records) == {0: False, 1: False, 2: True}
    assert "UnsupportedCodecError: Libraries for lz4" in str(records[0].unreadable)


def test_a_damaged_batch_is_not_taken_for_unreadable_records() -> None:
    """Bytes that changed since the broker took them are no fault of a record's; they are not set aside."""
    data = batch("a", "b")
    data[-1] ^= 1

    with pytest.raises(CorruptRecordError, match=r"topic='t', partition=0\) at offset 0 failed crc"):
        read(data)
