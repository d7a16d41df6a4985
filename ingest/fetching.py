"""
What events leave out, fetched from Stripe before they are published: objects of thin events, lines after the first ten,
and by what an invoice was paid where no event says so. Edge: the event loop's clock, and Stripe's API through
`stripe_api`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import msgspec

from ingest.delivery import LINES, PAYMENTS, Integration, NotAnEvent, Publish, Short, record_of
from ingest.questions import (
    MOST_PAGES,
    PAGE_SIZE,
    Malformed,
    Question,
    lines_left_out,
    payments_left_out,
    read_page,
    with_all_lines,
    with_payments,
)
from ingest.stripe_api import Api, NotFetched, Outcome
from ingest.thin import Thin, as_snapshot, gone
from schemas.codec import Headers
from schemas.fields import Json

log = logging.getLogger(__name__)

Counting = Callable[[str, str, str, float], None]
"""Told of each fetch: its integration, what (`object`, `lines`, `payments`), the outcome, and the seconds it took."""

PutIn = Callable[[Json, Mapping[str, Json]], Json]
"""An event with all members of a list, by their ids, in their place."""

OBJECT = "object"
"""What is fetched for a thin event; else it is `LINES` or `PAYMENTS`."""

FETCH_SECONDS = 3.0
"""Longest that a webhook waits for Stripe in all; with Kafka's five its answer comes within eight."""

PATIENT_SECONDS = 30.0
"""The same where no webhook is waiting."""

MOST_WAITING = 64
"""Fetches at once. One more fails, so that webhooks which wait for Stripe leave room for those that need not."""


INSTEAD = ', or choose the payload style "snapshot" for this event destination in Stripe'


class ThinEventNotFetched(Exception):
    """
    A thin event whose object could not be fetched, and which is therefore not taken; the text says why.

    *needs_an_operator*: waiting alone will not mend it.
    """

    def __init__(self, event_type: str, cause: NotFetched) -> None:
        advice = INSTEAD if cause.outcome is Outcome.NO_KEY else ""
        super().__init__(f"v1.{event_type} is a thin event, and its object could not be fetched: {cause}{advice}")
        self.needs_an_operator = cause.outcome in (Outcome.NO_KEY, Outcome.REFUSED, Outcome.MISSING)


