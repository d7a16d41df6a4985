"""What Stripe's API is asked for the lines and the payments that an event leaves out, and how they come into it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ingest.questions import (
    Malformed,
    Question,
    lines_left_out,
    payments_left_out,
    question,
    read_page,
    with_all_lines,
    with_payments,
)
from tests.webhooks import INVOICE, event

LINES: dict[str, dict[str, Any]] = {f"il_{number}": {"id": f"il_{number}", "amount": number} for number in range(12)}


def short(*, shown: int = 10, has_more: Any = True, about: dict[str, Any] | None = None, **changes: Any) -> Any:
    """An event about an invoice of twelve lines, that shows the first of them."""
    lines = {"object": "list", "data": [*LINES.values()][:shown], "has_more": has_more, "total_count": 12, "url": "/v1"}
    return event(about={**INVOICE, "status": "open", "lines": lines, **(about or {})}, **changes)


def test_lines_are_asked_for_in_the_shape_of_the_event() -> None:
    """The question names the invoice and the event's own API version; where that is none, the integration's."""
    path = "/v1/invoices/in_1/lines"

    assert lines_left_out(short()) == Question(path=path, version="2022-11-15")
    assert lines_left_out(short(api_version="2026-10-28.endive")) == Question(path=path, version="2026-10-28.endive")
    for broken in (None, ..., 5, "", "2022-11-15\r\nX: y"):
        assert lines_left_out(short(api_version=broken)) == Question(path=path, version=None)


def test_a_credit_note_has_lines_too() -> None:
    """Its lines are where the API has a credit note's."""
    found = lines_left_out(short(about={"id": "cn_1", "object": "credit_note", "status": "issued"}))

    assert found == Question(path="/v1/credit_notes/cn_1/lines", version="2022-11-15")


@pytest.mark.parametrize(
    "whole",
    [
        event(),
        short(has_more=False),
        short(has_more=None),
        short(about={"status": "draft"}),
        short(about={"deleted": True}),
        short(about={"object": "subscription"}),
        short(about={"object": ["invoice"]}),
        short(about={"lines": None}),
        short(about={"lines": [{"has_more": True}]}),
    ],
    ids=["whole", "no more", "null", "draft", "deleted", "no list of ours", "no kind", "no lines", "no list"],
)
def test_nothing_is_asked_where_nothing_is_missing(whole: Any) -> None:
    """An event that is whole, a draft, which decides nothing, and what has no lines are published as they are."""
    assert lines_left_out(whole) is None


@pytest.mark.parametrize(
    ("about", "account", "context"),
    [
        ({}, None, None),
        ({"account": "acct_1"}, "acct_1", None),
        ({"context": "acct_1"}, None, None),
        ({"account": "acct_1", "context": "acct_1"}, "acct_1", None),
        ({"account": "acct_1", "context": "org_1/acct_1"}, None, "org_1/acct_1"),
        ({"context": "org_1/acct_1\r\nX: y"}, None, None),
        ({"account": None, "context": 5}, None, None),
    ],
)
def test_a_question_is_asked_for_the_account_of_the_event(
    about: dict[str, Any], account: str | None, context: str | None
) -> None:
    """A Connect account's by its id, an organization's by the path to it."""
    assert question("/v1/x", about) == Question(path="/v1/x", account=account, context=context)


def test_a_page_is_read_into_its_lines() -> None:
    """By id, in their order, and whether more follow."""
    lines, has_more = read_page({"object": "list", "data": [LINES["il_7"], LINES["il_3"]], "has_more": True})

    assert ([*lines], has_more) == (["il_7", "il_3"], True)


@pytest.mark.parametrize(
    "page",
    [
        {},
        {"data": None, "has_more": False},
        {"data": {}, "has_more": False},
        {"data": [], "has_more": "no"},
        {"data": []},
        {"data": ["il_1"], "has_more": False},
        {"data": [{"amount": 1}], "has_more": False},
        {"data": [{"id": 1}], "has_more": False},
        {"data": [{"id": "il_1"}, {"id": "il_1"}], "has_more": False},
    ],
)
def test_what_is_no_page_is_not_read(page: Any) -> None:
    """A page without lines, an end, or an id of its own for each line is malformed."""
    with pytest.raises(Malformed):
        read_page(page)


