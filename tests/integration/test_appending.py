"""Batches in a partition of a real Kafka: once each, whatever becomes of connections, answers, leaders and names."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from kafka import errors

from ingest.appending import Appender, NotAppended, Record
from ingest.brokers import Brokers
from tests.ingesting import new_topic, records

pytestmark = pytest.mark.usefixtures("nothing_unheard")

Ask = Callable[[int, Any], Awaitable[Any]]


@asynccontextmanager
async def appending(bootstrap: str, topic: str) -> AsyncIterator[tuple[Brokers, Appender]]:
    brokers = Brokers([bootstrap], topic, {})
    try:
        async with asyncio.timeout(10):
            while not brokers.have_topic():
                await asyncio.sleep(0.01)
        yield brokers, Appender(brokers, topic)
    finally:
        brokers.close()


def some(*values: bytes) -> list[Record]:
    return [Record(key=b"cus_1", value=value, headers=[("ce_id", value)]) for value in values]


def lying(bootstrap: str, topic: str) -> list[tuple[int, int, bytes, Any]]:
    return [(each.partition, each.offset, each.value, list(each.headers)) for each in records(bootstrap, topic)]


def failing(brokers: Brokers, *faults: Exception | None, late: bool) -> None:
    """Have the next questions to a leader fail with *faults*, *late*: after it has done what it was asked for."""
    ask, to_come = brokers.ask_leader, iter(faults)

    async def fails(partition: int, request: Any) -> Any:
        fault = next(to_come, None)
        answer = await ask(partition, request) if late or fault is None else None
        if fault is not None:
            raise fault
        return answer

    brokers.ask_leader = fails  # type: ignore[method-assign]


def test_batches_lie_where_they_are_said_to(kafka: str) -> None:
    """Records of a batch lie one behind the other from the offset that is told, with key, value and headers."""
    topic = new_topic(kafka)

    async def two_batches() -> list[int]:
        async with appending(kafka, topic) as (_, appender):
            return [
                await appender.append(some(b"1", b"2"), 1, 5),
                await appender.append(some(b"3"), 1, 5),
                await appender.append(some(b"4"), 0, 5),
            ]

    assert asyncio.run(two_batches()) == [0, 2, 0]
    assert sorted(lying(kafka, topic)) == [
        (0, 0, b"4", [("ce_id", b"4")]),
        (1, 0, b"1", [("ce_id", b"1")]),
        (1, 1, b"2", [("ce_id", b"2")]),
        (1, 2, b"3", [("ce_id", b"3")]),
    ]


@pytest.mark.parametrize("fault", [errors.KafkaConnectionError("cut off"), errors.NotLeaderForPartitionError()])
def test_a_batch_whose_confirmation_is_lost_is_there_once(kafka: str, fault: Exception) -> None:
    """Tried again after an answer that did not come, a batch is told where it has lain since the first time."""
    topic = new_topic(kafka)

    async def thrice() -> list[int]:
        async with appending(kafka, topic) as (brokers, appender):
            before = await appender.append(some(b"1"), 0, 5)
            failing(brokers, fault, fault, late=True)
            return [before, await appender.append(some(b"2", b"3"), 0, 5), await appender.append(some(b"4"), 0, 5)]

    assert asyncio.run(thrice()) == [0, 1, 3]
    assert [value for _, _, value, _ in lying(kafka, topic)] == [b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("late", [False, True], ids=["not there", "there all the same"])
def test_what_failed_is_nothing_to_what_comes_next(kafka: str, late: bool) -> None:
    """A batch that was given up fails by itself, whether the brokers have it or not; the next one is appended."""
    topic = new_topic(kafka)

    async def one_fails() -> list[int | str]:
        async with appending(kafka, topic) as (brokers, appender):
            told: list[int | str] = [await appender.append(some(b"1"), 0, 5)]
            failing(brokers, errors.UnknownError("once"), late=late)
            with pytest.raises(NotAppended) as failure:
                await appender.append(some(b"2"), 0, 5)
            return [*told, str(failure.value), await appender.append(some(b"3"), 0, 5)]

    assert asyncio.run(one_fails()) == [0, "Kafka did not take the event: UnknownError", 1 + late]
    assert [value for _, _, value, _ in lying(kafka, topic)] == [b"1", *([b"2"] if late else []), b"3"]


def test_a_batch_that_nobody_takes_is_given_up_in_time(kafka: str) -> None:
    """For want of a leader it is tried again and again, as long as was said, and no longer."""
    topic = new_topic(kafka)

    async def without_a_leader() -> tuple[str, int]:
        async with appending(kafka, topic) as (brokers, appender):
            tried = 0

            async def nobody(partition: int, request: Any) -> Any:
                nonlocal tried
                tried += 1
                raise errors.LeaderNotAvailableError

            brokers.ask_leader = nobody  # type: ignore[method-assign]
            with pytest.raises(NotAppended) as failure:
                await appender.append(some(b"1"), 0, 0.5)
            return str(failure.value), tried

    said, tried = asyncio.run(without_a_leader())

    assert said == "Kafka did not confirm the event within 0.5 seconds"
    assert 2 <= tried <= 6


def test_a_connection_that_is_cut_costs_no_record(kafka: str) -> None:
    """While connections are cut again and again, each batch is appended, and once."""
    topic = new_topic(kafka)

    async def forty_batches() -> list[int]:
        async with appending(kafka, topic) as (brokers, appender):

            async def cut() -> None:
                while True:
                    await asyncio.sleep(0.03)
                    for connection in list(brokers._connections._conns.values()):
                        connection.close(errors.KafkaConnectionError("cut by the test"))

            cutting = asyncio.create_task(cut())
            offsets = [await appender.append(some(b"%d" % number), 0, 10) for number in range(40)]
            cutting.cancel()
            return offsets

    assert asyncio.run(forty_batches()) == [*range(40)]
    assert [value for _, _, value, _ in lying(kafka, topic)] == [b"%d" % number for number in range(40)]


def test_a_host_that_vanishes_is_noticed(kafka: str) -> None:
    """The kernel asks after a silent host within seconds, and small packets go at once."""
    topic = new_topic(kafka)

    async def of_sockets() -> list[tuple[int, ...]]:
        async with appending(kafka, topic) as (brokers, appender):
            await appender.append(some(b"first"), 0, 10)
            asked = ((socket.SOL_SOCKET, socket.SO_KEEPALIVE), (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE))
            both = (*asked, (socket.IPPROTO_TCP, socket.TCP_NODELAY))
            sockets = [each.transport._sock for each in brokers._connections._conns.values()]
            return [tuple(each.getsockopt(*option) for option in both) for each in sockets]

    assert set(asyncio.run(of_sockets())) == {(1, 3, 1)}


def test_who_asks_as_the_brokers_are_let_go_of_is_told(kafka: str) -> None:
    """A question that is under way, and one that comes after, fail as Kafka's own do."""
    topic = new_topic(kafka)

    async def asked() -> list[str]:
        async with appending(kafka, topic) as (brokers, appender):
            await appender.append(some(b"first"), 0, 10)
            under_way = asyncio.create_task(appender.append(some(b"second"), 0, 10))
            await asyncio.sleep(0)
            brokers.close()
            after = appender.append(some(b"third"), 0, 0.5)
            told = await asyncio.wait_for(asyncio.gather(under_way, after, return_exceptions=True), 2)
            return [type(each).__name__ for each in told]

    assert asyncio.run(asked()) == ["NotAppended", "NotAppended"]
