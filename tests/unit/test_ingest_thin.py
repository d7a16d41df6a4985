"""Thin events: what they name, what they become, and that the facts are those of their snapshot twins."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from consumers import grants, invoices, revocations
from ingest.delivery import Ignore, IgnoredFor, Integration, NotAnEvent, Publish, decide, record_of
from ingest.questions import Malformed, Question
from ingest.thin import Thin, as_snapshot, gone
from schemas.codec import decode
from tests.stripe_builders import Bill, Shape, events, snapshot
from tests.webhooks import SECRET, body_of, thin

TEST = Integration(name="main", mode="test", signing_secrets=(SECRET,), accounts=frozenset({"acct_listed"}))
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
VERSION = "2026-10-28.endive"
RELATED = {"id": "in_1", "type": "invoice", "url": "/v1/invoices/in_1"}


def read(event: dict[str, Any]) -> Thin:
    found = decide(body_of(event), TEST, TRACEPARENT)
    assert isinstance(found, Thin)
    return found


def test_a_thin_event_names_its_snapshot_twin() -> None:
    """Its id is the twin's and its type has no `v1.`; its time is in whole seconds, as the twin's is."""
    found = read(thin())

    assert (found.event_id, found.event_type, found.created) == ("evt_1", "invoice.paid", 1767225600)
    assert found.question == Question(path="/v1/invoices/in_1")


def test_a_thin_event_without_a_twin_keeps_its_id() -> None:
    """Some types have none; nor has an event of an endpoint that was never asked for both."""
    assert read(thin(snapshot_event=...)).event_id == read(thin(snapshot_event=None)).event_id == "evt_thin"


@pytest.mark.parametrize(
    ("kind", "related", "path"),
    [
        ("v1.invoice.paid", {"id": "in_1", "type": "invoice"}, "/v1/invoices/in_1"),
        ("v1.invoice_payment.paid", {"id": "inpay_1", "type": "invoice_payment"}, "/v1/invoice_payments/inpay_1"),
        ("v1.credit_note.created", {"id": "cn_1", "type": "credit_note"}, "/v1/credit_notes/cn_1"),
        ("v1.charge.refunded", {"id": "ch_1", "type": "charge"}, "/v1/charges/ch_1"),
        ("v1.refund.created", {"id": "re_1", "type": "refund"}, "/v1/refunds/re_1"),
        ("v1.charge.dispute.closed", {"id": "dp_1", "type": "dispute"}, "/v1/disputes/dp_1"),
        ("v1.customer.subscription.deleted", {"id": "sub_1", "type": "subscription"}, "/v1/subscriptions/sub_1"),
        ("v1.customer.deleted", {"id": "cus_1", "type": "customer"}, "/v1/customers/cus_1"),
        ("v1.refund.updated", {"id": "re_1", "type": "refund", "url": "/v1/other/re_1"}, "/v1/other/re_1"),
        ("v1.refund.updated", {"id": "re_1", "type": "refund", "url": "@evil.example/v1/refunds"}, "/v1/refunds/re_1"),
        ("v1.refund.updated", {"id": "re_1", "type": "refund", "url": "/v1/../x?y"}, "/v1/refunds/re_1"),
    ],
)
def test_where_the_object_is(kind: str, related: dict[str, Any], path: str) -> None:
    """Where Stripe says, if that is a plain path of its API; else by kind and id."""
    assert read(thin(kind, related_object=related)).question.path == path


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"created": ...}, "created is not"),
        ({"created": 1767225600}, "created is not"),
        ({"created": "yesterday"}, "created is not"),
        ({"created": "2026-01-01T00:00:00"}, "created is not"),
        ({"created": "9999-01-01T00:00:00Z"}, "created is not"),
        ({"related_object": ...}, "related_object does not"),
        ({"related_object": None}, "related_object does not"),
        ({"related_object": "in_1"}, "related_object does not"),
        ({"related_object": {"type": "invoice", "url": "/v1/invoices/in_1"}}, "related_object does not"),
        ({"related_object": {**RELATED, "type": "Invoice/.."}}, "related_object does not"),
        ({"related_object": {**RELATED, "id": {"id": "in_1"}}}, "related_object does not"),
        ({"related_object": {"id": "../x", "type": "invoice"}}, "related_object does not"),
        ({"snapshot_event": 5}, "snapshot_event is not"),
        ({"snapshot_event": "evt\nforged"}, "snapshot_event is not"),
        ({"snapshot_event": ""}, "snapshot_event is not"),
        ({"livemode": ...}, "livemode is not"),
        ({"id": ""}, "id is not"),
    ],
)
def test_what_is_missing_of_a_thin_event_is_said(changes: dict[str, Any], fault: str) -> None:
    """No retry would mend it: it is refused with what is wrong, never with what it says."""
    with pytest.raises(NotAnEvent, match=fault) as refused:
        decide(body_of(thin(**changes)), TEST, TRACEPARENT)

    assert "forged" not in str(refused.value)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (thin("v1.billing.meter.error_report_triggered"), IgnoredFor.TYPE),
        (thin("v1.invoice.upcoming", related_object=None), IgnoredFor.TYPE),
        (thin("v2.core.account.created"), IgnoredFor.TYPE),
        (thin("invoice.paid"), IgnoredFor.TYPE),
        (thin(livemode=True), IgnoredFor.MODE),
        (thin(context="acct_other"), IgnoredFor.ACCOUNT),
        (thin(context="org_1/acct_other"), IgnoredFor.ACCOUNT),
    ],
)
def test_what_is_ignored_is_never_fetched(sent: dict[str, Any], reason: IgnoredFor) -> None:
    """Type, mode and account are told by the thin event itself."""
    assert decide(body_of(sent), TEST, TRACEPARENT) == Ignore(
        event_id="evt_thin", event_type=sent["type"], reason=reason
    )


@pytest.mark.parametrize(
    ("context", "question"),
    [
        ("acct_listed", Question(path="/v1/invoices/in_1", account="acct_listed")),
        ("org_1/acct_listed", Question(path="/v1/invoices/in_1", context="org_1/acct_listed")),
        ("org_1", Question(path="/v1/invoices/in_1")),
    ],
)
def test_the_account_is_in_the_context(context: str, question: Question) -> None:
    """It is asked for as the thin event's context says."""
    assert read(thin(context=context)).question == question


