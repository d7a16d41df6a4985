"""
What gateways are told, behind one seam: the decision, whose an API key is, which routes there are. Edge: Postgres.

`FromDatabase` asks the database each time. Whatever else answers, from what it remembers, keeps the same promises: it
raises `CannotDecide` rather than guess, is never more generous than the facts, and says when it is *degraded*.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from entitlements.api.snapshots import Snapshot, Snapshots
from entitlements.api.subjects import Subject, SubjectType, find
from entitlements.api.tokens import NOWHERE, Token, scope_of
from entitlements.domain.access import decide
from entitlements.domain.catalog import Catalog, Route
from entitlements.domain.decision import Decision
from entitlements.keys import ApiKey, key_of_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """
    What a gateway is told. *subject* is whom it is about, as named; *customer* who that is, None where nobody knows.

    *degraded* says that the database is away: the answer rests on what was known before.
    """

    decision: Decision
    subject: Subject
    customer: str | None
    degraded: bool = False


class AtHand(Protocol):
    """An answer that is known, the same until *until*; *rendered* is for who writes it out: what it wrote before."""

    @property
    def answer(self) -> Answer: ...

    @property
    def until(self) -> datetime: ...

    @property
    def rendered(self) -> dict[Any, Any]: ...


class Answering(Protocol):
    """Who answers gateways. Each raises `CannotDecide` where it can't be known."""

    def at_hand(self, token: Token, subject: Subject, api: str) -> AtHand | None:
        """The answer about now, if it is known without asking anybody."""
        ...

    def holder_at_hand(self, token: Token, digest: bytes) -> Subject | None:
        """As `holder_of`, if it is known without asking anybody; None too where nobody holds the key."""
        ...

    def routes_at_hand(self) -> tuple[Route, ...] | None:
        """As `routes`, if they are known without asking anybody."""
        ...

    async def decision(self, token: Token, subject: Subject, api: str, at: datetime | None) -> Answer:
        """May *subject* call *api*, at the moment *at* (None: now)? Raises `UnclearScope` too."""
        ...

    async def holder_of(self, token: Token, digest: bytes) -> Subject | None:
        """Whose the API key of this SHA-256 is; None where nobody holds it, or none that *token* may know of."""
        ...

    async def routes(self) -> tuple[Route, ...]:
        """Those of the catalog in force now: the same tuple as long as it is the same catalog."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FromDatabase:
    """Answers as the database has them at the moment of each question."""

    snapshots: Snapshots

    def at_hand(self, token: Token, subject: Subject, api: str) -> None:
        """Nothing is known without asking."""

    def holder_at_hand(self, token: Token, digest: bytes) -> None:
        """Nobody is known without asking."""

    def routes_at_hand(self) -> None:
        """None are known without asking."""

    async def decision(self, token: Token, subject: Subject, api: str, at: datetime | None) -> Answer:
        """May *subject* call *api*? Raises `UnclearScope` and `CannotDecide`."""
        return await self.snapshots.ask(lambda snapshot: decided(snapshot, token, subject, api, at))

    async def holder_of(self, token: Token, digest: bytes) -> Subject | None:
        """Whose the API key is. Raises `CannotDecide`."""
        return await self.snapshots.ask(lambda snapshot: holder_in(snapshot, token, digest))

    async def routes(self) -> tuple[Route, ...]:
        """Those of the catalog in force now. Raises `CannotDecide`."""
        return await self.snapshots.ask(lambda snapshot: snapshot.terms()[1].routes)


def decided(snapshot: Snapshot, token: Token, subject: Subject, api: str, at: datetime | None) -> Answer:
    """The decision by what *snapshot* shows. Raises `UnclearScope` and `CannotDecide`."""
    found = find(snapshot, token, subject)
    decision = decide(found.standing, api, at or snapshot.now, known_apis=found.apis)
    return Answer(decision=decision, subject=subject, customer=found.customer)


def holder_in(snapshot: Snapshot, token: Token, digest: bytes) -> Subject | None:
    """Whose the API key is by what *snapshot* shows. Raises `CannotDecide`."""
    key = key_of_digest(snapshot.connection, digest)
    if key is None or not key.is_valid(snapshot.now):
        return None
    return holder(key, token, snapshot.terms()[1])


def holder(key: ApiKey, token: Token, catalog: Catalog) -> Subject | None:
    """
    Whom a valid *key* makes known to the bearer of *token*: a key of another integration or another marketplace than
    the token's is nobody's there.
    """
    if token.marketplace is not None:
        own = scope_of(token, None, catalog).integration
        if own == NOWHERE or own != key.integration or token.denies(key.marketplace):
            return None
    return Subject(type=SubjectType(key.kind), id=key.holder, marketplace=key.marketplace, integration=key.integration)
