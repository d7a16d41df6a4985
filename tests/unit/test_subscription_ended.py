"""R7: a subscription's end ends leeway and unpaid terms; what is paid runs on, unless the plan says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.pure_core import bill_of, plan, plans, spans_in
from tests.stripe_builders import Bill, Json, Line, event, events, on, one_off, paid, seconds
from tests.taking_back import customer_deleted, subscription_deleted

WHOLE = ["il_1 paid 01-01..02-01"]


def opened(*others: Json, bill: Bill | None = None, **terms: Any) -> list[str]:
    """What an invoice for January opens, paid on its first day, once *others* are known too."""
    return spans_in(bill_of([*events(bill or paid()), *others], terms=plans(enterprise=plan(**terms))))


ENDS = [
    pytest.param(lambda at: subscription_deleted(at=at), id="the subscription was deleted"),
    pytest.param(lambda at: customer_deleted(at=at), id="the customer was"),
]


@pytest.mark.parametrize("ended", ENDS)
def test_paid_cycles_run_to_their_end(ended: Callable[[str], Json]) -> None:
    """And have no leeway after it, if it comes after the subscription's end; before it, leeway ends there."""
    assert opened(ended("01-10"), renewal_leeway="2h") == WHOLE
    assert opened(ended("02-01T01:00"), renewal_leeway="2h") == [*WHOLE, "il_1 renewal_leeway 02-01..02-01T01:00"]


@pytest.mark.parametrize("ended", ENDS)
def test_unpaid_terms_end_with_the_subscription(ended: Callable[[str], Json]) -> None:
    """Nothing more is given on credit."""
    bill = Bill(finalized="01-01")

    assert opened(ended("01-03"), bill=bill, first_unpaid="5d") == ["il_1 unpaid_terms 01-01..01-03"]


@pytest.mark.parametrize("ended", ENDS)
def test_a_plan_may_end_paid_cycles_with_the_subscription(ended: Callable[[str], Json]) -> None:
    """`on_cancel: immediately`; there is no leeway then."""
    assert opened(ended("01-10"), on_cancel="immediately", renewal_leeway="2h") == ["il_1 paid 01-01..01-10"]


@pytest.mark.parametrize("on_cancel", ["immediately", "cycle_end"])
def test_what_is_paid_after_the_end_still_opens(on_cancel: str) -> None:
    """An invoice that was open when its subscription ended can still be paid; in the same second it was paid before."""
    late, at_once = paid(at="01-12"), paid(at="01-10")

    assert opened(subscription_deleted(at="01-10"), bill=late, on_cancel=on_cancel) == ["il_1 paid 01-12..02-01"]
    assert opened(subscription_deleted(at="01-10"), bill=at_once, on_cancel="immediately") == []


def test_a_subscriptions_end_is_nothing_to_others() -> None:
    """Lines of another subscription, or of none, go on."""
    bill = paid(Line(), one_off(id="il_2"))

    assert opened(subscription_deleted(at="01-10", subscription="sub_2"), bill=bill, on_cancel="immediately") == [
        "il_1 paid 01-01..02-01",
        "il_2 paid 01-01..02-01",
    ]
    assert opened(customer_deleted(at="01-10"), bill=bill, on_cancel="immediately") == [
        "il_1 paid 01-01..01-10",
        "il_2 paid 01-01..02-01",
    ]


def test_the_end_is_the_objects_own_and_not_when_it_was_asked_for() -> None:
    """`ended_at`; where no snapshot has it, the smallest `created` of the events that tell of it."""
    told = subscription_deleted(at="01-10", canceled_at=seconds(on("01-02")))
    without = subscription_deleted(at="01-12", ended_at=None)

    assert opened(told, without, on_cancel="immediately") == ["il_1 paid 01-01..01-10"]
    assert opened(without, on_cancel="immediately") == ["il_1 paid 01-01..01-12"]


def test_no_other_event_of_a_subscription_decides_anything() -> None:
    """A status of `canceled` in an update may be told before it is the case: the deletion alone counts."""
    about = {"id": "sub_1", "object": "subscription", "customer": "cus_1", "status": "canceled", "ended_at": 1767999600}

    assert opened(event("customer.subscription.updated", about, at="01-10"), on_cancel="immediately") == WHOLE
