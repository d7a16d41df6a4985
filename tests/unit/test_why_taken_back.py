"""
Explanations of what was given back, disputed, cancelled, granted and blocked: in words, and that they hold.

Long because every story is told with its sentences.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from entitlements.domain import what_if
from entitlements.domain.changes_in_words import would_change
from entitlements.domain.explanation import ExplainedRevocation, RevokedBy
from entitlements.domain.grants_in_words import grant_spoke, manual_spoke
from entitlements.domain.reversals import SubscriptionEnded
from entitlements.domain.revocations_in_words import revocation_spoke
from entitlements.domain.sentences import headline
from entitlements.domain.what_if import Case
from entitlements.domain.why import explain
from tests.acts import block, grant, revocation, unblock
from tests.explaining import Known, case_of, explained, told
from tests.pure_core import INTEGRATION, plan, plans
from tests.renewals import renewal
from tests.stripe_builders import CUSTOMER, Bill, Line, on, paid
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

WHO = "customer cus_1"
JANUARY = paid()
CHARGE = charge(at="01-01")
PAID = "allow 200 paid: invoice in_1 for 1 Jan – 1 Feb 2026 is paid; open until 1 Feb 2026 00:00 UTC"
LEEWAY = plans(enterprise=plan(renewal_leeway="2h"))
IMMEDIATELY = plans(enterprise=plan(renewal_leeway="2h", on_cancel="immediately"))
KEEPING = plans(enterprise=plan(on_refund="keep", on_dispute="keep"))
STILL = "Time alone changes nothing."
LAPSES = "If nothing more becomes known, it turns to deny 402 cycle_lapsed at 1 Feb 2026 00:00 UTC."
ENDS = "It ends at 1 Feb 2026 00:00 UTC, unless an invoice for a cycle that follows is paid by then."
NEEDS = "A paid invoice for a cycle that covers the moment, of the plan enterprise, which opens orders"
ANOTHER = (
    "Another invoice for a cycle that covers the moment, paid and kept, of the plan enterprise, which opens orders; "
    "invoice in_1 can't be paid again."
)
WHOLE = "25.00 of 25.00 usd given back by then"
RAN_ON = "of in_1, which else ran until 1 Feb 2026 00:00 UTC"
WAS = "invoice in_1 for 1 Jan – 1 Feb 2026"

STORIES: dict[str, tuple[tuple[Known, ...], dict[str, Any], str, tuple[str, ...], list[str]]] = {
    "refunded in part": (
        (JANUARY, CHARGE, refund("succeeded", at="01-06", amount=1000)),
        {"at": "01-15"},
        PAID,
        (ENDS, LAPSES),
        ["- refunded re_1 (10.00 usd, succeeded): 10.00 of 25.00 usd given back by then; ended nothing"],
    ),
    "refunded in two parts": (
        (
            JANUARY,
            charge(refunded=1000, at="01-06"),
            refund("succeeded", at="01-06", amount=1000),
            charge(refunded=2500, at="01-11"),
            refund("pending", at="01-11", amount=1500, id="re_2"),
        ),
        {"at": "01-15"},
        f"deny 403 refunded: {WAS} was given back",
        (ANOTHER, "A failure of the refund re_2 opens it until 1 Feb 2026 00:00 UTC.", LAPSES),
        [
            (
                "* refunded re_1 (10.00 usd, succeeded): 10.00 of 25.00 usd given back by then; with what came later, "
                f"ended the paid cycle {RAN_ON}"
            ),
            f"* refunded re_2 (15.00 usd, pending): {WHOLE}; ended the paid cycle {RAN_ON}",
        ],
    ),
    "to be refunded": (
        (JANUARY, CHARGE, refund("succeeded", at="01-20")),
        {"at": "01-15"},
        PAID.replace("1 Feb 2026 00:00", "20 Jan 2026 00:00"),
        (
            "It ends at 20 Jan 2026 00:00 UTC, by the refund re_1.",
            "If nothing more becomes known, it turns to deny 403 refunded at 20 Jan 2026 00:00 UTC.",
        ),
        [f"- refunded re_1 (25.00 usd, succeeded): {WHOLE}; ended the paid cycle {RAN_ON}"],
    ),
    "refunded, which failed": (
        (JANUARY, CHARGE, refund("pending", at="01-06"), refund("failed", at="01-09")),
        {"at": "01-15"},
        PAID,
        (ENDS, LAPSES),
        [
            (
                "- refunded re_1 (25.00 usd, failed): counted until 9 Jan 2026 00:00 UTC; ended the paid cycle of in_1 "
                "until then"
            )
        ],
    ),
    "a refund that was not begun": (
        (JANUARY, CHARGE, refund("requires_action", at="01-06")),
        {"at": "01-15"},
        PAID,
        (ENDS, LAPSES),
        ["- refunded re_1 (25.00 usd, requires_action): gives nothing back"],
    ),
    "refunded, as the charge alone says": (
        (
            JANUARY,
            charge(refunded=1000, at="01-06"),
            charge(refunded=2500, at="01-11"),
            charge(refunded=500, at="01-12"),
        ),
        {"at": "01-15"},
        f"deny 403 refunded: {WAS} was given back",
        (ANOTHER, LAPSES),
        [
            "- refunded ch_1 (10.00 usd, by the charge): 10.00 of 25.00 usd given back by then; ended nothing",
            (f"* refunded ch_1 (25.00 usd, by the charge): {WHOLE}; ended the paid cycle {RAN_ON}"),
        ],
    ),
    "refunded, and kept": (
        (JANUARY, CHARGE, refund("succeeded", at="01-06"), dispute("needs_response", at="01-07")),
        {"at": "01-15", "terms": KEEPING},
        PAID,
        (ENDS, LAPSES),
        [
            (f"- refunded re_1 (25.00 usd, succeeded): {WHOLE}; ended nothing: its plan keeps it open"),
            "- disputed du_1 (needs_response): suspended nothing: its plan keeps it open",
        ],
    ),
    "refunded, the cycle being over": (
        (JANUARY, CHARGE, refund("succeeded", at="01-06")),
        {"at": "02-15"},
        f"deny 402 cycle_lapsed: {WAS} was paid and given back, and nothing paid covers the moment",
        (f"{NEEDS}.", STILL),
        [f"- refunded re_1 (25.00 usd, succeeded): {WHOLE}; ended the paid cycle {RAN_ON}"],
    ),
    "credited": (
        (JANUARY, credit_note(at="01-06")),
        {"at": "01-15"},
        f"deny 403 refunded: {WAS} was given back",
        (ANOTHER, "Voiding the credit note cn_1 opens it until 1 Feb 2026 00:00 UTC.", LAPSES),
        [f"* credit_note cn_1 (25.00 usd, issued): {WHOLE}; ended the paid cycle {RAN_ON}"],
    ),
    "credited by two notes": (
        (JANUARY, credit_note(at="01-06", amount=2000), credit_note(at="01-08", amount=500, id="cn_2")),
        {"at": "01-15"},
        f"deny 403 refunded: {WAS} was given back",
        (ANOTHER, "Voiding the credit notes cn_1 and cn_2 opens it until 1 Feb 2026 00:00 UTC.", LAPSES),
        [
            (
                "* credit_note cn_1 (20.00 usd, issued): 20.00 of 25.00 usd given back by then; with what came later, "
                f"ended the paid cycle {RAN_ON}"
            ),
            f"* credit_note cn_2 (5.00 usd, issued): {WHOLE}; ended the paid cycle {RAN_ON}",
        ],
    ),
    "credited with a refund": (
        (JANUARY, CHARGE, credit_note(at="01-06", refund="re_1"), refund("succeeded", at="01-06")),
        {"at": "01-15"},
        f"deny 403 refunded: {WAS} was given back",
        (ANOTHER, LAPSES),
        [
            f"- credit_note cn_1 (25.00 usd, with a refund): {WHOLE}; ended nothing",
            f"* refunded re_1 (25.00 usd, succeeded): {WHOLE}; ended the paid cycle {RAN_ON}",
        ],
    ),
    "credited, and voided": (
        (JANUARY, credit_note(at="01-06", void="01-09")),
        {"at": "01-15"},
        PAID,
        (ENDS, LAPSES),
        [
            (
                "- credit_note cn_1 (25.00 usd, void): counted until 9 Jan 2026 00:00 UTC; ended the paid cycle of "
                "in_1 until then"
            )
        ],
    ),
    "one line credited": (
        (
            paid(Line(id="il_1"), Line(id="il_2", item="si_2", price="price_other", amount=500)),
            credit_note(at="01-06", amount=2500, lines=crediting("il_1", 2500)),
        ),
        {"at": "01-15", "terms": plans(enterprise=plan(), other=plan(prices=["price_other"], apis=["reports"]))},
        f"deny 403 refunded: {WAS} was given back",
        (ANOTHER, "Voiding the credit note cn_1 opens it until 1 Feb 2026 00:00 UTC.", LAPSES),
        [
            (
                "* credit_note cn_1 (25.00 usd, issued): 25.00 of 30.00 usd given back by then, all of line il_1; "
                f"ended the paid cycle {RAN_ON}"
            )
        ],
    ),
    "disputed": (
        (JANUARY, CHARGE, dispute("warning_needs_response", at="01-05"), dispute("needs_response", at="01-06")),
        {"at": "01-15", "terms": LEEWAY},
        f"deny 403 disputed: the payment of {WAS} is disputed",
        ("Winning the dispute du_1 opens it until 1 Feb 2026 02:00 UTC.", LAPSES),
        [
            (
                "* disputed du_1 (needs_response): suspended the paid cycle and the leeway of in_1, which else ran "
                "until 1 Feb 2026 02:00 UTC"
            )
        ],
    ),
    "asked late about a dispute": (
        (JANUARY, CHARGE, dispute("needs_response", at="01-06")),
        {"at": "01-15", "now": "12-31"},
        f"deny 403 disputed: the payment of {WAS} is disputed",
        ("Winning the dispute du_1 by then would have opened it until 1 Feb 2026 00:00 UTC.", LAPSES),
        [f"* disputed du_1 (needs_response): suspended the paid cycle {RAN_ON}"],
    ),
    "disputed twice": (
        (JANUARY, CHARGE, dispute("needs_response", at="01-06"), dispute("under_review", at="01-08", id="du_2")),
        {"at": "01-15"},
        f"deny 403 disputed: the payment of {WAS} is disputed",
        ("Winning the disputes du_1 and du_2 opens it until 1 Feb 2026 00:00 UTC.", LAPSES),
        [
            (f"* disputed du_1 (needs_response): suspended the paid cycle {RAN_ON}, as others do too"),
            f"* disputed du_2 (under_review): suspended the paid cycle {RAN_ON}, as others do too",
        ],
    ),
    "an inquiry": (
        (JANUARY, CHARGE, dispute("warning_needs_response", at="01-05")),
        {"at": "01-15"},
        PAID,
        (ENDS, LAPSES),
        ["- disputed du_1 (warning_needs_response): an inquiry; suspended nothing"],
    ),
    "disputed and won": (
        (JANUARY, CHARGE, dispute("needs_response", at="01-06"), dispute("won", at="01-12")),
        {"at": "01-15"},
        PAID,
        (ENDS, LAPSES),
        [("- disputed du_1 (won): over since 12 Jan 2026 00:00 UTC; suspended the paid cycle of in_1 until then")],
    ),
    "disputed and lost": (
        (JANUARY, CHARGE, dispute("needs_response", at="01-06"), dispute("lost", at="01-12")),
        {"at": "01-15"},
        f"deny 403 disputed: the payment of {WAS} was disputed, and the dispute is lost",
        (ANOTHER, LAPSES),
        [f"* disputed du_1 (lost): ended the paid cycle {RAN_ON}"],
    ),
    "disputed, and given back besides": (
        (JANUARY, CHARGE, dispute("needs_response", at="01-06"), refund("succeeded", at="01-06")),
        {"at": "01-15"},
        f"deny 403 refunded: {WAS} was given back",
        (ANOTHER, LAPSES),
        [
            f"* disputed du_1 (needs_response): suspended the paid cycle {RAN_ON}, as others do too",
            (f"* refunded re_1 (25.00 usd, succeeded): {WHOLE}; ended the paid cycle {RAN_ON}, as others do too"),
        ],
    ),
    "cancelled, in the leeway": (
        (JANUARY, subscription_deleted(at="01-10")),
        {"at": "02-01T01:00", "terms": LEEWAY},
        f"deny 402 cycle_lapsed: {WAS} was paid and is over, and nothing paid covers the moment",
        (f"{NEEDS}.", STILL),
        ["* subscription_ended sub_1: ended the leeway of in_1, which else ran until 1 Feb 2026 02:00 UTC"],
    ),
    "cancelled, in the unpaid terms": (
        (JANUARY, renewal(), subscription_deleted(at="02-03")),
        {"at": "02-05", "terms": plans(enterprise=plan(renewal_unpaid="10d"))},
        "deny 402 payment_required: invoice in_2 for 1 Feb – 1 Mar 2026 is open and not paid",
        (
            "Paying invoice in_2 (25.00 usd) opens it until 1 Mar 2026 00:00 UTC.",
            "If nothing more becomes known, it turns to deny 402 cycle_lapsed at 1 Mar 2026 00:00 UTC.",
        ),
        ["* subscription_ended sub_1: ended the unpaid terms of in_2, which else ran until 11 Feb 2026 00:00 UTC"],
    ),
    "cancelled, and the paid cycle with it": (
        (JANUARY, subscription_deleted(at="01-10"), customer_deleted(at="01-12")),
        {"at": "01-15", "terms": IMMEDIATELY},
        (
            f"deny 402 cycle_lapsed: {WAS} was paid, but ended 10 Jan 2026 00:00 UTC with its subscription sub_1, and "
            "nothing paid covers the moment"
        ),
        (f"{NEEDS}.", STILL),
        [
            (
                "* subscription_ended sub_1: ended the paid cycle and the leeway of in_1, which else ran until "
                "1 Feb 2026 02:00 UTC, as others do too"
            ),
            (
                "* customer_deleted cus_1: ended the paid cycle and the leeway of in_1, which else ran until "
                "1 Feb 2026 02:00 UTC, as others do too"
            ),
        ],
    ),
    "granted by hand": (
        (grant(end="02-01"),),
        {"at": "01-15"},
        "allow 200 manual: an operator granted it to customer cus_1; open until 1 Feb 2026 00:00 UTC",
        (
            "It ends at 1 Feb 2026 00:00 UTC, or when an operator revokes the grant grant_1.",
            "If nothing more becomes known, it turns to deny 403 not_entitled at 1 Feb 2026 00:00 UTC.",
        ),
        [],
    ),
    "granted by hand without an end": (
        (JANUARY, grant(start="01-20")),
        {"at": "01-15"},
        "allow 200 paid: invoice in_1 for 1 Jan – 1 Feb 2026 is paid; open without end",
        (
            "It has no end, unless an operator revokes the grant or blocks the customer.",
            "If nothing more becomes known, it turns to allow 200 manual at 1 Feb 2026 00:00 UTC.",
        ),
        [],
    ),
    "granted by hand and revoked": (
        (grant(), revocation("01-10", by="bob", reason="the trial is over")),
        {"at": "01-15"},
        (
            "deny 403 not_entitled: up to this moment, nothing paid has opened orders for customer cus_1, and what an "
            "operator granted is over"
        ),
        (f"{NEEDS}; or a new grant by an operator.", STILL),
        [
            (
                "* manual_grant_revoked revocation_1 by bob: the trial is over; ended the grant grant_1, which else "
                "had no end"
            )
        ],
    ),
    "to be revoked": (
        (grant(), revocation("01-20")),
        {"at": "01-15"},
        "allow 200 manual: an operator granted it to customer cus_1; open until 20 Jan 2026 00:00 UTC",
        (
            "It ends at 20 Jan 2026 00:00 UTC, by the revocation revocation_1.",
            "If nothing more becomes known, it turns to deny 403 not_entitled at 20 Jan 2026 00:00 UTC.",
        ),
        ["- manual_grant_revoked revocation_1 by ann: a reason; ended the grant grant_1, which else had no end"],
    ),
    "blocked": (
        (JANUARY, block("01-10", reason="chargebacks")),
        {"at": "01-15"},
        "deny 403 blocked: an operator has blocked customer cus_1",
        ("Lifting the block opens it until 1 Feb 2026 00:00 UTC.", STILL),
        ["* blocked block_1 by ann: chargebacks; closes everything until it is lifted"],
    ),
    "blocked for a time, with nothing paid": (
        (Bill(finalized="01-01"), block("01-10", "01-20")),
        {"at": "01-15"},
        "deny 403 blocked: an operator has blocked customer cus_1",
        (
            "Lifting the block leaves it at deny 402 payment_required.",
            "If nothing more becomes known, it turns to deny 402 payment_required at 20 Jan 2026 00:00 UTC.",
        ),
        ["* blocked block_1 by ann: a reason; closes everything until 20 Jan 2026 00:00 UTC"],
    ),
    "to be blocked": (
        (JANUARY, block("01-20", "01-25")),
        {"at": "01-15"},
        PAID.replace("1 Feb 2026 00:00", "20 Jan 2026 00:00"),
        (
            "It ends at 20 Jan 2026 00:00 UTC, by the block block_1.",
            "If nothing more becomes known, it turns to deny 403 blocked at 20 Jan 2026 00:00 UTC.",
        ),
        ["- blocked block_1 by ann: a reason; closes everything until 25 Jan 2026 00:00 UTC"],
    ),
    "blocked until an end, and lifted when it was over": (
        (JANUARY, block("01-10", "01-12"), unblock("01-13", at="01-11")),
        {"at": "01-15"},
        PAID,
        (ENDS, LAPSES),
        ["- blocked block_1 by ann: a reason; closes everything until 12 Jan 2026 00:00 UTC"],
    ),
    "disputed, the cycle being over": (
        (JANUARY, CHARGE, dispute("needs_response", at="01-06")),
        {"at": "02-15"},
        f"deny 402 cycle_lapsed: {WAS} was paid, and the payment is disputed, and nothing paid covers the moment",
        (f"{NEEDS}.", STILL),
        [f"- disputed du_1 (needs_response): suspended the paid cycle {RAN_ON}"],
    ),
    "blocked, and lifted": (
        (JANUARY, block("01-10"), unblock("01-12", at="01-11", by="bob", reason="settled")),
        {"at": "01-15"},
        PAID,
        (ENDS, LAPSES),
        ["- blocked block_1 by ann: a reason; closed everything until 12 Jan 2026 00:00 UTC, lifted by bob: settled"],
    ),
}
"""By name: what became known, what is asked, the answer, what would change it, what was revoked."""

EACH_STORY = pytest.mark.parametrize(("known", "asked"), [story[:2] for story in STORIES.values()], ids=list(STORIES))


@pytest.mark.parametrize(("known", "asked", "answer", "changes", "revoked"), list(STORIES.values()), ids=list(STORIES))
def test_each_story_is_told_as_a_person_would(
    known: tuple[Known, ...], asked: dict[str, Any], answer: str, changes: tuple[str, ...], revoked: list[str]
) -> None:
    """The answer, what would change it and what each revocation came to, in words."""
    explanation = explained(*known, **asked)

    assert answer == headline(explanation, WHO)
    assert changes == would_change(explanation, WHO)
    assert revoked == [in_one_line(each) for each in explanation.revocations]


def in_one_line(revocation: ExplainedRevocation) -> str:
    """Marked if it spoke: `* blocked block_1 by ann: …`; operators' acts say no id of their own."""
    said = revocation_spoke(revocation)
    named = f" {revocation.id}" if revocation.act is not None else ""
    return f"{'*' if revocation.spoke else '-'} {revocation.kind}{named} {said}"