def test_the_account_of_a_thin_event_is_the_account_of_its_snapshot() -> None:
    """Whoever asks about it later asks for the same account."""
    found = as_snapshot(read(thin(context="acct_listed")), {"id": "in_1"}, VERSION)

    assert (found["account"], found["context"]) == ("acct_listed", "acct_listed")


def test_another_object_is_not_taken_for_the_one_asked_for() -> None:
    """What is fetched must have the id that the event names."""
    for other in ({}, {"id": "in_2"}):
        with pytest.raises(Malformed):
            as_snapshot(read(thin()), other, VERSION)


@pytest.mark.parametrize(
    ("kind", "related", "is_gone"),
    [
        ("v1.customer.deleted", {"id": "cus_1", "type": "customer"}, True),
        ("v1.invoice.deleted", RELATED, True),
        ("v1.customer.subscription.deleted", {"id": "sub_1", "type": "subscription"}, False),
        ("v1.invoice.paid", RELATED, False),
    ],
)
def test_what_an_event_says_was_deleted_need_not_be_there(kind: str, related: dict[str, Any], is_gone: bool) -> None:
    """A customer and a draft go away; an ended subscription stays, and says when it ended."""
    assert read(thin(kind, related_object=related)).says_it_is_gone is is_gone


def test_what_is_gone_is_shown_as_stripe_shows_it() -> None:
    """An id, a kind, and that it was deleted."""
    assert gone(read(thin())) == {"id": "in_1", "object": "invoice", "deleted": True}


BILLS = [
    Bill(finalized="01-01"),
    Bill(finalized="01-01", paid="01-02"),
    Bill(finalized="01-01", uncollectible="01-05", paid="01-09"),
    Bill(finalized="01-01", voided="01-03"),
]


@pytest.mark.parametrize("bill", BILLS)
@pytest.mark.parametrize("shape", Shape)
def test_a_thin_event_and_its_twin_state_the_same_facts(bill: Bill, shape: Shape) -> None:
    """Fetched at once and in the twin's shape, it states what the twin states, for every consumer."""
    for twin in events(bill, shape=shape):
        created = datetime.fromtimestamp(twin["created"], UTC).isoformat(timespec="milliseconds")
        event = thin(f"v1.{twin['type']}", snapshot_event=twin["id"], created=created)
        made = as_snapshot(read(event), twin["data"]["object"], twin["api_version"])
        assert made == {**twin, "object": "event"}
        assert facts(made) == facts(twin) != []


def test_a_thin_event_fetched_late_states_what_is_known_by_then() -> None:
    """Finalized, but fetched after payment: the facts are those of the paid invoice, with both times."""
    bill = Bill(finalized="01-01", paid="01-02")
    event = thin("v1.invoice.finalized", created="2026-01-01T00:00:00Z")

    late = facts(as_snapshot(read(event), snapshot(bill, "paid"), "2022-11-15"))

    (paid,) = (each for each in events(bill) if each["type"] == "invoice.paid")
    assert [fact.digest for fact in late] == [fact.digest for fact in facts(paid)]


def facts(event: dict[str, Any]) -> list[Any]:
    """What all consumers find in an event, read from its record."""
    record = record_of(event, "main", TRACEPARENT)
    assert isinstance(record, Publish)
    message = decode(record.topic, record.value, record.headers)
    return [fact for group in (grants, revocations, invoices) for fact in group.decide(message)]
