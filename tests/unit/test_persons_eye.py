"""What an explanation shows a person beside the answer: money taken back that leads nowhere, and operators' slips."""

from __future__ import annotations

from typing import Any

import pytest

from entitlements.domain.access import Scope
from entitlements.domain.sentences import needs_an_eye
from tests.acts import grant, revocation
from tests.explaining import Known, case_of, document_of, explained, told
from tests.pure_core import INTEGRATION, catalog, plan, revisions
from tests.stripe_builders import Bill, Line, event, paid, snapshot
from tests.taking_back import charge, credit_note, dispute, invoice_payment, refund

JANUARY = paid()
LONE = charge(at="01-06", invoice=None)
NOBODY_SAID = "ends nothing: no event has said yet which invoice was paid with it."


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ((LONE, refund("succeeded", at="01-06")), f"re_1 (payment ch_1 and pi_1) {NOBODY_SAID}"),
        ((LONE, dispute("needs_response", at="01-06")), f"du_1 (payment ch_1 and pi_1) {NOBODY_SAID}"),
        ((LONE, dispute("lost", at="01-06")), f"du_1 (payment ch_1 and pi_1) {NOBODY_SAID}"),
        ((charge(refunded=2500, at="01-06", invoice=None),), f"ch_1 (payment ch_1 and pi_1) {NOBODY_SAID}"),
        (
            (LONE, refund("pending", at="01-06"), dispute("needs_response", at="01-06")),
            f"re_1 and du_1 (payment ch_1 and pi_1) {NOBODY_SAID.replace('ends', 'end', 1)}",
        ),
        (
            (charge(at="01-06", invoice="in_9"), refund("succeeded", at="01-06")),
            "re_1 (payment ch_1 and pi_1) ends nothing: nothing is known of the invoice in_9.",
        ),
        ((credit_note(at="01-06", invoice="in_9"),), "cn_1 ends nothing: nothing is known of the invoice in_9."),
        (
            (paid(Line(id="il_x", price=None, item="si_x"), id="in_x"),),
            "Invoice in_x: line il_x (no price, 1 Jan – 1 Feb 2026) is of no plan.",
        ),
        (
            (
                charge(at="01-06", invoice="in_9"),
                invoice_payment(at="01-06", invoice="in_8"),
                refund("succeeded", at="01-06"),
            ),
            "re_1 (payment ch_1 and pi_1) ends nothing: nothing is known of the invoices in_8 and in_9.",
        ),
        ((grant(plan="gold"),), "Grant grant_1 by ann: no catalog has a plan gold."),
        (
            (grant(), revocation("01-10", of="grant_9")),
            "Revocation revocation_1 by ann: no grant grant_9 of this customer is known.",
        ),
    ],
)
def test_what_leads_nowhere_needs_an_eye(known: tuple[Known, ...], said: str) -> None:
    """Money taken back whose invoice is not known, and what operators said of what nobody has."""
    assert needs_an_eye(explained(JANUARY, *known, at="01-15")) == (said,)


@pytest.mark.parametrize(
    "known",
    [
        (LONE,),
        (LONE, dispute("warning_needs_response", at="01-06")),
        (LONE, dispute("needs_response", at="01-06"), dispute("won", at="01-08")),
        (LONE, refund("pending", at="01-06"), refund("failed", at="01-08")),
        (LONE, refund("requires_action", at="01-06")),
        (LONE, refund("succeeded", at="01-06"), invoice_payment(at="01-01")),
        (charge(at="01-06", invoice=None, customer="cus_2"), refund("succeeded", at="01-06")),
        (refund("succeeded", at="01-06"),),
        (credit_note(at="01-06", void="01-08", invoice="in_9"),),
    ],
    ids=[
        "a charge that has nothing to do with an invoice",
        "an inquiry",
        "a dispute that was won",
        "a refund that failed",
        "a refund that was not begun",
        "what is linked",
        "another customer's",
        "nobody's",
        "a credit note that is void",
    ],
)
def test_where_no_money_of_the_customer_was_taken_back_nothing_needs_an_eye(known: tuple[Known, ...]) -> None:
    """Nor where it leads to an invoice, or is nobody's yet."""
    assert needs_an_eye(explained(JANUARY, *known, at="01-15")) == ()


