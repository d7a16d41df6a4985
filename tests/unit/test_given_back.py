"""
R5: when all of an invoice, or of one of its lines, is given back, its grants end; less than that ends nothing.

Long because the rule is, and each test reads as a part of it.
"""

from __future__ import annotations

from typing import Any

import pytest

from ingest.questions import with_payments
from tests.pure_core import bill_of, facts_of, plan, plans, record, spans_in
from tests.stripe_builders import Bill, Json, Line, Shape, event, events, one_off, paid, snapshot
from tests.taking_back import charge, credit_note, crediting, dispute, invoice_payment, refund

WHOLE = ["il_1 paid 01-01..02-01"]
NOTHING: list[str] = []
ASKED_FOR = {"inpay_1": invoice_payment(at="01-01")["data"]["object"]}


def opened(*others: Json, bill: Bill | None = None, shape: Shape = Shape.OLD, **terms: Any) -> list[str]:
    """What an invoice of 25.00 for January opens, paid on its first day, once *others* are known too."""
    everything = bill_of([*events(bill or paid(), shape=shape), *others], terms=plans(enterprise=plan(**terms)))
    return spans_in(everything)


def until(day: str) -> list[str]:
    return [f"il_1 paid 01-01..{day}"]


@pytest.mark.parametrize(
    ("taken_back", "left"),
    [
        pytest.param([charge(refunded=1000, at="01-06")], WHOLE, id="in part"),
        pytest.param(
            [charge(refunded=1000, at="01-06"), charge(refunded=2500, at="01-11")], until("01-11"), id="whole"
        ),
        pytest.param(
            [charge(refunded=2500, at="01-11"), charge(refunded=1000, at="01-12")], until("01-11"), id="stale"
        ),
        pytest.param([charge(at="01-01"), refund("pending", at="01-06")], until("01-06"), id="pending"),
        pytest.param(
            [charge(at="01-01"), refund("pending", at="01-06"), refund("succeeded", at="01-08")],
            until("01-06"),
            id="succeeded",
        ),
        pytest.param([charge(at="01-01"), refund("requires_action", at="01-06")], WHOLE, id="not begun"),
        pytest.param(
            [charge(at="01-01"), refund("pending", at="01-06"), refund("failed", at="01-09")],
            ["il_1 paid 01-01..01-06", "il_1 paid 01-09..02-01"],
            id="failed",
        ),
        pytest.param(
            [charge(refunded=2500, at="01-06"), refund("pending", at="01-06"), refund("canceled", at="01-09")],
            ["il_1 paid 01-01..01-06", "il_1 paid 01-09..02-01"],
            id="cancelled, and counted by the charge too",
        ),
        pytest.param(
            [
                charge(refunded=2500, at="01-06"),
                refund("failed", at="01-09"),
                refund("succeeded", at="01-12", id="re_2"),
            ],
            ["il_1 paid 01-01..01-06", "il_1 paid 01-09..01-12"],
            id="failed, then refunded anew",
        ),
        pytest.param(
            [
                charge(at="01-01"),
                refund("succeeded", at="01-06", amount=1000),
                refund("succeeded", at="01-07", id="re_2", amount=1500),
            ],
            until("01-07"),
            id="by two refunds",
        ),
        pytest.param(
            [charge(refunded=1000, at="01-05"), refund("succeeded", at="01-06", amount=1500)], WHOLE, id="not summed"
        ),
        pytest.param(
            [charge(refunded=2500, at="01-08"), refund("succeeded", at="01-06", amount=2499)],
            until("01-08"),
            id="nothing by a charge of which nothing is said yet",
        ),
    ],
)
@pytest.mark.parametrize("backwards", [False, True])
def test_what_is_refunded_ends_the_invoices_grants_once_it_is_all_of_it(
    taken_back: list[Json], left: list[str], backwards: bool
) -> None:
    """The larger of what the charge says and the sum of the refunds that count, from when it reaches the total."""
    assert opened(*(reversed(taken_back) if backwards else taken_back)) == left