def test_the_event_carries_all_lines() -> None:
    """All of Stripe's list stands in place of the first ten; the rest of the event is as it was, and so is *event*."""
    given = short()

    whole = with_all_lines(given, LINES)

    lines = whole["data"]["object"]["lines"]
    assert lines == {"object": "list", "data": [*LINES.values()], "has_more": False, "total_count": 12, "url": "/v1"}
    assert lines_left_out(whole) is None
    assert given == short()
    whole["data"]["object"]["lines"] = given["data"]["object"]["lines"]
    assert whole == given


def test_more_lines_than_the_event_counts_are_all_taken() -> None:
    """What the event counted was true when it was made."""
    more = {**LINES, "il_12": {"id": "il_12"}}

    assert with_all_lines(short(), more)["data"]["object"]["lines"]["total_count"] == 13


@pytest.mark.parametrize(
    ("lines", "about"),
    [
        ({}, {}),
        (dict([*LINES.items()][:11]), {}),
        (dict([*LINES.items()][:9]), {"lines": {"data": [*LINES.values()][:10], "has_more": True}}),
    ],
    ids=["none", "fewer than counted", "fewer than shown"],
)
def test_fewer_lines_than_the_event_has_are_no_list_of_them(lines: Any, about: dict[str, Any]) -> None:
    """A list that lacks what the event shows or counts is malformed: nothing may look whole that is not."""
    with pytest.raises(Malformed, match="lines"):
        with_all_lines(short(about=about), lines)


BETWEEN = "2025-04-30.basil"


def bought(*, version: Any = BETWEEN, of: dict[str, Any] | None = None, **about: Any) -> Any:
    """An event about a paid invoice, in a version of which no event says what paid it."""
    return event(about={**INVOICE, "status": "paid", "amount_paid": 2500, **about}, api_version=version, **(of or {}))


@pytest.mark.parametrize("version", ["2025-03-31.basil", BETWEEN])
def test_payments_are_asked_for_in_the_versions_that_name_none(version: str) -> None:
    """Of that invoice, in the event's own version, and of its Connect account; a part that is paid counts too."""
    wanted = Question(path="/v1/invoice_payments", version=version, parameters=(("invoice", "in_1"),))

    assert payments_left_out(bought(version=version)) == wanted
    assert payments_left_out(bought(version=version, status="open", amount_paid=1)) == wanted
    assert payments_left_out(bought(version=version, of={"account": "acct_1"})) == replace(wanted, account="acct_1")


@pytest.mark.parametrize(
    "sent",
    [
        bought(version="2025-02-24.acacia"),
        bought(version="2022-11-15"),
        bought(version="2025-05-28.basil"),
        bought(version="2026-10-28.endive"),
        bought(version=None),
        bought(version="2025-04-30.basil\r\nX: y"),
        bought(amount_paid=0),
        bought(amount_paid=None),
        bought(status="draft"),
        bought(deleted=True),
        bought(object="invoice_payment"),
        bought(id=None),
        bought(payments={"object": "list", "data": []}),
        bought(payment_intent="pi_1"),
        bought(charge="ch_1"),
    ],
)
def test_payments_are_not_asked_for_where_something_says_them(sent: Any) -> None:
    """Nor where there is nothing to say: nothing was paid, or it decides nothing."""
    assert payments_left_out(sent) is None


def test_the_invoice_carries_its_payments_as_stripe_would_expand_them() -> None:
    """The event is else as it was, and so is what was given; it lacks none then, though there be none."""
    given, payment = bought(), {"id": "inpay_1", "object": "invoice_payment", "invoice": "in_1"}

    whole = with_payments(given, {"inpay_1": payment})

    listing = whole["data"]["object"].pop("payments")
    assert listing == {"object": "list", "data": [payment], "has_more": False, "url": "/v1/invoice_payments"}
    assert whole == given == bought()
    assert payments_left_out(with_payments(given, {})) is None


def test_payments_of_another_invoice_are_not_taken() -> None:
    """What links a payment to an invoice has to say that it is of it."""
    for odd in ({"id": "inpay_1", "invoice": "in_2"}, {"id": "inpay_1"}):
        with pytest.raises(Malformed, match="another invoice"):
            with_payments(bought(), {"inpay_1": odd})
