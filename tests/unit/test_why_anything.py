"""Whatever becomes known of a customer, its explanation is whole: told, shown, and true to the decision."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from entitlements.domain.catalog import Revisions
from entitlements.domain.decision import Reason
from entitlements.domain.explanation import How, RevokedBy
from tests.acts import block, grant, revocation, unblock
from tests.explaining import Known, explained, text
from tests.pure_core import plan, plans
from tests.renewals import UPGRADE, renewal
from tests.stripe_builders import Bill, Line, one_off, paid
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

POOL: tuple[Known, ...] = (
    paid(Line(), one_off(id="il_x", price="price_big", amount=400), at="01-02"),
    Bill(id="in_0", finalized="01-01", due="01-20"),
    renewal(paid="02-03"),
    renewal(id="in_v", voided="02-04"),
    renewal(*UPGRADE, id="in_up", finalized="01-11", paid="01-12"),
    invoice_payment(at="01-02"),
    invoice_payment(at="02-03", invoice="in_2", intent="pi_2"),
    charge(at="01-02"),
    charge(refunded=2900, at="01-09"),
    refund("pending", at="01-08", amount=1500),
    refund("failed", at="01-14", amount=1500),
    refund("succeeded", at="01-10", amount=1400, id="re_2"),
    refund("succeeded", at="02-10", id="re_3", charge=None, payment_intent="pi_2"),
    dispute("warning_needs_response", at="01-05"),
    dispute("needs_response", at="01-07"),
    dispute("won", at="01-16"),
    dispute("lost", at="02-20", id="du_2", charge=None, payment_intent="pi_2"),
    credit_note(at="01-13", amount=2500, lines=crediting("il_1", 2500)),
    credit_note(at="01-13", amount=400, id="cn_2"),
    credit_note(at="01-13", amount=400, id="cn_2", void="01-22"),
    credit_note(at="01-13", invoice="in_9", id="cn_9"),
    subscription_deleted(at="01-18"),
    customer_deleted(at="02-18"),
    grant("01-03", "01-28"),
    grant("02-01", plan=None, apis=("orders",), id="grant_2"),
    grant(plan="gold", id="grant_3"),
    revocation("01-19"),
    block("01-04", "01-24"),
    block("02-12", id="block_2", at="01-12"),
    unblock("01-21", at="01-11"),
)
TERMS = (
    plans(enterprise=plan(renewal_leeway="2h", first_unpaid="5d"), big=plan(prices=["price_big"])),
    plans(enterprise=plan(renewal_leeway="2h", on_cancel="immediately", renewal_unpaid="until_due")),
    plans(enterprise=plan(on_refund="keep", on_dispute="keep", renewal_leeway="3d")),
)
SPEAKING = {
    Reason.REFUNDED: (RevokedBy.REFUNDED, RevokedBy.CREDIT_NOTE),
    Reason.DISPUTED: (RevokedBy.DISPUTED,),
    Reason.BLOCKED: (RevokedBy.BLOCKED,),
}
"""By reason, the kinds of revocation of which one has spoken."""


@settings(max_examples=100, deadline=None)
@given(
    known=st.lists(st.sampled_from(range(len(POOL))), unique=True, min_size=5),
    day=st.integers(1, 59),
    terms=st.sampled_from(TERMS),
    api=st.sampled_from(["orders", "reports"]),
)
def test_every_explanation_is_whole(known: list[int], day: int, terms: Revisions, api: str) -> None:
    """It can be told and shown; what an answer rests on has spoken, and nothing else that would allow it."""
    at = f"{1 + day // 31:02}-{day % 31 or 1:02}"
    chosen = [POOL[number] for number in sorted(known)]

    explanation = explained(*chosen, at=at, api=api, terms=terms)
    reason = explanation.decision.reason
    spoke = {revocation.kind for revocation in explanation.revocations if revocation.spoke}

    assert text(*chosen, at=at, api=api, terms=terms).startswith(f"{'allow' if reason.allows else 'deny'} ")
    assert reason not in SPEAKING or not spoke.isdisjoint(SPEAKING[reason])
    assert (reason is Reason.MANUAL) <= any(manual.spoke for manual in explanation.manual)
    assert (reason is Reason.PAID) == any(each.how is How.PAID for each in explanation.grants)
    assert reason.allows == (
        any(each.spoke for each in explanation.manual)
        or any(each.how in (How.PAID, How.UNPAID_TERMS, How.RENEWAL_LEEWAY) for each in explanation.grants)
    )
    assert (reason is Reason.REFUNDED) <= any(
        each.how is How.REFUNDED and each.spoke and each.withheld is not None and each.withheld.by
        for each in explanation.grants
    )
    assert (reason is Reason.DISPUTED) <= any(
        each.how is How.DISPUTED and each.spoke and each.withheld is not None and each.withheld.by
        for each in explanation.grants
    )
