"""
`GET /v1/changes`: what customers are told anew, for gateways that keep it, by long poll. Edge: HTTP.

Whoever waits holds no thread and no connection to the database. They are woken by the looks that are made for the
memory (`listening.py`), which say how far the feed is: at once when the relay has given a number, and where that word
gets lost by the next look. All who ask the same before the database has begun to answer share one answer: those who
are woken together, and come back together, are no more than a few questions.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from entitlements import feed
from entitlements.api.listening import Look
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A page of the feed; *next* is where to go on behind, *head* the last number given."""

    changes: tuple[AccessChange, ...]
    next: int
    head: int


class Watch:
    """Who waits for the feed to go on; one for an application, on its event loop."""

    __slots__ = ("_began", "_following", "_head", "_monotonic", "_waiting", "_went_on")

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._began = float("-inf")
        self._head = 0
        self._waiting = self._following = 0
        self._went_on = asyncio.Event()

    def is_followed(self) -> bool:
        """Whether anybody asks for changes and would wait for some. May be called in any thread."""
        return self._following > 0

    @contextmanager
    def following(self) -> Iterator[None]:
        """From before one asks the database until one waits no more: so no number falls in between."""
        self._following += 1
        try:
            yield
        finally:
            self._following -= 1

    def take(self, look: Look) -> None:
        """A look says how far the feed is."""
        self._began, before, self._head = look.began, self._head, look.head
        if look.head != before:
            self._went_on.set()
            self._went_on = asyncio.Event()

    async def beyond(self, seq: int, seconds: float) -> None:
        """
        Return once a number behind *seq* is given, or is no longer so (another database), or after so many *seconds*.

        Raises `CannotDecide` where too many wait already, and where the process ends meanwhile.
        """
        if self._waiting >= MOST_WAITING:
            raise CannotDecide("Too many wait for changes: ask again, without wait.")
        self._waiting += 1
        asked_at = self._monotonic()
        try:
            async with asyncio.timeout(seconds):
                while not (self._head > seq or (self._head < seq and self._began > asked_at)):
                    await self._went_on.wait()
        except TimeoutError:
            return
        except asyncio.CancelledError:  # by the server, which gives what is under way some seconds to end
            raise CannotDecide("This process is ending: ask another one.") from None
        finally:
            self._waiting -= 1


def changes(watch: Watch) -> Callable[[Request, Token, Snapshots], Awaitable[Response]]:
    """
    The page `GET /v1/changes?after=&wait=&limit=`: states of numbers behind *after*, each customer once, as it is now.

    Where there are none it waits for some, *wait* seconds at most. 410 where *after* is no place to go on from.
    """

    asking = _Asking()

    async def answer(request: Request, token: Token, snapshots: Snapshots) -> Response:
        parameters = read_query(request.scope["query_string"], "after", "wait", "limit")
        after = read_number(parameters.get("after"), "after", most=LARGEST_INTEGER)
        wait = read_number(parameters.get("wait", "0"), "wait", most=LONGEST_WAIT_S)
        limit = read_number(parameters.get("limit", str(USUAL_CHANGES)), "limit", most=MOST_CHANGES) or 1
        if not wait:
            return _told(await asking.page(snapshots, token, after, limit))
        until = asyncio.get_running_loop().time() + wait
        with watch.following():
            told = await asking.page(snapshots, token, after, limit)
            while not told.changes and (left := until - asyncio.get_running_loop().time()) > 0:
                await watch.beyond(told.head, left)
                told = await asking.page(snapshots, token, told.next, limit)
        return _told(told)

    return answer


class _Asking:
    """Questions that no thread has begun to answer yet; who asks one of them waits for the same answer."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[tuple[Token, int, int], asyncio.Future[Told]] = {}

    async def page(self, snapshots: Snapshots, token: Token, after: int, limit: int) -> Told:
        """See `page`; of a moment that is not before the question."""
        name = token, after, limit
        asked = self._waiting.get(name)
        if asked is None:

            def begun(snapshot: Snapshot) -> Told:
                if self._waiting.get(name) is asked:  # from here on something may be committed that this answer lacks
                    self._waiting.pop(name, None)
                return page(snapshot, token, after, limit)

            asked = self._waiting[name] = asyncio.ensure_future(snapshots.ask(begun))
            asked.add_done_callback(partial(self._ended, name))
        return await asyncio.shield(asked)

    def _ended(self, name: tuple[Token, int, int], asked: asyncio.Future[Told]) -> None:
        if self._waiting.get(name) is asked:
            del self._waiting[name]
        if not asked.cancelled():
            asked.exception()  # which was heard, even if all who waited for it have gone


def _told(told: Told) -> Response:
    return json_response({"changes": told.changes, "next": told.next, "head": told.head})


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