@EACH_STORY
def test_asked_again_with_nothing_changed_the_rules_answer_the_same(
    known: tuple[Known, ...], asked: dict[str, Any]
) -> None:
    """A what-if rests on the same facts and the same rules: the end of a subscription that has no line is no change."""
    there = case(known, asked)
    all_of_it = what_if.narrowed(there, list(there.standing.invoices.values()))
    elsewhere = SubscriptionEnded(
        integration=INTEGRATION, customer=CUSTOMER, subscription="sub_none", ended_at=on("01-01"), stated_at=on("01-01")
    )
    facts = replace(all_of_it.facts, ended_subscriptions=(*all_of_it.facts.ended_subscriptions, elsewhere))

    assert what_if.knowing(all_of_it, facts).decision == there.decision


@EACH_STORY
def test_what_a_revocation_ended_is_what_is_open_where_it_never_was(
    known: tuple[Known, ...], asked: dict[str, Any]
) -> None:
    """Asked at every full hour, without the events about it; what others end too is not open for that."""
    for each in explained(*known, **asked).revocations:
        was, would_be = open_at(case(known, asked)), open_at(case(without(known, each), asked))
        ended = {
            (what_if.name_of(opened), hour) for opened in each.ended for hour in HOURS if opened.period.covers(hour)
        }

        assert would_be - was <= ended
        assert each.shared or would_be - was == ended


