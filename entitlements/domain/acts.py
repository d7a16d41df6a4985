"""
What operators did for one customer: manual grants and their revocation, blocks and their lifting (R10). Pure.

Facts like those of `facts.py`: they travel through Kafka and are replayed like what Stripe says. Each has the *id* of
its message; *at* is when the operator said it, *by* who, *reason* why.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from entitlements.domain.identity import memo, remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class ManualGrant:
    """
    A customer may call the APIs of *plan* or, where that is None, *apis*, during `[start, end)`; for ever if None.
    """

    integration: str
    customer: str
    id: str
    plan: str | None
    apis: tuple[str, ...]
    start: datetime
    end: datetime | None
    at: datetime
    by: str
    reason: str
    _digest: bytes | None = memo()

    @property
    def digest(self) -> bytes:
        return remembered(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManualRevocation:
    """The manual grant of that id is over from *since* on."""

    integration: str
    customer: str
    id: str
    grant: str
    since: datetime
    at: datetime
    by: str
    reason: str
    _digest: bytes | None = memo()

    @property
    def digest(self) -> bytes:
        return remembered(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A customer may call nothing during `[start, end)`, whatever is paid; until it is lifted where *end* is None."""

    integration: str
    customer: str
    id: str
    start: datetime
    end: datetime | None
    at: datetime
    by: str
    reason: str
    _digest: bytes | None = memo()

    @property
    def digest(self) -> bytes:
        return remembered(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unblock:
    """Every block of a customer that was said before this is over from *since* on."""

    integration: str
    customer: str
    id: str
    since: datetime
    at: datetime
    by: str
    reason: str
    _digest: bytes | None = memo()

    @property
    def digest(self) -> bytes:
        return remembered(self)
