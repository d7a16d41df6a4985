"""
Answers from memory: what was asked lately, for as long as it is true. Edge: Postgres, by `Snapshots` and `Listening`.

`Memory` stands in front of the database behind the seam `Answering`. It remembers, for customers that were asked about,
what of their standing can still matter, and for each question the answer with the stretch of time in which it is the
same. What a commit concerns is dropped as soon as a look has seen it (`listening.py`), so an answer from memory is the
database's as of the last look. All that is remembered is touched by the event loop's thread alone.

Nothing can be remembered that was overtaken. A load that is under way when a look drops its customer was perhaps begun
before that commit: it answers those who asked for it, and is not kept. Before the first look nothing is kept at all.

*Degraded* is a memory whose last look lies too far back because the database is silent. It answers what it would have
answered at that look, an allowance to its own `until`, a denial to the next boundary; behind that, and about whom it
does not know, the database is asked, which says that it can't be. *In doubt* is one whose last look lies as far back
because this process stood still (`recency.py`): it answers nobody until it has looked again.

Long because loading, dropping and answering change one state, which is held in one place.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from entitlements.api.answering import Answer, FromDatabase, holder
from entitlements.api.flights import Flights
from entitlements.api.listening import Listening, Look
from entitlements.api.recency import Recency
from entitlements.api.remembered import Remembered
from entitlements.api.snapshots import CannotDecide, Snapshots, revisions_in
from entitlements.api.subjects import NOBODY, Subject, SubjectType
from entitlements.api.tokens import Token, scope_of
from entitlements.domain.access import Scope, Standing, granted_apis, standing
from entitlements.domain.catalog import Catalog, Revisions, Route
from entitlements.domain.from_now_on import from_now_on, lasting
from entitlements.domain.period import BEGINNING_OF_TIME, END_OF_TIME
from entitlements.keys import ApiKey, key_of_digest
from entitlements.orgs import setting_of
from entitlements.reading import facts_of

Loaded = TypeVar("Loaded")

LOOKS_EVERY = 0.5
"""Between two looks, as a share of how long one is fresh: one may be late, or get lost with its connection."""

LATE_S = 0.1
"""By so much a load may be later than its deadline, as on a busy machine: the loop comes to it when it can."""

MOST_ANSWERS = 64
"""Answers kept of one customer: names of APIs come from outside, and anything may be asked."""

SIZE_OF_NAME = 700
SIZE_OF_CUSTOMER = 2_500
SIZE_OF_CYCLE = 3_000
SIZE_OF_PERIOD = 300
SIZE_OF_ANSWER = 3_000
"""Bytes, twice what was measured (docs/benchmarks.md), so that the process stays below what is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    How much is remembered, in bytes; how long a question may wait for the database; how long ago the look may have
    begun on which an answer from memory rests, while the database is there, in seconds.
    """

    most_bytes: int = 256 * 1024 * 1024
    miss_s: float = 0.5
    fresh_s: float = 1.0


@dataclass(slots=True, kw_only=True, eq=False)
class _Held:
    """What is remembered under one name: a customer in a scope, an org, or a key."""

    value: Any
    since: datetime
    """When it was loaded, or earlier: as of then nothing that was committed is missing in it."""

    size: int
    used: bool = False
    is_kept: bool = False
    answers: list[Kept] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A customer's standing from the moment of its loading on, and all APIs that its grants ever named."""

    standing: Standing
    granted_apis: frozenset[str]


@dataclass(slots=True, kw_only=True, eq=False)
class Kept:
    """
    An answer, the same at every moment of `[since, until)`. *rendered* is for those who write it out: by what they
    write, what they have written.
    """

    answer: Answer
    since: datetime
    until: datetime
    question: tuple[str | None, Subject, str]
    held: _Held
    rendered: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """All catalog revisions, and the moments at which time alone puts another in force."""

    revisions: Revisions
    boundaries: tuple[datetime, ...]

    def in_force_at(self, now: datetime) -> Catalog:
        """Raises `CannotDecide` where no catalog was ever applied."""
        current = self.revisions.in_force_at(now)
        if current is None:
            raise CannotDecide("No catalog has been applied yet: run `entitle catalog apply`.")
        return current.catalog