HOURS = [on("01-01") + timedelta(hours=hour) for hour in range(75 * 24)]


def case(known: Collection[Known], asked: dict[str, Any]) -> Case:
    return case_of(*known, **{name: value for name, value in asked.items() if name != "now"})


def open_at(there: Case) -> set[tuple[tuple[str, ...], datetime]]:
    """What is open at which of `HOURS`, blocks taken out."""
    return {
        (what_if.name_of(opened), hour)
        for opened in there.opened
        for hour in HOURS
        if opened.period.covers(hour) and not any(period.covers(hour) for period in there.standing.blocked)
    }


def without(known: Collection[Known], revocation: ExplainedRevocation) -> list[Known]:
    """What would have become known, had it never been: its own events are gone, its charge says less."""
    left: list[Known] = []
    for each in known:
        if isinstance(each, Bill):
            left.append(each)
        elif not isinstance(each, dict):
            left += [each] if each.id != revocation.id else []
        elif each["data"]["object"].get("amount_refunded") and revocation.kind is RevokedBy.REFUNDED:
            left.append(_charge_without(each, revocation))
        elif each["data"]["object"]["id"] != revocation.id:
            left.append(each)
    return left


def _charge_without(event: dict[str, Any], revocation: ExplainedRevocation) -> dict[str, Any]:
    about = event["data"]["object"]
    is_its_own = about["id"] == revocation.id and about["amount_refunded"] == revocation.amount
    counts = (
        revocation.id != about["id"] and revocation.at is not None and event["created"] >= revocation.at.timestamp()
    )
    less = (revocation.amount or 0) if is_its_own or counts else 0
    return event | {"data": {"object": about | {"amount_refunded": about["amount_refunded"] - less}}}


