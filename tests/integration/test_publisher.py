"""
The publisher alone, on a real Kafka: its bounds, batches and end, and what it does about records that Kafka refuses.

Long because all of them hold the one publisher back in the same way.
"""

from __future__ import annotations

import asyncio
import errno
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from ingest.appending import Record
from ingest.publisher import MANY, KafkaPublisher
from ingest.under_way import Overloaded, Published, PublishFailed
from tests.ingesting import new_topic, records


@asynccontextmanager
async def publishing(bootstrap: str, topic: str, **bounds: Any) -> AsyncIterator[KafkaPublisher]:
    publisher = KafkaPublisher(bootstrap, topic, **bounds)
    await publisher.start()
    try:
        while not publisher.ready():
            await asyncio.sleep(0.05)
        yield publisher
    finally:
        await publisher.close()


async def publish(publisher: KafkaPublisher, value: bytes = b"{}", *, key: bytes = b"cus_1") -> Published | Exception:
    try:
        return await publisher.publish(key=key, value=value, headers=[])
    except (Overloaded, PublishFailed) as error:
        return error


@pytest.mark.parametrize("bounds", [{"max_records": 2}, {"max_bytes": 2 * len(b"cus_1{}")}], ids=["records", "bytes"])
def test_what_is_under_way_is_bounded(kafka: str, bounds: dict[str, int]) -> None:
    """Beyond its bound a record is refused at once; once those before it are confirmed there is room again."""
    topic = new_topic(kafka)

    async def three_and_one() -> list[type]:
        async with publishing(kafka, topic, **bounds) as publisher:
            together = await asyncio.gather(*(publish(publisher) for _ in range(3)))
            return [type(each) for each in (*together, await publish(publisher))]

    assert asyncio.run(three_and_one()) == [Published, Published, Overloaded, Published]
    assert len(records(kafka, topic)) == 3


@contextmanager
def unconfirmed(publisher: KafkaPublisher) -> Iterator[Callable[[], None]]:
    """Keep what Kafka says of batches back until the context ends, or what it gives is called."""
    confirmed = asyncio.Event()
    append = publisher._appender.append

    async def held_back(records: Sequence[Record], partition: int, seconds: float) -> int:
        offset = await append(records, partition, seconds)
        await confirmed.wait()
        return offset

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(publisher._appender, "append", held_back)
        yield confirmed.set
    confirmed.set()


def test_the_end_waits_for_what_is_under_way(kafka: str) -> None:
    """Closing sends at once what would have waited for company, and its caller is told where it lies."""
    topic = new_topic(kafka)

    async def close_early() -> Published | Exception:
        async with publishing(kafka, topic, pace_seconds=60) as publisher:
            with unconfirmed(publisher):
                unheard = asyncio.create_task(publish(publisher))
                await asyncio.sleep(0.2)
                gathered = asyncio.create_task(publish(publisher))
                await asyncio.sleep(0.2)
            assert not gathered.done()
        unheard.cancel()
        return await gathered

    assert isinstance(asyncio.run(close_early()), Published)
    assert len(records(kafka, topic)) == 2


def counting(publisher: KafkaPublisher, sizes: list[int]) -> None:
    """Have *sizes* tell how many records each batch of *publisher* has, from the moment it is sent."""
    append = publisher._appender.append

    async def counted(records: Sequence[Record], partition: int, seconds: float) -> int:
        sizes.append(len(records))
        return await append(records, partition, seconds)

    publisher._appender.append = counted  # type: ignore[method-assign]


def test_batches_keep_their_distance(kafka: str) -> None:
    """One that comes alone is sent at once; what comes soon after it goes together, confirmed or not, in its time."""
    topic = new_topic(kafka)
    sizes: list[int] = []

    async def eight() -> tuple[list[int], list[Published | Exception]]:
        async with publishing(kafka, topic, pace_seconds=0.5) as publisher:
            counting(publisher, sizes)
            with unconfirmed(publisher):
                waiting = [asyncio.create_task(publish(publisher))]
                await asyncio.sleep(0.1)
                waiting += [asyncio.create_task(publish(publisher)) for _ in range(MANY - 1)]
                await asyncio.sleep(0.1)
                at_first = [*sizes]
                await asyncio.sleep(0.6)
                assert not any(each.done() for each in waiting)
            return at_first, await asyncio.gather(*waiting)

    at_first, told = asyncio.run(eight())

    assert at_first == [1]
    assert sizes == [1, MANY - 1]
    assert all(isinstance(each, Published) for each in told)