class Memory:
    """Who answers gateways from memory, and asks the database about whom it does not know."""

    __slots__ = (
        "_clock",
        "_database",
        "_doubting",
        "_epoch",
        "_flights",
        "_held",
        "_kept",
        "_limits",
        "_listening",
        "_looked",
        "_loop",
        "_monotonic",
        "_nobody",
        "_recency",
        "_scopes",
        "_snapshots",
        "_telling",
        "_terms",
        "_told_too",
        "_turning",
        "_waiting",
        "dropped",
        "hits",
        "misses",
    )

    def __init__(
        self,
        engine: Engine,
        snapshots: Snapshots,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        limits: Limits,
        told_too: Callable[[Look], None] = lambda _: None,
        is_followed: Callable[[], bool] = lambda: False,
    ) -> None:
        """*told_too* is called with each look, in the event loop; *is_followed* says whether the feed is waited for."""
        self._snapshots = snapshots
        self._database = FromDatabase(snapshots=snapshots)
        self._clock = clock
        self._monotonic = monotonic
        self._limits = limits
        self._held: Remembered[_Held] = Remembered(limits.most_bytes, self._let_go)
        self._kept: dict[tuple[str | None, Subject, str], Kept] = {}
        self._flights = Flights()
        self._nobody: dict[Scope, _Held] = {}
        self._scopes: dict[str, set[Scope]] = {}
        self._terms: _Terms | None = None
        self._looked: Look | None = None
        self._waiting: list[tuple[float, asyncio.Future[None]]] = []
        self._doubting: list[asyncio.Future[None]] = []
        self._epoch = 0
        self._told_too = told_too
        self._recency = Recency(monotonic, limits.fresh_s)
        self._turning: asyncio.TimerHandle | None = None
        self._listening = Listening(
            engine,
            self._told,
            clock=clock,
            monotonic=monotonic,
            every_s=limits.fresh_s * LOOKS_EVERY,
            is_followed=is_followed,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._telling = threading.Lock()
        self.hits = self.misses = self.dropped = 0

    def start(self) -> None:
        """Begin to look for changes; until it has, nothing is remembered. In the event loop that answers."""
        self._loop = asyncio.get_running_loop()
        self._turn()
        self._listening.start()

    def stop(self) -> None:
        """Look no more. From then on the loop may be closed."""
        with self._telling:
            self._loop = None
        if self._turning is not None:
            self._turning.cancel()
        self._listening.stop()

    async def catch_up(self) -> None:
        """Return once all is seen that was committed before, or after a moment if that takes too long."""
        caught_up = asyncio.get_running_loop().create_future()
        self._waiting.append((self._monotonic(), caught_up))
        self._listening.hurry()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.miss_s):
                await caught_up

    # What is asked

    def at_hand(self, token: Token, subject: Subject, api: str) -> Kept | None:
        """
        The answer about now, if it is known without asking anybody; nothing is awaited.

        It is that of a look which began at most `fresh_s` ago, however long this process stood still before it was
        asked. None where there is no such look; only where the database is silent is an older one gone by.
        """
        question = (token.marketplace, subject, api)
        now = self._clock()
        kept = self._kept.get(question)
        degraded = not self._recency.is_fresh()
        if degraded and not self._recency.is_silent():
            return None
        if kept is None or not kept.since <= now < kept.until or kept.answer.degraded is not degraded:
            kept = self._from_held(token, subject, api, now)
            if kept is None:
                return None
        kept.held.used = True
        self.hits += 1
        return kept

    async def decision(self, token: Token, subject: Subject, api: str, at: datetime | None) -> Answer:
        """May *subject* call *api*? About another moment than now the database is asked. See `Answering`."""
        if at is not None:
            return await self._database.decision(token, subject, api, at)
        await self._out_of_doubt()
        kept = self.at_hand(token, subject, api)
        if kept is not None:
            return kept.answer
        self.misses += 1
        return await self._in_time(self._loaded(token, subject, api))

    def holder_at_hand(self, token: Token, digest: bytes) -> Subject | None:
        """Whose an API key is, if that is remembered and not in doubt. See `Answering`."""
        known, terms = self._held.get(("key", digest)), self._terms
        return None if known is None or terms is None or self.is_in_doubt() else self._holder(token, known, terms)

    def routes_at_hand(self) -> tuple[Route, ...] | None:
        """Those of the catalog in force now, if they are remembered and not in doubt. See `Answering`."""
        terms = self._terms
        return None if terms is None or self.is_in_doubt() else terms.in_force_at(self._clock()).routes

    async def holder_of(self, token: Token, digest: bytes) -> Subject | None:
        """Whose an API key is. See `Answering`."""
        await self._out_of_doubt()
        known, terms = self._held.get(("key", digest)), self._terms
        if known is not None and terms is not None:
            self.hits += 1
            return self._holder(token, known, terms)
        self.misses += 1
        return self._holder(token, *await self._in_time(self._key_and_terms(digest)))

    async def routes(self) -> tuple[Route, ...]:
        """Those of the catalog in force now. See `Answering`."""
        await self._out_of_doubt()
        terms = self._terms
        if terms is None:
            terms = await self._in_time(self._load_terms())
        return terms.in_force_at(self._clock()).routes

    # How it is

    @property
    def size(self) -> int:
        """Bytes, about, that are remembered."""
        return self._held.size

    @property
    def crowded_out(self) -> int:
        """How many customers, orgs and keys had to go for others."""
        return self._held.crowded_out

    @property
    def looked_ago(self) -> float:
        """Seconds since the last look began; infinite before the first."""
        return self._recency.ago()

    def is_degraded(self) -> bool:
        """Whether there was a look, and the database has been silent since for too long."""
        return self._looked is not None and self._recency.is_silent()

    def is_in_doubt(self) -> bool:
        """Whether there was a look, and this process may have stood still since for too long."""
        return self._looked is not None and not self._recency.is_fresh() and not self._recency.is_silent()

    def knows_anything(self) -> bool:
        """Whether anybody can be answered without the database."""
        return self._terms is not None and len(self._held) > 0

    # Doubt

    async def _out_of_doubt(self) -> None:
        """Return once what is remembered can be gone by. Raises `CannotDecide` where that takes too long."""
        while self.is_in_doubt():
            out_of_doubt = asyncio.get_running_loop().create_future()
            if not self._doubting:
                self._listening.hurry()
            self._doubting.append(out_of_doubt)
            await self._in_time(out_of_doubt)

    def _turn(self) -> None:
        """The event loop has come round; it is to come round again."""
        if self._loop is not None:
            self._recency.turn()
            self._dispel()
            self._turning = self._loop.call_later(self._recency.turn_s, self._turn)

    def _dispel(self) -> None:
        if self._doubting and not self.is_in_doubt():
            for doubting in self._doubting:
                if not doubting.done():
                    doubting.set_result(None)
            self._doubting.clear()

    # Answering

    def _holder(self, token: Token, held: _Held, terms: _Terms) -> Subject | None:
        key: ApiKey | None = held.value
        now = self._clock()
        return holder(key, token, terms.in_force_at(now)) if key is not None and key.is_valid(now) else None

    def _from_held(self, token: Token, subject: Subject, api: str, now: datetime) -> Kept | None:
        """From what is remembered of the customer, where that is enough."""
        terms = self._terms
        if terms is None:
            return None
        catalog = terms.in_force_at(now)
        scope = scope_of(token, subject.marketplace, catalog, subject.integration)
        customer: str | None = None
        if not token.denies(subject.marketplace):
            customer = _fixed(subject, catalog)
            if customer is None:
                org = self._held.get(("org", scope.integration, subject.id))
                if org is None:
                    return None
                customer = org.value
        held = self._of_nobody(scope, terms) if customer is None else self._held.get(("customer", scope, customer))
        if held is None or now < held.since:
            return None
        return self._answer(token, subject, api, terms, scope, customer, held)

    async def _loaded(self, token: Token, subject: Subject, api: str) -> Answer:
        """With the help of the database, once more where catalogs or orgs have changed meanwhile, or time."""
        while True:
            epoch = self._epoch
            terms = await self._terms_to_load_by()
            catalog = terms.in_force_at(self._clock())
            scope = scope_of(token, subject.marketplace, catalog, subject.integration)
            customer: str | None = None
            if not token.denies(subject.marketplace):
                customer = _fixed(subject, catalog) or await self._customer_of_org(scope.integration, subject.id)
            if epoch != self._epoch:
                continue
            if customer is None:
                held = self._of_nobody(scope, terms)
            else:
                held = await self._load_customer(scope, customer, terms)
            if epoch != self._epoch or terms.in_force_at(self._clock()) is not catalog:
                continue
            kept = self._answer(token, subject, api, terms, scope, customer, held)
            if kept is None:
                raise CannotDecide("What is known of this customer is too old to go on deciding by.")
            return kept.answer

    def _answer(
        self,
        token: Token,
        subject: Subject,
        api: str,
        terms: _Terms,
        scope: Scope,
        customer: str | None,
        held: _Held,
    ) -> Kept | None:
        """By what is held of the *customer*; None where that is degraded and its time is over."""
        now = max(self._clock(), held.since)
        known: _Known = held.value
        catalog = terms.in_force_at(now)
        apis = catalog.apis(integration=scope.integration, marketplace=scope.marketplace) | known.granted_apis
        found = lasting(known.standing, api, now, known_apis=apis, also=terms.boundaries)
        until, degraded = found.until, self.is_degraded()
        if degraded and self._looked is not None:
            then = max(held.since, self._looked.at)
            before = lasting(known.standing, api, then, known_apis=apis, also=terms.boundaries)
            end = before.decision.until or END_OF_TIME if before.decision.allowed else before.next_boundary
            if now >= end:
                return None
            until = min(until, end)
        if subject.type is SubjectType.ORG and subject.id in catalog.orgs and token.marketplace is not None:
            customer = customer if known.standing.named else None  # see `subjects.find`
        answer = Answer(decision=found.decision, subject=subject, customer=customer, degraded=degraded)
        kept = Kept(answer=answer, since=now, until=until, question=(token.marketplace, subject, api), held=held)
        if held.is_kept and terms is self._terms and now < until:
            self._keep(kept)
        return kept

    def _keep(self, kept: Kept) -> None:
        held = kept.held
        before = self._kept.get(kept.question)
        if before is None and len(held.answers) >= MOST_ANSWERS:
            before = held.answers[0]
        if before is not None:
            self._forget(before)
        self._kept[kept.question] = kept
        held.answers.append(kept)
        if before is None and held.size:
            self._held.grow(held, SIZE_OF_ANSWER)

    def _of_nobody(self, scope: Scope, terms: _Terms) -> _Held:
        """What is known of a customer that is none."""
        held = self._nobody.get(scope)
        if held is None:
            known = _Known(standing=standing(NOBODY, scope, terms.revisions), granted_apis=frozenset())
            held = _Held(value=known, since=BEGINNING_OF_TIME, size=0, is_kept=terms is self._terms)
            if held.is_kept:
                self._nobody[scope] = held
        return held

    # Loading

    async def _in_time(self, load: Awaitable[Loaded]) -> Loaded:
        """
        Raises `CannotDecide` where it takes too long; it goes on all the same, for who asks again.

        Too long is also what came in time for the loop and late by the clock: this process stood still meanwhile, and
        what was read before may be true no more.
        """
        began = self._monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.miss_s):
                loaded = await load
            if self._monotonic() - began <= self._limits.miss_s + LATE_S:
                return loaded
        raise CannotDecide(f"The database has not answered in {self._limits.miss_s:g} s.")

    async def _terms_to_load_by(self) -> _Terms:
        """Those remembered, unless the look they rest on lies too far back."""
        terms = self._terms
        return terms if terms is not None and self._recency.is_fresh() else await self._load_terms()

    async def _load_terms(self) -> _Terms:
        def keep(terms: _Terms) -> None:
            if self._looked is not None and self._terms is None:
                self._terms = terms

        async def load() -> _Terms:
            revisions = await self._snapshots.look_up(revisions_in)
            moments = (each.in_force_from for each in revisions.revisions)
            return _Terms(revisions=revisions, boundaries=tuple(each for each in moments if each is not None))

        return await self._flights.join("terms", load, keep)

    async def _customer_of_org(self, integration: str, org: str) -> str | None:
        """What an operator set the org to."""

        def setting(connection: Connection) -> str | None:
            found = setting_of(connection, integration=integration, org=org)
            return None if found is None else found.customer

        held = await self._load(("org", integration, org), setting)
        customer: str | None = held.value
        return customer

    async def _key_and_terms(self, digest: bytes) -> tuple[_Held, _Terms]:
        held = await self._load(("key", digest), lambda connection: key_of_digest(connection, digest))
        return held, await self._terms_to_load_by()

    async def _load_customer(self, scope: Scope, customer: str, terms: _Terms) -> _Held:
        since = self._clock()

        def known(connection: Connection) -> _Known:
            facts = facts_of(connection, integration=scope.integration, customer=customer)
            everything = standing(facts, scope, terms.revisions)
            return _Known(standing=from_now_on(everything, since), granted_apis=granted_apis(everything))

        self._scopes.setdefault(scope.integration, set()).add(scope)
        return await self._load(("customer", scope, customer), known)

    async def _load(self, name: tuple[Any, ...], question: Callable[[Connection], Any]) -> _Held:
        """
        What is remembered under *name* or, with no such thing, what the database says. A memory that is degraded asks
        the database all the same: what it knows has not been enough, or nobody would ask. So does one that has come to
        be in doubt while whoever asks waited for something else.
        """
        found = self._held.get(name) if self._recency.is_fresh() else None
        if (
            found is not None and found.since <= self._clock()
        ):  # else the clock went back: it holds what matters since then
            return found

        async def load() -> _Held:
            since = self._clock()
            value = await self._snapshots.look_up(question)
            return _Held(value=value, since=since, size=_size_of(value))

        def keep(held: _Held) -> None:
            if self._looked is not None:
                held.is_kept = True
                self._held.put(name, held)

        return await self._flights.join(name, load, keep)

    # Dropping

    def _told(self, look: Look) -> None:
        """Called by the thread that looks."""
        with self._telling:  # to wake a loop of uvloop's that is being closed was seen to end the process
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self.take, look)

    def take(self, look: Look) -> None:
        """Drop what a look found to be changed; what is left is true as of that look."""
        learnt = look.learnt
        if learnt.everything or self._looked is None:
            self._epoch += 1
            self._terms = None
            self._nobody.clear()
            self._scopes.clear()
            self._kept.clear()
            self.dropped += self._held.clear()
            self._flights.overtake_all()
        for customer in learnt.customers:
            for scope in self._scopes.get(customer.integration, ()):
                self._drop(("customer", scope, customer.customer))
        for integration, org in learnt.orgs:
            self._drop(("org", integration, org))
        if learnt.orgs:
            self._epoch += 1
            names = {org for _, org in learnt.orgs}
            for kept in [kept for kept in self._kept.values() if kept.answer.subject.id in names]:
                self._forget(kept)
        for digest in learnt.keys:
            self._drop(("key", digest))
        self._looked = look
        self._recency.looked(look.began)
        self._dispel()
        self._told_too(look)
        for since, caught_up in self._waiting:
            if since <= look.began and not caught_up.done():
                caught_up.set_result(None)
        self._waiting = [each for each in self._waiting if not each[1].done()]

    def _drop(self, name: tuple[Any, ...]) -> None:
        self._flights.overtake(name)
        self.dropped += self._held.drop(name)

    def _let_go(self, held: _Held) -> None:
        """What rested on it is no longer answered from memory."""
        held.is_kept = False
        for kept in tuple(held.answers):
            self._forget(kept)

    def _forget(self, kept: Kept) -> None:
        self._kept.pop(kept.question, None)
        kept.held.answers.remove(kept)


def _fixed(subject: Subject, catalog: Catalog) -> str | None:
    """Who the subject is, unless it is an org: those the catalog names are fixed by it, any other by an operator."""
    if subject.type is SubjectType.CUSTOMER:
        return subject.id
    named = catalog.orgs.get(subject.id)
    return None if named is None else named.customer


def _size_of(value: Any) -> int:
    """About how many bytes remembering it takes."""
    if not isinstance(value, _Known):
        return SIZE_OF_NAME
    known = value.standing
    periods = len(known.billed.spans) + len(known.billed.closed) + len(known.manual) + len(known.blocked)
    return SIZE_OF_CUSTOMER + SIZE_OF_CYCLE * len(known.billed.cycles) + SIZE_OF_PERIOD * periods
