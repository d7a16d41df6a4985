"""Ingest asks what paid an invoice where no event says it (2025-03-31 to 2025-05-28): the real stripe library does."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.fetching import BETWEEN, PAYMENT, Ingest, holding_an_invoice, short, unlinked
from tests.stripe_api import Reply, StripeStandIn, refusal


@pytest.fixture
def stripes() -> Iterator[StripeStandIn]:
    with holding_an_invoice() as found:
        yield found


def test_an_invoice_is_published_with_what_paid_it_where_no_event_would_say_so(stripes: StripeStandIn) -> None:
    """Asked for in the event's version, of that invoice alone, page by page; as Stripe shows them expanded."""
    others = [{**PAYMENT, "id": f"inpay_{number}"} for number in range(2, 13)]
    foreign = {**PAYMENT, "id": "inpay_of_another", "invoice": "in_2"}
    stripes.lists["/v1/invoice_payments"] = [PAYMENT, foreign, *others]
    ingest = Ingest(stripes, version="2026-10-28.endive")

    (told,) = ingest.deliver(unlinked())

    (found,) = ingest.published
    payments = found["data"]["object"].pop("payments")
    assert (told.status, told.body.get("incomplete"), ingest.marks) == (200, None, [None])
    assert (payments["data"], payments["has_more"]) == ([PAYMENT, *others], False)
    assert found == unlinked()
    assert [dict(asked.parameters) for asked in stripes.asked] == [
        {"invoice": "in_1", "limit": "100"},
        {"invoice": "in_1", "limit": "100", "starting_after": "inpay_10"},
    ]
    assert {asked.headers["stripe-version"] for asked in stripes.asked} == {BETWEEN}
    assert ingest.fetches("payments", "fetched") == 1


def test_without_a_key_nobody_asks_what_paid_an_invoice(
    stripes: StripeStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """It is published as it came, and lacks nothing that this installation could ever have."""
    ingest = Ingest(stripes, key=None)

    (told,) = ingest.deliver(unlinked())

    assert (told.body.get("incomplete"), ingest.marks, ingest.published) == (None, [None], [unlinked()])
    assert (stripes.asked, [each for each in caplog.records if each.levelno >= logging.WARNING]) == ([], [])


@pytest.mark.parametrize(
    ("outcome", "reply"),
    [
        pytest.param("refused", refusal(403), id="the key may not read invoices"),
        pytest.param("failed", refusal(500), id="failing"),
        pytest.param(
            "malformed",
            Reply(body={"object": "list", "data": [{**PAYMENT, "invoice": "in_2"}], "has_more": False}),
            id="of another invoice",
        ),
    ],
)
def test_what_paid_an_invoice_is_left_for_later_where_stripe_does_not_say(
    stripes: StripeStandIn, outcome: str, reply: Reply
) -> None:
    """Published as it came, marked, counted, and kept to be completed."""
    stripes.always.append(reply)
    ingest = Ingest(stripes)

    (told,) = ingest.deliver(unlinked())

    assert (told.status, told.body["incomplete"], ingest.marks) == (200, "payments", [b"payments"])
    assert (ingest.published, ingest.fetches("payments", outcome)) == ([unlinked()], 1)
    assert ingest.registry.get_sample_value("entitle_ingest_incomplete") == 1


def test_lines_and_payments_are_fetched_each_by_itself(stripes: StripeStandIn) -> None:
    """What Stripe gives of the one is published though it does not give the other; the mark names what is lacking."""
    listing = short()["data"]["object"]["lines"]
    stripes.lists["/v1/invoice_payments"] = [PAYMENT]
    stripes.replies.append(refusal(404))
    one, both, none = Ingest(stripes), Ingest(stripes), Ingest(stripes)

    one.deliver(unlinked(lines=listing))
    both.deliver(unlinked(lines=listing))
    stripes.always.append(refusal(404))
    none.deliver(unlinked(lines=listing))

    found = [each.published[0]["data"]["object"] for each in (one, both, none)]
    assert [len(about["lines"]["data"]) for about in found] == [10, 25, 10]
    assert ["payments" in about for about in found] == [True, True, False]
    assert one.marks + both.marks + none.marks == [b"lines", None, b"lines,payments"]
