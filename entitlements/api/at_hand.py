"""
AuthZEN's evaluations whose answer is at hand, ahead of all other pages. Edge: HTTP.

Plain ASGI: a route, a request and a response of a framework cost several times what the answer does. Only what is
ordinary is answered here, from memory and as it was written out before; everything else, mistakes included, is handed
on with its body, so that there is one way in which it is answered.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entitlements.api import answers
from entitlements.api.authzen import EVALUATION, read_evaluation
from entitlements.api.memory import Kept, Memory
from entitlements.api.metrics import Metrics
from entitlements.api.requests import MAX_BODY_BYTES, decode_object
from entitlements.api.responses import Problem
from entitlements.api.snapshots import CannotDecide
from entitlements.api.tokens import Token, UnclearScope, presented

REQUEST_ID = b"x-request-id"
JSON = b"application/json"
Headers = list[tuple[bytes, bytes]]


def evaluations_at_hand(
    memory: Memory,
    tokens: tuple[Token, ...],
    metrics: Metrics,
    otherwise: ASGIApp,
    is_told: Callable[[], bool],
) -> ASGIApp:
    """*otherwise*, but for evaluations that *memory* can answer at once; all go there while each *is_told* to a log."""

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == EVALUATION and scope["method"] == "POST" and not is_told():
            authorization, request_ids = _ordinary(scope["headers"])
            token = None if authorization is None else presented(authorization.decode("latin-1"), tokens)
            if token is not None:
                first = await receive()
                kept = _kept(memory, token, first)
                if kept is not None:
                    metrics.hit(kept.answer.decision.reason)
                    headers, written = _written(kept)
                    sent = [*headers, *request_ids] if request_ids else headers
                    await send({"type": "http.response.start", "status": 200, "headers": sent})
                    await send({"type": "http.response.body", "body": written})
                    return
                receive = _once_more(first, receive)
        await otherwise(scope, receive, send)

    return answering


def _ordinary(headers: Headers) -> tuple[bytes | None, Headers]:
    """The one Authorization of a request with a JSON body, and what is to be echoed; None where anything is odd."""
    authorization, is_json, request_ids = None, False, []
    for header in headers:
        name, value = header
        if name == b"authorization":
            if authorization is not None:
                return None, []
            authorization = value
        elif name == b"content-type":
            is_json = value == JSON
        elif name == REQUEST_ID:
            request_ids.append(header)
    return authorization if is_json else None, request_ids


def _kept(memory: Memory, token: Token, message: Message) -> Kept | None:
    """The answer at hand; None for a question that is wrong, is about another moment, or needs the database."""
    body = message.get("body") or b""
    if message["type"] != "http.request" or message.get("more_body") or len(body) > MAX_BODY_BYTES:
        return None
    try:
        asked = read_evaluation(decode_object(body))
        return memory.at_hand(token, asked.subject, asked.api) if asked.at is None else None
    except (Problem, UnclearScope, CannotDecide):
        return None


def _written(kept: Kept) -> tuple[tuple[tuple[bytes, bytes], ...], bytes]:
    written: tuple[tuple[tuple[bytes, bytes], ...], bytes] | None = kept.rendered.get(EVALUATION)
    if written is None:
        body = msgspec.json.encode(answers.evaluation(kept.answer.decision, degraded=kept.answer.degraded))
        headers = (
            (b"cache-control", b"no-store"),
            (b"content-length", str(len(body)).encode()),
            (b"content-type", JSON),
        )
        written = kept.rendered[EVALUATION] = headers, body
    return written


def _once_more(first: Message, receive: Receive) -> Receive:
    """*receive*, which gives *first* once more."""
    waiting = [first]

    async def received() -> Message:
        return waiting.pop() if waiting else await receive()

    return received
