"""Ingest fetches what thin events are about, and publishes it: the real stripe library asks."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ingest import fetching
from tests.fetching import BROKEN, LINES, Ingest, holding_an_invoice, ids, short
from tests.stripe_api import KEY, Reply, StripeStandIn, refusal
from tests.webhooks import thin


@pytest.fixture
def stripes() -> Iterator[StripeStandIn]:
    with holding_an_invoice() as found:
        yield found


def test_a_thin_event_is_published_as_its_snapshot_twin(stripes: StripeStandIn) -> None:
    """Under the twin's id and type, with the object as fetched in the integration's version, all of its lines."""
    ingest = Ingest(stripes, version="2022-11-15")

    (told,) = ingest.deliver(thin())

    assert (told.status, told.body["status"], told.body["event"]) == (200, "published", "evt_1")
    (found,) = ingest.published
    assert {name: value for name, value in found.items() if name != "data"} == {
        "id": "evt_1",
        "object": "event",
        "api_version": "2022-11-15",
        "created": 1767225600,
        "livemode": False,
        "type": "invoice.paid",
    }
    assert ids(found) == [line["id"] for line in LINES]
    assert {asked.headers["stripe-version"] for asked in stripes.asked} == {"2022-11-15"}
    assert (ingest.fetches("object", "fetched"), ingest.fetches("lines", "fetched")) == (1, 1)
    ((key, _, headers),) = ingest.publisher.records
    assert (key, dict(headers)["ce_id"], dict(headers)["ce_type"]) == (b"cus_1", b"evt_1", b"invoice.paid")


def test_a_thin_event_and_its_twin_make_one_record_twice(stripes: StripeStandIn) -> None:
    """Fetched in the version of the twin, they are the same: consumers have nothing to tell apart."""
    ingest = Ingest(stripes, version="2022-11-15")

    told = ingest.deliver(short(), thin())

    assert [each.status for each in told] == [200, 200]
    first, second = ingest.published
    assert first == second


def test_a_thin_event_of_a_connect_account(stripes: StripeStandIn) -> None:
    """Its object and its lines are asked for as the account that its context names."""
    ingest = Ingest(stripes)

    ingest.deliver(thin(context="acct_1"))

    assert ingest.published[0]["account"] == "acct_1"
    assert {asked.headers["stripe-account"] for asked in stripes.asked} == {"acct_1"}


@pytest.mark.parametrize(("outcome", "reply"), [BROKEN[name] for name in [*BROKEN][:7]], ids=[*BROKEN][:7])
def test_a_thin_event_whose_object_is_not_there_comes_again(
    stripes: StripeStandIn, monkeypatch: pytest.MonkeyPatch, outcome: str, reply: Reply
) -> None:
    """503 with the reason and when to come again, and nothing published: nothing is lost."""
    monkeypatch.setattr(fetching, "FETCH_SECONDS", 1.0)
    stripes.always.append(reply)
    ingest = Ingest(stripes)

    (told,) = ingest.deliver(thin())

    waits_for_an_operator = outcome in ("refused", "missing")
    assert (told.status, told.headers["retry-after"]) == (503, "3600" if waits_for_an_operator else "60")
    assert "v1.invoice.paid is a thin event, and its object could not be fetched: " in told.body["detail"]
    assert KEY[:8] not in json.dumps(told.body)
    assert (ingest.published, ingest.fetches("object", outcome)) == ([], 1)


def test_a_thin_event_without_a_key_says_what_to_do(stripes: StripeStandIn) -> None:
    """503: a key, or the payload style that needs none."""
    ingest = Ingest(stripes, key=None)

    (told,) = ingest.deliver(thin())

    assert (told.status, told.headers["retry-after"], ingest.published) == (503, "3600", [])
    assert "api_key_env" in told.body["detail"]
    assert '"snapshot"' in told.body["detail"]


def test_a_thin_event_whose_lines_fail_is_published_incomplete(stripes: StripeStandIn) -> None:
    """The object is there, so it is not refused; its lines come later."""
    stripes.replies.extend([Reply(body=stripes.objects["/v1/invoices/in_1"]), refusal(429)])
    ingest = Ingest(stripes)

    (told,) = ingest.deliver(thin())

    assert (told.status, told.body["incomplete"], ingest.marks) == (200, "lines", [b"lines"])


def test_another_object_than_asked_for_is_not_published(stripes: StripeStandIn) -> None:
    """What Stripe answers must be what the event names."""
    stripes.objects["/v1/invoices/in_1"]["id"] = "in_2"
    ingest = Ingest(stripes)

    (told,) = ingest.deliver(thin())

    assert (told.status, ingest.published, ingest.fetches("object", "malformed")) == (503, [], 1)


def test_what_was_deleted_is_published_as_deleted(stripes: StripeStandIn) -> None:
    """A deleted customer is fetched as such, one that is no more is shown so; an ended subscription must be fetched."""
    stripes.objects["/v1/customers/cus_1"] = {"id": "cus_1", "object": "customer", "deleted": True}
    ingest = Ingest(stripes)

    told = ingest.deliver(
        thin("v1.customer.deleted", about=("customer", "cus_1"), snapshot_event="evt_a"),
        thin("v1.customer.deleted", about=("customer", "cus_2"), snapshot_event="evt_b"),
        thin("v1.invoice.deleted", about=("invoice", "in_9"), snapshot_event="evt_c"),
        thin("v1.customer.subscription.deleted", about=("subscription", "sub_9"), snapshot_event="evt_d"),
    )

    assert [each.status for each in told] == [200, 200, 200, 503]
    found = {each["id"]: each["data"]["object"] for each in ingest.published}
    assert found == {
        "evt_a": {"id": "cus_1", "object": "customer", "deleted": True},
        "evt_b": {"id": "cus_2", "object": "customer", "deleted": True},
        "evt_c": {"id": "in_9", "object": "invoice", "deleted": True},
    }
