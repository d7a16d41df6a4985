"""
What would change an answer: a payment, a dispute won, a refund that fails, a block lifted. Pure.

Each is asked of the rules with that one thing added to what is known. What time alone will do is `what_if.next_change`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from entitlements.domain import what_if
from entitlements.domain.acts import Unblock
from entitlements.domain.decision import Decision
from entitlements.domain.explanation import ExplainedGrant, ExplainedRevocation, Paying, RevokedBy, Undoing
from entitlements.domain.facts import CustomerFacts
from entitlements.domain.what_if import Case

UNDONE_BY = {RevokedBy.REFUNDED: "failed", RevokedBy.DISPUTED: "won"}
"""The status that a refund that is pending, or a dispute that is open, comes to where it is undone."""


def payments(
    case: Case, grants: Iterable[ExplainedGrant], revocations: Iterable[ExplainedRevocation]
) -> Iterator[Paying]:
    """The invoices owed at the moment that would open the API, open it longer or end it, were they paid at it."""
    told = list(grants)
    running = (grant.cycle.invoice.id for grant in told if grant.cycle.period.end > case.at)
    withholding = (invoice for grant in told for invoice in grant.because_of)
    crediting = (each.invoice for each in revocations if each.at is None and each.invoice is not None)
    for name in sorted({*running, *withholding, *crediting}, key=lambda each: (_finalized_at(case, each), each)):
        invoice = case.standing.invoices[name]
        if invoice.owed_for.covers(case.at):
            then = what_if.had(case, what_if.paid(invoice, case.at)).decision
            if _opens_otherwise(then, case.decision):
                yield Paying(invoice=name, decision=then)


def undoings(case: Case, revocations: Iterable[ExplainedRevocation]) -> Iterator[Undoing]:
    """
    What would open the API, or open it longer, were it undone at the moment: pending refunds, credit notes and open
    disputes, those of one invoice together, and blocks, all of them.
    """
    together: dict[tuple[str, RevokedBy], list[ExplainedRevocation]] = defaultdict(list)
    for each in revocations:
        if each.counts_at(case.at) and _may_be_undone(each):
            together[each.invoice or "", each.kind].append(each)
    for (_, kind), counting in together.items():
        ids = tuple(each.id for each in counting if each.id is not None)
        then = what_if.knowing(case, _undone(case.facts, kind, ids, case.at)).decision
        if kind is RevokedBy.BLOCKED or _opens_otherwise(then, case.decision):
            yield Undoing(kind=kind, ids=ids, decision=then)


def _may_be_undone(revocation: ExplainedRevocation) -> bool:
    match revocation.kind:
        case RevokedBy.REFUNDED:
            return revocation.status == "pending"
        case RevokedBy.DISPUTED:
            return revocation.status != "lost"
        case kind:
            return kind in (RevokedBy.CREDIT_NOTE, RevokedBy.BLOCKED)


def _undone(facts: CustomerFacts, kind: RevokedBy, ids: tuple[str, ...], at: datetime) -> CustomerFacts:
    """The facts, had all of *kind* with these *ids* been undone at *at*."""
    match kind:
        case RevokedBy.REFUNDED:
            failed = (
                replace(each, status=UNDONE_BY[kind], stated_at=at) for each in facts.refunds if each.refund in ids
            )
            return replace(facts, refunds=(*facts.refunds, *failed))
        case RevokedBy.DISPUTED:
            won = (
                replace(each, status=UNDONE_BY[kind], is_closing=True, at=at)
                for each in facts.disputes
                if each.dispute in ids
            )
            return replace(facts, disputes=(*facts.disputes, *won))
        case RevokedBy.CREDIT_NOTE:
            void = (
                replace(each, is_void=True, voided_at=at, stated_at=max(at, each.stated_at))
                for each in facts.credit_notes
                if each.credit_note in ids
            )
            return replace(facts, credit_notes=(*facts.credit_notes, *void))
        case _:
            lifting = (
                Unblock(
                    integration=each.integration,
                    customer=each.customer,
                    id="",
                    since=at,
                    at=max(at, each.at),
                    by="",
                    reason="",
                )
                for each in facts.blocks
                if each.id in ids
            )
            return replace(facts, unblocks=(*facts.unblocks, *lifting))


def _opens_otherwise(then: Decision, now: Decision) -> bool:
    return (then.allowed, then.until) != (now.allowed, now.until)


def _finalized_at(case: Case, invoice: str) -> datetime:
    return case.standing.invoices[invoice].finalized_at
