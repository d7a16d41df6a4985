"""The query API put together: its pages, who may ask them, and what every failure is told as. Edge: HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from http import HTTPStatus

from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entitlements.api import authzen, operations, portal
from entitlements.api.responses import Problem, problem_response
from entitlements.api.snapshots import CannotDecide, Snapshots
from entitlements.api.tokens import Token, UnclearScope, presented

Endpoint = Callable[[Request], Awaitable[Response]]
Page = Callable[[Request, Token, Snapshots], Awaitable[Response]]

FAILURES = (Problem, UnclearScope, CannotDecide, HTTPException, ClientDisconnect, Exception)
DETAILS = {
    HTTPStatus.NOT_FOUND: "There is no such page here.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This page is not asked with this method.",
}


def query_app(engine: Engine, tokens: Iterable[Token], clock: Callable[[], datetime]) -> ASGIApp:
    """
    The ASGI application that answers the bearers of *tokens*; it runs on asyncio and uses lifespan.

    *engine* needs `DATABASE_THREADS` connections, a statement timeout of no more than `ANSWER_SECONDS`, and the
    search_path of the schema to be read. *clock* gives the current moment, aware of its zone.
    """
    snapshots = Snapshots(engine, clock)
    known = tuple(tokens)

    def page(path: str, answer: Page, *, method: str = "GET") -> Route:
        return Route(path, for_bearers(known, answer, snapshots), methods=[method])

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        snapshots.close()

    app = Starlette(
        routes=[
            page(authzen.EVALUATION, authzen.evaluation, method="POST"),
            page(authzen.METADATA, authzen.metadata),
            page("/v1/customers/{customer}/entitlements", portal.customer_entitlements),
            page("/v1/orgs/{org}/entitlements", portal.org_entitlements),
            page("/v1/progress", operations.progress),
            Route("/livez", operations.livez),
            Route("/readyz", operations.readyz(snapshots)),
        ],
        exception_handlers=dict.fromkeys(FAILURES, told),
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return echoing_request_id(app)


def for_bearers(tokens: tuple[Token, ...], answer: Page, snapshots: Snapshots) -> Endpoint:
    """*answer* for those who present one of *tokens*; for everyone else 401, before anything more is read."""

    async def guarded(request: Request) -> Response:
        token = presented(request.headers.get("authorization"), tokens)
        if token is None:
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "Ask with a token of ENTITLE_QUERY_TOKENS: Authorization: Bearer <token>.",
                {"WWW-Authenticate": "Bearer"},
            )
        return await answer(request, token, snapshots)

    return guarded


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
