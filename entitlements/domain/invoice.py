"""
One invoice, joined from everything that is known of it: a lattice, so order does not matter. Pure.

Stripe's statuses are ranked draft < open < uncollectible < paid, void, and nothing leaves paid or void (Stripe's
documentation, "Status transitions and finalization"). Each status has the smallest time that any snapshot gives it or,
if none does, the smallest `created` of the events that show it (contract, section 5).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from entitlements.domain.facts import CustomerFacts, Grant, InvoiceSnapshot, Revocation, RevocationKind
from entitlements.domain.given_back import CreditNote, credit_notes_of
from entitlements.domain.lines import BilledLine, Credit, billed_line, credit
from entitlements.domain.payments import Payment, payments_of
from entitlements.domain.period import END_OF_TIME, Period
from entitlements.domain.reversals import SubscriptionEnded
from entitlements.domain.statements import first_known, first_stated
from schemas.stripe_event import Invoice, InvoiceStatus

RANK = {
    InvoiceStatus.DRAFT: 0,
    InvoiceStatus.OPEN: 1,
    InvoiceStatus.UNCOLLECTIBLE: 2,
    InvoiceStatus.VOID: 3,
    InvoiceStatus.PAID: 4,
}
"""Highest counts. Stripe lets paid and void exclude each other; should both ever be seen, paid counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceHistory:
    """
    An invoice from its finalization on. *moments* holds when it came to each status that it is known to have had.

    *is_contradictory* says that both paid and void were seen, which Stripe says can't be: paid counts, void does not.
    *total* is in the currency's smallest unit. *payments* are those linked to it, whatever became of them.
    *of_subscription*: it, or any line of it, names a subscription.
    """

    id: str
    created: datetime | None
    billing_reason: str | None
    due_date: datetime | None
    moments: dict[InvoiceStatus, datetime]
    is_contradictory: bool
    lines: tuple[BilledLine, ...]
    credits: tuple[Credit, ...]
    total: int | None = None
    of_subscription: bool = False
    payments: tuple[Payment, ...] = ()
    credit_notes: tuple[CreditNote, ...] = ()

    @property
    def finalized_at(self) -> datetime:
        """When it was finalized; where nothing tells, the first moment at which it is known to have been."""
        return self.moments.get(InvoiceStatus.OPEN) or min(self.moments.values())

    @property
    def paid_at(self) -> datetime | None:
        return self.moments.get(InvoiceStatus.PAID)

    @property
    def uncollectible_at(self) -> datetime | None:
        return self.moments.get(InvoiceStatus.UNCOLLECTIBLE)

    @property
    def voided_at(self) -> datetime | None:
        return self.moments.get(InvoiceStatus.VOID)

    @property
    def open_for(self) -> Period:
        """While its status is `open`."""
        return Period(
            self.finalized_at, self._first(InvoiceStatus.UNCOLLECTIBLE, InvoiceStatus.PAID, InvoiceStatus.VOID)
        )

    @property
    def owed_for(self) -> Period:
        """While its status is `open` or `uncollectible`."""
        since = min(self.uncollectible_at or self.finalized_at, self.finalized_at)
        return Period(since, self._first(InvoiceStatus.PAID, InvoiceStatus.VOID))

    def status_at(self, moment: datetime) -> InvoiceStatus:
        """The highest-ranked status whose time is not after *moment*."""
        reached = [status for status, at in self.moments.items() if at <= moment]
        return max(reached, key=RANK.__getitem__, default=InvoiceStatus.DRAFT)

    def _first(self, *statuses: InvoiceStatus) -> datetime:
        return min((self.moments[status] for status in statuses if status in self.moments), default=END_OF_TIME)


def moments_shown(invoice: Invoice) -> dict[InvoiceStatus, datetime | None]:
    """
    The statuses that a snapshot shows the invoice to have had, each with the time it gives.

    A time counts only for the status shown and those below it: a template may carry a `paid_at` and say `open`.
    """
    given = {
        InvoiceStatus.OPEN: invoice.finalized_at,
        InvoiceStatus.UNCOLLECTIBLE: invoice.marked_uncollectible_at,
        InvoiceStatus.PAID: invoice.paid_at if invoice.status is InvoiceStatus.PAID else None,
        InvoiceStatus.VOID: invoice.voided_at if invoice.status is InvoiceStatus.VOID else None,
    }
    return {
        status: at
        for status, at in given.items()
        if status is invoice.status or (at is not None and RANK[status] < RANK[invoice.status])
    }


def histories(facts: CustomerFacts) -> dict[str, InvoiceHistory]:
    """Every invoice of a customer, joined, by its id."""
    grants: dict[str, list[Grant]] = defaultdict(list)
    revocations: dict[str, list[Revocation]] = defaultdict(list)
    for grant in facts.grants:
        grants[grant.invoice].append(grant)
    for revocation in facts.revocations:
        revocations[revocation.invoice].append(revocation)
    snapshots: dict[str, list[InvoiceSnapshot]] = defaultdict(list)
    for snapshot in facts.invoices:
        snapshots[snapshot.invoice].append(snapshot)
    ends = subscription_ends(facts.ended_subscriptions)
    payments = _by_invoice(payments_of(facts))
    notes: dict[str, list[CreditNote]] = defaultdict(list)
    for note in credit_notes_of(facts.credit_notes):
        notes[note.invoice].append(note)
    return {
        name: replace(
            _joined(name, grants[name], revocations[name], snapshots[name], ends),
            payments=tuple(payments[name]),
            credit_notes=tuple(notes[name]),
        )
        for name in sorted(grants.keys() | revocations.keys())
    }