@EACH_STORY
def test_what_undoing_is_said_to_do_is_what_it_does(known: tuple[Known, ...], asked: dict[str, Any]) -> None:
    """The refund failed, the note voided, the dispute won or the block lifted at that moment: the answer promised."""
    at = asked["at"]
    for undoing in explained(*known, **asked).undoings:
        undone: list[Known] = []
        for name in undoing.ids:
            match undoing.kind:
                case RevokedBy.REFUNDED:
                    undone.append(refund("failed", at=at, id=name, amount=1500))
                case RevokedBy.DISPUTED:
                    undone.append(dispute("won", at=at, id=name))
                case RevokedBy.CREDIT_NOTE:
                    undone.append(credit_note(at="01-06", void=at, id=name))
                case _:
                    undone.append(unblock(at, at=at))

        assert case((*known, *undone), asked).decision == undoing.decision


@EACH_STORY
def test_the_next_change_is_the_next_one(known: tuple[Known, ...], asked: dict[str, Any]) -> None:
    """Asked at every full hour of two months, the first answer with another reason comes at the moment promised."""
    there, promised = case(known, asked), explained(*known, **asked).change
    later = [hour for hour in HOURS if hour > there.at]
    answers = ((hour, replace(there, at=hour).decision.reason) for hour in later)

    found = next(((hour, reason) for hour, reason in answers if reason is not there.decision.reason), None)

    assert found == (None if promised is None else (promised.at, promised.decision.reason))