class Fetching:
    """
    Fetches for webhooks, and for what is completed later; at most `MOST_WAITING` fetches at once, or it fails at once.

    *count* is told of each.
    """

    __slots__ = ("_api", "_count", "_under_way")

    def __init__(self, api: Api, count: Counting) -> None:
        self._api = api
        self._count = count
        self._under_way = 0

    async def record(self, wanted: Short | Thin, integration: Integration) -> Publish:
        """
        The record of an event that leaves something out: whole, or marked incomplete where its object is there.

        Without a key nobody is asked for payments, and none are lacking: most who have no key will never have one.

        Takes `FETCH_SECONDS` at most. Raises `ThinEventNotFetched`, and `NotAnEvent` for what is nested too deeply.
        """
        name = integration.name
        until = asyncio.get_running_loop().time() + FETCH_SECONDS
        event = wanted.event if isinstance(wanted, Short) else await self._fetched(wanted, name, until)
        payments = payments_left_out(event) if self._api.has_key(name) else None
        event, lacking = await self._whole(event, name, until, payments)
        for error in lacking.values():
            about = {"integration": name, "event_id": wanted.event_id, "event_type": wanted.event_type}
            log.warning("incomplete", extra={**about, "detail": str(error)})
        return _record(event, name, wanted.traceparent, ",".join(lacking))

    async def completed(self, value: bytes, headers: Headers, integration: str) -> Publish:
        """
        The whole record, under the same event id, of one that was published incomplete with *value* and *headers*.

        One that comes to have all its lines is worth publishing though what paid its invoice is still lacking: it is
        marked so, and completed once more, has nothing new to say until that is there. Whether a key is there now does
        not matter: what was lacking is lacking still. Takes `PATIENT_SECONDS` at most. Raises `NotFetched` if lines
        are lacking or nothing was gained, and `NotAnEvent` for what is nested too deeply.
        """
        until = asyncio.get_running_loop().time() + PATIENT_SECONDS
        before = msgspec.json.decode(value)
        event, lacking = await self._whole(before, integration, until, payments_left_out(before))
        if lacking and (LINES in lacking or event is before):
            raise next(iter(lacking.values()))
        traceparent = dict(headers).get("traceparent")
        return _record(event, integration, None if traceparent is None else traceparent.decode(), ",".join(lacking))

    def can_complete(self, integration: str) -> bool:
        """Whether this process will ever be able to fetch what an event of *integration* lacks."""
        return self._api.has_key(integration)

    async def _fetched(self, thin: Thin, integration: str, until: float) -> Json:
        try:
            return await self._counted(integration, OBJECT, until, lambda: self._snapshot(thin, integration))
        except NotFetched as error:
            raise ThinEventNotFetched(thin.event_type, error) from None

    async def _whole(
        self, event: Json, integration: str, until: float, payments: Question | None
    ) -> tuple[Json, dict[str, NotFetched]]:
        """
        The event with all that could be fetched of what it leaves out, and what could not be, and why.

        The same object where nothing could be. *payments* is what to ask for its payments, if they are to be asked for.
        """
        lacking: dict[str, NotFetched] = {}
        parts: tuple[tuple[str, Question | None, PutIn], ...] = (
            (LINES, lines_left_out(event), with_all_lines),
            (PAYMENTS, payments, with_payments),
        )
        for what, question, put_in in parts:
            if question is None:
                continue
            fetch = partial(self._with_list, event, integration, question, put_in)
            try:
                event = await self._counted(integration, what, until, fetch)
            except NotFetched as error:
                lacking[what] = error
        return event, lacking

    async def _snapshot(self, thin: Thin, integration: str) -> Json:
        try:
            about = await self._api.get(integration, thin.question)
        except NotFetched as error:
            if error.outcome is not Outcome.MISSING or not thin.says_it_is_gone:
                raise
            about = gone(thin)
        return as_snapshot(thin, about, self._api.version(integration))

    async def _with_list(self, event: Json, integration: str, question: Question, put_in: PutIn) -> Json:
        found: dict[str, Json] = {}
        parameters: dict[str, str | int] = {"limit": PAGE_SIZE}
        for _ in range(MOST_PAGES):
            page, has_more = read_page(await self._api.get(integration, question, **parameters))
            known = len(found)
            found |= page
            if not has_more:
                return put_in(event, found)
            if len(found) == known:
                raise Malformed("a page of a list brings nothing that is new")
            parameters["starting_after"] = next(reversed(page))
        raise Malformed(f"there are more than {MOST_PAGES} pages of a list")

    async def _counted(
        self, integration: str, what: str, until: float, fetch: Callable[[], Coroutine[Any, Any, Json]]
    ) -> Json:
        clock = asyncio.get_running_loop().time
        began, outcome = clock(), Outcome.BUSY
        try:
            if self._under_way >= MOST_WAITING:
                raise NotFetched(Outcome.BUSY, f"{MOST_WAITING} answers of Stripe's API are being waited for")
            self._under_way += 1
            try:
                async with asyncio.timeout_at(until):
                    found = await fetch()
            finally:
                self._under_way -= 1
        except TimeoutError:
            outcome = Outcome.LATE
            raise NotFetched(outcome, "Stripe's API did not answer in time") from None
        except Malformed as error:
            outcome = Outcome.MALFORMED
            raise NotFetched(outcome, f"Stripe's API answered something else: {error}") from None
        except NotFetched as error:
            outcome = error.outcome
            raise
        else:
            outcome = Outcome.FETCHED
            return found
        finally:
            self._count(integration, what, outcome, clock() - began)


def _record(event: Json, integration: str, traceparent: str | None, incomplete: str = "") -> Publish:
    try:
        return record_of(dict(event), integration, traceparent, incomplete=incomplete)
    except RecursionError:
        raise NotAnEvent("the event is nested too deeply") from None
