"""What is to be done with a delivery that is Stripe's: publish, ignore, or refuse it, and why. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import msgspec

from ingest.redaction import redacted
from schemas.codec import Headers, encode_stripe
from schemas.fields import InvalidMessage, mapping, moment
from schemas.topics import EVENTS

PUBLISHED_FAMILIES = (
    "charge.dispute.",
    "credit_note.",
    "customer.subscription.",
    "invoice.",
    "invoice_payment.",
    "refund.",
)
PUBLISHED_TYPES = frozenset({"charge.refund.updated", "charge.refunded", "charge.succeeded", "customer.deleted"})
UNPUBLISHED_TYPES = frozenset({"invoice.upcoming"})
"""Of a published family, but about an invoice that isn't stored. The three are the list of the contract's section 4."""

THIN = "v2.core.event"
"""`object` of a thin event: it names what changed and doesn't carry it."""


class NotAnEvent(Exception):
    """A signed body that isn't a Stripe event; the text says what is missing and never what the body says instead."""


class ThinEventNotFetched(Exception):
    """
    A thin event whose object would be needed, and which can't be fetched from Stripe: that isn't built yet.

    Give the event destination in Stripe the payload style "snapshot", with the same event types without `v1.`.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """One Stripe account, its mode and its webhook endpoint; *accounts* are the Connect accounts it also takes."""

    name: str
    mode: Literal["test", "live"]
    signing_secrets: tuple[str, ...]
    accounts: frozenset[str] = frozenset()


class IgnoredFor(StrEnum):
    """Why an event is acknowledged and not published."""

    TYPE = "type"
    MODE = "mode"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignore:
    """Acknowledge the event and keep nothing of it."""

    event_id: str
    event_type: str
    reason: IgnoredFor


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Acknowledge the event once this record is on its topic."""

    event_id: str
    event_type: str
    topic: str
    key: bytes
    value: bytes
    headers: Headers


def decide(body: bytes, integration: Integration, traceparent: str) -> Publish | Ignore:
    """
    What to do with *body*, which *integration*'s signature has been found on.

    Raises `NotAnEvent` for what no retry will mend, `ThinEventNotFetched` for what a later version may take.
    """
    try:
        event = msgspec.json.decode(body)
        if not isinstance(event, dict):
            raise NotAnEvent("the body is JSON, but not an object")
        thin = event.get("object") == THIN
        if faults := _faults(event, thin=thin):
            raise NotAnEvent(f"the body is not a Stripe event: {'; '.join(faults)}")
        event_id, event_type = event["id"], event["type"]
        if reason := _reason_to_ignore(event, event_type.removeprefix("v1.") if thin else event_type, integration):
            return Ignore(event_id=event_id, event_type=event_type, reason=reason)
        if thin:
            raise ThinEventNotFetched(
                f"{event_type} is a thin event, and fetching what it is about from Stripe is not built yet; "
                'choose the payload style "snapshot" for this event destination in Stripe'
            )
        key, value, headers = encode_stripe(
            integration=integration.name, event=redacted(event), traceparent=traceparent
        )
    except RecursionError:
        raise NotAnEvent("the body is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise NotAnEvent("the body is not JSON") from None
    return Publish(event_id=event_id, event_type=event_type, topic=EVENTS, key=key, value=value, headers=headers)


def is_published(event_type: str) -> bool:
    """Whether snapshot events of this type go on the topic."""
    return event_type in PUBLISHED_TYPES or (
        event_type.startswith(PUBLISHED_FAMILIES) and event_type not in UNPUBLISHED_TYPES
    )


def _reason_to_ignore(event: Mapping[str, Any], snapshot_type: str, integration: Integration) -> IgnoredFor | None:
    if not is_published(snapshot_type):
        return IgnoredFor.TYPE
    if event["livemode"] != (integration.mode == "live"):
        return IgnoredFor.MODE
    account = event.get("account")  # Connect only; without it the event is the integration's own
    if account is not None and account not in integration.accounts:
        return IgnoredFor.ACCOUNT
    return None


def _faults(event: Mapping[str, Any], *, thin: bool) -> list[str]:
    faults = [f"{name} is not a printable text" for name in ("id", "type") if not _is_printable(event.get(name))]
    if not isinstance(event.get("livemode"), bool):
        faults.append("livemode is not true or false")
    if not isinstance(event.get("account"), str | None):
        faults.append("account is not a text")
    if thin:
        return faults
    try:
        moment(event, "created", "event")
    except InvalidMessage:
        faults.append("created is not a time in whole Unix seconds")
    if not isinstance(mapping(event.get("data")).get("object"), dict):
        faults.append("data.object is not an object")
    return faults


def _is_printable(value: object) -> bool:
    """Ids and types go into headers and log lines, where a line break would forge another line."""
    return isinstance(value, str) and value.isprintable() and value != ""
