"""
What sends: a process of its own that posts signed webhooks as cheaply as it can, and asks when they can be seen. Edge.

    python -m benchmarks.load < job.json

Requests are built and signed ahead; then it says `ready`, waits for a line, sends, and prints what came of it as JSON.
A *closed* loop sends the next request of a connection when the last one is answered: the highest rate. An *open* loop
sends at a given rate whatever the answers do; from time to time it pays an invoice of a customer that nobody has heard
of, and asks about them every few milliseconds until the answer is yes. Times count from when a request was due.
"""

from __future__ import annotations

import asyncio
import json
import resource
import statistics
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
import uvloop

from benchmarks.webhooks import Webhook, payments, webhooks

ASK_EVERY_S = 0.004
"""Pause between two questions about one customer: what is measured is that much too large at most."""

PROBES_A_SECOND = 5
GIVE_UP_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """
    What to send where.

    *accepted* is in the answer to every webhook that was taken, *allowed* in the answer to a question once the payment
    is known. In *question* stands `{customer}`. *rate* is None for a closed loop.
    """

    host: str
    port: int
    path: str
    accepted: str
    connections: int
    count: int
    run: str
    rate: float | None = None
    query_port: int = 0
    question: str = ""
    allowed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What came of it: milliseconds until requests were *answered* and until probes were *seen*, p50 and p99."""

    count: int
    seconds: float
    cpu_seconds: float
    answered: tuple[float, float]
    seen: tuple[float, float]
    probes: int


class NotAccepted(Exception):
    """An answer was not the expected one, so there is nothing to measure; the text is the answer."""


class _Connection(asyncio.Protocol):
    """One request at a time; the answer is whole once its `content-length` is there."""

    def __init__(self) -> None:
        self._received = b""
        self._waiting: asyncio.Future[bytes] | None = None
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(NotAccepted(f"the connection was closed: {exc}"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        if blank and self._waiting is not None:
            _, _, rest = head.lower().partition(b"content-length:")
            if len(body) >= int(rest.partition(b"\r\n")[0]):
                whole, self._received = self._received, b""
                self._waiting.set_result(whole)

    async def ask(self, request: bytes) -> bytes:
        """The whole answer to *request*."""
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    async def expect(self, request: bytes, answer: bytes) -> None:
        """Ask, and raise `NotAccepted` unless it is a 200 with *answer* in it."""
        told = await self.ask(request)
        if not told.startswith(b"HTTP/1.1 200") or answer not in told:
            raise NotAccepted(told.decode(errors="replace"))


def request_of(job: Job, webhook: Webhook) -> bytes:
    """The HTTP request that delivers *webhook*."""
    head = (
        f"POST {job.path} HTTP/1.1\r\nHost: {job.host}:{job.port}\r\nUser-Agent: Stripe/1.0\r\n"
        f"Accept: */*\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {len(webhook.body)}\r\n"
    )
    return head.encode() + b"Stripe-Signature: " + webhook.signature + b"\r\n\r\n" + webhook.body


async def connect(job: Job, port: int) -> _Connection:
    """A connection to a listener of the job's host."""
    _, connection = await asyncio.get_running_loop().create_connection(_Connection, job.host, port)
    return connection


async def closed(job: Job, requests: list[bytes]) -> Sent:
    """Send all, on all connections at once, each waiting for its answers."""
    connections = [await connect(job, job.port) for _ in range(job.connections)]
    answered: list[float] = []
    left, accepted = iter(requests), job.accepted.encode()

    async def sending(connection: _Connection, left: Iterator[bytes]) -> None:
        for request in left:
            began = time.perf_counter()
            await connection.expect(request, accepted)
            answered.append(time.perf_counter() - began)

    started, before = time.perf_counter(), _cpu_seconds()
    await asyncio.gather(*(sending(connection, left) for connection in connections))
    return Sent(
        count=len(answered),
        seconds=time.perf_counter() - started,
        cpu_seconds=_cpu_seconds() - before,
        answered=percentiles(answered),
        seen=percentiles([]),
        probes=0,
    )


async def paced(job: Job, requests: list[bytes], probes: list[tuple[str, bytes]]) -> Sent:
    """Send at the job's rate, a probe every now and then. Long because what is sent and what is asked share it all."""
    rate = job.rate or 1.0
    idle = deque([await connect(job, job.port) for _ in range(job.connections)])
    asking = deque([await connect(job, job.query_port) for _ in range(8)])
    answered: list[float] = []
    seen: list[float] = []
    accepted, allowed = job.accepted.encode(), job.allowed.encode()

    async def deliver(request: bytes, due: float) -> None:
        connection = idle.popleft() if idle else await connect(job, job.port)
        await connection.expect(request, accepted)
        idle.append(connection)
        answered.append(time.perf_counter() - due)

    async def probe(customer: str, request: bytes, due: float) -> None:
        connection = asking.popleft() if asking else await connect(job, job.query_port)
        delivering = asyncio.create_task(deliver(request, due))
        question = job.question.replace("{customer}", customer).encode()
        while allowed not in await connection.ask(question):
            if time.perf_counter() - due > GIVE_UP_S:
                raise NotAccepted(f"nothing was seen of {customer} within {GIVE_UP_S:.0f} s")
            await asyncio.sleep(ASK_EVERY_S)
        seen.append(time.perf_counter() - due)
        asking.append(connection)
        await delivering

    every = max(1, round(rate / PROBES_A_SECOND))
    probing = iter(probes)
    started, before = time.perf_counter(), _cpu_seconds()
    async with asyncio.TaskGroup() as tasks:
        for number, request in enumerate(requests):
            due = started + number / rate
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            if number % every == every // 2 and (chosen := next(probing, None)) is not None:
                tasks.create_task(probe(*chosen, due))
            else:
                tasks.create_task(deliver(request, due))
    return Sent(
        count=len(answered),
        seconds=time.perf_counter() - started,
        cpu_seconds=_cpu_seconds() - before,
        answered=percentiles(answered),
        seen=percentiles(seen),
        probes=len(seen),
    )


def main() -> None:
    """Read the job, get ready, wait, send, tell."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    now = int(time.time())
    requests = [request_of(job, webhook) for webhook in webhooks(job.count, run=job.run, now=now)]
    probes = []
    if job.rate is not None:
        wanted = int(job.count / job.rate * PROBES_A_SECOND) + 1
        probes = [(of.customer, request_of(job, of)) for of in payments(wanted, run=f"{job.run[:-1]}p", now=now)]
    print("ready", flush=True)
    sys.stdin.buffer.readline()
    sent = uvloop.run(closed(job, requests) if job.rate is None else paced(job, requests, probes))
    print(json.dumps(asdict(sent)), flush=True)


def percentiles(seconds: list[float]) -> tuple[float, float]:
    """p50 and p99 in milliseconds; nought where there is too little to say."""
    if len(seconds) < 2:
        return 0.0, 0.0
    parts = statistics.quantiles(seconds, n=100, method="inclusive")
    return parts[49] * 1000, parts[98] * 1000


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