@pytest.mark.parametrize(
    ("taken_back", "left"),
    [
        pytest.param([credit_note(at="01-06")], until("01-06"), id="whole"),
        pytest.param([credit_note(at="01-06", amount=2499)], WHOLE, id="in part"),
        pytest.param(
            [credit_note(at="01-06"), credit_note(at="01-06", void="01-09")],
            ["il_1 paid 01-01..01-06", "il_1 paid 01-09..02-01"],
            id="voided",
        ),
        pytest.param(
            [credit_note(at="01-06", void="01-09")],
            ["il_1 paid 01-01..01-06", "il_1 paid 01-09..02-01"],
            id="voided, which alone is known",
        ),
        pytest.param([credit_note(at="01-06", refund="re_1")], WHOLE, id="with a refund, which alone counts"),
        pytest.param([credit_note(at="01-06", refunds=[{"refund": "re_1"}])], WHOLE, id="with refunds"),
        pytest.param(
            [credit_note(at="01-06", amount=500), charge(refunded=2000, at="01-10")], until("01-10"), id="and a refund"
        ),
    ],
)
def test_credit_notes_that_name_no_refund_count_beside_refunds(taken_back: list[Json], left: list[str]) -> None:
    """From their issue until they are voided; one that names a refund leaves it to the refund."""
    assert opened(*taken_back) == left


def test_a_credit_note_is_void_from_the_smallest_time_that_it_gives() -> None:
    """Not from when that was told; where none is given, from the first event that shows it void."""
    issued = credit_note(at="01-06")
    told_late = event("credit_note.updated", credit_note(at="01-06", void="01-09")["data"]["object"], at="01-12")
    untold = event("credit_note.voided", told_late["data"]["object"] | {"voided_at": None}, at="01-10")

    assert opened(issued, told_late, untold)[-1] == "il_1 paid 01-09..02-01"
    assert opened(issued, untold)[-1] == "il_1 paid 01-10..02-01"


def test_a_credit_notes_line_that_reaches_a_lines_amount_ends_that_line_alone() -> None:
    """The other lines of the invoice stay."""
    bill = paid(Line(id="il_1"), Line(id="il_2", item="si_2", amount=4000))

    assert opened(credit_note(at="01-06", lines=crediting("il_1", 2500)), bill=bill) == [
        "il_1 paid 01-01..01-06",
        "il_2 paid 01-01..02-01",
    ]
    assert len(opened(credit_note(at="01-06", lines=crediting("il_1", 2499)), bill=bill)) == 2


def test_lines_of_a_credit_note_that_were_left_out_at_first_count() -> None:
    """Stripe sends ten of them; the whole note follows under the same event, and whichever is read first."""
    bill = paid(Line(id="il_1"), Line(id="il_2", item="si_2", amount=2500))
    short = credit_note(at="01-06", amount=1, lines=crediting("il_1", 2500))
    both = crediting("il_1", 2500)["data"] + crediting("il_2", 2500)["data"]
    whole = credit_note(at="01-06", amount=1, lines={"object": "list", "data": both})

    for told in ([short, whole], [whole, short]):
        assert opened(*told, bill=bill) == ["il_1 paid 01-01..01-06", "il_2 paid 01-01..01-06"]


def test_of_lines_that_count_once_together_the_one_that_is_not_given_back_counts() -> None:
    """The invoice's metadata names the plan of both; crediting either leaves the other."""
    lines = (one_off(id="il_1", price=None, amount=1000), one_off(id="il_2", price=None, amount=1500))
    bill = paid(*lines, metadata={"entitlement_plan": "enterprise"})

    assert opened(credit_note(at="01-06", amount=1000, lines=crediting("il_1", 1000)), bill=bill) == [
        "il_2 paid 01-01..02-01"
    ]
    assert opened(credit_note(at="01-06", amount=1500, lines=crediting("il_2", 1500)), bill=bill) == [
        "il_1 paid 01-01..02-01"
    ]


def test_nothing_is_all_of_an_invoice_of_nothing() -> None:
    """A total of zero is never reached."""
    assert opened(credit_note(at="01-06", amount=0), bill=paid(Line(amount=0))) == WHOLE


def test_a_credit_note_before_payment_counts_like_one_after() -> None:
    """An invoice that is paid by being credited was given back: it opens nothing."""
    assert opened(credit_note(at="01-01")) == NOTHING


def test_several_payments_of_an_invoice_add_up() -> None:
    """All of them have to be refunded, wherever each one's link comes from."""
    first, second = invoice_payment(at="01-01"), invoice_payment(at="01-01", intent="pi_2")
    one = refund("succeeded", at="01-06", amount=1500, charge=None)
    other = refund("succeeded", at="01-08", amount=1000, id="re_2", charge=None, payment_intent="pi_2")

    assert opened(first, second, one, shape=Shape.NEW) == WHOLE
    assert opened(first, second, one, other, shape=Shape.NEW) == until("01-08")


