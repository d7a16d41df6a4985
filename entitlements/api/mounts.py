"""
The gateways' mounts: `/v1/check`, `/v1/ext-authz/…` and their `-403` twins. Edge: HTTP.

Asked for every request that reaches an API, so they are plain ASGI in front of all other pages, and each answer is one
start and one body. Neither a query string nor a body is ever read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from starlette.types import ASGIApp, Receive, Scope, Send

from entitlements.api import gateway_answers, gateway_headers
from entitlements.api.answering import Answering, AtHand
from entitlements.api.credentials import GATEWAY_TOKEN, Headers, Trust, Unidentified, identify, named_api, token_in
from entitlements.api.gateway_answers import Told, cannot_decide, unidentified, unknown_gateway
from entitlements.api.gateway_headers import HttpAnswer, Manners, as_http
from entitlements.api.metrics import Metrics
from entitlements.api.original import (
    CHECK,
    EXT_AUTHZ,
    FOLDED,
    HOST,
    METHOD,
    OWN_HOST,
    URI,
    forwarded,
    in_request_line,
    those_of,
)
from entitlements.api.snapshots import CannotDecide
from entitlements.api.subjects import Subject
from entitlements.api.tokens import Token, UnclearScope
from entitlements.domain.catalog import Route
from entitlements.domain.routing import Requested, Routing

log = logging.getLogger(__name__)

REQUEST_ID = b"x-request-id"
Whole = tuple[int, tuple[tuple[bytes, bytes], ...], bytes]
"""Status, headers and body."""

FAULT = "This program has a fault; its log says which."


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One mount: where it is, where the original request is to be found, and how it answers."""

    is_forwarded: bool
    manners: Manners


