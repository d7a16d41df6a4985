"""
`GET /v1/changes`: what customers are told anew, for gateways that keep it, by long poll. Edge: HTTP.

Whoever waits holds no thread and no connection to the database: one look at the feed's head, some times a second, is
made for all of them, and none while nobody waits.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from entitlements import feed
from entitlements.api.requests import read_query
from entitlements.api.responses import Problem, json_response, malformed
from entitlements.api.snapshots import CannotDecide, Snapshot, Snapshots
from entitlements.api.tokens import Token, scope_of
from schemas.access_change import AccessChange
from schemas.fields import LARGEST_INTEGER

LONGEST_WAIT_S = 30
MOST_CHANGES = 1000
USUAL_CHANGES = 100
MOST_WAITING = 2000
"""Who waits beyond that is refused at once, and comes again."""

LOOK_EVERY_S = 0.1
LOOK_AGAIN_S = 1.0
"""While somebody waits; the latter while the database does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A page of the feed; *next* is where to go on behind, *head* the last number given."""

    changes: tuple[AccessChange, ...]
    next: int
    head: int


class Watch:
    """Who waits for the feed to go on; one for an application, on its event loop."""

    __slots__ = ("_head", "_looking", "_snapshots", "_waiting", "_went_on")

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._head = 0
        self._waiting = 0
        self._went_on = asyncio.Condition()
        self._looking: asyncio.Task[None] | None = None

    async def beyond(self, seq: int, seconds: float) -> None:
        """
        Return once a number behind *seq* is given, or is no longer so (another database), or after so many *seconds*.

        Raises `CannotDecide` where too many wait already, and where the process ends meanwhile.
        """
        if self._waiting >= MOST_WAITING:
            raise CannotDecide("Too many wait for changes: ask again, without wait.")
        self._waiting += 1
        self._head = seq if self._waiting == 1 else self._head
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            async with asyncio.timeout(seconds), self._went_on:
                await self._went_on.wait_for(lambda: self._head != seq)
        except TimeoutError:
            return
        except asyncio.CancelledError:  # by the server, which gives what is under way some seconds to end
            raise CannotDecide("This process is ending: ask another one.") from None
        finally:
            self._waiting -= 1

    async def _look(self) -> None:
        while self._waiting:
            try:
                head = await self._snapshots.ask(lambda snapshot: feed.position(snapshot.connection).head)
            except CannotDecide:
                await asyncio.sleep(LOOK_AGAIN_S)
                continue
            async with self._went_on:
                self._head = head
                self._went_on.notify_all()
            await asyncio.sleep(LOOK_EVERY_S)


def changes(watch: Watch) -> Callable[[Request, Token, Snapshots], Awaitable[Response]]:
    """
    The page `GET /v1/changes?after=&wait=&limit=`: states of numbers behind *after*, each customer once, as it is now.

    Where there are none it waits for some, *wait* seconds at most. 410 where *after* is no place to go on from.
    """

    async def answer(request: Request, token: Token, snapshots: Snapshots) -> Response:
        parameters = read_query(request.scope["query_string"], "after", "wait", "limit")
        after = read_number(parameters.get("after"), "after", most=LARGEST_INTEGER)
        wait = read_number(parameters.get("wait", "0"), "wait", most=LONGEST_WAIT_S)
        limit = read_number(parameters.get("limit", str(USUAL_CHANGES)), "limit", most=MOST_CHANGES)
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        while True:
            told = await snapshots.ask(lambda snapshot, after=after: page(snapshot, token, after, limit or 1))  # type: ignore[misc]
            left = until - loop.time()
            if told.changes or left <= 0:
                return json_response({"changes": told.changes, "next": told.next, "head": told.head})
            after = told.next
            await watch.beyond(told.head, left)

    return answer


def page(snapshot: Snapshot, token: Token, after: int, limit: int) -> Told:
    """
    What the bearer of *token* is told behind *after*, *limit* customers at most.

    Raises `Problem` where that is no place to go on from, and `CannotDecide`.
    """
    position = feed.position(snapshot.connection)
    if after > position.head:
        raise _gone(
            f"The last number given here is {position.head}, so {after} is of another database, or of a time before "
            "this one was restored."
        )
    if after < position.oldest:
        raise _gone(f"What changed behind {after} is kept no longer, only what did behind {position.oldest}.")
    integration = integration_of(snapshot, token)
    found = feed.behind(snapshot.connection, after, most=limit, integration=integration)
    return Told(
        changes=found if token.marketplace is None else tuple(each.seen_by(token.marketplace) for each in found),
        next=found[-1].seq if len(found) == limit else position.head,
        head=position.head,
    )


def integration_of(snapshot: Snapshot, token: Token) -> str | None:
    """Whose customers the bearer of *token* is told of; None: those of all integrations."""
    if token.marketplace is None:
        return None
    _, catalog = snapshot.terms()
    return scope_of(token, None, catalog).integration


def read_number(value: str | None, where: str, *, most: int) -> int:
    """A whole number from 0 to *most*."""
    if value is None:
        raise malformed(f"{where} is missing: 0, or what a snapshot or the answer before this one said.")
    if not re.fullmatch(r"[0-9]{1,19}", value) or int(value) > most:
        raise malformed(f"{where} must be a whole number from 0 to {most}.")
    return int(value)


def _gone(why: str) -> Problem:
    return Problem(HTTPStatus.GONE, f"{why} Take GET /v1/snapshot, and go on behind its Entitlement-Seq.")
