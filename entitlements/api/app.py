"""The query API put together: its pages, who may ask them, and what every failure is told as. Edge: HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entitlements.api import (
    authzen,
    changes,
    evaluations,
    explain_then,
    keys,
    openapi,
    operations,
    orgs,
    portal,
    snapshot_stream,
)
from entitlements.api.at_hand import evaluations_at_hand
from entitlements.api.credentials import DEFAULT_CREDENTIALS, Trust, parse_credentials
from entitlements.api.memory import Limits, Memory
from entitlements.api.metrics import Metrics
from entitlements.api.mounts import Mounts, Whole
from entitlements.api.responses import Problem, problem_response
from entitlements.api.snapshots import CannotDecide, Snapshots
from entitlements.api.subjects import SubjectType
from entitlements.api.tokens import Token, UnclearScope, presented

Endpoint = Callable[[Request], Awaitable[Response]]
Page = Callable[[Request, Token, Snapshots], Awaitable[Response]]

DEFAULT_LIMITS = Limits()
FAILURES = (Problem, UnclearScope, CannotDecide, HTTPException, ClientDisconnect, Exception)
ASK = (
    "Ask with a token of ENTITLE_QUERY_TOKENS: Authorization: Bearer <token>. Those of ENTITLE_ADMIN_TOKENS are for "
    "changing orgs and API keys alone."
)
ADMINISTER = (
    "Come with a token of ENTITLE_ADMIN_TOKENS: Authorization: Bearer <token>. Those of ENTITLE_QUERY_TOKENS change "
    "nothing, and while there are no admin tokens, only `entitle orgs` and `entitle keys` do."
)
"""What those are told who present no token that a page takes."""

DEFAULT_TRUST = Trust(sources=parse_credentials(DEFAULT_CREDENTIALS))

DETAILS = {
    HTTPStatus.NOT_FOUND: "There is no such page here.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This page is not asked with this method.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryApp:
    """An ASGI application; *at_once* says what it would answer where it waits for nothing, or None."""

    asgi: ASGIApp
    at_once: Callable[[Scope], Whole | None]


def query_app(
    engine: Engine,
    tokens: Iterable[Token],
    clock: Callable[[], datetime],
    *,
    metrics: Metrics,
    admins: Iterable[Token] = (),
    monotonic: Callable[[], float],
    limits: Limits = DEFAULT_LIMITS,
    trust: Trust = DEFAULT_TRUST,
    known_as: str | None = None,
) -> QueryApp:
    """
    The application that answers the bearers of *tokens*, and lets those of *admins* change settings; it runs on
    asyncio and uses lifespan.

    *engine* needs `DATABASE_THREADS` and `STREAMS` connections and one to listen, a statement timeout of no more than
    `ANSWER_SECONDS`, and the search_path of the schemas of facts and of settings. *clock* gives the current moment,
    aware of its zone, *monotonic* seconds that never go back. *limits* bound what is remembered. *metrics* are this
    application's alone. *trust* says how callers are known at the gateways' mounts. *known_as* is the base address
    under which others reach it, without a slash at its end; None: the one that each asks.
    """
    snapshots = Snapshots(engine, clock)
    watch = changes.Watch(monotonic)
    memory = Memory(
        engine,
        snapshots,
        clock=clock,
        monotonic=monotonic,
        limits=limits,
        told_too=watch.take,
        is_followed=watch.is_followed,
    )
    metrics.watch(
        is_away=snapshots.is_away,
        memory=memory,
        count_letters=lambda: snapshots.ask(operations.open_letters),
    )
    known = tuple(tokens)
    app = Starlette(
        routes=pages(
            known, tuple(admins), snapshots, memory, watch, metrics, snapshot_stream.streams(engine, clock), known_as
        ),
        exception_handlers=dict.fromkeys(FAILURES, told),
        lifespan=running(memory, snapshots),
    )
    app.router.redirect_slashes = False
    mounts = Mounts(memory, known, trust, metrics, clock)
    evaluating = evaluations_at_hand(memory, known, metrics, echoing_request_id(metrics.counting(app)), authzen.is_told)
    return QueryApp(asgi=mounts.before(evaluating), at_once=mounts.at_once)


def pages(
    known: tuple[Token, ...],
    admins: tuple[Token, ...],
    snapshots: Snapshots,
    memory: Memory,
    watch: changes.Watch,
    metrics: Metrics,
    streams: snapshot_stream.Streams,
    known_as: str | None = None,
) -> list[Route]:
    """Every page but the mounts, and who may ask it."""

    def page(path: str, answer: Page, *, method: str = "GET") -> Route:
        return Route(path, for_bearers(known, answer, snapshots, ASK), methods=[method])

    def admin_page(path: str, answer: Page, *methods: str) -> Route:
        return Route(path, for_bearers(admins, then_seen(answer, memory), snapshots, ADMINISTER), methods=methods)

    return [
        page(authzen.EVALUATION, authzen.evaluation(memory, metrics), method="POST"),
        page(authzen.EVALUATIONS, evaluations.evaluations(memory, metrics), method="POST"),
        page(authzen.METADATA, authzen.metadata(known_as)),
        page("/v1/customers/{customer}/entitlements", portal.customer_entitlements),
        page("/v1/orgs/{org}/entitlements", portal.org_entitlements),
        page("/v1/customers/{customer}/invoices", portal.customer_invoices),
        page("/v1/orgs/{org}/invoices", portal.org_invoices),
        admin_page("/v1/orgs/{org}", orgs.org, "GET", "PUT", "DELETE"),
        admin_page("/v1/orgs/{org}/keys", keys.of_holder(SubjectType.ORG), "GET", "POST"),
        admin_page("/v1/customers/{customer}/keys", keys.of_holder(SubjectType.CUSTOMER), "GET", "POST"),
        admin_page("/v1/keys/{key}", keys.key, "DELETE"),
        admin_page("/v1/keys/{key}/rotate", keys.rotation, "POST"),
        page("/v1/explain", explain_then.page),
        page("/v1/progress", operations.progress),
        page("/v1/changes", changes.changes(watch)),
        page("/v1/snapshot", snapshot_stream.snapshot(streams)),
        page(openapi.PATH, openapi.page),
        Route("/livez", operations.livez),
        Route("/readyz", operations.readyz(snapshots, memory)),
        Route("/metrics", metrics.page),
    ]


def running(memory: Memory, snapshots: Snapshots) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """A lifespan in which *memory* looks for changes, and that closes *snapshots* in the end."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        memory.start()
        yield
        memory.stop()
        snapshots.close()

    return lifespan