@pytest.mark.parametrize(
    ("known", "asked", "how", "said"),
    [
        (
            (JANUARY, CHARGE, refund("succeeded", at="01-06", amount=1000), refund("pending", at="01-08", id="re_2")),
            {"at": "01-15"},
            "* il_1 refunded",
            "given back since 8 Jan 2026 00:00 UTC: 35.00 of 25.00 usd, by re_1 and re_2 (pending)",
        ),
        (
            (JANUARY, CHARGE, refund("succeeded", at="01-06"), credit_note(at="01-08", amount=500)),
            {"at": "02-15"},
            "* il_1 refunded",
            "given back since 6 Jan 2026 00:00 UTC: 30.00 of 25.00 usd, by re_1 and cn_1",
        ),
        (
            (JANUARY, charge(refunded=1000, at="01-06"), charge(refunded=2500, at="01-08")),
            {"at": "01-15"},
            "* il_1 refunded",
            "given back since 8 Jan 2026 00:00 UTC: 25.00 of 25.00 usd, by ch_1",
        ),
        (
            (
                paid(Line(id="il_1"), Line(id="il_2", item="si_2", price="price_other")),
                credit_note(at="01-06", amount=2500, lines=crediting("il_1", 2500)),
            ),
            {"at": "01-15"},
            "* il_1 refunded",
            "given back since 6 Jan 2026 00:00 UTC: 25.00 of 25.00 usd, by cn_1",
        ),
        (
            (JANUARY, CHARGE, dispute("needs_response", at="01-06"), dispute("lost", at="01-08")),
            {"at": "02-15"},
            "* il_1 disputed",
            "disputed since 6 Jan 2026 00:00 UTC by du_1 (lost)",
        ),
        (
            (Bill(finalized="01-01"), credit_note(at="01-06")),
            {"at": "01-15"},
            "- il_1 refunded",
            "given back since 6 Jan 2026 00:00 UTC: 25.00 of 25.00 usd, by cn_1",
        ),
        (
            (JANUARY, subscription_deleted(at="01-10")),
            {"at": "01-15", "terms": IMMEDIATELY},
            "* il_1 cancelled",
            "ended 10 Jan 2026 00:00 UTC with its subscription sub_1",
        ),
        (
            (Bill(finalized="01-01"), subscription_deleted(at="01-10")),
            {"at": "01-15"},
            "* il_1 open",
            "not paid, and its subscription ended 10 Jan 2026 00:00 UTC",
        ),
        (
            (JANUARY, block("01-10")),
            {"at": "01-15"},
            "- il_1 blocked",
            "blocked: without that, open until 1 Feb 2026 00:00 UTC",
        ),
    ],
)
def test_how_a_line_spoke(known: tuple[Known, ...], asked: dict[str, Any], how: str, said: str) -> None:
    """Why a line opens nothing, since when, by what and how much; also once its cycle is over."""
    explanation = explained(*known, **asked)

    assert [how] == told(explanation)
    assert [said] == [grant_spoke(each, explanation.at) for each in explanation.grants]


