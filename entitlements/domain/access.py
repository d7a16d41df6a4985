"""
The decision: may this customer call this API at this moment, why, and until when. Pure.

Contract, section 6. Everything known is taken in, whenever it became known; only the moment asked about counts.

Long because the contract's order of reasons is told in one place, with what it looks at.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from entitlements.domain.catalog import Plan, Revisions
from entitlements.domain.cycles import Cycle, WithheldFor
from entitlements.domain.decision import ALLOWING, Decision, Reason
from entitlements.domain.facts import CustomerFacts
from entitlements.domain.invoice import InvoiceHistory, histories
from entitlements.domain.items import with_items
from entitlements.domain.lines import BilledLine
from entitlements.domain.manual import Manual, blocked, manual_grants
from entitlements.domain.period import END_OF_TIME, Period, unbroken_until
from entitlements.domain.quotas import added_up
from entitlements.domain.spans import Billed, Span, billed
from entitlements.domain.statements import first_stated

ALLOW_MAX_AGE = timedelta(seconds=10)
DENY_MAX_AGE = timedelta(seconds=2)
"""How long an answer may be kept, unless a boundary comes first; a payment must open quickly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a question may be about: one integration and, unless None, one of its marketplaces."""

    integration: str
    marketplace: str | None = None

    def sells(self, plan: Plan) -> bool:
        return plan.integration == self.integration and self.marketplace in (None, plan.marketplace)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """
    A customer's facts under the catalog's terms, ready to be asked about any API and any moment.

    *manual* is what operators opened, *blocked* while they blocked it.
    """

    named: bool
    invoices: Mapping[str, InvoiceHistory]
    billed: Billed
    manual: tuple[Manual, ...]
    blocked: tuple[Period, ...]
    pay_at: dict[str, str]
    contradictory: tuple[str, ...]

    @property
    def unmapped(self) -> tuple[BilledLine, ...]:
        return self.billed.unmapped


def standing(facts: CustomerFacts, scope: Scope, revisions: Revisions) -> Standing:
    """
    What a customer has, once for many questions. A customer is *named* when Stripe, or an operator, ever named it.
    """
    return standing_with(invoices_of(facts), facts, scope, revisions)


def invoices_of(facts: CustomerFacts) -> dict[str, InvoiceHistory]:
    """A customer's invoices, by id: the same in any scope and under any revisions."""
    return with_items(histories(facts))


def standing_with(
    invoices: Mapping[str, InvoiceHistory], facts: CustomerFacts, scope: Scope, revisions: Revisions
) -> Standing:
    """What `standing` is, from invoices that are joined already, as `invoices_of` does, for to join them costs most."""
    in_scope = billed_in(scope, invoices, revisions)
    sold = {cycle.invoice.id for cycle in in_scope.cycles}
    pages: dict[str, list[tuple[datetime, str]]] = {}
    for snapshot in facts.invoices:
        if snapshot.pay_at is not None:
            pages.setdefault(snapshot.invoice, []).append((snapshot.stated_at, snapshot.pay_at))
    return Standing(
        named=facts.named or bool(invoices or facts.manual_grants or facts.blocks),
        invoices=invoices,
        billed=in_scope,
        manual=tuple(manual_in(scope, facts, revisions)),
        blocked=blocked(facts),
        pay_at={invoice: page for invoice, said in pages.items() if (page := first_stated(said)) is not None},
        contradictory=tuple(
            invoice.id
            for invoice in invoices.values()
            if invoice.is_contradictory and (scope.marketplace is None or invoice.id in sold)
        ),
    )


def billed_in(scope: Scope, invoices: Mapping[str, InvoiceHistory], revisions: Revisions) -> Billed:
    """What invoices give for plans that are sold in *scope*; lines of no plan belong to no marketplace."""
    return _sold_in(scope, billed(invoices, scope.integration, revisions))


