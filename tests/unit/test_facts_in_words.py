"""What `entitle event` says of each kind of fact."""

from __future__ import annotations

from typing import get_args

import pytest

from entitlements.domain.facts import Fact
from entitlements.domain.facts_in_words import in_words
from schemas.codec import CatalogApplied
from tests.acts import block, grant, revocation, unblock
from tests.explaining import Known, messages
from tests.pure_core import DECIDERS, catalog
from tests.stripe_builders import Bill, Line
from tests.taking_back import (
    charge,
    credit_note,
    crediting,
    customer_deleted,
    dispute,
    invoice_payment,
    refund,
    subscription_deleted,
)

CREDIT = Line(id="il_c", amount=-100, proration=True)
NAMED_CREDIT = Line(id="il_c", amount=-100, proration=True, credited=("in_1", ("il_1", "il_2")))
SAID: list[tuple[Known, list[str]]] = [
    (
        Bill(finalized="01-01"),
        [
            "invoice in_1 is open, 25.00 usd, 25.00 usd to be paid",
            "line il_1 of in_1, price_enterprise, for 1 Jan – 1 Feb 2026: open",
        ],
    ),
    (
        Bill(lines=(CREDIT,), paid="01-01"),
        ["credit line il_c of in_1, once paid, ends earlier lines of its subscription item"],
    ),
    (Bill(lines=(NAMED_CREDIT,), paid="01-01"), ["credit line il_c of in_1, once paid, ends il_1 and il_2"]),
    (
        Bill(lines=(), voided="01-02"),
        ["invoice in_1 was voided 2 Jan 2026 00:00 UTC", "invoice in_1 is void, 0.00 usd, 0.00 usd to be paid"],
    ),
    (
        Bill(lines=(), uncollectible="01-02"),
        [
            "invoice in_1 was marked uncollectible 2 Jan 2026 00:00 UTC",
            "invoice in_1 is uncollectible, 0.00 usd, 0.00 usd to be paid",
        ],
    ),
    (
        charge(refunded=1000, at="01-06"),
        [
            "of charge ch_1 1000 (smallest unit) was refunded in all",
            "payment pi_1 and ch_1 of customer cus_1 is of invoice in_1",
        ],
    ),
    (invoice_payment(at="01-01"), ["payment pi_1 is of invoice in_1"]),
    (
        refund("pending", at="01-06"),
        ["payment pi_1 and ch_1", "refund re_1 of pi_1 and ch_1, 2500 (smallest unit): pending"],
    ),
    (
        dispute("lost", at="01-06"),
        ["dispute du_1 over pi_1 and ch_1: lost at 6 Jan 2026 00:00 UTC", "payment pi_1 and ch_1"],
    ),
    (
        credit_note(at="01-06", lines=crediting("il_1", 2500)),
        ["credit note cn_1 for invoice in_1, 2500 (smallest unit) of il_1, issued 6 Jan 2026 00:00 UTC"],
    ),
    (
        credit_note(at="01-06", void="01-08", refund="re_1"),
        [
            (
                "credit note cn_1 for invoice in_1, 2500 (smallest unit), issued 6 Jan 2026 00:00 UTC, with a refund, "
                "void 8 Jan 2026 00:00 UTC"
            )
        ],
    ),
    (subscription_deleted(at="01-10"), ["subscription sub_1 of customer cus_1 ended 10 Jan 2026 00:00 UTC"]),
    (customer_deleted(at="01-10"), ["every subscription of customer cus_1 ended"]),
    (
        grant(end="02-01"),
        [
            (
                "grant grant_1 to customer cus_1: plan enterprise from 1 Jan 2026 00:00 UTC to 1 Feb 2026 00:00 UTC, "
                "by ann: a reason"
            )
        ],
    ),
    (
        grant(plan=None, apis=("orders", "reports")),
        ["grant grant_1 to customer cus_1: orders and reports from 1 Jan 2026 00:00 UTC on, by ann: a reason"],
    ),
    (
        revocation("01-10"),
        ["grant grant_1 to customer cus_1 is over from 10 Jan 2026 00:00 UTC on, by ann: a reason"],
    ),
    (block("01-10"), ["customer cus_1 is blocked from 10 Jan 2026 00:00 UTC on, by ann: a reason"]),
    (
        unblock("01-12", at="01-12"),
        ["customer cus_1 is blocked no longer from 12 Jan 2026 00:00 UTC on, by ann: a reason"],
    ),
]


ALSO = {"Stripe names customer cus_1", "invoice in_1 is paid, -1.00 usd, 0.00 usd to be paid"}
"""What is said of many of them."""


def facts_in(known: Known | CatalogApplied) -> list[Fact]:
    """What all consumers find in it."""
    found = [known] if isinstance(known, CatalogApplied) else messages([known])
    return [fact for message in found for decide in DECIDERS for fact in decide(message)]


@pytest.mark.parametrize(("known", "said"), SAID)
def test_a_fact_is_told_in_words(known: Known, said: list[str]) -> None:
    """Of which object it is, and what it says; amounts of payments, whose currency is not known, as Stripe counts."""
    told = {in_words(fact) for fact in facts_in(known)}

    assert told - ALSO == set(said)


def test_every_kind_of_fact_has_its_words() -> None:
    """A catalog's revision too."""
    applied = CatalogApplied(number=1, in_force_from=None, applied_by="ann", document=catalog())
    told = {type(fact) for known, _ in SAID for fact in facts_in(known)}

    assert [in_words(fact) for fact in facts_in(applied)] == ["catalog revision 1, applied by ann"]
    assert {*told, *(type(fact) for fact in facts_in(applied))} == set(get_args(Fact))
