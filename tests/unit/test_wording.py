"""Moments, periods, amounts and lists as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from entitlements.domain.period import Period
from entitlements.domain.wording import listed, moment, money, period
from tests.stripe_builders import on


def test_a_moment_is_written_in_utc_with_its_seconds_where_it_has_some() -> None:
    """A moment of another zone is the same one; a full minute has no seconds."""
    there = datetime(2026, 2, 1, 3, 0, tzinfo=timezone(timedelta(hours=2)))

    assert moment(there) == "1 Feb 2026 01:00 UTC"
    assert moment(datetime(2026, 12, 31, 23, 59, 7, tzinfo=UTC)) == "31 Dec 2026 23:59:07 UTC"


@pytest.mark.parametrize(
    ("start", "end", "written"),
    [
        ("02-01", "03-01", "1 Feb – 1 Mar 2026"),
        ("12-01", "2027-01-01", "1 Dec 2026 – 1 Jan 2027"),
        ("02-01T10:15:07", "03-01T10:15:07", "1 Feb – 1 Mar 2026, 10:15:07 UTC"),
        ("02-01T10:15", "03-01", "1 Feb 2026 10:15 – 1 Mar 2026 00:00 UTC"),
    ],
)
def test_a_period_has_its_hour_where_it_is_not_midnight(start: str, end: str, written: str) -> None:
    """Once where start and end have the same, at each where they differ; the year once where it is one."""
    assert period(Period(on(start), on(end))) == written


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [
        (2500, "usd", "25.00 usd"),
        (5, "eur", "0.05 eur"),
        (2500, "jpy", "2500 jpy"),
        (2500, "kwd", "2.500 kwd"),
        (0, "usd", "0.00 usd"),
        (None, "usd", ""),
        (2500, None, ""),
    ],
)
def test_an_amount_has_as_many_decimals_as_its_currency(amount: int | None, currency: str | None, written: str) -> None:
    """Stripe counts in the smallest unit, which is not everywhere a hundredth; what is not known is left out."""
    assert money(amount, currency) == written


@pytest.mark.parametrize(("names", "written"), [([], ""), (["a"], "a"), (["a", "b"], "a or b"), ("abc", "a, b or c")])
def test_a_list_is_read_aloud(names: list[str], written: str) -> None:
    """Commas, and the conjunction before the last."""
    assert listed(names, "or") == written