def test_what_belongs_to_no_marketplace_is_told_to_none() -> None:
    """In a marketplace's scope, neither payments that lead nowhere nor plans that no catalog has are told of."""
    known = (JANUARY, LONE, refund("succeeded", at="01-06"), grant(plan="gold"), revocation("01-10", of="grant_9"))

    explanation = explained(*known, at="01-15", scope=Scope(integration=INTEGRATION, marketplace="acme"))

    assert (needs_an_eye(explanation), explanation.manual) == ((), ())


def test_lines_that_stripe_left_out_need_an_eye() -> None:
    """An invoice of which no snapshot had all its lines may hide a grant."""
    cut = snapshot(JANUARY, "paid")
    cut["lines"]["has_more"] = True

    assert needs_an_eye(explained(event("invoice.paid", cut, at="01-01"), at="01-15")) == (
        "Invoice in_1: Stripe left lines out of its events.",
    )


@pytest.mark.parametrize(("marketplace", "refunds"), [("acme", ["re_1"]), ("other", [])])
def test_a_marketplace_is_told_of_what_was_given_back_of_its_own_invoices(marketplace: str, refunds: list[str]) -> None:
    """Refunds are those of invoices with a line sold there."""
    sold = revisions(catalog(elsewhere={"other": plan(prices=["price_other"], apis=["orders"])}))
    both = (JANUARY, paid(Line(id="il_o", price="price_other", item="si_o"), id="in_o"))
    known = (*both, charge(at="01-01"), refund("succeeded", at="01-06"))

    explanation = explained(
        *known, at="01-15", terms=sold, scope=Scope(integration=INTEGRATION, marketplace=marketplace)
    )

    assert [each.id for each in explanation.revocations] == refunds


def test_a_payment_of_two_invoices_takes_back_from_both() -> None:
    """Each of the invoices has the refund among its events and its revocations."""
    second = Bill(id="in_2", lines=(Line(id="il_2", item="si_2"),), finalized="01-01", paid="01-01")
    linked = (invoice_payment(at="01-01"), invoice_payment(at="01-01", invoice="in_2"))
    known = (JANUARY, second, *linked, refund("succeeded", at="01-06"))

    found = document_of(*known, at="01-15")

    assert told(explained(*known, at="01-15")) == ["* il_1 refunded", "* il_2 refunded"]
    assert [(each["id"], each["invoice"]) for each in found["revocations"]] == [("re_1", "in_1"), ("re_1", "in_2")]
    assert [[each["about"] for each in of["events"]][-2:] for of in found["invoices"].values()] == [
        ["inpay_in_1_pi_1", "re_1"],
        ["inpay_in_2_pi_1", "re_1"],
    ]


def test_evidence_is_what_the_explanation_rests_on() -> None:
    """Of the log, what is about its invoices, payments, reversals and acts; not about other customers' or links."""
    known: tuple[Known, ...] = (
        JANUARY,
        charge(at="01-01"),
        refund("succeeded", at="01-06"),
        charge(at="01-07", id="ch_x", payment_intent="pi_x", invoice=None),
        grant(),
        grant(id="grant_of_other", plan=None, apis=("reports",)),
    )

    found = document_of(*known, at="01-15")

    assert [each["about"] for each in found["invoices"]["in_1"]["events"]] == ["in_1", "in_1", "ch_1", "re_1"]
    assert [each["id"] for each in found["other_events"]] == ["grant_1"]


def test_the_decision_takes_no_notice_of_what_is_not_linked() -> None:
    """A refund that leads nowhere ends nothing, whoever's it is."""
    known: dict[str, Any] = {"at": "01-15"}

    assert (
        case_of(JANUARY, LONE, refund("succeeded", at="01-06"), **known).decision == case_of(JANUARY, **known).decision
    )
