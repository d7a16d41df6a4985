"""Half-open periods `[start, end)` of aware UTC moments, and the few operations that access needs of them. Pure."""

from __future__ import annotations

import calendar
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

BEGINNING_OF_TIME = datetime.min.replace(tzinfo=UTC)
END_OF_TIME = datetime.max.replace(tzinfo=UTC)


class Every(StrEnum):
    """How long one cycle of a plan lasts where Stripe does not say."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """`[start, end)`; empty when *end* is not after *start*."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a period's moments must be aware of their time zone")

    @property
    def is_empty(self) -> bool:
        return self.end <= self.start

    def covers(self, moment: datetime) -> bool:
        return self.start <= moment < self.end

    def cut_at(self, moment: datetime | None) -> Period:
        """What is left of the period when it ends at *moment*, should that come earlier."""
        return self if moment is None or self.end <= moment else Period(self.start, moment)

    def within(self, other: Period) -> Period:
        """The part of the period that lies in *other*; possibly empty."""
        return Period(max(self.start, other.start), min(self.end, other.end))

    def without(self, others: Iterable[Period]) -> tuple[Period, ...]:
        """What is left of the period once all of *others* are taken out, in order of time."""
        left: list[Period] = []
        start = self.start
        for other in sorted(other for other in others if not other.is_empty):
            if start < other.start:
                left.append(Period(start, min(other.start, self.end)))
            start = max(start, other.end)
        left.append(Period(start, self.end))
        return tuple(period for period in left if not period.is_empty)


def unbroken_until(moment: datetime, periods: Iterable[Period]) -> datetime:
    """
    The first moment from *moment* on that no period covers, where each may follow on from another.

    Is *moment* itself if none covers it.
    """
    until = moment
    for period in sorted(periods):
        if period.start > until:
            break
        until = max(until, period.end)
    return until


def one_cycle_from(start: datetime, every: Every) -> Period:
    """
    One *every* from *start*, in UTC. A month from the 31st ends on the last day of a shorter one, as does a year
    from the 29th of February (contract, R8).
    """
    match every:
        case Every.DAY:
            return Period(start, start + timedelta(days=1))
        case Every.WEEK:
            return Period(start, start + timedelta(weeks=1))
        case Every.MONTH:
            return Period(start, _months_after(start, 1))
        case Every.YEAR:
            return Period(start, _months_after(start, 12))


def _months_after(start: datetime, months: int) -> datetime:
    year, month_index = divmod(start.year * 12 + start.month - 1 + months, 12)
    last_day = calendar.monthrange(year, month_index + 1)[1]
    return start.replace(year=year, month=month_index + 1, day=min(start.day, last_day))
