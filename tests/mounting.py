"""The gateways' mounts for tests without a server or a database: asked as an ASGI server would ask them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entitlements.api.answering import Answer, Answering
from entitlements.api.app import DEFAULT_TRUST
from entitlements.api.credentials import Trust
from entitlements.api.metrics import Metrics
from entitlements.api.mounts import Mounts
from entitlements.api.subjects import Subject, SubjectType
from entitlements.api.tokens import Token, parse_tokens
from entitlements.domain.catalog import Enforcement, Route
from entitlements.domain.decision import Decision, Reason
from entitlements.domain.quotas import QuotaAllowed

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
UNTIL = datetime(2026, 7, 1, 2, tzinfo=UTC)
KEY = f"entkey_{'k' * 43}"
OTHER_KEY = f"entkey_{'o' * 43}"
GATEWAY = "gateway"
INITECH = Subject(type=SubjectType.ORG, id="initech", integration="main")
ROUTES = (
    Route(host="api.example.com", methods=frozenset({"GET", "POST"}), path="/orders/**", api="orders"),
    Route(host=None, methods=frozenset(), path="/reports/**", api="reports"),
)
CALLS = QuotaAllowed(name="calls", unit="requests", limit=1000, per="cycle", enforcement=Enforcement.STRICT)
PAID = Decision(
    api="orders",
    reason=Reason.PAID,
    max_age=timedelta(seconds=10),
    plan="enterprise",
    invoice="in_1",
    until=UNTIL,
    quotas=(CALLS,),
)
OWED = Decision(
    api="orders",
    reason=Reason.PAYMENT_REQUIRED,
    max_age=timedelta(seconds=2),
    plan="enterprise",
    invoice="in_2",
    pay_at="https://invoice.example.com/i/open",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """An answer at hand."""

    answer: Answer
    until: datetime = UNTIL
    rendered: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Answers from what it was given: *keys* by their secret, *decisions* by API, or *failure*, whatever is asked."""

    keys: Mapping[str, Subject] = field(default_factory=lambda: {KEY: INITECH})
    decisions: Mapping[str, Decision] = field(default_factory=lambda: {"orders": PAID})
    failure: Exception | None = None
    degraded: bool = False
    remembers: bool = False
    asked: list[tuple[Subject, str]] = field(default_factory=list)

    def at_hand(self, token: Token, subject: Subject, api: str) -> Remembered | None:
        """Nothing, so that each answer is asked for, unless it *remembers*."""
        del token
        self._fail()
        return Remembered(answer=self._answer(subject, api)) if self.remembers and api in self.decisions else None

    def holder_at_hand(self, token: Token, digest: bytes) -> Subject | None:
        """Whose the key is, if it *remembers*."""
        del token
        return self._held().get(digest) if self.remembers else None

    def routes_at_hand(self) -> tuple[Route, ...] | None:
        """`ROUTES`, if it *remembers*."""
        return ROUTES if self.remembers else None

    async def decision(self, token: Token, subject: Subject, api: str, at: datetime | None) -> Answer:
        """What was given for *api*, else that nobody bought it."""
        del token, at  # whoever asks, and whenever
        self._fail()
        self.asked.append((subject, api))
        return self._answer(subject, api)

    async def holder_of(self, token: Token, digest: bytes) -> Subject | None:
        """Whose the key is."""
        del token
        self._fail()
        return self._held().get(digest)

    async def routes(self) -> tuple[Route, ...]:
        """`ROUTES`."""
        self._fail()
        return ROUTES

    def _held(self) -> dict[bytes, Subject]:
        return {hashlib.sha256(key.encode()).digest(): subject for key, subject in self.keys.items()}

    def _answer(self, subject: Subject, api: str) -> Answer:
        otherwise = Decision(api=api, reason=Reason.NOT_ENTITLED, max_age=timedelta(seconds=2))
        decision = self.decisions.get(api, otherwise)
        return Answer(decision=decision, subject=subject, customer="cus_1", degraded=self.degraded)

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What was sent. *headers* are in the order in which they came."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def __getitem__(self, name: str) -> str:
        """The one value of a header."""
        [value] = [value for given, value in self.headers if given == name.lower().encode()]
        return value.decode()

    @property
    def problem(self) -> dict[str, Any]:
        """The body, which is a problem."""
        assert self["content-type"] == "application/problem+json"
        problem: dict[str, Any] = json.loads(self.body)
        return problem


def mounts(answering: Answering, trust: Trust = DEFAULT_TRUST) -> Mounts:
    """The mounts of an application."""
    return Mounts(answering, parse_tokens(f"{GATEWAY},of-acme@acme"), trust, Metrics(CollectorRegistry()), lambda: NOW)


def mounted(answering: Answering, trust: Trust = DEFAULT_TRUST, otherwise: ASGIApp | None = None) -> ASGIApp:
    """The mounts, and behind them *otherwise*: nothing, unless it is given."""

    async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return mounts(answering, trust).before(otherwise or nothing)


def scope_of(method: str, path: bytes, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    """A request as the server hands it over."""
    raw, _, query = path.partition(b"?")
    return {
        "type": "http",
        "method": method,
        "path": raw.decode("latin-1"),
        "raw_path": raw,
        "query_string": query,
        "headers": [(name.lower(), value) for name, value in headers],
    }


def ask(app: ASGIApp, method: str, path: bytes, headers: list[tuple[bytes, bytes]]) -> Response:
    """One request; *path* and *headers* as they were on the wire, a query behind `?`."""
    scope = scope_of(method, path, headers)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("a mount reads no body")

    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    start, body = sent  # one of each, and nothing else
    return Response(status=start["status"], headers=list(start["headers"]), body=body["body"])


def forwarded(
    uri: str = "/orders/7",
    *,
    method: str = "GET",
    host: str = "api.example.com",
    key: str | None = KEY,
    token: str | None = GATEWAY,
    more: Mapping[str, str] | None = None,
) -> list[tuple[bytes, bytes]]:
    """The headers of a gateway that says by headers what the original request was."""
    said = {"X-Forwarded-Method": method, "X-Forwarded-Host": host, "X-Forwarded-Uri": uri}
    said |= {"X-Api-Key": key} if key is not None else {}
    said |= {"Entitlement-Gateway-Token": token} if token is not None else {}
    return [(name.encode(), value.encode()) for name, value in (said | dict(more or {})).items()]
