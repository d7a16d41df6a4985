"""What is to be done with a delivery that is Stripe's: publish, complete, ignore, or refuse it, and why. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

import msgspec

from ingest.questions import lines_left_out, payments_left_out
from ingest.redaction import redacted
from ingest.thin import THIN, Thin, account_of, faults_of_thin, read_thin, snapshot_type
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

INCOMPLETE = "ce_incomplete"
"""The header that names what Stripe has of an event's object and the record lacks."""

LINES, PAYMENTS = "lines", "payments"
"""
All that a record may lack: the lines of its object after the first ten, and by what an invoice was paid. Where it lacks
both, the header names both, with a comma.
"""


class NotAnEvent(Exception):
    """A signed body that isn't a Stripe event; the text says what is missing and never what the body says instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """One Stripe account, its mode and its webhook endpoint; *accounts* are the Connect accounts it also takes."""

    name: str
    mode: Literal["test", "live"]
    signing_secrets: tuple[str, ...] = field(repr=False)
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
    """Acknowledge the event once this record is on its topic; *incomplete* is what it lacks, as its header says."""

    event_id: str
    event_type: str
    topic: str
    key: bytes
    value: bytes
    headers: Headers
    incomplete: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Short:
    """Publish *event* once what it leaves out of its object has been fetched, or can't be."""

    event: Mapping[str, Any]
    traceparent: str

    @property
    def event_id(self) -> str:
        name: str = self.event["id"]
        return name

    @property
    def event_type(self) -> str:
        name: str = self.event["type"]
        return name


def decide(body: bytes, integration: Integration, traceparent: str) -> Publish | Short | Thin | Ignore:
    """
    What to do with *body*, which *integration*'s signature has been found on.

    Raises `NotAnEvent` for what no retry will mend.
    """
    try:
        event = msgspec.json.decode(body)
        if not isinstance(event, dict):
            raise NotAnEvent("the body is JSON, but not an object")
        thin = event.get("object") == THIN
        if faults := _faults(event, thin=thin):
            raise NotAnEvent(f"the body is not a Stripe event: {'; '.join(faults)}")
        if reason := _reason_to_ignore(event, integration, thin=thin):
            return Ignore(event_id=event["id"], event_type=event["type"], reason=reason)
        if thin:
            if faults := faults_of_thin(event):
                raise NotAnEvent(f"the body is not a thin event: {'; '.join(faults)}")
            return read_thin(event, traceparent)
        if lines_left_out(event) or payments_left_out(event):
            return Short(event=event, traceparent=traceparent)
        return record_of(event, integration.name, traceparent)
    except RecursionError:
        raise NotAnEvent("the body is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise NotAnEvent("the body is not JSON") from None


def record_of(event: dict[str, Any], integration: str, traceparent: str | None, *, incomplete: str = "") -> Publish:
    """
    The record of an event of *integration*, redacted, which uses *event* up.

    Raises `RecursionError` where it is nested too deeply.
    """
    event, written = redacted(event)
    key, value, headers = encode_stripe(integration=integration, event=event, traceparent=traceparent, written=written)
    if incomplete:
        headers.append((INCOMPLETE, incomplete.encode()))
    return Publish(
        event_id=event["id"],
        event_type=event["type"],
        topic=EVENTS,
        key=key,
        value=value,
        headers=headers,
        incomplete=incomplete,
    )


def is_published(event_type: str) -> bool:
    """Whether snapshot events of this type go on the topic."""
    return event_type in PUBLISHED_TYPES or (
        event_type.startswith(PUBLISHED_FAMILIES) and event_type not in UNPUBLISHED_TYPES
    )


def _reason_to_ignore(event: Mapping[str, Any], integration: Integration, *, thin: bool) -> IgnoredFor | None:
    if not is_published(snapshot_type(event) if thin else event["type"]):
        return IgnoredFor.TYPE
    if event["livemode"] != (integration.mode == "live"):
        return IgnoredFor.MODE
    account = account_of(event) if thin else event.get("account")  # Connect only; without it it is the integration's
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
