"""
What can still matter from a moment on, and for how long a decision stays what it is: for who remembers answers. Pure.

Time alone changes a decision at *boundaries*: where a period begins or ends that it looks at. Between two of them it is
the same but for *max_age*, which shrinks on the last seconds before one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from entitlements.domain.access import ALLOW_MAX_AGE, DENY_MAX_AGE, Standing, decide, ends_last, openings
from entitlements.domain.cycles import Cycle
from entitlements.domain.decision import Decision
from entitlements.domain.period import END_OF_TIME, Period

SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lasting:
    """
    A decision and the moments `[since, until)` at which it is the same, *max_age* in whole seconds included.

    *next_boundary* is when time alone next changes more of it than *max_age*.
    """

    decision: Decision
    since: datetime
    until: datetime
    next_boundary: datetime


def from_now_on(customer: Standing, now: datetime) -> Standing:
    """
    What of a standing can still matter to a decision at *now* or later: the same answers, whatever the history.

    Of the cycles that are over, those that a later denial may rest on: for each API the one that ends last. Which APIs
    its grants name is not among it: take `granted_apis` before.
    """
    kept = tuple(cycle for cycle in customer.billed.cycles if cycle.period.end > now)
    rested_on = {cycle.invoice.id for cycle in kept}
    return replace(
        customer,
        invoices={},
        billed=replace(
            customer.billed,
            cycles=(*_lapsed(customer.billed.cycles, now), *kept),
            spans=tuple(span for span in customer.billed.spans if span.period.end > now),
            closed=tuple(closed for closed in customer.billed.closed if closed.period.end > now),
            unmapped=(),
        ),
        manual=tuple(each for each in customer.manual if each.period.end > now),
        blocked=tuple(period for period in customer.blocked if period.end > now),
        pay_at={invoice: page for invoice, page in customer.pay_at.items() if invoice in rested_on},
        contradictory=(),
    )


def lasting(
    customer: Standing, api: str, at: datetime, *, known_apis: Iterable[str], also: Iterable[datetime] = ()
) -> Lasting:
    """
    The decision for *api* at *at*, as `decide` makes it, and how long it lasts; *also* are moments at which something
    else than this customer's periods changes it: a catalog that comes into force.
    """
    decision = decide(customer, api, at, known_apis=known_apis)
    boundary = min((moment for moment in (*boundaries(customer, api), *also) if moment > at), default=END_OF_TIME)
    if decision.max_age >= (ALLOW_MAX_AGE if decision.allowed else DENY_MAX_AGE):
        until = min(boundary, _shrinks_from(customer, api, at, decision))
    else:  # its last seconds: it is kept for what is left of this one
        until = min(boundary, at + decision.max_age % SECOND)
    return Lasting(decision=decision, since=at, until=until, next_boundary=boundary)


def boundaries(customer: Standing, api: str) -> Iterator[datetime]:
    """Every moment at which time alone may change what is decided about *api*, in no order."""
    for period in _periods(customer, api):
        yield period.start
        yield period.end


def _periods(customer: Standing, api: str) -> Iterator[Period]:
    yield from customer.blocked
    yield from (each.period for each in customer.manual if api in each.apis)
    yield from (span.period for span in customer.billed.spans if api in span.cycle.plan.apis)
    yield from (closed.period for closed in customer.billed.closed if api in closed.cycle.plan.apis)
    for cycle in customer.billed.cycles:
        if api in cycle.plan.apis:
            yield cycle.period
            yield cycle.invoice.owed_for
            yield from cycle.left_of(cycle.period)
            if cycle.paid is not None:
                yield cycle.paid


def _shrinks_from(customer: Standing, api: str, at: datetime, decision: Decision) -> datetime:
    """From when on *max_age* is cut by what comes: an allowance's end, or what may open next."""
    if decision.allowed:
        return END_OF_TIME if decision.until is None else decision.until - ALLOW_MAX_AGE
    opening = min((moment for moment in openings(customer, api) if moment > at), default=END_OF_TIME)
    return opening if opening == END_OF_TIME else opening - DENY_MAX_AGE


def _lapsed(cycles: Iterable[Cycle], now: datetime) -> Iterator[Cycle]:
    """Of cycles that are over, what a denial may name later: for each API the paid one that ends last."""
    shown: dict[str, Cycle] = {}
    for cycle in cycles:
        if cycle.period.end > now or cycle.paid is None:
            continue
        if cycle.paid.start > now:
            yield cycle
            continue
        for api in cycle.plan.apis:
            if api not in shown or ends_last(cycle) < ends_last(shown[api]):
                shown[api] = cycle
    yield from {id(cycle): cycle for cycle in shown.values()}.values()
