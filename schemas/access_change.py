"""
What gateways are told of a customer, as it travels on `entitlements.changes.v1` (contract, section 8). Pure.

A value is the customer's whole state: for each API the stretches of time in which its answer stays the same, from
*as_of* on and without end. So whoever has it decides by itself at any later moment, as the query process would if
nothing more became known. The page where an invoice is paid is left out on purpose: it opens the invoice to whoever
has it, and gateways keep this.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import msgspec

from schemas.fields import LARGEST_INTEGER, InvalidMessage, Json
from schemas.operator_acts import Encoded, rfc3339

ACCESS_CHANGED = "entitle.access.changed.v1"
"""`ce_type` of a customer's state."""

Name = Annotated[str, msgspec.Meta(min_length=1)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Names = Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)]


class Span(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`[start, end)`; without an *end* it never ends."""

    start: Moment
    end: Moment | None = None


class QuotaGiven(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """At most *limit* of *unit* per *per*, added up over what was paid; *enforcement* is strict or loose."""

    name: Name
    limit: int
    unit: Name
    per: Name
    enforcement: Name


class Stretch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    During `[start, end)` the answer is this one; the members are those of an answer's context (contract, section 6).

    *until* is when the answer would turn to a denial: later than *end* where another stretch that allows follows.
    """

    start: Moment
    end: Moment | None = None
    decision: bool
    reason: Name
    status: int
    plan: Name | None = None
    invoice: Name | None = None
    cycle: Span | None = None
    until: Moment | None = None
    quotas: tuple[QuotaGiven, ...] = ()


class ApiAccess(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    The answers about any of *apis*, for questions about any of *marketplaces*: None is one that names no marketplace.

    The first of *stretches* starts when the state does, each next one where the one before ends, the last has no end.
    """

    apis: Names
    marketplaces: Annotated[tuple[Name | None, ...], msgspec.Meta(min_length=1)]
    stretches: Annotated[tuple[Stretch, ...], msgspec.Meta(min_length=1)]


class Boundary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    At the moment *at*, time alone made the answer about *apis* another one: `opened`, `closed` or `changed`.

    *before* and *after* are the reasons; both are `paid` where one paid cycle followed on from another.
    """

    at: Moment
    apis: Names
    marketplaces: Annotated[tuple[Name | None, ...], msgspec.Meta(min_length=1)]
    change: Name
    before: Name
    after: Name


class AccessChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    The state of a customer of an integration, in place of every one of a smaller *seq*.

    An API that is not in *access* is unknown. *catalog_revision* is the newest that was known; a later one by which
    nothing changes is not told. *boundaries* are those that were passed since the state before.
    """

    seq: Annotated[int, msgspec.Meta(ge=1, le=LARGEST_INTEGER)]
    integration: Name
    customer: Name
    as_of: Moment
    orgs: tuple[Name, ...] = ()
    catalog_revision: int | None = None
    blocked: tuple[Span, ...] = ()
    access: tuple[ApiAccess, ...] = ()
    boundaries: tuple[Boundary, ...] = ()

    def stretch_at(self, api: str, at: datetime, *, marketplace: str | None = None) -> Stretch | None:
        """The answer at a moment not before *as_of*; None where the API is unknown."""
        for group in self.access:
            if api in group.apis and marketplace in group.marketplaces:
                return next(each for each in group.stretches if each.end is None or at < each.end)
        return None

    def seen_by(self, marketplace: str) -> AccessChange:
        """The same as one marketplace may know it: what others sell does not exist."""
        alone = (marketplace,)
        return msgspec.structs.replace(
            self,
            access=tuple(
                msgspec.structs.replace(each, marketplaces=alone)
                for each in self.access
                if marketplace in each.marketplaces
            ),
            boundaries=tuple(
                msgspec.structs.replace(each, marketplaces=alone)
                for each in self.boundaries
                if marketplace in each.marketplaces
            ),
        )


_CHANGE = msgspec.json.Decoder(AccessChange)


def encode_access_change(change: AccessChange) -> Encoded:
    """Key, value and headers of a customer's state on `entitlements.changes.v1`; the key is `integration|customer`."""
    key = f"{change.integration}|{change.customer}"
    headers = {
        "ce_specversion": "1.0",
        "ce_id": f"{key}|{change.seq}",
        "ce_source": "/entitle/relay",
        "ce_type": ACCESS_CHANGED,
        "ce_time": rfc3339(change.as_of),
        "ce_subject": change.customer,
        "ce_integration": change.integration,
        "ce_seq": str(change.seq),
        "content-type": "application/json",
    }
    written = msgspec.json.encode(change)
    return key.encode(), written, [(name, each.encode()) for name, each in headers.items()]


def read_access_change(body: Json) -> AccessChange:
    """The state that *body* is. Raises `InvalidMessage` for what lacks something, or is of another type."""
    return _read(lambda: msgspec.convert(body, AccessChange))


def decode_access_change(text: str) -> AccessChange:
    """The same from JSON."""
    return _read(lambda: _CHANGE.decode(text))


def _read(reading: Callable[[], AccessChange]) -> AccessChange:
    try:
        return reading()
    except msgspec.MsgspecError as error:
        raise InvalidMessage(f"{ACCESS_CHANGED}: {error}") from error