def test_many_wait_for_a_batch_that_is_under_way_and_for_nothing_else(kafka: str) -> None:
    """They go as soon as it is confirmed, and at once where none is under way, whatever the distance to the last."""
    topic = new_topic(kafka)
    sizes: list[int] = []

    async def many(publisher: KafkaPublisher, number: int = MANY) -> list[asyncio.Task[Published | Exception]]:
        waiting = [asyncio.create_task(publish(publisher)) for _ in range(number)]
        await asyncio.sleep(0.1)
        return waiting

    async def thrice() -> tuple[list[int], list[Published | Exception]]:
        async with publishing(kafka, topic, pace_seconds=60) as publisher:
            counting(publisher, sizes)
            with unconfirmed(publisher):
                waiting = [*await many(publisher, 1), *await many(publisher)]
                at_first = [*sizes]
            async with asyncio.timeout(5):
                told = await asyncio.gather(*waiting)
                return at_first, [*told, *await asyncio.gather(*await many(publisher))]

    at_first, told = asyncio.run(thrice())

    assert at_first == [1]
    assert sizes == [1, MANY, MANY]
    assert all(isinstance(each, Published) for each in told)


def test_a_fault_of_the_program_strands_nobody(kafka: str) -> None:
    """What nobody foresaw is heard of; those whose batch it struck are told, and make room."""
    topic = new_topic(kafka)
    heard: list[type] = []

    async def three_and_one() -> list[type]:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: heard.append(type(told["exception"])))
        async with publishing(kafka, topic, max_records=3) as publisher:
            values: list[Any] = [b"{}", "no bytes", b"{}"]
            async with asyncio.timeout(1):
                together = await asyncio.gather(*(publish(publisher, each) for each in values))
                return [type(each) for each in (*together, await publish(publisher))]

    assert asyncio.run(three_and_one()) == [PublishFailed, PublishFailed, PublishFailed, Published]
    assert heard == [TypeError]
    assert len(records(kafka, topic)) == 1


