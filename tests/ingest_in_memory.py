"""The ingest application without a network: requests as ASGI hands them over, and a publisher in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from prometheus_client import CollectorRegistry

from ingest.answers import App, Scope
from ingest.app import ingest_app
from ingest.delivery import Integration
from ingest.metrics import Metrics
from ingest.receiving import MAX_BODY_BYTES
from ingest.under_way import Published
from schemas.codec import Headers
from tests.webhooks import SECRET, body_of, event, signature

PATH = "/webhooks/stripe/main"
MAIN = {"main": Integration(name="main", mode="test", signing_secrets=(SECRET,))}
GONE = b"(the client went away)"
TOO_MUCH = b"%d" % (MAX_BODY_BYTES + 1)


class InMemory:
    """A publisher that keeps what it is given, or fails as it is told."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.records: list[tuple[bytes, bytes, Headers]] = []
        self.life = "made"

    async def start(self) -> None:
        self.life = "started"

    async def close(self) -> None:
        self.life = "closed"

    def ready(self) -> bool:
        return self.failure is None

    async def publish(self, *, key: bytes, value: bytes, headers: Headers) -> Published:
        if self.failure is not None:
            raise self.failure
        self.records.append((key, value, headers))
        return Published(topic="billing.events.v1", partition=3, offset=1233 + len(self.records))


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a client reads; *chunks_read* is how much of its body was looked at by then, and *in_all* afterwards."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]
    chunks_read: int
    in_all: int


def ask(
    method: str = "POST",
    path: str = PATH,
    *,
    chunks: Sequence[bytes] | None = None,
    publisher: InMemory | None = None,
    to: App | None = None,
    **headers: bytes | None,
) -> Told:
    """Send one request, by default a rightly signed event; a header's `_` stands for `-`, and None leaves it out."""
    chunks = [body_of(event())] if chunks is None else chunks
    return asyncio.run(_ask(to or app(publisher), _scope(method, path, {**_signed(chunks), **headers}), chunks))


def deliver_together(to: App, *bodies: Sequence[bytes]) -> list[Told]:
    """Deliver the bodies, each in its chunks, at the same time: by turns, a chunk of each."""

    async def all_of_them() -> list[Told]:
        return await asyncio.gather(*(_ask(to, _scope("POST", PATH, _signed(chunks)), chunks) for chunks in bodies))

    return asyncio.run(all_of_them())


@asynccontextmanager
async def living(to: App) -> AsyncIterator[Callable[[bytes], Coroutine[Any, Any, Told]]]:
    """Start the application, deliver bodies to it, and shut it down in the end."""
    messages, began, ended = asyncio.Queue[Any](), asyncio.Event(), asyncio.Event()

    async def send(message: Any) -> None:
        (began if message["type"] == "lifespan.startup.complete" else ended).set()

    async def deliver(body: bytes) -> Told:
        return await _ask(to, _scope("POST", PATH, _signed([body])), [body])

    life = asyncio.create_task(to({"type": "lifespan"}, messages.get, send))
    messages.put_nowait({"type": "lifespan.startup"})
    await began.wait()
    try:
        yield deliver
    finally:
        messages.put_nowait({"type": "lifespan.shutdown"})
        await life
        assert ended.is_set()


def app(publisher: InMemory | None = None) -> App:
    """The application, by whose clock each delivery takes a second."""
    return ingest_app(MAIN, publisher or InMemory(), count().__next__, Metrics(CollectorRegistry()))


def _signed(chunks: Sequence[bytes]) -> dict[str, bytes | None]:
    return {"content_type": b"application/json", "stripe_signature": signature(b"".join(chunks))}


def _scope(method: str, path: str, headers: dict[str, bytes | None]) -> Scope:
    given = [(name.replace("_", "-").encode(), value) for name, value in headers.items() if value is not None]
    return {"type": "http", "method": method, "path": path, "headers": given}


async def _ask(to: App, scope: Scope, chunks: Sequence[bytes]) -> Told:
    left, sent, read_when_answered = list(chunks), [], []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)  # others have their turn
        if not left:
            await asyncio.Future()  # a client that sends no more, and does not go away
        if (chunk := left.pop(0)) == GONE:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": bool(left)}

    async def send(message: Any) -> None:
        sent.append(message)
        read_when_answered.append(len(chunks) - len(left))

    await to(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    body = b"".join(message.get("body", b"") for message in sent)
    assert headers["content-length"] == str(len(body))
    return Told(
        status=sent[0]["status"],
        headers=headers,
        body=json.loads(body),
        chunks_read=read_when_answered[0],
        in_all=len(chunks) - len(left),
    )
