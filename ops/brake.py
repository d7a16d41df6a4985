"""
The brake: what would close access for more customers than anybody means stops, and asks for their number. Pure.

`entitlements/domain/brake.py` says what counts; this counts it, customer by customer, and says it on a terminal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from entitlements.domain.brake import Brake, Closing, closing, is_open
from entitlements.domain.difference import Difference
from entitlements.domain.difference_ahead import NextTerms
from entitlements.domain.difference_of_routes import RouteLost
from entitlements.domain.wording import listed, moment, visible
from entitlements.everyone import CustomerName
from ops.difference_excerpt import because_of, how, when, who

EXIT_CODE = 3
"""Of a command that the brake has stopped: nothing was done, and it can be asked for."""

MOST_NAMED = 5
"""Customers that are named; the command that tells all is named too."""


class Braked(Exception):
    """Nothing was done, for it would close access for too many, or it can't be told for how many: the text says all."""


class Counted(StrEnum):
    """Whether all who have anything open are counted, or enough of them to know, or all who may have."""

    ALL = ""
    AT_LEAST = "at least "
    AT_MOST = "at most "


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """
    How many customers have anything *open*, how many of them would lose some of it, *now*, at their *next* cycle and
    where they are asked about *by name* (and *closing* by any of these), and the first few of those.
    """

    open: int = 0
    closing: int = 0
    now: int = 0
    next: int = 0
    by_name: int = 0
    first: tuple[tuple[CustomerName, Closing], ...] = ()
    counted: Counted = Counted.ALL

    def plus(
        self,
        name: CustomerName,
        difference: Difference,
        ahead: tuple[NextTerms, ...],
        now: datetime,
        names: tuple[str, ...] = (),
    ) -> Weighed:
        """With one customer more, which is no longer found by these *names* of orgs."""
        loses = closing(difference, ahead, now, names)
        first = (*self.first, (name, loses)) if loses and len(self.first) < MOST_NAMED else self.first
        return replace(
            self,
            open=self.open + is_open(difference, now),
            closing=self.closing + bool(loses),
            now=self.now + bool(loses.now),
            next=self.next + bool(loses.next),
            by_name=self.by_name + bool(loses.names),
            first=first,
        )


def hold(
    weighed: Weighed,
    brake: Brake,
    yes_close: int | None,
    *,
    what: str,
    command: str,
    tells_all: str,
    uncounted: str | None = None,
) -> None:
    """
    Raise `Braked` where it has to be asked: *what* is not done, *command* is how it was called, without `--yes-close`,
    *tells_all* the command that says all that would change, and *uncounted* what nobody can count.
    """
    if brake.asks(closing=weighed.closing, of=weighed.open, yes_close=yes_close):
        lines = [*_told(weighed, brake, yes_close, what=what, command=command, tells_all=tells_all)]
        raise Braked("\n".join([*lines[:-1], *([f"  {uncounted}"] if uncounted else []), lines[-1]]))


def routes_uncounted(lost: Sequence[RouteLost]) -> str | None:
    """What the brake does not count of routes by which requests are no longer their API's; None without such."""
    if not lost:
        return None
    first = "; ".join(
        f"{each.route.host or 'any host'} {each.route.path}: {each.route.api}, such as {each.such_as}"
        for each in lost[:MOST_NAMED]
    )
    more = f"; and {len(lost) - MOST_NAMED:,} more" if len(lost) > MOST_NAMED else ""
    of = "1 route" if len(lost) == 1 else f"{len(lost):,} routes"
    return visible(
        f"not counted: requests by {of} are no longer its API's ({first}{more}). They are refused, or asked about as "
        "another API's, whoever makes them: nobody knows who calls by which"
    )


def cannot_tell(why: str, *, what: str, command: str) -> Braked:
    """What is said where it can't be found out whom it closes access for."""
    return Braked(
        f"{what}: whom it would close access for cannot be told, for {why}\n"
        f"If that is meant all the same: {command} --yes-unseen"
    )


def _told(
    weighed: Weighed, brake: Brake, yes_close: int | None, *, what: str, command: str, tells_all: str
) -> Iterator[str]:
    said = "" if yes_close is None else f"; --yes-close {yes_close} is fewer"
    share = f"{weighed.closing / weighed.open:.1%}{' or more' if weighed.counted is Counted.AT_MOST else ''}"
    yield (
        f"{what}: it would close access for {weighed.closing:,} of {of(weighed)}, which is {share}; without asking it "
        f"may be {_percent(brake)}{said}"
    )
    parts = [
        *([f"{weighed.now:,} lose what is open now or later"] if weighed.now else []),
        *([f"{weighed.next:,} have a line whose next cycle opens less"] if weighed.next else []),
        *([f"{weighed.by_name:,} are no longer found by an org's name"] if weighed.by_name else []),
    ]
    yield f"  {listed(parts, 'and')}"
    for name, loses in weighed.first:
        yield f"  {visible(f'{who(name)}: {_loses(loses)}')}"
    if weighed.closing > len(weighed.first):
        yield f"  and {weighed.closing - len(weighed.first):,} more: {tells_all}"
    yield f"If that is meant: {command} --yes-close {weighed.closing}"


def of(weighed: Weighed) -> str:
    """`the 10 customers with anything open`, or at most so many."""
    the = "the " if weighed.counted is Counted.ALL else weighed.counted
    return f"{the}{weighed.open:,} customers with anything open"


def _percent(brake: Brake) -> str:
    return f"{float(brake.share * 100):g}%"


def _loses(loses: Closing) -> str:
    """What closes first and why, and how much more does."""
    if loses.now:
        change = loses.now[0]
        api = change.api if change.marketplace is None else f"{change.api} ({change.marketplace})"
        first = f"{api} {when(change.period)}, {how(change)}, because of {because_of(change)}"
    elif loses.names:
        first = f"no longer found as org {loses.names[0]}"
    else:
        terms = loses.next[0]
        before, after = (plan.name if plan else "no plan" for plan in (terms.before, terms.after))
        plans = before if before == after else f"{before} → {after}"
        since = moment(terms.at).removesuffix(" UTC")
        line = f"{terms.line.id} of {terms.line.invoice}"
        first = f"{listed(terms.lost, 'and')} from {since} on, {plans}, if {line} is renewed as it is"
    more = len(loses.now) + len(loses.next) + len(loses.names) - 1
    return f"{first}; and {more} more" if more else first
