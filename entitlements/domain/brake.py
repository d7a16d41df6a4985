"""
How many may lose access at once before somebody is asked: the brake of `catalog apply` and of a swap. Pure.

A customer is *open* if any API is open to it now or later, and *closing* if, being open, any API that is open to it now
or later is so no longer for any part of that time, in any marketplace; or if a line that runs now opens less in its
next cycle, were it renewed as it is; or if it is no longer found by an org's name, by which it may be asked about. What
changes in the past closes nothing, nor do lower quotas; who calls by which route nobody knows, so those do not count.

One customer alone is what somebody means. More than one, and more than the share, is what nobody means without having
said so, together with the number: a number that has grown since is asked about again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from math import ceil

from entitlements.domain.catalog import Revisions
from entitlements.domain.difference import AccessChange, Change, Difference
from entitlements.domain.difference_ahead import NextTerms

UNASKED = 1
"""So many customers may lose access whatever their share is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """
    What one customer loses: *now* is what is open now or later, *next* its lines whose next cycle opens less, *names*
    the orgs as which it is no longer found.
    """

    now: tuple[AccessChange, ...]
    next: tuple[NextTerms, ...]
    names: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.now or self.next or self.names)


def is_open(difference: Difference, now: datetime) -> bool:
    """Whether anything is open to the customer *now* or later, before what changes."""
    return any(period.end > now for period in difference.open_before)


def closing(difference: Difference, ahead: Iterable[NextTerms], now: datetime, names: tuple[str, ...] = ()) -> Closing:
    """What the customer loses, the *names* it is no longer found by among it; nothing, where nothing is open to it."""
    if not is_open(difference, now):
        return Closing(now=(), next=())
    return Closing(
        now=tuple(each for each in difference.access if each.change is Change.CLOSED and each.period.end > now),
        next=tuple(each for each in ahead if each.lost),
        names=names,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Brake:
    """*share* of the customers with anything open may lose some of it unasked, 0 to 1."""

    share: Fraction

    def asks(self, *, closing: int, of: int, yes_close: int | None) -> bool:
        """Whether it is still to be said that so many *of* those with anything open are meant, beyond *yes_close*."""
        if closing <= UNASKED or closing <= self.share * of:
            return False
        return yes_close is None or closing > yes_close

    def enough(self, closing: int) -> int | None:
        """How many customers must be open for so many to be closed unasked; None where no number would do."""
        if closing <= UNASKED:
            return 0
        return None if self.share == 0 else ceil(closing / self.share)


def may_be_open_since(revisions: Revisions, now: datetime) -> datetime:
    """From when on a cycle must have run to open anything *now* or later: back by the longest leeway of any plan."""
    plans = [plan for revision in revisions.revisions for plan in revision.catalog.plans.values()]
    return now - max((plan.access.renewal_leeway for plan in plans), default=timedelta(0))
