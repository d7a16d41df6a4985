"""R6: a dispute suspends the invoice's grants, won or withdrawn it restores them, lost it ends them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pure_core import bill_of, plan, plans, spans_in
from tests.stripe_builders import Bill, Json, events, paid
from tests.taking_back import charge, closed, dispute

WHOLE = ["il_1 paid 01-01..02-01"]
ENDED = ["il_1 paid 01-01..01-06"]
BACK = [*ENDED, "il_1 paid 01-20..02-01"]


def opened(*disputes: Json, bill: Bill | None = None, **terms: Any) -> list[str]:
    """What an invoice for January opens, paid on its first day by the charge `ch_1`."""
    said = [*events(bill or paid()), charge(at="01-01"), *disputes]
    return spans_in(bill_of(said, terms=plans(enterprise=plan(**terms))))


@pytest.mark.parametrize(
    ("disputes", "left"),
    [
        pytest.param([dispute("needs_response", at="01-06")], ENDED, id="open"),
        pytest.param([dispute("needs_response", at="01-06"), dispute("lost", at="01-20")], ENDED, id="lost"),
        pytest.param([dispute("needs_response", at="01-06"), dispute("won", at="01-20")], BACK, id="won"),
        pytest.param([dispute("needs_response", at="01-06"), dispute("prevented", at="01-20")], BACK, id="prevented"),
        pytest.param(
            [dispute("under_review", at="01-06"), dispute("warning_closed", at="01-20")], BACK, id="withdrawn"
        ),
        pytest.param([dispute("lost", at="01-06")], ENDED, id="lost, which alone is known"),
        pytest.param([dispute("won", at="01-06")], WHOLE, id="won, which alone is known"),
        pytest.param([dispute("warning_needs_response", at="01-06")], WHOLE, id="an inquiry"),
        pytest.param(
            [dispute("warning_needs_response", at="01-03"), dispute("needs_response", at="01-06")],
            ENDED,
            id="an inquiry that became a dispute",
        ),
        pytest.param(
            [dispute("warning_under_review", at="01-03"), dispute("warning_closed", at="01-06")],
            WHOLE,
            id="an inquiry that was closed",
        ),
        pytest.param(
            [dispute("under_review", at="01-06"), dispute("lost", at="01-10"), dispute("won", at="01-20")],
            BACK,
            id="lost, then won on appeal",
        ),
        pytest.param(
            [dispute("under_review", at="01-06"), dispute("won", at="01-10"), dispute("lost", at="01-20")],
            ENDED,
            id="won, then lost after all",
        ),
        pytest.param(
            [dispute("under_review", at="01-06"), dispute("lost", at="01-20"), dispute("won", at="01-20")],
            BACK,
            id="lost and won in one second",
        ),
        pytest.param(
            [dispute("needs_response", at="01-06"), closed("won", at="01-20"), dispute("won", at="01-25")],
            BACK,
            id="closed, and told so again when the funds are back",
        ),
        pytest.param(
            [dispute("needs_response", at="01-06"), dispute("won", at="01-20"), dispute("won", at="01-25")],
            BACK,
            id="won, and told so again, with no closing known",
        ),
        pytest.param(
            [dispute("needs_response", at="01-06"), closed("won", at="01-11"), closed("won", at="01-20")],
            BACK,
            id="closed twice: the latest counts",
        ),
        pytest.param(
            [dispute("needs_response", at="01-06"), dispute("won", at="01-11"), closed("prevented", at="01-20")],
            BACK,
            id="the closing counts, whatever told so before",
        ),
        pytest.param(
            [
                dispute("needs_response", at="01-06"),
                closed("won", at="01-08"),
                closed("lost", at="01-10"),
                closed("won", at="01-11"),
                closed("won", at="01-20"),
            ],
            BACK,
            id="won, lost, and won on appeal, twice",
        ),
        pytest.param(
            [dispute("needs_response", at="01-06"), closed("won", at="01-11"), closed("lost", at="01-20")],
            ENDED,
            id="closed as won, then as lost",
        ),
        pytest.param(
            [dispute("needs_response", at="01-06"), closed("lost", at="01-20"), closed("won", at="01-20")],
            BACK,
            id="closed as lost and as won in one second",
        ),
        pytest.param(
            [dispute("needs_response", at="01-06"), closed("lost", at="01-10"), dispute("won", at="01-20")],
            BACK,
            id="closed as lost, and told later to be won after all",
        ),
        pytest.param(
            [dispute("needs_response", at="01-06"), closed("won", at="01-20"), dispute("lost", at="01-25")],
            ENDED,
            id="closed as won, and told later to be lost after all",
        ),
        pytest.param(
            [
                dispute("warning_needs_response", at="01-02"),
                dispute("warning_closed", at="01-04"),
                dispute("needs_response", at="01-06"),
            ],
            ENDED,
            id="an inquiry that was closed and became a dispute after all",
        ),
        pytest.param(
            [dispute("needs_response", at="01-06"), dispute("won", at="01-20"), dispute("lost", at="01-25", id="du_2")],
            ["il_1 paid 01-01..01-06", "il_1 paid 01-20..01-25"],
            id="two of one payment",
        ),
    ],
)
@pytest.mark.parametrize("backwards", [False, True])
def test_what_a_dispute_leaves_of_a_paid_cycle(disputes: list[Json], left: list[str], backwards: bool) -> None:
    """Each dispute by itself, from what is no inquiry on until the last closing, whatever its amount."""
    assert opened(*(reversed(disputes) if backwards else disputes)) == left


def test_a_plan_may_keep_what_is_disputed() -> None:
    """`on_dispute: keep`."""
    assert opened(dispute("lost", at="01-06"), on_dispute="keep") == WHOLE


def test_a_grant_that_is_suspended_at_its_end_has_no_leeway() -> None:
    """R3: not even when the dispute is won an hour later; one that begins within the leeway ends it."""
    won = dispute("won", at="02-01T01:00")

    assert opened(dispute("needs_response", at="01-06"), won, renewal_leeway="2h") == ENDED
    assert opened(dispute("needs_response", at="02-01T01:00"), renewal_leeway="2h") == [
        *WHOLE,
        "il_1 renewal_leeway 02-01..02-01T01:00",
    ]


def test_unpaid_terms_are_suspended_too() -> None:
    """A payment of part of an open invoice may be disputed."""
    assert opened(dispute("needs_response", at="01-03"), bill=Bill(finalized="01-01"), first_unpaid="5d") == [
        "il_1 unpaid_terms 01-01..01-03"
    ]