def for_bearers(tokens: tuple[Token, ...], answer: Page, snapshots: Snapshots, otherwise: str) -> Endpoint:
    """*answer* for those who present one of *tokens*; for all others 401, before anything more is read, and why."""

    async def guarded(request: Request) -> Response:
        token = presented(request.headers.get("authorization"), tokens)
        if token is None:
            raise Problem(HTTPStatus.UNAUTHORIZED, otherwise, {"WWW-Authenticate": "Bearer"})
        return await answer(request, token, snapshots)

    return guarded


def then_seen(answer: Page, memory: Memory) -> Page:
    """*answer*, after which this process answers by what it changed."""

    async def changed(request: Request, token: Token, snapshots: Snapshots) -> Response:
        response = await answer(request, token, snapshots)
        if request.method not in ("GET", "HEAD"):
            await memory.catch_up()
        return response

    return changed


async def told(_: Request, failure: Exception) -> Response:
    """What the client is told of *failure*; of a fault of ours, nothing but that there was one (the log has it)."""
    match failure:
        case Problem():
            return problem_response(failure.status, str(failure), failure.headers)
        case UnclearScope():
            return problem_response(HTTPStatus.BAD_REQUEST, str(failure))
        case CannotDecide():
            return problem_response(HTTPStatus.SERVICE_UNAVAILABLE, str(failure))
        case HTTPException():
            detail = DETAILS.get(HTTPStatus(failure.status_code), failure.detail)
            return problem_response(failure.status_code, detail, failure.headers)
        case ClientDisconnect():
            return problem_response(HTTPStatus.BAD_REQUEST, "The request ended before its body was whole.")
        case _:
            return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, "This program has a fault; its log says which.")


def echoing_request_id(app: ASGIApp) -> ASGIApp:
    """*app*, whose every answer carries the `X-Request-ID` that its question came with (AuthZEN 1.0)."""

    async def echoing(scope: Scope, receive: Receive, send: Send) -> None:
        given = [header for header in scope.get("headers", ()) if header[0] == b"x-request-id"]

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *given]
            await send(message)

        await app(scope, receive, send_with_id)

    return echoing
