"""
Bytes to messages and back, with their CloudEvents headers (contract, section 8). Pure.

CloudEvents 1.0, Kafka protocol binding, binary content mode: the value is the data, the attributes are headers named
`ce_…` in UTF-8. Whatever can't be read raises `InvalidMessage`; nothing else may escape from `decode`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from schemas.access_change import ACCESS_CHANGED, AccessChange, read_access_change
from schemas.fields import InvalidMessage as InvalidMessage
from schemas.fields import id_of, quoted
from schemas.operator_acts import OperatorAct, read_act, rfc3339, written_moment
from schemas.stripe_event import EventHead, Invoice, read_head, read_invoice
from schemas.topics import EVENTS, OPERATOR_COMMANDS

Headers = list[tuple[str, bytes]]

CATALOG_APPLIED = "entitle.catalog.applied.v1"
"""`ce_type` of a catalog revision on the operators' topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeMessage:
    """
    A Stripe event as it travels: verified and redacted, otherwise as Stripe sent it.

    What several groups ask of it is read once.
    """

    integration: str
    event: Mapping[str, Any]
    _read: tuple[Invoice | None] | None = field(default=None, init=False, repr=False, compare=False)
    _head: EventHead | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def head(self) -> EventHead:
        """What it says of itself (`read_head`)."""
        if self._head is None:
            object.__setattr__(self, "_head", read_head(self.event))
        return self._head  # type: ignore[return-value]  # it was set just now

    @property
    def invoice(self) -> Invoice | None:
        """The invoice that it is about, or None (`read_invoice`)."""
        if self._read is None:
            object.__setattr__(self, "_read", (read_invoice(self.event),))
        return self._read[0]  # type: ignore[index]  # it was set just now


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogApplied:
    """
    A numbered catalog revision, in force from a moment on.

    *in_force_from* is None for the first, which holds from the beginning of time; *document* is the catalog's YAML
    as plain data, without the names of its secrets' values: those never leave the environment.
    """

    number: int
    in_force_from: datetime | None
    applied_by: str
    document: Mapping[str, Any]


Message = StripeMessage | CatalogApplied | OperatorAct


def encode_stripe(
    *, integration: str, event: Mapping[str, Any], traceparent: str | None = None, written: bytes | None = None
) -> tuple[bytes, bytes, Headers]:
    """
    Key, value and headers of a Stripe event on `billing.events.v1`; *written* is it as JSON, where that is at hand.

    The key is the object's `customer`, else the payment's id (payment intent or charge), else the object's own id.
    """
    headers: Headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", event["id"].encode()),
        ("ce_source", f"/stripe/{integration}".encode()),
        ("ce_type", event["type"].encode()),
        ("ce_time", rfc3339(datetime.fromtimestamp(event["created"], UTC)).encode()),
        ("ce_integration", integration.encode()),
        ("ce_apiversion", str(event.get("api_version") or "unknown").encode()),
        ("ce_mode", b"live" if event.get("livemode") else b"test"),
        ("content-type", b"application/json"),
    ]
    if traceparent is not None:
        headers.append(("traceparent", traceparent.encode()))
    value = msgspec.json.encode(event) if written is None else written
    return key_of(event["data"]["object"]).encode(), value, headers


def key_of(stripe_object: Mapping[str, Any]) -> str:
    """
    Whom a record is about: a customer, or failing that a payment.

    The payment intent comes before the charge: a charge, its refunds and disputes and its invoice payment all name it.
    """
    payment = stripe_object.get("payment")  # an invoice payment's, which names no customer
    named = payment if isinstance(payment, dict) else stripe_object
    return (
        id_of(stripe_object.get("customer"))
        or id_of(named.get("payment_intent"))
        or id_of(named.get("charge"))
        or id_of(stripe_object.get("id"))
        or ""
    )


def encode_catalog(revision: CatalogApplied, *, at: datetime) -> tuple[bytes, bytes, Headers]:
    """Key, value and headers of a catalog revision on `billing.operator-commands.v1`, published at *at*."""
    value = {
        "number": revision.number,
        "in_force_from": None if revision.in_force_from is None else rfc3339(revision.in_force_from),
        "applied_by": revision.applied_by,
        "document": revision.document,
    }
    headers: Headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", f"catalog-{revision.number}".encode()),
        ("ce_source", b"/entitle/catalog"),
        ("ce_type", CATALOG_APPLIED.encode()),
        ("ce_time", rfc3339(at).encode()),
        ("content-type", b"application/json"),
    ]
    return b"catalog", msgspec.json.encode(value), headers


def decode(topic: str, value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> Message:
    """
    The message in a record of *topic*.

    Raises `InvalidMessage` for an empty value, one that is not a JSON object, missing or broken headers, a type or
    a topic that this version does not know.
    """
    attributes, body = dict(headers), _body(value)
    match topic:
        case _ if topic == EVENTS:
            return StripeMessage(integration=_header(attributes, "ce_integration"), event=body)
        case _ if topic == OPERATOR_COMMANDS:
            return _operator_command(_header(attributes, "ce_type"), body)
        case _:
            raise InvalidMessage(f"nothing is known about messages of topic {topic}")


def decode_change(value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> AccessChange:
    """
    The customer's state in a record of `entitlements.changes.v1`, which no consumer of ours reads.

    Raises `InvalidMessage` as `decode` does.
    """
    attributes, body = dict(headers), _body(value)
    kind = _header(attributes, "ce_type")
    if kind != ACCESS_CHANGED:
        raise InvalidMessage(f"ce_type {quoted(kind)} is not a change of access that this version knows")
    return read_access_change(body)


def _body(value: bytes | None) -> dict[str, Any]:
    if value is None:
        raise InvalidMessage("the record has no value")
    try:
        body = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidMessage(f"the value is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise InvalidMessage(f"the value is a JSON {type(body).__name__}, not an object")
    return body


def _operator_command(kind: str, body: dict[str, Any]) -> CatalogApplied | OperatorAct:
    if kind == CATALOG_APPLIED:
        return _catalog(body)
    act = read_act(kind, body)
    if act is None:
        raise InvalidMessage(f"ce_type {quoted(kind)} is not an operator's command that this version knows")
    return act


def _catalog(body: dict[str, Any]) -> CatalogApplied:
    number, document = body.get("number"), body.get("document")
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise InvalidMessage(f"a catalog revision's number must be a whole number from 1 on, not {quoted(number)}")
    what = f"catalog revision {number}"
    if not isinstance(document, dict):
        raise InvalidMessage(f"{what} has no document")
    return CatalogApplied(
        number=number,
        in_force_from=None if body.get("in_force_from") is None else written_moment(body, "in_force_from", what),
        applied_by=str(body.get("applied_by") or "unknown"),
        document=document,
    )


def _header(attributes: Mapping[str, bytes], name: str) -> str:
    try:
        value = attributes[name].decode()
    except KeyError as error:
        raise InvalidMessage(f"the header {name} is missing") from error
    except (UnicodeDecodeError, AttributeError) as error:
        raise InvalidMessage(f"the header {name} is not UTF-8") from error
    if not value:
        raise InvalidMessage(f"the header {name} is empty")
    return value