@pytest.mark.parametrize(
    ("known", "at", "how", "said"),
    [
        ((grant(end="02-01"),), "01-15", "* manual", "open until 1 Feb 2026 00:00 UTC"),
        ((grant(),), "01-15", "* manual", "open until it is revoked"),
        ((grant("02-01"),), "01-15", "- not_yet", "not yet begun"),
        ((grant(end="01-10"),), "01-15", "- over", "over since 10 Jan 2026 00:00 UTC"),
        (
            (grant(end="02-01"), revocation("01-10", by="bob")),
            "01-15",
            "- ended",
            "revoked since 10 Jan 2026 00:00 UTC by bob: a reason",
        ),
        (
            (grant("01-10"), revocation("01-05")),
            "01-15",
            "- ended",
            "revoked since 5 Jan 2026 00:00 UTC by ann: a reason",
        ),
        ((grant(), block("01-10")), "01-15", "- blocked", "blocked: without that, open until it is revoked"),
        ((grant(plan="gold"),), "01-15", "- no_plan", "opens nothing: no catalog has a plan gold"),
        ((grant(plan=None, apis=("orders",)),), "01-15", "* manual", "open until it is revoked"),
    ],
)
def test_how_an_operators_grant_spoke(known: tuple[Known, ...], at: str, how: str, said: str) -> None:
    """Until when it opens or why it doesn't, who gave it and why."""
    [manual] = explained(*known, at=at).manual

    assert f"{'*' if manual.spoke else '-'} {manual.how}" == how
    assert manual_spoke(manual) == f"{said}; given by ann: a reason"