def test_the_end_waits_for_nothing_for_ever(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not confirmed by the time that closing takes at most is told so."""
    monkeypatch.setattr("ingest.publisher.CLOSE_SECONDS", 0.2)
    topic = new_topic(kafka)

    async def closed() -> Published | Exception:
        publisher = KafkaPublisher(kafka, topic)
        await publisher.start()
        with unconfirmed(publisher):
            unheard = asyncio.create_task(publish(publisher))
            await asyncio.sleep(0.2)
            await publisher.close()
            return await unheard

    assert "ends" in str(asyncio.run(closed()))


def test_the_end_leaves_nobody_untold(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than there are partitions wait for a Kafka that is silent: all are told at the end, and no batch goes on."""
    topic = new_topic(kafka)
    monkeypatch.setattr("ingest.publisher.CLOSE_SECONDS", 0.2)
    monkeypatch.setattr("ingest.publisher.BATCH_BYTES", 1)

    async def ten_left_alone() -> tuple[list[str], int, int]:
        async with publishing(kafka, topic) as publisher:
            tried = 0

            async def silent(*_: Any) -> int:
                nonlocal tried
                tried += 1
                await asyncio.sleep(60)
                return 0

            monkeypatch.setattr(publisher._appender, "append", silent)
            waiting = [asyncio.create_task(publish(publisher)) for _ in range(10)]
            await asyncio.sleep(0.1)
        told = await asyncio.wait_for(asyncio.gather(*waiting), 1)
        return [str(each) for each in told], tried, len(publisher._batches)

    told, tried, under_way = asyncio.run(ten_left_alone())

    assert set(told) == {"This process ends, and did not hear from Kafka whether it has the event"}
    assert (tried, under_way) == (2, 0)  # of partitions, and of batches afterwards


def test_brokers_that_could_not_be_looked_for_anew_are_looked_for_again(
    kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a file descriptor for it those of before stay, and whoever watches over deadlines goes on."""
    topic = new_topic(kafka)
    monkeypatch.setattr("ingest.publisher.LOOK_SECONDS", 0.02)

    async def without_descriptors_at_first() -> tuple[int, Published | Exception]:
        async with publishing(kafka, topic) as publisher:
            tried, connect, done = 0, publisher._connect, asyncio.Event()

            def connect_at_last() -> None:
                nonlocal tried
                tried += 1
                if tried < 3:
                    raise OSError(errno.EMFILE, "Too many open files")
                monkeypatch.setattr("ingest.publisher.RENEW_AFTER_SECONDS", 60.0)
                connect()
                done.set()

            monkeypatch.setattr(publisher, "_connect", connect_at_last)
            monkeypatch.setattr("ingest.publisher.RENEW_AFTER_SECONDS", -1.0)
            await asyncio.wait_for(done.wait(), 5)
            return tried, await publish(publisher)

    tried, told = asyncio.run(without_descriptors_at_first())

    assert tried == 3
    assert type(told) is Published


def test_a_partition_has_one_batch_at_a_time(kafka: str) -> None:
    """With a batch under way in each partition, what gathers goes as soon as one of them has ended."""
    topic = new_topic(kafka)
    sent: list[int] = []

    async def one_too_many() -> tuple[list[int], Published | Exception]:
        async with publishing(kafka, topic, pace_seconds=0.001) as publisher:
            ends = [asyncio.Event(), asyncio.Event(), asyncio.Event()]
            ends[2].set()

            async def held_back(records: Sequence[Record], partition: int, seconds: float) -> int:
                sent.append(partition)
                await ends[len(sent) - 1].wait()
                return 7

            publisher._appender.append = held_back  # type: ignore[method-assign]
            waiting = []
            for _ in range(3):
                waiting.append(asyncio.create_task(publish(publisher)))
                await asyncio.sleep(0.05)
            at_first = [*sent]
            ends[1].set()
            last = await waiting[2]
            ends[0].set()
            await asyncio.wait(waiting)
            return at_first, last

    at_first, last = asyncio.run(one_too_many())

    assert sorted(at_first) == [0, 1]
    assert sent[2] == at_first[1]
    assert last == Published(topic=topic, partition=at_first[1], offset=7)


def test_what_is_much_together_goes_in_several_batches(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch has a size that brokers take; what is larger by itself goes alone."""
    monkeypatch.setattr("ingest.publisher.BATCH_BYTES", 1_000)
    topic = new_topic(kafka)
    sizes: list[int] = []

    async def five() -> list[Published | Exception]:
        async with publishing(kafka, topic) as publisher:
            counting(publisher, sizes)
            values = [b"x" * size for size in (300, 300, 300, 5_000, 10)]
            return await asyncio.gather(*(publish(publisher, value) for value in values))

    told = asyncio.run(five())

    assert sizes == [3, 1, 1]
    assert all(isinstance(each, Published) for each in told)
    lying = {(each.partition, each.offset): len(each.value) for each in records(kafka, topic)}
    found = [lying[each.partition, each.offset] for each in told if isinstance(each, Published)]
    assert found == [300, 300, 300, 5_000, 10]


def test_nobody_waits_longer_than_the_deadline(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits that long is told so, whatever becomes of the record; it counts until then."""
    monkeypatch.setattr("ingest.publisher.DEADLINE_SECONDS", 0.1)
    topic = new_topic(kafka)

    async def too_late() -> tuple[Published | Exception, Published | Exception]:
        async with publishing(kafka, topic, max_records=2) as publisher:
            with unconfirmed(publisher):
                late = await publish(publisher)
                await publish(publisher)
                return late, await publish(publisher)

    late, one_too_many = asyncio.run(too_late())

    assert (type(late), type(one_too_many)) == (PublishFailed, Overloaded)
    assert "did not confirm the event" in str(late)
    assert len(records(kafka, topic)) == 2


def test_what_is_under_way_together_shares_a_partition(kafka: str) -> None:
    """Records are batched whatever their keys: a webhook waits for a batch, and order decides nothing."""
    topic = new_topic(kafka)

    async def twelve_customers() -> set[int]:
        async with publishing(kafka, topic) as publisher:
            all_at_once = (publish(publisher, key=b"cus_%d" % number) for number in range(12))
            return {at.partition for at in await asyncio.gather(*all_at_once) if isinstance(at, Published)}

    assert len(asyncio.run(twelve_customers())) == 1
    assert len(records(kafka, topic)) == 12


def test_a_record_that_kafka_refuses_holds_up_no_other(kafka: str) -> None:
    """What is too large for the topic fails alone; what came with it and what comes after it is published."""
    topic = new_topic(kafka, max_bytes=1000)
    incompressible = random.Random(1).randbytes(5000)

    async def large_and_small() -> list[type]:
        async with publishing(kafka, topic) as publisher:
            together = (publish(publisher, value) for value in (b"{}", incompressible, b"[]"))
            return [type(each) for each in (*await asyncio.gather(*together), await publish(publisher))]

    assert asyncio.run(large_and_small()) == [Published, PublishFailed, Published, Published]
    assert sorted(each.value for each in records(kafka, topic)) == [b"[]", b"{}", b"{}"]


def test_a_topic_that_is_missing_is_not_waited_for(kafka: str) -> None:
    """Without its topic the publisher is not ready, and says so at once."""

    async def to_nowhere() -> tuple[bool, Published | Exception]:
        publisher = KafkaPublisher(kafka, "no-such-topic")
        await publisher.start()
        try:
            return publisher.ready(), await publish(publisher)
        finally:
            await publisher.close()

    ready, failure = asyncio.run(to_nowhere())

    assert not ready
    assert isinstance(failure, PublishFailed)
