"""
Explanations: how each grant and revocation spoke, what would change the answer, and that these promises hold.

Long because every story is told with its sentences.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from entitlements.domain.access import Scope
from entitlements.domain.changes_in_words import would_change
from entitlements.domain.decision import ALLOWING, Reason
from entitlements.domain.grants_in_words import grant_spoke
from entitlements.domain.nearest import MOST_INVOICES, MOST_LINES
from entitlements.domain.revocations_in_words import revocation_spoke
from entitlements.domain.sentences import headline, needs_an_eye
from tests.explaining import case_of, explained, told
from tests.pure_core import INTEGRATION, ask, catalog, plan, plans, revisions
from tests.renewals import SECOND, TERMS, UPGRADE, renewal
from tests.stripe_builders import Bill, Line, on, one_off, paid

WHO = "customer cus_1"
JANUARY = paid()
FEBRUARY_ON = "1 Feb 2026 00:00 UTC"
LEEWAY = plans(enterprise=plan(renewal_leeway="2h"))
BIGGER = plans(enterprise=plan(), big=plan(prices=["price_big"], apis=["reports"]))
NEEDS = "A paid invoice for a cycle that covers the moment, of the plan enterprise, which opens orders."
PAYING = "Paying invoice in_2 (25.00 usd)"
STILL = "Time alone changes nothing."


def upgrade(**changes: Any) -> Bill:
    """A bigger plan from 11 January on, which credits the smaller one."""
    return Bill(**({"id": "in_up", "reason": "subscription_update", "finalized": "01-11", "lines": UPGRADE} | changes))


def turns(to: str, at: str = FEBRUARY_ON) -> str:
    return f"If nothing more becomes known, it turns to {to} at {at}."


STORIES = {
    "paid": (
        (JANUARY,),
        {"at": "01-15"},
        "allow 200 paid: invoice in_1 for 1 Jan – 1 Feb 2026 is paid; open until 1 Feb 2026 00:00 UTC",
        (
            "It ends at 1 Feb 2026 00:00 UTC, unless an invoice for a cycle that follows is paid by then.",
            turns("deny 402 cycle_lapsed"),
        ),
        ["* il_1 paid"],
    ),
    "paid, with one owed that would open no more": (
        (JANUARY, Bill(id="in_2", lines=(one_off(id="il_2", end="01-20"),), finalized="01-01")),
        {"at": "01-15"},
        "allow 200 paid: invoice in_1 for 1 Jan – 1 Feb 2026 is paid; open until 1 Feb 2026 00:00 UTC",
        (
            "It ends at 1 Feb 2026 00:00 UTC, unless an invoice for a cycle that follows is paid by then.",
            turns("deny 402 cycle_lapsed"),
        ),
        ["- il_2 open", "* il_1 paid"],
    ),
    "leeway": (
        (JANUARY, renewal()),
        {"at": "02-01T01:30", "terms": LEEWAY},
        (
            "allow 200 renewal_leeway: invoice in_1 for 1 Jan – 1 Feb 2026 was paid, and its renewal has leeway; "
            "open until 1 Feb 2026 02:00 UTC"
        ),
        (
            "It ends at 1 Feb 2026 02:00 UTC, unless an invoice for a cycle that follows is paid by then.",
            f"{PAYING} keeps it open until 1 Mar 2026 02:00 UTC.",
            turns("deny 402 payment_required", "1 Feb 2026 02:00 UTC"),
        ),
        ["* il_1 renewal_leeway", "- il_2 open"],
    ),
    "unpaid terms": (
        (JANUARY, renewal()),
        {"at": "02-03", "terms": TERMS},
        (
            "allow 200 unpaid_terms: invoice in_2 for 1 Feb – 1 Mar 2026 is not paid yet, and the plan enterprise "
            "gives time; open until 11 Feb 2026 00:00 UTC"
        ),
        (
            "It ends at 11 Feb 2026 00:00 UTC, unless the invoice is paid by then.",
            f"{PAYING} keeps it open until 1 Mar 2026 00:00 UTC.",
            turns("deny 402 payment_required", "11 Feb 2026 00:00 UTC"),
        ),
        ["- il_1 over", "* il_2 unpaid_terms"],
    ),
    "open": (
        (JANUARY, renewal()),
        {"at": "02-03"},
        "deny 402 payment_required: invoice in_2 for 1 Feb – 1 Mar 2026 is open and not paid",
        (f"{PAYING} opens it until 1 Mar 2026 00:00 UTC.", turns("deny 402 cycle_lapsed", "1 Mar 2026 00:00 UTC")),
        ["- il_1 over", "* il_2 open"],
    ),
    "uncollectible, paid later": (
        (JANUARY, renewal(uncollectible="02-11", paid="02-16")),
        {"at": "02-12"},
        "deny 402 payment_required: invoice in_2 for 1 Feb – 1 Mar 2026 is uncollectible and not paid",
        (turns("allow 200 paid", "16 Feb 2026 00:00 UTC"),),
        ["- il_1 over", "* il_2 uncollectible"],
    ),
    "open, voided later": (
        (JANUARY, renewal(voided="02-05")),
        {"at": "02-04"},
        "deny 402 payment_required: invoice in_2 for 1 Feb – 1 Mar 2026 is open and not paid",
        (
            "Paying invoice in_2, had it not been voided at 5 Feb 2026 00:00 UTC.",
            turns("deny 402 cycle_lapsed", "5 Feb 2026 00:00 UTC"),
        ),
        ["- il_1 over", "* il_2 open"],
    ),
    "asked too late for a payment": (
        (JANUARY, renewal()),
        {"at": "02-03", "now": "12-31"},
        "deny 402 payment_required: invoice in_2 for 1 Feb – 1 Mar 2026 is open and not paid",
        (
            f"{PAYING} by then would have opened it until 1 Mar 2026 00:00 UTC.",
            turns("deny 402 cycle_lapsed", "1 Mar 2026 00:00 UTC"),
        ),
        ["- il_1 over", "* il_2 open"],
    ),
    "void": (
        (JANUARY, renewal(voided="02-03")),
        {"at": "02-04"},
        (
            "deny 402 cycle_lapsed: invoice in_1 for 1 Jan – 1 Feb 2026 was paid and is over, and nothing paid covers "
            "the moment"
        ),
        (NEEDS, STILL),
        ["* il_1 over", "- il_2 void"],
    ),
    "withheld by an older invoice": (
        (JANUARY, renewal(), renewal(Line(id="il_3", start="03-01", end="04-01"), id="in_3", finalized="03-01")),
        {"at": "03-02", "terms": TERMS},
        "deny 402 payment_required: invoice in_3 for 1 Mar – 1 Apr 2026 is open and not paid",
        (
            f"{PAYING} opens it until 11 Mar 2026 00:00 UTC.",
            "Paying invoice in_3 (25.00 usd) opens it until 1 Apr 2026 00:00 UTC.",
            turns("deny 402 cycle_lapsed", "1 Apr 2026 00:00 UTC"),
        ),
        ["- il_1 over", "- il_2 open", "* il_3 withheld"],
    ),
    "withheld by an older invoice for another plan": (
        (Bill(id="in_old", lines=(Line(price="price_other"),), finalized="01-01"), renewal()),
        {"at": "02-02", "terms": TERMS},
        "deny 402 payment_required: invoice in_2 for 1 Feb – 1 Mar 2026 is open and not paid",
        (
            "Paying invoice in_old (25.00 usd) opens it until 11 Feb 2026 00:00 UTC.",
            f"{PAYING} opens it until 1 Mar 2026 00:00 UTC.",
            turns("deny 403 not_entitled", "1 Mar 2026 00:00 UTC"),
        ),
        ["* il_2 withheld"],
    ),
    "to be ended by a payment": (
        (JANUARY, upgrade()),
        {"at": "01-20", "terms": BIGGER},
        "allow 200 paid: invoice in_1 for 1 Jan – 1 Feb 2026 is paid; open until 1 Feb 2026 00:00 UTC",
        (
            "It ends at 1 Feb 2026 00:00 UTC, unless an invoice for a cycle that follows is paid by then.",
            "Paying invoice in_up (51.00 usd) ends it at once.",
            turns("deny 402 cycle_lapsed"),
        ),
        ["* il_1 paid"],
    ),
    "to be shortened by a payment": (
        (JANUARY, upgrade(lines=(UPGRADE[0], Line(id="il_week", start="01-11", end="01-18", price="price_week")))),
        {"at": "01-12", "terms": plans(enterprise=plan(), weekly=plan(prices=["price_week"]))},
        "allow 200 paid: invoice in_1 for 1 Jan – 1 Feb 2026 is paid; open until 1 Feb 2026 00:00 UTC",
        (
            "It ends at 1 Feb 2026 00:00 UTC, unless an invoice for a cycle that follows is paid by then.",
            "Paying invoice in_up (8.00 usd) ends it at 18 Jan 2026 00:00 UTC.",
            turns("deny 402 cycle_lapsed"),
        ),
        ["* il_1 paid", "- il_week open"],
    ),
    "credited when it was over": (
        (JANUARY, renewal(UPGRADE[0], SECOND, paid="02-01T01:00", finalized="02-01T01:00")),
        {"at": "02-10", "terms": LEEWAY},
        "allow 200 paid: invoice in_2 for 1 Feb – 1 Mar 2026 is paid; open until 1 Mar 2026 02:00 UTC",
        (
            "It ends at 1 Mar 2026 02:00 UTC, unless an invoice for a cycle that follows is paid by then.",
            turns("allow 200 renewal_leeway", "1 Mar 2026 00:00 UTC"),
        ),
        ["- il_1 over", "* il_2 paid"],
    ),
    "ended by two credits at once": (
        (JANUARY, upgrade(lines=(UPGRADE[0], replace(UPGRADE[0], id="il_again")), paid="01-12")),
        {"at": "01-20"},
        (
            "deny 402 cycle_lapsed: invoice in_1 for 1 Jan – 1 Feb 2026 was paid, but ended 12 Jan 2026 00:00 UTC by a "
            "credit of in_up, and nothing paid covers the moment"
        ),
        (NEEDS, STILL),
        ["* il_1 ended"],
    ),
    "ended by a credit": (
        (JANUARY, upgrade(paid="01-12")),
        {"at": "01-20", "terms": BIGGER},
        (
            "deny 402 cycle_lapsed: invoice in_1 for 1 Jan – 1 Feb 2026 was paid, but ended 12 Jan 2026 00:00 UTC by a "
            "credit of in_up, and nothing paid covers the moment"
        ),
        (NEEDS, STILL),
        ["* il_1 ended"],
    ),
    "paid after its end": (
        (Bill(lines=(Line(),), finalized="01-01", paid="02-05"),),
        {"at": "02-10"},
        (
            "deny 402 cycle_lapsed: invoice in_1 for 1 Jan – 1 Feb 2026 was paid after its end, and nothing paid "
            "covers the moment"
        ),
        (NEEDS, STILL),
        ["* il_1 paid_too_late"],
    ),
    "paid in advance": (
        (paid(Line(start="03-01", end="04-01"), at="02-01"),),
        {"at": "02-10"},
        "deny 403 not_entitled: up to this moment, nothing paid has opened orders for customer cus_1",
        (NEEDS, turns("allow 200 paid", "1 Mar 2026 00:00 UTC")),
        ["- il_1 not_yet"],
    ),
    "finalized later": (
        (Bill(finalized="01-05"),),
        {"at": "01-02"},
        "deny 403 not_entitled: up to this moment, nothing paid has opened orders for customer cus_1",
        (NEEDS, turns("deny 402 payment_required", "5 Jan 2026 00:00 UTC")),
        ["- il_1 not_finalized"],
    ),
    "another plan's API": (
        (JANUARY,),
        {"at": "01-15", "api": "reports", "terms": BIGGER},
        "deny 403 not_entitled: up to this moment, nothing paid has opened reports for customer cus_1",
        ("A paid invoice for a cycle that covers the moment, of the plan big, which opens reports.", STILL),
        [],
    ),
    "no API of the catalog": (
        (JANUARY,),
        {"at": "01-15", "api": "nothing"},
        (
            "deny 403 unknown_api: the catalog has no API nothing, and customer cus_1 was never billed for one of that "
            "name"
        ),
        ("A catalog that names the API nothing; known now: invoices and orders.", STILL),
        [],
    ),
    "nobody": (
        (),
        {"at": "01-15"},
        "deny 403 unknown_subject: customer cus_1 is not known here; Stripe has never named it",
        (
            (
                "An event in which Stripe names customer cus_1, and a paid invoice of the plan enterprise, which opens "
                "orders."
            ),
            STILL,
        ),
        [],
    ),
    "a price that no plan names, on a void invoice": (
        (Bill(lines=(Line(price="price_x"),), finalized="01-01", voided="01-02"),),
        {"at": "01-15"},
        "deny 403 not_entitled: up to this moment, nothing paid has opened orders for customer cus_1",
        (NEEDS, STILL),
        [],
    ),
    "a price that no plan names": (
        (paid(Line(price="price_x")),),
        {"at": "01-15"},
        "deny 403 not_entitled: up to this moment, nothing paid has opened orders for customer cus_1",
        (
            NEEDS,
            "A plan in the catalog for the price price_x, which invoice in_1 bills for 1 Jan – 1 Feb 2026.",
            STILL,
        ),
        [],
    ),
}
"""By name: what was billed, what is asked, the answer, what would change it, how each grant spoke."""


@pytest.mark.parametrize(("bills", "asked", "answer", "changes", "grants"), list(STORIES.values()), ids=list(STORIES))
def test_each_story_is_told_as_a_person_would(
    bills: tuple[Bill, ...], asked: dict[str, Any], answer: str, changes: tuple[str, ...], grants: list[str]
) -> None:
    """The answer, what would change it and how each grant spoke, in words."""
    explanation = explained(*bills, **asked)

    assert answer == headline(explanation, WHO)
    assert changes == would_change(explanation, WHO)
    assert grants == told(explanation)


@pytest.mark.parametrize(("bills", "asked"), [story[:2] for story in STORIES.values()], ids=list(STORIES))
def test_the_decision_is_the_one_that_gateways_are_given(bills: tuple[Bill, ...], asked: dict[str, Any]) -> None:
    """What is explained is what is decided, column by column."""
    assert ask(*bills, **({"now": asked["at"]} | asked)) == explained(*bills, **asked).decision


@pytest.mark.parametrize(("bills", "asked"), [story[:2] for story in STORIES.values()], ids=list(STORIES))
def test_what_a_payment_is_said_to_do_is_what_it_does(bills: tuple[Bill, ...], asked: dict[str, Any]) -> None:
    """Each invoice paid at the moment asked about gives the answer that was promised; of the others none changes it."""
    explanation = explained(*bills, **asked)
    promised = {payment.invoice: payment.until for payment in explanation.payments}
    owed = [bill for bill in bills if bill.finalized and on(bill.finalized) <= explanation.at and not bill.paid]

    for bill in owed:
        then = ask(*(replace(each, paid=asked["at"], voided=None) if each is bill else each for each in bills), **asked)
        was_void = bill.voided is not None and on(bill.voided) <= explanation.at

        assert was_void or promised.get(bill.id, explanation.decision.until) == then.until


@pytest.mark.parametrize(("bills", "asked"), [story[:2] for story in STORIES.values()], ids=list(STORIES))
def test_the_next_change_is_the_next_one(bills: tuple[Bill, ...], asked: dict[str, Any]) -> None:
    """Asked at every full hour of two months, the first answer with another reason comes at the moment promised."""
    case = case_of(*bills, **{name: value for name, value in asked.items() if name != "now"})
    reason, promised = case.decision.reason, explained(*bills, **asked).change
    full_hour = case.at.replace(minute=0)
    hours = (full_hour + timedelta(hours=hour) for hour in range(1, 24 * 60))
    answers = ((hour, replace(case, at=hour).decision.reason) for hour in hours)

    found = next(((hour, other) for hour, other in answers if other is not reason), None)

    assert found == (None if promised is None else (promised.at, promised.decision.reason))


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_its_sentences(reason: Reason) -> None:
    """Those of facts that are still to come as well: an answer, and what would change it."""
    known = explained(JANUARY, at="01-15" if reason in ALLOWING else "02-15")
    explanation = replace(known, decision=replace(known.decision, reason=reason))

    assert headline(explanation, WHO).startswith(f"{'allow' if reason.allows else 'deny'} {reason.status} {reason}: ")
    assert all(each.endswith(".") for each in would_change(explanation, WHO))
    assert len(would_change(explanation, WHO)) == (1 if reason is Reason.PAYMENT_REQUIRED else 2)


@pytest.mark.parametrize(
    ("bills", "asked", "kind", "spoke", "said"),
    [
        (
            (JANUARY, renewal(voided="02-05")),
            {"at": "02-06", "terms": TERMS},
            "voided",
            True,
            "ended the unpaid terms of in_2, which else ran until 11 Feb 2026 00:00 UTC",
        ),
        (
            (JANUARY, renewal(uncollectible="02-01T01:10")),
            {"at": "02-01T01:30", "terms": LEEWAY},
            "marked_uncollectible",
            True,
            "ended the leeway of in_1, which else ran until 1 Feb 2026 02:00 UTC",
        ),
        ((JANUARY, renewal(uncollectible="02-11")), {"at": "02-12"}, "marked_uncollectible", False, "ended nothing"),
        (
            (JANUARY, upgrade(paid="01-12")),
            {"at": "01-20", "terms": BIGGER},
            "credited",
            True,
            "ended the paid cycle of in_1, which else ran until 1 Feb 2026 00:00 UTC",
        ),
        (
            (JANUARY, upgrade()),
            {"at": "01-20", "terms": BIGGER},
            "credited",
            False,
            "takes effect when its invoice is paid",
        ),
        (
            (JANUARY, renewal(voided="02-05")),
            {"at": "02-12", "terms": TERMS},
            "voided",
            False,
            "ended the unpaid terms of in_2, which else ran until 11 Feb 2026 00:00 UTC",
        ),
    ],
)
def test_what_a_revocation_ended(
    bills: tuple[Bill, ...], asked: dict[str, Any], kind: str, spoke: bool, said: str
) -> None:
    """A revocation ended what would be open without it, and spoke where that covers the moment."""
    [revocation] = explained(*bills, **asked).revocations

    assert (kind, spoke, said) == (revocation.kind, revocation.spoke, revocation_spoke(revocation))


@pytest.mark.parametrize(
    ("bills", "asked", "said"),
    [
        ((JANUARY,), {"at": "01-15"}, "paid: open until 1 Feb 2026 00:00 UTC"),
        ((JANUARY,), {"at": "02-15"}, "paid; over since 1 Feb 2026 00:00 UTC"),
        ((JANUARY,), {"at": "02-15", "terms": LEEWAY}, "paid; over since 1 Feb 2026 02:00 UTC"),
        ((Bill(finalized="01-01"),), {"at": "01-15"}, "not paid: its terms open nothing unpaid"),
        (
            (Bill(finalized="01-01"),),
            {"at": "01-15", "terms": TERMS},
            "not paid: unpaid terms ended 11 Jan 2026 00:00 UTC",
        ),
        ((Bill(finalized="01-01"),), {"at": "02-15"}, "not paid, and its cycle is over"),
        (
            (Bill(finalized="01-01", voided="01-15"), upgrade(paid="01-12")),
            {"at": "01-20", "terms": BIGGER},
            "void since 15 Jan 2026 00:00 UTC",
        ),
        ((Bill(finalized="01-01", voided="01-03"),), {"at": "01-15"}, "void since 3 Jan 2026 00:00 UTC"),
        (
            (Bill(finalized="01-01", uncollectible="01-03"),),
            {"at": "01-15"},
            "not paid: uncollectible since 3 Jan 2026 00:00 UTC",
        ),
        ((paid(Line(start="03-01", end="04-01")),), {"at": "01-15"}, "not yet begun: invoice paid"),
        ((Bill(finalized="01-05"),), {"at": "01-02"}, "not yet: finalized 5 Jan 2026 00:00 UTC"),
        (
            (Bill(finalized="01-01", paid="02-05"),),
            {"at": "02-10"},
            "paid 5 Feb 2026 00:00 UTC, after its end: opened nothing",
        ),
    ],
)
def test_how_a_grant_spoke(bills: tuple[Bill, ...], asked: dict[str, Any], said: str) -> None:
    """Past and future grants have their say too."""
    explanation = explained(*bills, **asked)

    assert [said] == [grant_spoke(grant, explanation.at) for grant in explanation.grants]


def test_what_needs_a_persons_eye_is_said() -> None:
    """Lines of no plan, and invoices that were seen both paid and void."""
    odd = Bill(id="in_odd", lines=(Line(id="il_odd"),), finalized="01-01", paid="01-02", voided="01-03")

    assert needs_an_eye(explained(odd, paid(Line(id="il_x", price="price_x"), id="in_x"), at="01-15")) == (
        "Invoice in_x: line il_x (price_x, 1 Jan – 1 Feb 2026) is of no plan.",
        "Invoice in_odd: seen both paid and void; paid counts.",
    )


def test_terms_are_those_of_the_revision_that_gave_them() -> None:
    """Of several catalog revisions those that grants rest on are named, and the one that is current."""
    terms = revisions(catalog(), ("01-10", catalog({"enterprise": plan(apis=["orders"])})), ("06-01", catalog()))

    explanation = explained(JANUARY, at="01-15", now="12-31", terms=terms)

    assert [revision.number for revision in explanation.revisions] == [1, 3]
    assert [grant.cycle.revision for grant in explanation.grants] == [1]


def test_a_marketplace_is_told_of_its_own_lines_alone() -> None:
    """In a scope, grants and invoices of other marketplaces do not exist."""
    sold = revisions(catalog(elsewhere={"other": plan(prices=["price_other"], apis=["orders"])}))
    both = (JANUARY, paid(Line(id="il_o", price="price_other", item="si_o"), id="in_o"))

    explanation = explained(*both, at="01-15", terms=sold, scope=Scope(integration=INTEGRATION, marketplace="other"))

    assert told(explanation) == ["* il_o paid"]
    assert list(explanation.invoices) == ["in_o"]


@pytest.mark.parametrize(
    ("bills", "at", "told_of"),
    [
        ((JANUARY, upgrade(paid="01-12")), "01-20", "12 Jan 2026 00:00 UTC by a credit of another invoice"),
        ((JANUARY, upgrade()), "01-20", "paid: open until 1 Feb 2026 00:00 UTC"),
        (
            (Bill(id="in_up", lines=(Line(price="price_big"),), finalized="01-01"), renewal()),
            "02-02",
            "unpaid terms withheld, another invoice is overdue",
        ),
    ],
    ids=["credited", "to be credited", "withheld"],
)
def test_a_marketplace_is_not_told_which_of_anothers_invoices_spoke(
    bills: tuple[Bill, ...], at: str, told_of: str
) -> None:
    """What another marketplace's invoice ends or withholds is said, and not by which."""
    sold = revisions(
        catalog(
            {"enterprise": plan(renewal_unpaid="10d")}, elsewhere={"big": plan(prices=["price_big"], apis=["reports"])}
        )
    )

    explanation = explained(*bills, at=at, terms=sold, scope=Scope(integration=INTEGRATION, marketplace="acme"))

    assert told_of in grant_spoke(explanation.grants[0], explanation.at)
    assert "in_up" in str(explained(*bills, at=at, terms=sold))
    assert "in_up" not in str(would_change(explanation, WHO)) + headline(explanation, WHO)
    assert not any("in_up" in (*grant.because_of, grant.cycle.invoice.id) for grant in explanation.grants)
    assert "in_up" not in (*explanation.invoices, *(revocation.invoice for revocation in explanation.revocations))


