"""Half-open periods and the one cycle of a line that Stripe gives none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements.domain.period import Every, Period, one_cycle_from, unbroken_until
from tests.stripe_builders import on

MOMENTS = st.integers(0, 20).map(lambda hours: on("01-01") + timedelta(hours=hours))
PERIODS = st.builds(Period, MOMENTS, MOMENTS)


def period(start: str, end: str) -> Period:
    return Period(on(start), on(end))


def test_a_period_covers_its_start_and_not_its_end() -> None:
    """A period is half-open: `[start, end)`."""
    january = period("01-01", "02-01")

    assert january.covers(on("01-01"))
    assert january.covers(on("01-31T23:59:59"))
    assert not january.covers(on("02-01"))
    assert not january.covers(on("2025-12-31T23:59:59"))


@pytest.mark.parametrize("end", ["01-01", "2025-12-01"])
def test_a_period_that_does_not_end_after_its_start_is_empty(end: str) -> None:
    """A period whose end is its start, or before it, is empty and covers nothing, not even its start."""
    empty = period("01-01", end)

    assert empty.is_empty
    assert not empty.covers(on("01-01"))


def test_a_period_of_naive_moments_is_refused() -> None:
    """A moment without a time zone can't be compared with one that has it, so no period is made of it."""
    with pytest.raises(ValueError, match="time zone"):
        Period(datetime(2026, 1, 1), datetime(2026, 2, 1, tzinfo=UTC))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        (None, period("01-01", "02-01")),
        ("03-01", period("01-01", "02-01")),
        ("02-01", period("01-01", "02-01")),
        ("01-15", period("01-01", "01-15")),
        ("2025-12-01", period("01-01", "2025-12-01")),
    ],
)
def test_cutting_only_ever_shortens(cut: str | None, expected: Period) -> None:
    """Cut at a moment, a period ends there if that comes earlier, and is empty if that comes before its start."""
    assert period("01-01", "02-01").cut_at(None if cut is None else on(cut)) == expected


@given(PERIODS, PERIODS, MOMENTS)
def test_a_moment_is_within_both_or_not_in_the_part_within(one: Period, other: Period, moment: datetime) -> None:
    """`within` is what both periods cover."""
    assert (one.covers(moment) and other.covers(moment)) == one.within(other).covers(moment)


@given(PERIODS, st.lists(PERIODS, max_size=4), MOMENTS)
def test_what_is_left_covers_what_nothing_took(one: Period, others: list[Period], moment: datetime) -> None:
    """`without` is what the period covers and none of the others does, in order and never empty."""
    left = one.without(others)

    assert [*left] == sorted(left)
    assert not any(part.is_empty for part in left)
    assert (one.covers(moment) and not any(other.covers(moment) for other in others)) == any(
        part.covers(moment) for part in left
    )


def test_unbroken_until_follows_from_one_period_to_the_next() -> None:
    """Periods that touch or overlap follow on from each other, whatever their order; a gap of a second ends it."""
    leeway, paid, after_gap = (
        period("02-01", "02-01T02:00"),
        period("01-01", "02-01"),
        period("02-01T02:00:01", "03-01"),
    )

    assert unbroken_until(on("01-15"), [leeway, after_gap, paid]) == on("02-01T02:00")


def test_unbroken_until_is_the_moment_itself_when_nothing_covers_it() -> None:
    """Where nothing covers the moment, nothing lasts beyond it: neither what ended at it nor what is empty at it."""
    assert unbroken_until(on("02-01"), [period("01-01", "02-01"), period("02-01", "02-01")]) == on("02-01")


@given(st.lists(PERIODS, max_size=5), MOMENTS)
def test_unbroken_until_is_the_first_uncovered_moment(periods: list[Period], moment: datetime) -> None:
    """Every hour from the moment to the one found is covered, and the one found is not."""
    until = unbroken_until(moment, periods)
    hours = int((until - moment) / timedelta(hours=1))

    assert all(any(each.covers(moment + timedelta(hours=hour)) for each in periods) for hour in range(hours))
    assert not any(each.covers(until) for each in periods)


@pytest.mark.parametrize(
    ("start", "every", "end"),
    [
        ("01-31T09:30", Every.DAY, "02-01T09:30"),
        ("02-26", Every.WEEK, "03-05"),
        ("01-15", Every.MONTH, "02-15"),
        ("01-31T09:30", Every.MONTH, "02-28T09:30"),
        ("2028-01-31", Every.MONTH, "2028-02-29"),
        ("03-31", Every.MONTH, "04-30"),
        ("12-31", Every.MONTH, "2027-01-31"),
        ("01-15", Every.YEAR, "2027-01-15"),
        ("2028-02-29", Every.YEAR, "2029-02-28"),
    ],
)
def test_one_cycle_lasts_one_every(start: str, every: Every, end: str) -> None:
    """One cycle is one `every` from its start; a month from the 31st ends on the last day of a shorter one (R8)."""
    assert one_cycle_from(on(start), every) == period(start, end)
