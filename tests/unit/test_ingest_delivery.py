"""What becomes of a delivery that is Stripe's: published, ignored or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ingest.delivery import (
    Ignore,
    IgnoredFor,
    Integration,
    NotAnEvent,
    Publish,
    Short,
    decide,
    is_published,
    record_of,
)
from ingest.thin import Thin
from schemas.codec import StripeMessage, decode
from schemas.topics import EVENTS
from tests.webhooks import INVOICE, SECRET, body_of, event, thin

TEST = Integration(name="main", mode="test", signing_secrets=(SECRET,), accounts=frozenset({"acct_listed"}))
LIVE = Integration(name="main", mode="live", signing_secrets=(SECRET,))
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    "event_type",
    [
        *("invoice.created", "invoice.finalized", "invoice.paid", "invoice.voided", "invoice.marked_uncollectible"),
        *("invoice.updated", "invoice.payment_failed", "invoice_payment.paid", "credit_note.created"),
        *("charge.succeeded", "charge.refunded", "charge.refund.updated", "refund.created", "refund.failed"),
        *("charge.dispute.created", "charge.dispute.closed", "customer.deleted"),
        *("customer.subscription.created", "customer.subscription.deleted"),
    ],
)
def test_types_that_touch_access_are_published(event_type: str) -> None:
    """Every type of the contract's list is published."""
    assert is_published(event_type)


@pytest.mark.parametrize(
    "event_type",
    [
        *("invoice.upcoming", "invoiceitem.created", "invoiceitem.deleted", "invoice", "invoices.paid"),
        *("charge.failed", "charge.updated", "charge.pending", "customer.created", "customer.updated"),
        *("customer.source.created", "payment_intent.succeeded", "checkout.session.completed", "v1.invoice.paid"),
    ],
)
def test_other_types_are_not(event_type: str) -> None:
    """What is outside the list is not, however like one of it its name is."""
    assert not is_published(event_type)


def test_the_record_of_an_event() -> None:
    """A record has the customer as its key, the redacted event as its value, and where it comes from in its headers."""
    about = {**INVOICE, "customer_email": "ada@example.com"}

    record = decide(body_of(event(about=about)), TEST, TRACEPARENT)

    assert isinstance(record, Publish)
    assert (record.event_id, record.event_type, record.topic, record.key) == ("evt_1", "invoice.paid", EVENTS, b"cus_1")
    assert json.loads(record.value) == event()
    assert dict(record.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": b"evt_1",
        "ce_source": b"/stripe/main",
        "ce_type": b"invoice.paid",
        "ce_time": b"2026-01-01T00:00:00Z",
        "ce_integration": b"main",
        "ce_apiversion": b"2022-11-15",
        "ce_mode": b"test",
        "content-type": b"application/json",
        "traceparent": TRACEPARENT.encode(),
    }


def test_consumers_can_read_the_record() -> None:
    """What is published is decoded into the event and its integration."""
    record = decide(body_of(event()), TEST, TRACEPARENT)

    assert isinstance(record, Publish)
    assert decode(record.topic, record.value, record.headers) == StripeMessage(integration="main", event=event())


@pytest.mark.parametrize(
    ("about", "key"),
    [
        ({"id": "in_1", "customer": {"id": "cus_1"}}, b"cus_1"),
        ({"id": "cus_1", "object": "customer"}, b"cus_1"),
        ({"id": "dp_1", "charge": "ch_1", "payment_intent": "pi_1"}, b"pi_1"),
        ({"id": "inpay_1", "payment": {"type": "payment_intent", "payment_intent": "pi_1"}}, b"pi_1"),
        ({"id": "re_1", "charge": "ch_1", "payment_intent": None}, b"ch_1"),
        ({"id": "in_1", "customer": None}, b"in_1"),
        ({}, b""),
    ],
    ids=["expanded customer", "customer", "dispute", "invoice payment", "refund", "no customer", "nothing"],
)
def test_the_key_keeps_a_customer_or_a_payment_together(about: dict[str, Any], key: bytes) -> None:
    """The key is the customer, else the payment, else the object itself."""
    record = decide(body_of(event(about=about)), TEST, TRACEPARENT)

    assert isinstance(record, Publish)
    assert record.key == key


@pytest.mark.parametrize(
    ("sent", "integration", "reason"),
    [
        (event("payment_intent.succeeded"), TEST, IgnoredFor.TYPE),
        (event("payment_intent.succeeded", livemode=True), TEST, IgnoredFor.TYPE),
        (event(livemode=True), TEST, IgnoredFor.MODE),
        (event(livemode=False), LIVE, IgnoredFor.MODE),
        (event(livemode=True, account="acct_other"), TEST, IgnoredFor.MODE),
        (event(account="acct_other"), TEST, IgnoredFor.ACCOUNT),
        (event(livemode=True, account="acct_listed"), LIVE, IgnoredFor.ACCOUNT),
    ],
)
def test_what_is_ignored_and_why(sent: dict[str, Any], integration: Integration, reason: IgnoredFor) -> None:
    """Unlisted types, the other mode and unlisted Connect accounts are ignored, in this order."""
    ignored = decide(body_of(sent), integration, TRACEPARENT)

    assert ignored == Ignore(event_id="evt_1", event_type=sent["type"], reason=reason)


