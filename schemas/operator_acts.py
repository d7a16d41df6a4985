"""
What operators do for one customer, as it travels on `billing.operator-commands.v1` (contract, R10, section 8). Pure.

The value holds all of it; of the headers only `ce_type` is needed to read it. An act stands for ever once published:
what takes it back is another act.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import msgspec

from schemas.fields import LAST_YEAR, InvalidMessage, Json, quoted, text

Encoded = tuple[bytes, bytes, list[tuple[str, bytes]]]
"""A record's key, value and headers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessGranted:
    """The APIs of *plan* or, where that is None, *apis* are open to a customer during `[start, end)`."""

    id: str
    integration: str
    customer: str
    plan: str | None
    apis: tuple[str, ...]
    start: datetime
    end: datetime | None
    at: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRevoked:
    """The manual grant of the id *grant* is over from *since* on."""

    id: str
    integration: str
    customer: str
    grant: str
    since: datetime
    at: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerBlocked:
    """A customer may call nothing during `[start, end)`; until it is unblocked where *end* is None."""

    id: str
    integration: str
    customer: str
    start: datetime
    end: datetime | None
    at: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerUnblocked:
    """Every block of a customer that was said before this is over from *since* on."""

    id: str
    integration: str
    customer: str
    since: datetime
    at: datetime
    by: str
    reason: str


OperatorAct = AccessGranted | AccessRevoked | CustomerBlocked | CustomerUnblocked

ACT_TYPES: Mapping[type[OperatorAct], str] = MappingProxyType(
    {
        AccessGranted: "entitle.access.granted.v1",
        AccessRevoked: "entitle.access.revoked.v1",
        CustomerBlocked: "entitle.customer.blocked.v1",
        CustomerUnblocked: "entitle.customer.unblocked.v1",
    }
)
"""The `ce_type` of each."""


def encode_act(act: OperatorAct) -> Encoded:
    """Key, value and headers of an operator's act on `billing.operator-commands.v1`; the key is the customer."""
    said = {name: _plain(getattr(act, name)) for name in act.__slots__}
    if isinstance(act, AccessGranted):
        del said["plan" if act.plan is None else "apis"]
    headers = {
        "ce_specversion": "1.0",
        "ce_id": act.id,
        "ce_source": "/entitle/operators",
        "ce_type": ACT_TYPES[type(act)],
        "ce_time": rfc3339(act.at),
        "ce_integration": act.integration,
        "content-type": "application/json",
    }
    return act.customer.encode(), msgspec.json.encode(said), [(name, each.encode()) for name, each in headers.items()]


def read_act(ce_type: str, body: Json) -> OperatorAct | None:
    """
    The act that *body* is by its `ce_type`; None for a type that is no act's.

    Raises `InvalidMessage` for what lacks something, or says what cannot be.
    """
    reader = _READERS.get(ce_type)
    return None if reader is None else reader(body, f"{ce_type} {quoted(body.get('id'))}")


def _granted(body: Json, what: str) -> AccessGranted:
    plan, apis = body.get("plan"), body.get("apis")
    if (plan is None) == (apis is None):
        raise InvalidMessage(f"{what} must name either a plan or apis")
    if plan is not None:
        plan = text(body, "plan", what)
    elif not isinstance(apis, list) or not apis or not all(isinstance(api, str) and api for api in apis):
        raise InvalidMessage(f"{what}: apis must be a list of at least one name")
    start, end = _period(body, what)
    return AccessGranted(**_of_whom(body, what), plan=plan, apis=tuple(apis or ()), start=start, end=end)


def _revoked(body: Json, what: str) -> AccessRevoked:
    since = written_moment(body, "since", what)
    return AccessRevoked(**_of_whom(body, what), grant=text(body, "grant", what), since=since)


def _blocked(body: Json, what: str) -> CustomerBlocked:
    start, end = _period(body, what)
    return CustomerBlocked(**_of_whom(body, what), start=start, end=end)


def _unblocked(body: Json, what: str) -> CustomerUnblocked:
    return CustomerUnblocked(**_of_whom(body, what), since=written_moment(body, "since", what))


_READERS: Mapping[str, Callable[[Json, str], OperatorAct]] = MappingProxyType(
    {
        ACT_TYPES[AccessGranted]: _granted,
        ACT_TYPES[AccessRevoked]: _revoked,
        ACT_TYPES[CustomerBlocked]: _blocked,
        ACT_TYPES[CustomerUnblocked]: _unblocked,
    }
)


def _of_whom(body: Json, what: str) -> dict[str, Any]:
    """What every act says: its id, of whom, when, by whom and why."""
    said = {name: text(body, name, what) for name in ("id", "integration", "customer", "by", "reason")}
    return {**said, "at": written_moment(body, "at", what)}


def _period(body: Json, what: str) -> tuple[datetime, datetime | None]:
    start = written_moment(body, "start", what)
    end = None if body.get("end") is None else written_moment(body, "end", what)
    if end is not None and end <= start:
        raise InvalidMessage(f"{what}: end {rfc3339(end)} is not after start {rfc3339(start)}")
    return start, end


def rfc3339(moment: datetime) -> str:
    """A moment as it travels: in UTC."""
    written: str = msgspec.to_builtins(moment.astimezone(UTC))
    return written


def written_moment(holder: Json, name: str, what: str) -> datetime:
    """A time as RFC 3339 writes it, with its zone: without one it would mean another moment on another machine."""
    value = holder.get(name)
    try:
        found = datetime.fromisoformat(value)  # type: ignore[arg-type]  # what is no text raises TypeError
        if found.tzinfo is None:
            raise ValueError("no time zone")
        found = found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidMessage(f"{what}: {name} {quoted(value)} is not a time") from error
    if found.year > LAST_YEAR:
        raise InvalidMessage(f"{what}: {name} is in the year {found.year}")
    return found


def _plain(value: Any) -> Any:
    return rfc3339(value) if isinstance(value, datetime) else value