def test_what_one_charge_tells_itself_and_another_by_its_refund_adds_up() -> None:
    """The larger of the two is taken for each charge: nothing that was given back is left out, or counted twice."""
    links = [charge(at="01-01"), charge(at="01-01", id="ch_2", payment_intent="pi_2")]
    by_charge = charge(refunded=1500, at="01-06")
    by_refund = refund("succeeded", at="01-08", amount=999, charge="ch_2", payment_intent="pi_2")
    the_rest = refund("succeeded", at="01-09", amount=1, charge="ch_2", payment_intent="pi_2", id="re_2")

    assert opened(*links, by_charge, by_refund) == WHOLE
    assert opened(*links, by_charge, by_refund, refund("succeeded", at="01-09", amount=1500, id="re_3")) == WHOLE
    assert opened(*links, by_charge, by_refund, the_rest) == until("01-09")
    failed = refund("failed", at="01-12", amount=1, charge="ch_2", payment_intent="pi_2", id="re_2")
    assert opened(*links, by_charge, by_refund, the_rest, failed)[-1] == "il_1 paid 01-12..02-01"


def test_a_plan_may_keep_what_was_refunded() -> None:
    """`on_refund: keep`."""
    assert opened(charge(refunded=2500, at="01-06"), credit_note(at="01-07"), on_refund="keep") == WHOLE


@pytest.mark.parametrize(
    "links",
    [
        pytest.param([charge(at="01-01")], id="the charge, to 2025-02"),
        pytest.param([invoice_payment(at="01-01")], id="the invoice payment, since 2025-05-28"),
        pytest.param(
            [event("invoice.paid", snapshot(paid(), "paid", payment_intent="pi_1"), at="01-01")], id="the invoice"
        ),
        pytest.param(
            [event("invoice.paid", snapshot(paid(), "paid", charge={"id": "ch_1"}), at="01-01")],
            id="its expanded charge",
        ),
        pytest.param(
            [charge(at="01-01", invoice=None), invoice_payment(at="01-01")], id="by way of the payment intent"
        ),
        pytest.param(
            [with_payments(event("invoice.paid", snapshot(paid(), "paid", shape=Shape.NEW), at="01-01"), ASKED_FOR)],
            id="the invoice's payments, that ingest asked Stripe for",
        ),
    ],
)
@pytest.mark.parametrize(
    "taken_back", [refund("succeeded", at="01-06"), refund("succeeded", at="01-06", payment_intent=None)]
)
def test_a_refund_reaches_its_invoice_by_any_link(links: list[Json], taken_back: Json) -> None:
    """Whichever says which payment paid which invoice, before the refund or after it."""
    charged = charge(at="01-01", invoice=None)

    assert opened(taken_back) == WHOLE
    assert opened(*links, charged, taken_back, shape=Shape.NEW) == until("01-06")
    assert opened(taken_back, charged, *links, shape=Shape.NEW) == until("01-06")


def test_a_payment_that_was_detached_links_nothing() -> None:
    """An invoice payment that was cancelled did not pay."""
    detached = invoice_payment(at="01-01", status="canceled")

    assert opened(detached, refund("succeeded", at="01-06"), shape=Shape.NEW) == WHOLE


def test_a_grant_that_was_ended_has_no_leeway_and_one_that_came_back_has() -> None:
    """R3: leeway follows a grant that stands at its end."""
    pending, failed = refund("pending", at="01-06"), refund("failed", at="01-09")

    assert opened(charge(at="01-01"), pending, renewal_leeway="2h") == until("01-06")
    assert opened(charge(at="01-01"), pending, failed, renewal_leeway="2h") == [
        "il_1 paid 01-01..01-06",
        "il_1 paid 01-09..02-01",
        "il_1 renewal_leeway 02-01..02-01T02:00",
    ]


def test_what_is_given_back_before_payment_leaves_no_unpaid_terms() -> None:
    """An open invoice that was credited in full opens nothing on credit from then on."""
    bill = Bill(finalized="01-01")

    assert opened(credit_note(at="01-03"), bill=bill, first_unpaid="5d") == ["il_1 unpaid_terms 01-01..01-03"]


def test_a_refund_and_a_dispute_of_two_integrations_never_meet() -> None:
    """What one account says of a payment is nothing to another, whatever the ids."""

    memory = record(
        record({}, events(paid())), [charge(refunded=2500, at="01-06"), dispute("lost", at="01-07")], integration="b"
    )

    assert (facts_of(memory).payment_links, facts_of(memory).disputes) == ((), ())
