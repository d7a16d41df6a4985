"""The publisher alone, on a real Kafka: its bounds, its end, and what it does about records that Kafka refuses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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


def test_the_end_waits_for_what_is_under_way(kafka: str) -> None:
    """Closing sends at once what would have waited for company, and its caller is told where it lies."""
    topic = new_topic(kafka)

    async def close_early() -> Published | Exception:
        async with publishing(kafka, topic, linger_ms=400) as publisher:
            under_way = asyncio.create_task(publish(publisher))
            await asyncio.sleep(0)
        return await under_way

    assert isinstance(asyncio.run(close_early()), Published)
    assert len(records(kafka, topic)) == 1


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
