"""An ASGI application that tells what it was asked, or by the path answers in some other way, faults included."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from typing import Any

MUCH = b"x" * 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """
    An application that answers with what it was asked, or by the path in some other way.

    *life* is what became of it; *hears* is set when it heard of a client that went away.
    """

    life: list[str] = field(default_factory=list)
    hears: threading.Event = field(default_factory=threading.Event)
    goes_on: threading.Event = field(default_factory=threading.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["path"] == "/leave":
            await self._leave(receive, send)
        elif (of_this_path := self._answers.get(scope["path"])) is not None:
            await of_this_path(send)
        else:
            await self._echo(scope, receive, send)

    @property
    def _answers(self) -> dict[str, Any]:
        return {
            "/unread": self._unread,
            "/chunks": self._chunks,
            "/much": self._much,
            "/lengthless": self._lengthless,
            "/empty": self._empty,
            "/fault": self._fault,
            "/late-fault": self._late_fault,
            "/silence": self._silence,
            "/short": self._short,
            "/forged": self._forged,
            "/held": self._held,
        }

    async def _live(self, receive: Any, send: Any) -> None:
        for step in ("startup", "shutdown"):
            self.life.append((await receive())["type"])
            await send({"type": f"lifespan.{step}.complete"})

    async def _echo(self, scope: Any, receive: Any, send: Any) -> None:
        body, pieces, more = b"", 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.hears.set()
                return
            body, pieces, more = body + message["body"], pieces + 1, message["more_body"]
        about = {name: scope[name] for name in ("method", "path", "http_version")}
        about |= {
            "raw_path": scope["raw_path"].decode(),
            "query": scope["query_string"].decode(),
            "body": body.decode(),
        }
        about["headers"] = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
        await answer(send, json.dumps(about).encode())

    async def _unread(self, send: Any) -> None:
        await answer(send, b"unread", status=403)

    async def _chunks(self, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for body in (b"one", b"", b"three"):
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body"})

    async def _much(self, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(8):
            await send({"type": "http.response.body", "body": MUCH, "more_body": True})
            self.life.append("sent much")
        await send({"type": "http.response.body"})

    async def _lengthless(self, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"whole"})

    async def _empty(self, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def _fault(self, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise LookupError("a fault before the head went out")

    async def _late_fault(self, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise LookupError("a fault in the middle")

    async def _silence(self, _: Any) -> None:
        pass

    async def _short(self, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"short"})

    async def _forged(self, send: Any) -> None:
        await answer(send, b"", header=(b"x-said", b"a\r\nx-forged: b"))

    async def _leave(self, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        await answer(send, b"to nobody")
        self.hears.set()

    async def _held(self, send: Any) -> None:
        self.hears.set()
        try:
            while not self.goes_on.is_set():
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.life.append("cancelled")
            raise
        await answer(send, b"held")


async def answer(send: Any, body: bytes, *, status: int = 200, header: tuple[bytes, bytes] | None = None) -> None:
    """A whole answer in one piece, with its length."""
    headers = [(b"content-length", b"%d" % len(body)), *([header] if header else [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