def test_a_long_history_is_told_from_its_nearest_invoices() -> None:
    """What can't all be told is counted, and the invoice that the decision names is always among what is told."""
    months = [paid(one_off(id=f"il_{n}"), id=f"in_{n:03}", at="01-01") for n in range(MOST_INVOICES + 9)]
    late = Bill(id="in_late", lines=(one_off(id="il_late", end="12-31"),), finalized="01-01", paid="01-02")

    explanation = explained(*months, late, at="12-01")

    assert explanation.decision.invoice == "in_late"
    assert (len(explanation.invoices), explanation.left_out) == (MOST_INVOICES, 10)
    assert "in_late" in explanation.invoices
    assert needs_an_eye(explanation) == ("10 more invoices, further from the moment, are left out.",)


LONG = [f"{2020 + month // 12}-{month % 12 + 1:02}-01T00:00" for month in range(MOST_INVOICES + 11)]
MONTHS = [
    paid(Line(id=f"il_{start}", start=start, end=end), id=f"in_{start}", at=start) for start, end in pairwise(LONG)
]
"""More months than can be told, up to May 2023."""


def test_what_ended_a_cycle_is_told_however_long_the_history_is() -> None:
    """A credit on an invoice for another plan is nearer than the oldest of many months."""
    lines = tuple(replace(line, start="2023-04-10", end="2023-05-01") for line in UPGRADE)

    explanation = explained(
        *MONTHS, upgrade(lines=lines, finalized="2023-04-10", paid="2023-04-10"), at="2023-04-20", terms=BIGGER
    )

    assert told(explanation)[-1] == f"* il_{LONG[-2]} ended"
    assert explanation.grants[-1].because_of == ("in_up",)
    assert would_change(explanation, WHO) == (NEEDS, STILL)


def test_what_withholds_is_told_however_old_it_is() -> None:
    """An invoice that is owed at the moment is told before those that were paid."""
    start = LONG[-1]
    last = renewal(Line(id="il_last", start=start, end="2023-06-01"), id="in_last", finalized=start)

    explanation = explained(replace(MONTHS[0], paid=None), *MONTHS[1:], last, at="2023-05-02", terms=TERMS)

    assert told(explanation)[-1] == "* il_last withheld"
    assert explanation.grants[-1].because_of == (MONTHS[0].id,)


def test_invoices_of_many_lines_are_told_from_fewer() -> None:
    """So many lines as would take longer than an answer may are left out with their invoices, but for the first."""
    many = [
        paid(*(one_off(id=f"il_{n}_{m}") for m in range(MOST_LINES // 2)), id=f"in_{n}", at=f"01-0{n}")
        for n in range(1, 6)
    ]
    more = paid(*(one_off(id=f"il_{m}") for m in range(MOST_LINES + 1)))

    assert list(explained(*many, at="01-15").invoices) == ["in_1", "in_5"]
    assert explained(*many, at="01-15").left_out == 3
    assert list(explained(more, at="01-15").invoices) == ["in_1"]