def _by_invoice(payments: Iterable[Payment]) -> dict[str, list[Payment]]:
    found: dict[str, list[Payment]] = defaultdict(list)
    for payment in payments:
        for invoice in payment.invoices:
            found[invoice].append(payment)
    return found


def subscription_ends(said: Iterable[SubscriptionEnded]) -> dict[str | None, datetime]:
    """When each subscription ended (R7), by its id; by None, when all that were there did."""
    of_each: dict[str | None, list[SubscriptionEnded]] = defaultdict(list)
    for each in said:
        of_each[each.subscription].append(each)
    return {
        name: min([each.ended_at for each in ends if each.ended_at is not None] or [each.stated_at for each in ends])
        for name, ends in of_each.items()
    }


def believed(moments: dict[InvoiceStatus, datetime]) -> tuple[dict[InvoiceStatus, datetime], bool]:
    """What is left of transitions that exclude each other, and whether both paid and void were among them."""
    left = dict(moments)
    is_contradictory = {InvoiceStatus.PAID, InvoiceStatus.VOID} <= left.keys()
    if is_contradictory:
        del left[InvoiceStatus.VOID]
    settled = min((left[each] for each in (InvoiceStatus.PAID, InvoiceStatus.VOID) if each in left), default=None)
    if settled is not None and left.get(InvoiceStatus.UNCOLLECTIBLE, settled) >= settled:
        left.pop(InvoiceStatus.UNCOLLECTIBLE, None)  # nothing leaves paid or void: it never came to that
    return left, is_contradictory


def _joined(
    name: str,
    grants: list[Grant],
    revocations: list[Revocation],
    snapshots: list[InvoiceSnapshot],
    ends: Mapping[str | None, datetime],
) -> InvoiceHistory:
    lines: dict[str, list[Grant]] = defaultdict(list)
    credited: dict[str, list[Revocation]] = defaultdict(list)
    for grant in grants:
        lines[grant.line].append(grant)
    for revocation in revocations:
        if revocation.kind is RevocationKind.CREDITED and revocation.line is not None:
            credited[revocation.line].append(revocation)
    moments, is_contradictory = believed(moments_of(grants, revocations, snapshots))
    said: list[Grant | InvoiceSnapshot] = [*grants, *snapshots]
    invoice_plan = first_stated((each.stated_at, each.invoice_plan or None) for each in said)
    return InvoiceHistory(
        id=name,
        created=first_known((grant.stated_at, grant.invoice_created) for grant in grants),
        billing_reason=first_known((grant.stated_at, grant.billing_reason) for grant in grants),
        due_date=first_stated((each.stated_at, each.due_date) for each in said),
        moments=moments,
        is_contradictory=is_contradictory,
        lines=tuple(billed_line(said, invoice_plan, ends) for _, said in sorted(lines.items())),
        credits=tuple(credit(said) for _, said in sorted(credited.items())),
        total=first_known((grant.stated_at, grant.invoice_total) for grant in grants),
        of_subscription=_is_of_subscription(grants, revocations, snapshots),
    )


def _is_of_subscription(grants: list[Grant], revocations: list[Revocation], snapshots: list[InvoiceSnapshot]) -> bool:
    lines: list[Grant | Revocation] = [*grants, *revocations]
    return any(each.subscription is not None for each in snapshots) or any(
        each.subscription is not None or each.subscription_item is not None for each in lines
    )


def moments_of(
    grants: Iterable[Grant], revocations: Iterable[Revocation], snapshots: Iterable[InvoiceSnapshot]
) -> dict[InvoiceStatus, datetime]:
    """
    When it came to each status: the smallest time that any snapshot gives or, where none does, since when it was shown.

    A snapshot of which no line states anything, for Stripe left the others out, tells both as well as any.
    """
    given: dict[InvoiceStatus, list[datetime | None]] = defaultdict(list)
    shown: dict[InvoiceStatus, list[datetime]] = defaultdict(list)
    for grant in grants:
        shown[grant.status].append(grant.stated_at)
        given[InvoiceStatus.OPEN].append(grant.finalized_at)
        given[InvoiceStatus.PAID].append(grant.paid_at)
    for revocation in revocations:
        shown[revocation.status or _STATUS_OF[revocation.kind]].append(revocation.stated_at)
        given[_STATUS_OF[revocation.kind]].append(revocation.at)
        given[InvoiceStatus.OPEN].append(revocation.finalized_at)
    for snapshot in snapshots:
        shown[snapshot.status].append(snapshot.stated_at)
        given[InvoiceStatus.OPEN].append(snapshot.finalized_at)
        given[InvoiceStatus.UNCOLLECTIBLE].append(snapshot.uncollectible_at)
        given[InvoiceStatus.VOID].append(snapshot.voided_at)
        given[InvoiceStatus.PAID].append(snapshot.paid_at)
    moments = {}
    for status in given.keys() | shown.keys():
        times = [at for at in given[status] if at is not None] or shown[status]
        if times:
            moments[status] = min(times)
    return moments


_STATUS_OF = {
    RevocationKind.VOIDED: InvoiceStatus.VOID,
    RevocationKind.MARKED_UNCOLLECTIBLE: InvoiceStatus.UNCOLLECTIBLE,
    RevocationKind.CREDITED: InvoiceStatus.PAID,
}
"""To which status of its invoice a revocation's *at* belongs."""
