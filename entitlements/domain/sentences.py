"""
An explanation in the words of a person: the answer, how each grant and revocation spoke, what would change it. Pure.

Every sentence follows from the explanation's values; how times and amounts are written stands in `wording.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from entitlements.domain.access import Decision, Reason
from entitlements.domain.explanation import ExplainedGrant, ExplainedRevocation, Explanation, How, Payment
from entitlements.domain.facts import RevocationKind
from entitlements.domain.shown import OWED
from entitlements.domain.spans import SpanReason
from entitlements.domain.wording import listed, moment, money, period
from schemas.stripe_event import InvoiceStatus

OPENED_AS = {
    SpanReason.PAID: "the paid cycle",
    SpanReason.UNPAID_TERMS: "the unpaid terms",
    SpanReason.RENEWAL_LEEWAY: "the leeway",
}


def verdict(decision: Decision) -> str:
    """`allow 200 paid`."""
    return f"{'allow' if decision.allowed else 'deny'} {decision.reason.status} {decision.reason}"


def headline(explanation: Explanation, who: str) -> str:
    """The answer in one sentence; *who* is the subject as the question names it, such as "customer cus_1"."""
    until = explanation.decision.until
    text = f"{verdict(explanation.decision)}: {_because(explanation, who)}"
    return text if until is None else f"{text}; open until {moment(until)}"


def _because(explanation: Explanation, who: str) -> str:
    decision = explanation.decision
    about = "" if decision.cycle is None else f"invoice {decision.invoice} for {period(decision.cycle)}"
    match decision.reason:
        case Reason.PAID:
            return f"{about} is paid"
        case Reason.UNPAID_TERMS:
            return f"{about} is not paid yet, and the plan {decision.plan} gives time"
        case Reason.RENEWAL_LEEWAY:
            return f"{about} was paid, and its renewal has leeway"
        case Reason.MANUAL:
            return f"an operator granted it to {who}"
        case Reason.UNKNOWN_API:
            return f"the catalog has no API {decision.api}, and {who} was never billed for one of that name"
        case Reason.BLOCKED:
            return f"an operator has blocked {who}"
        case Reason.PAYMENT_REQUIRED:
            return f"{about} is {_named(explanation).cycle.invoice.status_at(explanation.at)} and not paid"
        case Reason.REFUNDED:
            return f"the payment of {about} was given back"
        case Reason.DISPUTED:
            return f"the payment of {about} is disputed"
        case Reason.CYCLE_LAPSED:
            return f"{about} {_lapsed(_named(explanation))}, and nothing paid covers the moment"
        case Reason.UNKNOWN_SUBJECT:
            return f"{who} is not known here; Stripe has never named it"
        case Reason.NOT_ENTITLED:
            return f"up to this moment, nothing paid has opened {decision.api} for {who}"


def _named(explanation: Explanation) -> ExplainedGrant:
    """The grant whose invoice and cycle the decision names."""
    named = (explanation.decision.invoice, explanation.decision.cycle)
    return next(each for each in explanation.grants if (each.cycle.invoice.id, each.cycle.period) == named)


def _lapsed(grant: ExplainedGrant) -> str:
    if grant.how is How.ENDED:
        return f"was paid, but ended {_ended_by(grant)}"
    return "was paid after its end" if grant.how is How.PAID_TOO_LATE else "was paid and is over"


def would_change(explanation: Explanation, who: str) -> tuple[str, ...]:
    """What would change the answer, in sentences; the last says what time alone will do."""
    known = _by_what_becomes_known(explanation, who)
    return (
        *([known] if known is not None else []),
        *_by_naming(explanation),
        *_by_payment(explanation),
        _by_time(explanation),
    )


def _by_what_becomes_known(explanation: Explanation, who: str) -> str | None:
    decision = explanation.decision
    until = _when(decision.until)
    match decision.reason:
        case Reason.PAID | Reason.RENEWAL_LEEWAY:
            return f"It ends at {until}, unless an invoice for a cycle that follows is paid by then."
        case Reason.UNPAID_TERMS:
            return f"It ends at {until}, unless the invoice is paid by then."
        case Reason.MANUAL:
            return f"It ends at {until}, or when an operator revokes the grant."
        case Reason.PAYMENT_REQUIRED:
            return None  # `_by_payment` says it, invoice by invoice
        case Reason.CYCLE_LAPSED | Reason.NOT_ENTITLED:
            return f"A paid invoice for a cycle that covers the moment, of {_plans(explanation)}."
        case Reason.UNKNOWN_SUBJECT:
            return f"An event in which Stripe names {who}, and a paid invoice of {_plans(explanation)}."
        case Reason.UNKNOWN_API:
            known = listed(explanation.known_apis, "and") or "none"
            return f"A catalog that names the API {decision.api}; known now: {known}."
        case Reason.BLOCKED:
            return "An operator who lifts the block."
        case Reason.REFUNDED:
            return f"Another invoice for a cycle that covers the moment, paid and kept, of {_plans(explanation)}."
        case Reason.DISPUTED:
            return "The end of the dispute, should it be won or withdrawn."


def _by_naming(explanation: Explanation) -> Iterator[str]:
    if not explanation.decision.allowed:
        for line in explanation.nameable:
            named = f"the price {line.price}" if line.price else f"line {line.id}"
            yield f"A plan in the catalog for {named}, which invoice {line.invoice} bills for {period(line.period)}."


def _plans(explanation: Explanation) -> str:
    """`enterprise or pro, which open orders`."""
    names = [plan.name for plan in explanation.plans]
    if not names:
        return f"a plan that opens {explanation.decision.api}: the current catalog has none"
    opens = "opens" if len(names) == 1 else "open"
    return f"the plan{'s' if len(names) > 1 else ''} {listed(names, 'or')}, which {opens} {explanation.decision.api}"


def _by_payment(explanation: Explanation) -> Iterator[str]:
    for payment in explanation.payments:
        named = f"invoice {payment.invoice}"
        shown = explanation.invoices.get(payment.invoice)
        if shown is None or shown.status in OWED:
            amounts = shown and shown.amounts
            amount = money(amounts.amount_remaining, amounts.currency) if amounts else ""
            by_then = " by then" if explanation.is_past else ""
            yield f"Paying {named}{f' ({amount})' if amount else ''}{by_then} {_paying(explanation, payment)}."
        elif shown.status is InvoiceStatus.VOID:
            yield f"Paying {named}, had it not been voided at {moment(shown.transitions[InvoiceStatus.VOID])}."


def _paying(explanation: Explanation, payment: Payment) -> str:
    """What a payment does or, where the moment has gone by, would have done."""
    ends = explanation.decision.until
    if payment.until is None:
        return "would have ended it at once" if explanation.is_past else "ends it at once"
    if ends is not None and payment.until < ends:
        does = "would have ended it at" if explanation.is_past else "ends it at"
    elif ends is not None:
        does = "would have kept it open until" if explanation.is_past else "keeps it open until"
    else:
        does = "would have opened it until" if explanation.is_past else "opens it until"
    return f"{does} {moment(payment.until)}"


def _by_time(explanation: Explanation) -> str:
    change = explanation.change
    if change is None:
        return "Time alone changes nothing."
    return f"If nothing more becomes known, it turns to {verdict(change.decision)} at {moment(change.at)}."


def grant_spoke(grant: ExplainedGrant, at: datetime) -> str:
    """How a grant spoke at the moment *at*, to stand after its cycle and its invoice."""
    cycle, invoice = grant.cycle, grant.cycle.invoice
    match grant.how:
        case How.PAID:
            return f"paid: open until {_when(grant.until)}"
        case How.UNPAID_TERMS:
            return f"not paid yet: unpaid terms until {_when(grant.until)}"
        case How.RENEWAL_LEEWAY:
            return f"paid and over: leeway until {_when(grant.until)}"
        case How.ENDED:
            return f"ended {_ended_by(grant)}"
        case How.NOT_YET:
            return f"not yet begun: invoice {invoice.status_at(at)}"
        case How.NOT_FINALIZED:
            return f"not yet: finalized {moment(invoice.finalized_at)}"
        case How.WITHHELD:
            return f"not paid: unpaid terms withheld, {listed(grant.because_of, 'and') or 'another invoice'} is overdue"
        case How.OPEN:
            return _not_paid(grant, at)
        case How.UNCOLLECTIBLE:
            return f"not paid: uncollectible since {_when(invoice.uncollectible_at)}"
        case How.VOID:
            return f"void since {_when(invoice.voided_at)}"
        case How.PAID_TOO_LATE:
            return f"paid {_when(invoice.paid_at)}, after its end: opened nothing"
        case How.OVER:
            return f"paid; over since {moment(max([cycle.period.end, *(span.period.end for span in grant.opens)]))}"


def _not_paid(grant: ExplainedGrant, at: datetime) -> str:
    if grant.cycle.period.end <= at:
        return "not paid, and its cycle is over"
    terms = [span.period.end for span in grant.opens if span.reason is SpanReason.UNPAID_TERMS]
    return f"not paid: unpaid terms ended {moment(max(terms))}" if terms else "not paid: its terms open nothing unpaid"


def _ended_by(grant: ExplainedGrant) -> str:
    return f"{_when(grant.cycle.ended_at)} by a credit of {listed(grant.because_of, 'and') or 'another invoice'}"


def revocation_spoke(revocation: ExplainedRevocation) -> str:
    """What a revocation came to."""
    if revocation.at is None:
        return "takes effect when its invoice is paid"
    if not revocation.ended:
        return "ended nothing"
    return "; ".join(
        f"ended {OPENED_AS[span.reason]} of {span.cycle.invoice.id}, which else ran until {moment(span.period.end)}"
        for span in revocation.ended
    )


REVOKED_AS = {
    RevocationKind.MARKED_UNCOLLECTIBLE: "marked uncollectible",
    RevocationKind.VOIDED: "voided",
    RevocationKind.CREDITED: "credit line",
}
"""What a revocation is called; every kind stands here."""


def needs_an_eye(explanation: Explanation) -> tuple[str, ...]:
    """What a person should look at, since it may hide a grant or is not what Stripe says can be."""
    unmapped = (
        f"Invoice {line.invoice}: line {line.id} ({line.price or 'no price'}, {period(line.period)}) is of no plan."
        for line in explanation.unmapped
    )
    incomplete = (f"Invoice {each}: Stripe left lines out of its events." for each in explanation.incomplete)
    contradictory = (f"Invoice {each}: seen both paid and void; paid counts." for each in explanation.contradictory)
    left_out = [f"{explanation.left_out} more invoices, further from the moment, are left out."]
    return (*unmapped, *incomplete, *contradictory, *(left_out if explanation.left_out else ()))


def _when(at: datetime | None) -> str:
    return "" if at is None else moment(at)