def within(scope: Scope, customer: Standing, facts: CustomerFacts, revisions: Revisions) -> Standing:
    """The *customer* of these facts, whose standing is that of the whole integration, in one of its marketplaces."""
    in_scope = _sold_in(scope, customer.billed)
    sold = {cycle.invoice.id for cycle in in_scope.cycles}
    return replace(
        customer,
        billed=in_scope,
        manual=tuple(manual_in(scope, facts, revisions)),
        contradictory=tuple(each for each in customer.contradictory if each in sold),
    )


def _sold_in(scope: Scope, everything: Billed) -> Billed:
    return Billed(
        cycles=tuple(cycle for cycle in everything.cycles if scope.sells(cycle.plan)),
        spans=tuple(span for span in everything.spans if scope.sells(span.cycle.plan)),
        closed=tuple(closed for closed in everything.closed if scope.sells(closed.cycle.plan)),
        unmapped=everything.unmapped if scope.marketplace is None else (),
    )


def manual_in(scope: Scope, facts: CustomerFacts, revisions: Revisions) -> Iterator[Manual]:
    """Manual grants of plans that are sold in *scope*; of those of mere APIs what any revision names there."""
    named = [
        each.catalog.apis(integration=scope.integration, marketplace=scope.marketplace) for each in revisions.revisions
    ]
    for manual in manual_grants(facts, scope.integration, revisions):
        if manual.plan is None and scope.marketplace is not None:
            yield replace(manual, apis=manual.apis & frozenset().union(*named))
        elif manual.plan is None or scope.sells(manual.plan):
            yield manual


def apis_of(customer: Standing, scope: Scope, revisions: Revisions, now: datetime) -> tuple[str, ...]:
    """Every API that the catalog current at *now* or a grant of the customer names, in order of name."""
    current = revisions.in_force_at(now)
    named = (
        current.catalog.apis(integration=scope.integration, marketplace=scope.marketplace) if current else frozenset()
    )
    return tuple(sorted(named | granted_apis(customer)))


def granted_apis(customer: Standing) -> frozenset[str]:
    """Every API that a grant of the customer ever named."""
    billed_for = (cycle.plan.apis for cycle in customer.billed.cycles)
    return frozenset().union(*billed_for, *(manual.apis for manual in customer.manual))


def openings(customer: Standing, api: str) -> Iterator[datetime]:
    """Every moment at which *api* may open, in no order: what opens it begins, or a block ends."""
    yield from (span.period.start for span in customer.billed.spans if api in span.cycle.plan.apis)
    yield from (each.period.start for each in customer.manual if api in each.apis)
    yield from (period.end for period in customer.blocked)


def decide(customer: Standing, api: str, at: datetime, *, known_apis: Iterable[str]) -> Decision:
    """
    The decision for *api* at the moment *at*; *known_apis* as `apis_of` gives them.

    Denials are tried in the contract's order: unknown_api, blocked, payment_required, refunded or disputed,
    cycle_lapsed, unknown_subject, not_entitled.
    """
    spans = [span for span in customer.billed.spans if api in span.cycle.plan.apis]
    manual = [each for each in customer.manual if api in each.apis]
    is_blocked = any(period.covers(at) for period in customer.blocked)
    periods = [*(span.period for span in spans), *(each.period for each in manual)]
    if not is_blocked and any(period.covers(at) for period in periods):
        return _allowed(customer, api, at, spans, manual)
    opens = min((moment for moment in openings(customer, api) if at < moment < END_OF_TIME), default=None)
    return replace(_denied(customer, api, at, known_apis, is_blocked=is_blocked), opens=opens)


