"""
The decision: may this customer call this API at this moment, why, and until when. Pure.

Contract, section 6. Everything known is taken in, whenever it became known; only the moment asked about counts. The
reasons of operators (`manual`, `blocked`: R10), of refunds and disputes (R5, R6) have their places in `Reason` and in
the two orders below; their facts are still to come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from entitlements.domain.catalog import Plan, Revisions
from entitlements.domain.cycles import Cycle
from entitlements.domain.facts import CustomerFacts
from entitlements.domain.invoice import BilledLine, InvoiceHistory, histories
from entitlements.domain.items import with_items
from entitlements.domain.period import Period, unbroken_until
from entitlements.domain.quotas import QuotaAllowed, added_up
from entitlements.domain.spans import Billed, Span, billed
from entitlements.domain.statements import first_stated

ALLOW_MAX_AGE = timedelta(seconds=10)
DENY_MAX_AGE = timedelta(seconds=2)
"""How long an answer may be kept, unless a boundary comes first; a payment must open quickly."""


class Reason(StrEnum):
    """Why access is allowed or denied (contract, section 6)."""

    PAID = "paid"
    MANUAL = "manual"
    UNPAID_TERMS = "unpaid_terms"
    RENEWAL_LEEWAY = "renewal_leeway"
    UNKNOWN_API = "unknown_api"
    BLOCKED = "blocked"
    PAYMENT_REQUIRED = "payment_required"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    CYCLE_LAPSED = "cycle_lapsed"
    UNKNOWN_SUBJECT = "unknown_subject"
    NOT_ENTITLED = "not_entitled"

    @property
    def allows(self) -> bool:
        return self in ALLOWING

    @property
    def status(self) -> int:
        """The HTTP status by which a gateway says it: 200, 402 where paying would help, else 403."""
        if self.allows:
            return 200
        return 402 if self in (Reason.PAYMENT_REQUIRED, Reason.CYCLE_LAPSED) else 403


ALLOWING = (Reason.PAID, Reason.MANUAL, Reason.UNPAID_TERMS, Reason.RENEWAL_LEEWAY)
"""The first of these that holds is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """
    The answer for one API at one moment.

    *until* is when the answer would turn to a denial if nothing more became known; None for a denial. *max_age* is how
    long it may be kept. Plan, invoice and cycle are those that the reason rests on, None where it rests on none;
    *pay_at* is the invoice's hosted page. A *subscription* line's cycle is the line's own period.
    """

    api: str
    reason: Reason
    max_age: timedelta
    plan: str | None = None
    invoice: str | None = None
    cycle: Period | None = None
    until: datetime | None = None
    quotas: tuple[QuotaAllowed, ...] = ()
    pay_at: str | None = None
    catalog_revision: int | None = None

    @property
    def allowed(self) -> bool:
        return self.reason.allows


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a question may be about: one integration and, unless None, one of its marketplaces."""

    integration: str
    marketplace: str | None = None

    def sells(self, plan: Plan) -> bool:
        return plan.integration == self.integration and self.marketplace in (None, plan.marketplace)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A customer's facts under the catalog's terms, ready to be asked about any API and any moment."""

    named: bool
    invoices: Mapping[str, InvoiceHistory]
    billed: Billed
    pay_at: dict[str, str]
    contradictory: tuple[str, ...]

    @property
    def unmapped(self) -> tuple[BilledLine, ...]:
        return self.billed.unmapped


def standing(facts: CustomerFacts, scope: Scope, revisions: Revisions) -> Standing:
    """
    What a customer has, once for many questions. A customer is *named* when Stripe, or an operator, ever named it.
    """
    invoices = with_items(histories(facts))
    in_scope = billed_in(scope, invoices, revisions)
    sold = {cycle.invoice.id for cycle in in_scope.cycles}
    pages: dict[str, list[tuple[datetime, str]]] = {}
    for snapshot in facts.invoices:
        if snapshot.pay_at is not None:
            pages.setdefault(snapshot.invoice, []).append((snapshot.stated_at, snapshot.pay_at))
    return Standing(
        named=facts.named or bool(invoices),
        invoices=invoices,
        billed=in_scope,
        pay_at={invoice: page for invoice, said in pages.items() if (page := first_stated(said)) is not None},
        contradictory=tuple(
            invoice.id
            for invoice in invoices.values()
            if invoice.is_contradictory and (scope.marketplace is None or invoice.id in sold)
        ),
    )


