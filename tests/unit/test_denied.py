"""What a denial says in full: its reason, what it rests on, and how long it may be kept."""

from __future__ import annotations

from datetime import timedelta

import pytest

from entitlements.domain.access import Scope, apis_of, decide
from entitlements.domain.decision import Decision, Reason
from entitlements.domain.period import Period
from tests.pure_core import INTEGRATION, ask, plan, plans, stand
from tests.stripe_builders import Bill, Json, Line, events, on, one_off, paid
from tests.taking_back import charge, credit_note, dispute

JANUARY = Period(on("01-01"), on("02-01"))
TERMS = plans(enterprise=plan(), analytics=plan(prices=["price_a"], apis=["reports"]))
TWO_SECONDS = timedelta(seconds=2)


def told(*others: Json, at: str, bills: tuple[Bill, ...] | None = None, api: str = "orders") -> Decision:
    """The decision about an API at a moment, an invoice for January being paid by the charge `ch_1`."""
    scope = Scope(integration=INTEGRATION)
    said = [*events(*(bills or (paid(),))), charge(at="01-01"), *others]
    customer = stand(said, terms=TERMS)
    return decide(customer, api, on(at), known_apis=apis_of(customer, scope, TERMS, on("12-31")))


@pytest.mark.parametrize(
    ("taken_back", "reason"),
    [
        pytest.param(charge(refunded=2500, at="01-06"), Reason.REFUNDED, id="refunded"),
        pytest.param(dispute("lost", at="01-06"), Reason.DISPUTED, id="disputed"),
    ],
)
def test_what_was_taken_back_is_denied_with_the_cycle_that_would_cover_the_moment(
    taken_back: Json, reason: Reason
) -> None:
    """Only within the cycle: before, it was open, and after it, it has lapsed."""
    assert told(taken_back, at="01-05").reason is Reason.PAID
    assert told(taken_back, at="01-06") == Decision(
        api="orders",
        reason=reason,
        max_age=TWO_SECONDS,
        plan="enterprise",
        invoice="in_1",
        cycle=JANUARY,
        catalog_revision=1,
    )
    assert told(taken_back, at="02-01").reason is Reason.CYCLE_LAPSED


def test_what_was_taken_back_of_one_api_is_nothing_to_another() -> None:
    """Another plan's API was never had."""
    assert told(charge(refunded=2500, at="01-06"), at="01-07", api="reports").reason is Reason.NOT_ENTITLED


def test_refunded_is_told_before_disputed() -> None:
    """Whichever came first."""
    assert told(dispute("lost", at="01-06"), charge(refunded=2500, at="01-07"), at="01-08").reason is Reason.REFUNDED


def test_of_several_that_were_taken_back_the_one_that_ends_last_is_told() -> None:
    """As of several that are open."""
    short = paid(Line(id="il_2", item="si_2", end="01-20"), id="in_2")
    taken_back = [
        charge(refunded=2500, at="01-06"),
        charge(refunded=2500, at="01-06", id="ch_2", payment_intent="pi_2", invoice="in_2"),
    ]

    assert told(*taken_back, at="01-08", bills=(short, paid())).invoice == "in_1"
    assert told(*taken_back, at="01-08", bills=(paid(), short)).invoice == "in_1"


def test_an_open_invoice_comes_before_what_was_taken_back() -> None:
    """Paying it would open the API again."""
    again = Bill(lines=(Line(id="il_2"),), id="in_2", finalized="01-07")

    assert told(charge(refunded=2500, at="01-06"), at="01-08", bills=(paid(), again)).reason is Reason.PAYMENT_REQUIRED


def test_an_open_invoice_that_was_credited_in_full_is_not_to_be_paid() -> None:
    """Paying it would open nothing."""
    assert (
        told(credit_note(at="01-03"), at="01-04", bills=(Bill(finalized="01-01"),)).reason
        is not Reason.PAYMENT_REQUIRED
    )


def test_a_denial_that_asks_for_payment_says_what_for_and_where() -> None:
    """The invoice, its cycle, its plan, the page, and how long the answer may be kept."""
    assert ask(Bill(finalized="01-01"), at="01-02") == Decision(
        api="orders",
        reason=Reason.PAYMENT_REQUIRED,
        max_age=TWO_SECONDS,
        plan="enterprise",
        invoice="in_1",
        cycle=JANUARY,
        pay_at="https://invoice.example.com/in_1",
        catalog_revision=1,
    )


def test_an_unknown_api_is_denied_without_more() -> None:
    """It rests on nothing."""
    assert ask(paid(), at="01-02", api="nothing") == Decision(
        api="nothing", reason=Reason.UNKNOWN_API, max_age=TWO_SECONDS
    )


def test_what_was_given_back_was_not_paid_up_to_its_end() -> None:
    """R2: a line of no subscription renews what was paid, and not what was paid and refunded."""
    terms = plans(enterprise=plan(renewal_unpaid="3d"))
    january = paid(one_off())
    february = Bill(
        id="in_2", lines=(one_off(id="il_2", start="02-01", end="03-01"),), finalized="02-01", reason="manual"
    )

    def reason(*others: Json) -> Reason:
        customer = stand([*events(january, february), *others], terms=terms)
        return decide(customer, "orders", on("02-02"), known_apis=("orders",)).reason

    assert reason() is Reason.UNPAID_TERMS
    assert reason(charge(refunded=2500, at="01-20")) is Reason.PAYMENT_REQUIRED
    assert reason(charge(refunded=2500, at="01-01")) is Reason.PAYMENT_REQUIRED
