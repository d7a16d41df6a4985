"""The publisher alone, on a real Kafka: its bounds, its end, and what it does about records that Kafka refuses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from ingest.publisher import KafkaPublisher, Overloaded, Published, PublishFailed
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
        async with publishing(kafka, topic, linger_ms=50, **bounds) as publisher:
            together = await asyncio.gather(*(publish(publisher) for _ in range(3)))
            return [type(each) for each in (*together, await publish(publisher))]

    assert asyncio.run(three_and_one()) == [Published, Published, Overloaded, Published]
    assert len(records(kafka, topic)) == 3


@contextmanager
def unconfirmed(publisher: KafkaPublisher) -> Iterator[Callable[[], None]]:
    """Keep what Kafka says of records back while the context lasts; gives what passes it on."""
    held: list[Any] = []
    passing, keeping = publisher._settle_soon, held.append

    def confirm() -> None:
        for each in held:
            passing(each)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(publisher, "_settle_soon", keeping)
        yield confirm


def test_the_end_waits_for_what_is_under_way(kafka: str) -> None:
    """Closing sends at once what would have waited for company, and its caller is told where it lies."""
    topic = new_topic(kafka)

    async def close_early() -> Published | Exception:
        async with publishing(kafka, topic, linger_ms=60_000) as publisher:
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


def test_records_gather_while_a_batch_is_under_way(kafka: str) -> None:
    """One that comes alone is sent at once; those that come before it is confirmed are sent together after it."""
    topic = new_topic(kafka)

    async def four() -> tuple[int, list[Published | Exception]]:
        async with publishing(kafka, topic, linger_ms=60_000) as publisher:
            with unconfirmed(publisher) as confirm:
                alone = asyncio.create_task(publish(publisher))
                await asyncio.sleep(0.2)
                gathered = [asyncio.create_task(publish(publisher)) for _ in range(3)]
                await asyncio.sleep(0.2)
                lying = len(records(kafka, topic))
            confirm()
            return lying, await asyncio.gather(alone, *gathered)

    lying, told = asyncio.run(four())

    assert lying == 1
    assert all(isinstance(each, Published) for each in told)
    assert len(records(kafka, topic)) == 4


def test_a_confirmation_that_is_late_holds_up_nobody_for_long(kafka: str) -> None:
    """What gathers behind a batch goes after the longest linger, confirmed or not."""
    topic = new_topic(kafka)

    async def lying() -> int:
        async with publishing(kafka, topic, linger_ms=100) as publisher:
            with unconfirmed(publisher):
                unheard = [asyncio.create_task(publish(publisher))]
                await asyncio.sleep(0.05)
                unheard.append(asyncio.create_task(publish(publisher)))
                await asyncio.sleep(1)
                found = len(records(kafka, topic))
            for each in unheard:
                each.cancel()
            return found

    assert asyncio.run(lying()) == 2


def test_a_fault_of_the_producer_strands_nobody(kafka: str) -> None:
    """What kafka-python raises beside its own errors is heard of; those gathered behind it are told, and make room."""
    topic = new_topic(kafka)
    heard: list[type] = []

    async def three_and_one() -> list[type]:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: heard.append(type(told["exception"])))
        async with publishing(kafka, topic, linger_ms=50, max_records=3) as publisher:
            values: list[Any] = [b"{}", "no bytes", b"{}"]
            async with asyncio.timeout(1):
                together = await asyncio.gather(*(publish(publisher, each) for each in values))
                return [type(each) for each in (*together, await publish(publisher))]

    assert asyncio.run(three_and_one()) == [Published, PublishFailed, PublishFailed, Published]
    assert heard == [TypeError]
    assert len(records(kafka, topic)) == 2


def test_a_fault_at_the_end_leaves_no_producer_behind(kafka: str) -> None:
    """Closing lets go of the brokers, also where what it hands over last is refused in a way that nobody expects."""
    topic = new_topic(kafka)

    async def closed() -> tuple[Published | Exception, bool]:
        publisher = KafkaPublisher(kafka, topic, linger_ms=60_000)
        await publisher.start()
        with unconfirmed(publisher):
            unheard = asyncio.create_task(publish(publisher))
            await asyncio.sleep(0.2)
            faulty: Any = "no bytes"
            gathered = asyncio.create_task(publish(publisher, faulty))
            await asyncio.sleep(0.2)
            with pytest.raises(TypeError):
                await publisher.close()
        unheard.cancel()
        async with asyncio.timeout(1):
            return await gathered, publisher._link._producer._closed

    told, is_closed = asyncio.run(closed())

    assert isinstance(told, PublishFailed)
    assert is_closed


def test_nobody_waits_longer_than_the_deadline(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits that long is told so, whatever becomes of the record; it counts until then."""
    monkeypatch.setattr("ingest.publisher.DEADLINE_SECONDS", 0.1)
    topic = new_topic(kafka)

    async def too_late() -> tuple[Published | Exception, Published | Exception]:
        async with publishing(kafka, topic, linger_ms=1_000, max_records=2) as publisher:
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
        async with publishing(kafka, topic, linger_ms=50) as publisher:
            all_at_once = (publish(publisher, key=b"cus_%d" % number) for number in range(12))
            return {at.partition for at in await asyncio.gather(*all_at_once) if isinstance(at, Published)}

    assert len(asyncio.run(twelve_customers())) == 1
    assert len(records(kafka, topic)) == 12


def test_a_record_that_kafka_refuses_holds_up_no_other(kafka: str) -> None:
    """What is too large for the topic fails alone; what comes after it is published."""
    topic = new_topic(kafka, max_bytes=1000)
    incompressible = random.Random(1).randbytes(5000)

    async def large_and_small() -> list[type]:
        async with publishing(kafka, topic) as publisher:
            return [type(await publish(publisher, value)) for value in (incompressible, b"{}")]

    assert asyncio.run(large_and_small()) == [PublishFailed, Published]


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