@pytest.mark.parametrize(
    ("bills", "asked", "said"),
    [
        (
            (Bill(finalized="01-01"),),
            {"at": "01-02", "terms": plans(enterprise=plan(first_unpaid="5d"))},
            "not paid yet: unpaid terms until 6 Jan 2026 00:00 UTC",
        ),
        ((JANUARY,), {"at": "02-01T01:00", "terms": LEEWAY}, "paid and over: leeway until 1 Feb 2026 02:00 UTC"),
        ((JANUARY,), {"at": "01-15"}, "paid: open until 1 Feb 2026 00:00 UTC"),
    ],
)
def test_how_a_line_that_opens_the_api_spoke(bills: tuple[Bill, ...], asked: dict[str, Any], said: str) -> None:
    """Why it is open, and until when."""
    explanation = explained(*bills, **asked)

    assert [said] == [grant_spoke(each, explanation.at) for each in explanation.grants]


def test_where_no_amount_is_known_none_is_told() -> None:
    """The currency stands on an invoice's snapshot, which another consumer reads: it may be behind."""
    case_ = case((JANUARY, CHARGE, refund("succeeded", at="01-06")), {"at": "01-15"})
    explanation = explain(replace(case_, facts=replace(case_.facts, invoices=())), CUSTOMER, case_.at)

    assert [grant_spoke(each, explanation.at) for each in explanation.grants] == [
        "given back since 6 Jan 2026 00:00 UTC by re_1"
    ]
    assert [revocation_spoke(each) for each in explanation.revocations] == [
        f"re_1 (succeeded): ended the paid cycle {RAN_ON}"
    ]


def test_what_opens_another_api_is_not_told() -> None:
    """Neither a grant by hand of another API nor its revocation; a block is, since it closes everything."""
    known = (grant(plan=None, apis=("reports",)), revocation("01-10"), block("01-12"))

    explanation = explained(*known, at="01-15")

    assert (explanation.manual, [each.kind for each in explanation.revocations]) == ((), [RevokedBy.BLOCKED])


def test_a_refund_reaches_an_explanation_by_any_link() -> None:
    """Where the charge names no invoice, the invoice's payment does."""
    known = (JANUARY, invoice_payment(at="01-01"), charge(at="01-01", invoice=None), refund("succeeded", at="01-06"))

    assert told(explained(*known, at="01-15")) == ["* il_1 refunded"]