def billed_in(scope: Scope, invoices: Mapping[str, InvoiceHistory], revisions: Revisions) -> Billed:
    """What invoices give for plans that are sold in *scope*; lines of no plan belong to no marketplace."""
    everything = billed(invoices, scope.integration, revisions)
    return Billed(
        cycles=tuple(cycle for cycle in everything.cycles if scope.sells(cycle.plan)),
        spans=tuple(span for span in everything.spans if scope.sells(span.cycle.plan)),
        unmapped=everything.unmapped if scope.marketplace is None else (),
    )


def apis_of(customer: Standing, scope: Scope, revisions: Revisions, now: datetime) -> tuple[str, ...]:
    """Every API that the catalog current at *now* or a grant of the customer names, in order of name."""
    current = revisions.in_force_at(now)
    named = current.catalog.apis(integration=scope.integration, marketplace=scope.marketplace) if current else set()
    return tuple(sorted({*named, *(api for cycle in customer.billed.cycles for api in cycle.plan.apis)}))


def decide(customer: Standing, api: str, at: datetime, *, known_apis: Iterable[str]) -> Decision:
    """
    The decision for *api* at the moment *at*; *known_apis* as `apis_of` gives them.

    Denials are tried in the contract's order: unknown_api, blocked, payment_required, refunded or disputed,
    cycle_lapsed, unknown_subject, not_entitled.
    """
    spans = [span for span in customer.billed.spans if api in span.cycle.plan.apis]
    covering = [span for span in spans if span.period.covers(at)]
    if covering:
        return _allowed(api, at, covering, spans)
    max_age = _until_next(at, DENY_MAX_AGE, (span.period.start for span in spans))
    if api not in known_apis:
        return Decision(api=api, reason=Reason.UNKNOWN_API, max_age=max_age)
    cycles = [cycle for cycle in customer.billed.cycles if api in cycle.plan.apis]
    owed = [cycle for cycle in cycles if _would_grant_if_paid(cycle, at)]
    if owed:
        cycle = min(owed, key=_ends_last)
        return _resting_on(cycle, api, Reason.PAYMENT_REQUIRED, max_age, pay_at=customer.pay_at.get(cycle.invoice.id))
    lapsed = [cycle for cycle in cycles if cycle.paid is not None and cycle.paid.start <= at]
    if lapsed:
        return _resting_on(min(lapsed, key=_ends_last), api, Reason.CYCLE_LAPSED, max_age)
    reason = Reason.NOT_ENTITLED if customer.named else Reason.UNKNOWN_SUBJECT
    return Decision(api=api, reason=reason, max_age=max_age)


def _allowed(api: str, at: datetime, covering: list[Span], spans: list[Span]) -> Decision:
    reason = min((Reason(span.reason) for span in covering), key=ALLOWING.index)
    speaking = [span for span in covering if span.reason.value == reason.value]
    shown = min(speaking, key=lambda span: (-span.period.end.timestamp(), *_names(span.cycle)))
    until = unbroken_until(at, (span.period for span in spans))
    return Decision(
        api=api,
        reason=reason,
        max_age=_until_next(at, ALLOW_MAX_AGE, [until]),
        plan=shown.cycle.plan.name,
        invoice=shown.cycle.invoice.id,
        cycle=shown.cycle.period,
        until=until,
        quotas=added_up([span.cycle for span in speaking]),
        catalog_revision=shown.cycle.revision,
    )


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
        and (cycle.ended_at is None or at < cycle.ended_at)
    )


def _until_next(at: datetime, at_most: timedelta, boundaries: Iterable[datetime]) -> timedelta:
    return min([at_most, *(boundary - at for boundary in boundaries if boundary > at)])


def _ends_last(cycle: Cycle) -> tuple[float, str, str]:
    return (-cycle.period.end.timestamp(), *_names(cycle))


def _names(cycle: Cycle) -> tuple[str, str]:
    return cycle.invoice.id, cycle.line.id
