"""
The words of explanations where there is one of a thing, or several, where it is open for good, or has gone by.

Long because each sentence is a case, with all that leads to it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from entitlements.domain.changes_in_words import would_change
from entitlements.domain.grants_in_words import grant_spoke, manual_spoke
from entitlements.domain.revocations_in_words import revocation_spoke
from entitlements.domain.sentences import headline
from tests.acts import block, grant, unblock
from tests.acts import revocation as revoked
from tests.explaining import Known, explained
from tests.pure_core import plan, plans
from tests.renewals import SECOND, UPGRADE, renewal
from tests.stripe_builders import Bill, Line, paid, written
from tests.taking_back import charge, credit_note, crediting, customer_deleted, dispute, refund, subscription_deleted

WHO = "customer cus_1"
JANUARY = paid()
BIGGER = plans(enterprise=plan(), big=plan(prices=["price_big"], apis=["reports"]))
LEEWAY = plans(enterprise=plan(renewal_leeway="2h"))
TWO = plans(enterprise=plan(), gold=plan(prices=["price_gold"]))
NOW = "12-31"
PLAN = "of the plan enterprise, which opens orders"


def upgrade(start: str) -> Bill:
    """A bigger plan of another API, which credits the smaller one."""
    lines = tuple(replace(line, start=start) for line in UPGRADE)
    return Bill(id="in_up", reason="subscription_update", finalized="01-11", lines=lines)


@pytest.mark.parametrize(
    ("known", "asked", "expected"),
    [
        pytest.param(
            (JANUARY, upgrade("01-11")),
            {"at": "01-15", "terms": BIGGER},
            ("Paying invoice in_up (51.00 usd) ends it at once.", "by then would have ended it at once."),
            id="ended at once",
        ),
        pytest.param(
            (JANUARY, upgrade("01-18")),
            {"at": "01-15", "terms": BIGGER},
            (
                "Paying invoice in_up (51.00 usd) ends it at 18 Jan 2026 00:00 UTC.",
                "by then would have ended it at 18 Jan 2026 00:00 UTC.",
            ),
            id="ended later",
        ),
        pytest.param(
            (JANUARY, renewal()),
            {"at": "02-01T01:00", "terms": LEEWAY},
            (
                "Paying invoice in_2 (25.00 usd) keeps it open until 1 Mar 2026 02:00 UTC.",
                "by then would have kept it open until 1 Mar 2026 02:00 UTC.",
            ),
            id="kept open",
        ),
        pytest.param(
            (block("01-04"), grant()),
            {"at": "01-15"},
            ("Lifting the block opens it for good.", "by then would have opened it for good."),
            id="opened for good",
        ),
        pytest.param(
            (block("01-04"),),
            {"at": "01-15"},
            (
                "Lifting the block leaves it at deny 403 not_entitled.",
                "by then would have left it at deny 403 not_entitled.",
            ),
            id="left as it is",
        ),
    ],
)
def test_what_has_gone_by_would_have_been(
    known: tuple[Known, ...], asked: dict[str, Any], expected: tuple[str, str]
) -> None:
    """Asked at the moment itself it still changes something; asked later, it would have."""
    at_the_time = would_change(explained(*known, **asked), WHO)
    later = would_change(explained(*known, **asked, now=NOW), WHO)

    assert expected[0] in at_the_time
    assert [each.endswith(expected[1]) for each in later].count(True) == 1


@pytest.mark.parametrize(
    ("known", "at", "expected"),
    [
        pytest.param(
            (grant(end="02-01"), grant(end="02-01", id="grant_2", plan=None, apis=("orders",))),
            "01-15",
            "It ends at 1 Feb 2026 00:00 UTC, or when an operator revokes the grants grant_1 and grant_2.",
            id="grants",
        ),
        pytest.param(
            (JANUARY, charge(at="01-01"), credit_note(at="01-20"), dispute("lost", at="01-20")),
            "01-15",
            "It ends at 20 Jan 2026 00:00 UTC, by the credit note cn_1 and the dispute du_1.",
            id="what ends it",
        ),
        pytest.param(
            (JANUARY,),
            "02-15",
            "A paid invoice for a cycle that covers the moment, of the plans enterprise or gold, which open orders.",
            id="plans",
        ),
        pytest.param(
            (JANUARY, charge(at="01-01"), credit_note(at="01-20", amount=1), dispute("lost", at="01-21")),
            "01-20T12:00",
            "It ends at 21 Jan 2026 00:00 UTC, by the dispute du_1.",
            id="what else is known ends nothing",
        ),
    ],
)
def test_several_are_told_together(known: tuple[Known, ...], at: str, expected: str) -> None:
    """Their names, and the words in the plural."""
    assert expected in would_change(explained(*known, at=at, terms=TWO), WHO)


def credited(number: int) -> Bill:
    """An invoice that credits one line of the first."""
    line = Line(id=f"il_c{number}", start="01-11", amount=-1000, proration=True, credited=("in_1", (f"il_{number}",)))
    return paid(line, id=f"in_c{number}", at="01-12")


MARCH = renewal(replace(SECOND, id="il_3", start="03-01", end="04-01"), id="in_3", finalized="03-01")
OVERDUE = "not paid: unpaid terms withheld"
BOTH = {"data": crediting("il_1", 2500)["data"] + crediting("il_2", 2500)["data"]}
SUSPENDED_SINCE = "disputed since 5 Jan 2026 00:00 UTC"


@pytest.mark.parametrize(
    ("known", "asked", "line", "expected"),
    [
        pytest.param(
            (Bill(finalized="01-01"), MARCH), {"at": "03-02"}, "il_3", f"{OVERDUE}, in_1 is overdue", id="one"
        ),
        pytest.param(
            (Bill(finalized="01-01"), renewal(), MARCH),
            {"at": "03-02"},
            "il_3",
            f"{OVERDUE}, in_1 and in_2 are overdue",
            id="two",
        ),
        pytest.param((Bill(finalized="01-01"),), {"at": "02-01"}, "il_1", "not paid, and its cycle is over", id="over"),
        pytest.param(
            (Bill(finalized="01-01"),), {"at": "01-01"}, "il_1", "not paid: its terms open nothing unpaid", id="begun"
        ),
        pytest.param(
            (JANUARY, credited(1)),
            {"at": "01-12"},
            "il_1",
            "ended 12 Jan 2026 00:00 UTC by a credit of in_c1",
            id="credited just then",
        ),
        pytest.param(
            (JANUARY, subscription_deleted(at="01-10")),
            {"at": "01-10", "terms": plans(enterprise=plan(on_cancel="immediately"))},
            "il_1",
            "ended 10 Jan 2026 00:00 UTC with its subscription sub_1",
            id="ended just then",
        ),
        pytest.param(
            (JANUARY, charge(at="01-01"), refund("succeeded", at="01-06")),
            {"at": "01-06"},
            "il_1",
            "given back since 6 Jan 2026 00:00 UTC: 25.00 of 25.00 usd, by re_1",
            id="given back just then",
        ),
        pytest.param(
            (paid(), charge(at="01-01"), dispute("needs_response", at="01-05"), credited(1)),
            {"at": "02-10"},
            "il_1",
            "disputed since 5 Jan 2026 00:00 UTC by du_1 (needs_response)",
            id="disputed when it was credited",
        ),
        pytest.param(
            (Bill(finalized="01-01"), subscription_deleted(at="01-10")),
            {"at": "01-10"},
            "il_1",
            "not paid, and its subscription ended 10 Jan 2026 00:00 UTC",
            id="cancelled just then",
        ),
        pytest.param(
            (Bill(finalized="01-01"), charge(at="01-01"), dispute("needs_response", at="01-05")),
            {"at": "01-10"},
            "il_1",
            f"{SUSPENDED_SINCE} by du_1 (needs_response)",
            id="disputed before it was paid",
        ),
        pytest.param(
            (JANUARY, charge(at="01-01"), credit_note(at="01-05", refund="re_1"), refund("succeeded", at="01-05")),
            {"at": "01-10"},
            "il_1",
            "given back since 5 Jan 2026 00:00 UTC: 25.00 of 25.00 usd, by re_1",
            id="a note with its refund",
        ),
        pytest.param(
            (JANUARY, charge(at="01-01"), refund("succeeded", at="01-06"), dispute("lost", at="01-07")),
            {"at": "01-10"},
            "il_1",
            "given back since 6 Jan 2026 00:00 UTC: 25.00 of 25.00 usd, by re_1",
            id="given back before it was disputed",
        ),
        pytest.param(
            (JANUARY, charge(at="01-01"), refund("succeeded", at="01-06")),
            {"at": "02-01"},
            "il_1",
            "given back since 6 Jan 2026 00:00 UTC: 25.00 of 25.00 usd, by re_1",
            id="asked at its end",
        ),
        pytest.param(
            (
                JANUARY,
                paid(Line(id="il_2", item="si_2"), id="in_2"),
                charge(refunded=2500, at="01-06"),
                charge(refunded=2500, at="01-04", id="ch_2", invoice="in_2", payment_intent="pi_2"),
            ),
            {"at": "01-10"},
            "il_1",
            "given back since 6 Jan 2026 00:00 UTC: 25.00 of 25.00 usd, by ch_1",
            id="another invoice's money too",
        ),
        pytest.param(
            (paid(Line(), Line(id="il_2", item="si_2")), credited(1), credited(2)),
            {"at": "01-20"},
            "il_2",
            "ended 12 Jan 2026 00:00 UTC by a credit of in_c2",
            id="credited by one of two",
        ),
        pytest.param(
            (paid(Line(subscription=None)), customer_deleted(at="01-10")),
            {"at": "01-20", "terms": plans(enterprise=plan(on_cancel="immediately"))},
            "il_1",
            "ended 10 Jan 2026 00:00 UTC with its subscription",
            id="of a subscription without a name",
        ),
    ],
)
def test_how_a_line_spoke(known: tuple[Known, ...], asked: dict[str, Any], line: str, expected: str) -> None:
    """Why it opens nothing at the moment, with the names of what is behind that."""
    terms = plans(enterprise=plan(renewal_unpaid="10d"))
    explanation = explained(*known, **({"terms": terms} | asked))

    (spoke,) = (grant_spoke(each, explanation.at) for each in explanation.grants if each.cycle.line.id == line)
    assert spoke == expected


@pytest.mark.parametrize(
    ("known", "at", "expected"),
    [
        ((grant("01-10"), revoked("01-05")), "01-15", "revoked since 5 Jan 2026 00:00 UTC by ann: a reason"),
        ((grant("01-10"), revoked("01-15")), "01-15", "revoked since 15 Jan 2026 00:00 UTC by ann: a reason"),
        ((grant("01-10"), revoked("01-20")), "01-15", "open until 20 Jan 2026 00:00 UTC"),
        ((grant("01-10", "01-20"),), "01-10", "open until 20 Jan 2026 00:00 UTC"),
        ((grant("01-10", "01-20"),), "01-09T23:59:59", "not yet begun"),
        ((grant("01-10", "01-20"),), "01-20", "over since 20 Jan 2026 00:00 UTC"),
        ((grant("01-10"),), "01-15", "open until it is revoked"),
        (
            (grant("01-10", "01-20"), block("01-12")),
            "01-15",
            "blocked: without that, open until 20 Jan 2026 00:00 UTC",
        ),
        ((grant("01-10"), block("01-12")), "01-15", "blocked: without that, open until it is revoked"),
    ],
)
def test_how_an_operators_grant_spoke(known: tuple[Known, ...], at: str, expected: str) -> None:
    """Until when it is open, or since when it is over and by whom."""
    (manual,) = explained(*known, at=at).manual

    assert manual_spoke(manual) == f"{expected}; given by ann: a reason"
    assert manual.revision == 1


RAN = "which else ran until 1 Feb 2026 00:00 UTC"


@pytest.mark.parametrize(
    ("known", "at", "expected"),
    [
        pytest.param(
            (paid(Line(), Line(id="il_2", item="si_2")), credit_note(at="01-05", amount=4000, lines=BOTH)),
            "01-10",
            f"cn_1 (40.00 usd, issued): 40.00 of 50.00 usd given back by then, all of line il_1 and il_2; "
            f"ended the paid cycle of in_1, {RAN}",
            id="two lines of one note",
        ),
        pytest.param(
            (JANUARY, charge(at="01-01"), dispute("needs_response", at="02-05")),
            "02-10",
            "du_1 (needs_response): suspended nothing",
            id="disputed when it was over",
        ),
        pytest.param(
            (JANUARY, charge(at="01-01"), dispute("warning_needs_response", at="01-05")),
            "01-10",
            "du_1 (warning_needs_response): an inquiry; suspended nothing",
            id="an inquiry",
        ),
        pytest.param(
            (JANUARY, charge(at="01-01"), dispute("lost", at="01-05")),
            "01-10",
            f"du_1 (lost): ended the paid cycle of in_1, {RAN}",
            id="lost",
        ),
        pytest.param(
            (grant("01-01", "01-20"), grant("01-20", id="grant_2"), block("01-10", "01-15")),
            "01-12",
            "by ann: a reason; closes everything until 15 Jan 2026 00:00 UTC",
            id="a block with an end",
        ),
        pytest.param(
            (block("01-10", "01-20"), unblock("01-20", at="01-15")),
            "01-12",
            "by ann: a reason; closes everything until 20 Jan 2026 00:00 UTC",
            id="a block that ended by itself when it was lifted",
        ),
        pytest.param(
            (block("01-10"), unblock("01-15", at="01-01"), unblock("01-13", at="01-14", id="unblock_2", by="bob")),
            "01-12",
            "by ann: a reason; closed everything until 13 Jan 2026 00:00 UTC, lifted by bob: a reason",
            id="a block that was lifted twice",
        ),
        pytest.param(
            (block("01-10"), unblock("01-15", at="01-01")),
            "01-12",
            "by ann: a reason; closed everything until 15 Jan 2026 00:00 UTC, lifted by ann: a reason",
            id="a block that was lifted as it was said",
        ),
    ],
)
def test_how_a_revocation_spoke(known: tuple[Known, ...], at: str, expected: str) -> None:
    """What it took back, once for each invoice."""
    (revocation,) = explained(*known, at=at).revocations

    assert revocation_spoke(revocation) == expected


def test_what_was_cancelled_without_a_name_is_told_without_one() -> None:
    """`with its subscription`, and nothing behind it."""
    terms = plans(enterprise=plan(on_cancel="immediately"))
    explanation = explained(paid(Line(subscription=None)), customer_deleted(at="01-10"), at="01-20", terms=terms)

    assert "ended 10 Jan 2026 00:00 UTC with its subscription, and nothing paid" in headline(explanation, WHO)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        pytest.param((JANUARY, block("01-10", "01-20")), [(["01-10"], ["01-20"], False)], id="a block"),
        pytest.param(
            (JANUARY, block("01-10", "01-20"), block("01-12", "01-18", id="block_2")),
            [(["01-10", "01-18"], ["01-12", "01-20"], False), (["01-12"], ["01-18"], True)],
            id="a block within another",
        ),
        pytest.param(
            (grant("01-01", "01-30"), revoked("01-10"), revoked("01-10", id="revocation_2")),
            [(["01-10"], ["01-30"], True), (["01-10"], ["01-30"], True)],
            id="two revocations of one grant",
        ),
        pytest.param((block("01-10"), unblock("01-10", at="01-11")), [([], [], False)], id="a block of nothing"),
    ],
)
def test_what_an_operator_ended(known: tuple[Known, ...], expected: list[tuple[list[str], list[str], bool]]) -> None:
    """What each act alone takes away; where another takes the same, that is said."""
    revocations = explained(*known, at="01-15").revocations

    assert [
        (
            [written(ended.period.start) for ended in each.ended],
            [written(ended.period.end) for ended in each.ended],
            each.shared,
        )
        for each in revocations
    ] == expected