@pytest.mark.parametrize(
    ("sent", "integration"),
    [
        (event(account="acct_listed"), TEST),
        (event(account=None), TEST),
        (event(livemode=True), LIVE),
        (event(object=...), TEST),
        (event(api_version=None), TEST),
    ],
)
def test_what_is_published_besides(sent: dict[str, Any], integration: Integration) -> None:
    """The integration's own events, listed accounts and its mode are published; what we don't need may be missing."""
    assert isinstance(decide(body_of(sent), integration, TRACEPARENT), Publish)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"id": ...}, "id is not"),
        ({"id": ""}, "id is not"),
        ({"id": 7}, "id is not"),
        ({"id": "evt_1\nforged line"}, "id is not"),
        ({"type": ...}, "type is not"),
        ({"type": None}, "type is not"),
        ({"created": ...}, "created is not"),
        ({"created": True}, "created is not"),
        ({"created": 1.5}, "created is not"),
        ({"created": "2026-01-01T00:00:00Z"}, "created is not"),
        ({"created": 10**15}, "created is not"),
        ({"created": 10**30}, "created is not"),
        ({"livemode": ...}, "livemode is not"),
        ({"livemode": 0}, "livemode is not"),
        ({"account": {"id": "acct_1"}}, "account is not"),
        ({"data": ...}, "data.object is not"),
        ({"data": []}, "data.object is not"),
        ({"data": {"object": "in_1"}}, "data.object is not"),
    ],
)
def test_what_is_missing_of_an_event_is_said(changes: dict[str, Any], fault: str) -> None:
    """A signed body that is not an event is refused with what is wrong, whatever its type; never with what it says."""
    with pytest.raises(NotAnEvent, match=fault) as refused:
        decide(body_of(event("payment_intent.succeeded", **changes)), TEST, TRACEPARENT)

    assert "forged" not in str(refused.value)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"id": "evt_1"} {}', "not JSON"),
        (b'{"id": "\xff"}', "not JSON"),
        (b'{"id": "\\ud800"}', "not JSON"),
        (b'{"id": NaN}', "not JSON"),
        (b'{"amount": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"[]", "not an object"),
        (b'"evt_1"', "not an object"),
        (b"[" * 100_000, "nested too deeply"),
        (
            body_of(event(about={"deep": 1})).replace(b'"deep": 1', b'"deep":' + b"[" * 990 + b"]" * 990),
            "nested too deeply",
        ),
    ],
    ids=range(11),
)
def test_what_is_not_an_object_in_json_is_refused(body: bytes, fault: str) -> None:
    """Broken, endless or deeply nested JSON is refused, and nothing else is raised."""
    with pytest.raises(NotAnEvent, match=fault):
        decide(body, TEST, TRACEPARENT)


@pytest.mark.parametrize("event_type", ["v1.invoice.paid", "v1.customer.subscription.past_due"])
def test_a_thin_event_that_would_matter_is_to_be_fetched(event_type: str) -> None:
    """A thin event of a listed type is neither acknowledged nor published before its object is there."""
    assert isinstance(decide(body_of(thin(event_type)), TEST, TRACEPARENT), Thin)


def test_an_event_that_leaves_something_out_is_to_be_completed() -> None:
    """It is handed on as Stripe sent it: lines after the tenth, or what paid its invoice where no event will say so."""
    sent = event(about={**INVOICE, "lines": {"data": [], "has_more": True}})

    found = decide(body_of(sent), TEST, TRACEPARENT)

    assert isinstance(found, Short)
    assert (found.event, found.event_id, found.event_type) == (sent, "evt_1", "invoice.paid")
    paid = event(about={**INVOICE, "amount_paid": 2500}, api_version="2025-04-30.basil")
    assert isinstance(decide(body_of(paid), TEST, TRACEPARENT), Short)


def test_a_record_says_what_it_lacks() -> None:
    """In a header of its own, after those of every record."""
    headers = record_of(event(), "main", TRACEPARENT, incomplete="lines").headers

    assert headers == [*record_of(event(), "main", TRACEPARENT).headers, ("ce_incomplete", b"lines")]


def test_an_integration_shows_no_secret() -> None:
    """Its signing secrets do not stand in what is logged of it."""
    assert SECRET not in repr(TEST)
