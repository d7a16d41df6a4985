"""
Why something is over before its time: each revocation that concerns an API, and what would be open without it. Pure.

Here those that an invoice itself came to (R4, R8); `why_taken_back.py` and `why_by_hand.py` have what others did.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime

from entitlements.domain import what_if
from entitlements.domain.explanation import ExplainedRevocation, RevokedBy
from entitlements.domain.invoice import InvoiceHistory
from entitlements.domain.period import END_OF_TIME
from entitlements.domain.what_if import Case
from entitlements.domain.why_by_hand import revoked_by_hand
from entitlements.domain.why_taken_back import taken_back
from schemas.stripe_event import InvoiceStatus

STATUS_OF = {
    RevokedBy.MARKED_UNCOLLECTIBLE: InvoiceStatus.UNCOLLECTIBLE,
    RevokedBy.VOIDED: InvoiceStatus.VOID,
}
"""The status that an invoice comes to by a revocation; of kinds that are not here it has none of its own."""


def revocations(case: Case, currencies: Mapping[str, str | None]) -> tuple[ExplainedRevocation, ...]:
    """
    Those that ended something of this API or will once they are paid, and those of what has a line of it; in order of
    time. *currencies* are the invoices'.
    """
    found = [*_of_invoices(case), *taken_back(case, currencies), *revoked_by_hand(case)]
    return tuple(
        sorted(found, key=lambda each: (each.at or END_OF_TIME, each.invoice or "", each.id or "", each.lines))
    )


def _of_invoices(case: Case) -> Iterator[ExplainedRevocation]:
    concerned = {cycle.invoice.id for cycle in case.cycles}
    for invoice in case.standing.invoices.values():
        if case.names(invoice.id):
            for revocation in _of_invoice(case, invoice):
                if revocation.ended or invoice.id in concerned or _would_end(case, revocation, invoice):
                    yield revocation


def _would_end(case: Case, revocation: ExplainedRevocation, invoice: InvoiceHistory) -> bool:
    if revocation.at is not None or not invoice.owed_for.covers(case.at):
        return False
    return bool(what_if.opened_more(what_if.had(case, what_if.paid(invoice, case.at)), case))


def _of_invoice(case: Case, invoice: InvoiceHistory) -> Iterator[ExplainedRevocation]:
    for kind, status in STATUS_OF.items():
        if status in invoice.moments:
            without = what_if.never(invoice, status)
            yield _revocation(case, kind, without, at=invoice.moments[status])
    credited: dict[datetime | None, list[str]] = defaultdict(list)
    for credit in invoice.credits:
        at = None if invoice.paid_at is None else max(credit.period_start, invoice.paid_at)
        credited[at].append(credit.line)
    for at, lines in credited.items():  # those of one moment together: two may end the same, and either would do
        without = what_if.without_credits(invoice, lines)
        yield _revocation(case, RevokedBy.CREDITED, without, at=at, lines=tuple(lines))


def _revocation(
    case: Case, kind: RevokedBy, without: InvoiceHistory, *, at: datetime | None, lines: tuple[str, ...] = ()
) -> ExplainedRevocation:
    ended = () if at is None else what_if.opened_more(case, what_if.had(case, without))
    return ExplainedRevocation(
        kind=kind,
        invoice=without.id,
        lines=lines,
        at=at,
        spoke=not case.is_blocked and any(each.period.covers(case.at) for each in ended),
        ended=ended,
    )