def _denied(customer: Standing, api: str, at: datetime, known_apis: Iterable[str], *, is_blocked: bool) -> Decision:
    """The first reason that is true, of those that the contract lists."""
    max_age = _until_next(at, DENY_MAX_AGE, openings(customer, api))
    if api not in known_apis:
        return Decision(api=api, reason=Reason.UNKNOWN_API, max_age=max_age)
    if is_blocked:
        return Decision(api=api, reason=Reason.BLOCKED, max_age=max_age)
    cycles = [cycle for cycle in customer.billed.cycles if api in cycle.plan.apis]
    if owed := [cycle for cycle in cycles if _would_grant_if_paid(cycle, at)]:
        cycle = min(owed, key=ends_last)
        return _resting_on(cycle, api, Reason.PAYMENT_REQUIRED, max_age, pay_at=customer.pay_at.get(cycle.invoice.id))
    if closed := [each for each in customer.billed.closed if api in each.cycle.plan.apis and each.period.covers(at)]:
        first = min(closed, key=lambda each: (list(WithheldFor).index(each.reason), ends_last(each.cycle)))
        return _resting_on(first.cycle, api, Reason(first.reason), max_age)
    if lapsed := [cycle for cycle in cycles if cycle.paid is not None and cycle.paid.start <= at]:
        return _resting_on(min(lapsed, key=ends_last), api, Reason.CYCLE_LAPSED, max_age)
    reason = Reason.NOT_ENTITLED if customer.named else Reason.UNKNOWN_SUBJECT
    return Decision(api=api, reason=reason, max_age=max_age)


def _allowed(customer: Standing, api: str, at: datetime, spans: list[Span], manual: list[Manual]) -> Decision:
    """The strongest reason that holds; what is shown of it ends last, then is of the smallest id."""
    given: list[tuple[Reason, Span | Manual]] = [
        *((Reason(span.reason), span) for span in spans),
        *((Reason.MANUAL, each) for each in manual),
    ]
    reason = min((why for why, each in given if each.period.covers(at)), key=ALLOWING.index)
    speaking = [each for why, each in given if why is reason and each.period.covers(at)]
    until = min(
        [unbroken_until(at, (each.period for _, each in given)), *(b.start for b in customer.blocked if b.start > at)]
    )
    decision = Decision(
        api=api,
        reason=reason,
        max_age=_until_next(at, ALLOW_MAX_AGE, [until]),
        until=None if until == END_OF_TIME else until,
        quotas=added_up(list({_counts_as(each): _plan_and_quantity(each) for each in speaking}.values())),
    )
    match min(speaking, key=_shown_first):
        case Span(cycle=cycle):
            return replace(
                decision,
                plan=cycle.plan.name,
                invoice=cycle.invoice.id,
                cycle=cycle.period,
                catalog_revision=cycle.revision,
            )
        case Manual(plan=plan, revision=revision):
            return replace(decision, plan=None if plan is None else plan.name, catalog_revision=revision)


def _shown_first(given: Span | Manual) -> tuple[float, tuple[str, ...]]:
    names = _names(given.cycle) if isinstance(given, Span) else (given.grant.id,)
    return -given.period.end.timestamp(), names


def _counts_as(given: Span | Manual) -> Hashable:
    """What adds to quotas once, however many of its lines speak."""
    return given.cycle.counts_as if isinstance(given, Span) else given.grant.digest


def _plan_and_quantity(given: Span | Manual) -> tuple[Plan | None, Decimal]:
    return (given.cycle.plan, given.cycle.quantity) if isinstance(given, Span) else (given.plan, Decimal(1))


def _resting_on(cycle: Cycle, api: str, reason: Reason, max_age: timedelta, pay_at: str | None = None) -> Decision:
    return Decision(
        api=api,
        reason=reason,
        max_age=max_age,
        plan=cycle.plan.name,
        invoice=cycle.invoice.id,
        cycle=cycle.period,
        pay_at=pay_at,
        catalog_revision=cycle.revision,
    )


def _would_grant_if_paid(cycle: Cycle, at: datetime) -> bool:
    return (
        cycle.period.covers(at)
        and cycle.invoice.owed_for.covers(at)
        and any(left.covers(at) for left in cycle.left_of(cycle.period))
    )


def _until_next(at: datetime, at_most: timedelta, boundaries: Iterable[datetime]) -> timedelta:
    return min([at_most, *(boundary - at for boundary in boundaries if boundary > at)])


def ends_last(cycle: Cycle) -> tuple[float, str, str]:
    """The order in which cycles are shown: what ends last, then what is of the smallest id."""
    return (-cycle.period.end.timestamp(), *_names(cycle))


def _names(cycle: Cycle) -> tuple[str, str]:
    return cycle.invoice.id, cycle.line.id