class Mounts:
    """All four mounts. *clock* gives the current moment, aware of its zone."""

    __slots__ = (
        "_answering",
        "_challenge",
        "_clock",
        "_exact",
        "_metrics",
        "_routing",
        "_tokens",
        "_trust",
        "_under",
        "_wanted",
    )

    def __init__(
        self,
        answering: Answering,
        tokens: tuple[Token, ...],
        trust: Trust,
        metrics: Metrics,
        clock: Callable[[], datetime],
    ) -> None:
        self._answering, self._tokens, self._trust, self._metrics = answering, tokens, trust, metrics
        self._clock = clock
        self._challenge = gateway_headers.challenge_of(trust)
        self._routing: tuple[tuple[Route, ...], Routing] = ((), Routing(()))
        trusted = [source.header for source in trust.sources] + ([trust.api_header] if trust.api_header else [])
        self._wanted = frozenset(
            [GATEWAY_TOKEN, REQUEST_ID, METHOD, HOST, URI, OWN_HOST, *(name.lower().encode() for name in trusted)]
        )
        self._exact: Mapping[str, Mount] = MappingProxyType(
            {f"{CHECK}{suffix}": self._mount(suffix, is_forwarded=True) for suffix in ("", FOLDED)}
        )
        self._under: Mapping[bytes, Mount] = MappingProxyType(
            {f"{EXT_AUTHZ}{suffix}/".encode(): self._mount(suffix, is_forwarded=False) for suffix in ("", FOLDED)}
        )

    def before(self, otherwise: ASGIApp) -> ASGIApp:
        """The mounts, and *otherwise* for all that is asked elsewhere."""

        async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                mount, path = self._mount_at(scope)
                if mount is not None:
                    return await self._answer(mount, path, scope, send)
            return await otherwise(scope, receive, send)

        return mounted

    def at_once(self, scope: Scope) -> Whole | None:
        """
        The answer to a request of a mount by who and what is remembered, as it was written out before, if nobody has to
        be waited for; None for everything else. It is the one that `before` would give.
        """
        mount, path = self._mount_at(scope)
        if mount is None or log.isEnabledFor(logging.DEBUG):
            return None
        headers = those_of(scope["headers"], self._wanted)
        token, identified = token_in(headers, self._tokens), identify(self._trust, headers)
        if token is None or isinstance(identified, Unidentified):
            return None
        try:
            kept = self._kept(token, identified, headers, _requested(mount, path, scope, headers))
        except (CannotDecide, UnclearScope):
            return None
        if kept is None:
            return None
        self._metrics.decided(kept.answer.decision.reason)
        return self._whole(self._written(kept, mount), scope, headers)

    async def _answer(self, mount: Mount, path: bytes, scope: Scope, send: Send) -> None:
        headers = those_of(scope["headers"], self._wanted)
        requested = _requested(mount, path, scope, headers)
        try:
            told = await self._told(mount, headers, requested)
        except Exception:
            # What is sent has every header; the server that gets the exception next logs it.
            await self._send(cannot_decide(FAULT), mount, scope, headers, send)
            raise
        await self._send(told, mount, scope, headers, send)

    def _kept(
        self, token: Token, identified: bytes | Subject, headers: Headers, requested: Requested | None
    ) -> AtHand | None:
        answering = self._answering
        subject = answering.holder_at_hand(token, identified) if isinstance(identified, bytes) else identified
        routes = answering.routes_at_hand()
        if subject is None or routes is None:
            return None
        api = self._api(routes, headers, requested)
        return None if api is None else answering.at_hand(token, subject, api)

    async def _told(self, mount: Mount, headers: Headers, requested: Requested | None) -> Told | HttpAnswer:
        token = token_in(headers, self._tokens)
        if token is None:
            return unknown_gateway()
        identified = identify(self._trust, headers)
        if isinstance(identified, Unidentified):
            return unidentified(identified, self._challenge)
        try:
            return await self._decided(mount, token, identified, headers, requested)
        except (CannotDecide, UnclearScope) as error:
            return cannot_decide(str(error))

    async def _decided(
        self,
        mount: Mount,
        token: Token,
        identified: bytes | Subject,
        headers: Headers,
        requested: Requested | None,
    ) -> Told | HttpAnswer:
        subject = await self._answering.holder_of(token, identified) if isinstance(identified, bytes) else identified
        if subject is None:
            return unidentified(Unidentified.UNKNOWN_CREDENTIAL, self._challenge)
        api = self._api(await self._answering.routes(), headers, requested)
        if api is None:
            return gateway_answers.no_such_api(subject)
        kept = self._answering.at_hand(token, subject, api)
        if kept is not None:
            answer = kept.answer
        else:
            with self._metrics.deciding():
                answer = await self._answering.decision(token, subject, api, None)
        self._metrics.decided(answer.decision.reason)
        if log.isEnabledFor(logging.DEBUG):
            about = {"subject": f"{subject.type}:{subject.id}", "api": api, "reason": answer.decision.reason}
            log.debug("decided", extra=about)
        return self._written(kept, mount) if kept else gateway_answers.decided(answer, api, self._clock())

    def _written(self, kept: AtHand, mount: Mount) -> HttpAnswer:
        """As it was written out before, as long as that says what would be written now."""
        now = self._clock()
        until, written = kept.rendered.get(mount.manners, (now, None))
        if written is None or now >= until:
            answer = kept.answer
            written = as_http(gateway_answers.decided(answer, answer.decision.api, now), mount.manners)
            kept.rendered[mount.manners] = gateway_answers.same_until(answer.decision, kept.until), written
        found: HttpAnswer = written
        return found

    def _api(self, routes: tuple[Route, ...], headers: Headers, requested: Requested | None) -> str | None:
        """The API by the catalog's *routes* or, where none is for this request, by the header that is trusted."""
        if self._routing[0] is not routes:
            self._routing = (routes, Routing(routes))
        api = None if requested is None else self._routing[1].api_of(requested)
        if api is not None or self._trust.api_header is None:
            return api
        return named_api(headers.get(self._trust.api_header.lower().encode()))

    async def _send(self, told: Told | HttpAnswer, mount: Mount, scope: Scope, headers: Headers, send: Send) -> None:
        answer = as_http(told, mount.manners) if isinstance(told, Told) else told
        status, sent, body = self._whole(answer, scope, headers)
        await send({"type": "http.response.start", "status": status, "headers": sent})
        await send({"type": "http.response.body", "body": body})

    def _whole(self, answer: HttpAnswer, scope: Scope, headers: Headers) -> Whole:
        """It as this request is told it, which is counted."""
        self._metrics.answered(answer.status)
        request_id = headers.get(REQUEST_ID)
        sent = answer.headers if request_id is None else (*answer.headers, (REQUEST_ID, request_id))
        return answer.status, sent, b"" if scope["method"] == "HEAD" else answer.body

    def _mount_at(self, scope: Scope) -> tuple[Mount | None, bytes]:
        """The mount that is asked, and what follows its own path."""
        mount = self._exact.get(scope["path"])
        if mount is not None:
            return mount, b""
        raw: bytes = scope.get("raw_path") or b""
        for prefix, under in self._under.items():
            if raw.startswith(prefix):
                return under, raw[len(prefix) - 1 :]
        return None, b""

    def _mount(self, suffix: str, *, is_forwarded: bool) -> Mount:
        vary = gateway_headers.vary_of(self._trust, by_headers=is_forwarded)
        return Mount(is_forwarded=is_forwarded, manners=Manners(vary=vary, is_folding=suffix == FOLDED))


def _requested(mount: Mount, path: bytes, scope: Scope, headers: Headers) -> Requested | None:
    return forwarded(headers) if mount.is_forwarded else in_request_line(scope["method"], path, headers)
