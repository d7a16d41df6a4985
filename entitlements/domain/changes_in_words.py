"""What would change an answer, in the words of a person. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from entitlements.domain.decision import Decision, Reason
from entitlements.domain.explanation import ExplainedRevocation, Explanation, How, RevokedBy, Undoing
from entitlements.domain.shown import OWED
from entitlements.domain.wording import listed, moment, money, period
from schemas.stripe_event import InvoiceStatus

UNDOING = {
    RevokedBy.REFUNDED: ("A failure of the refund", "A failure of the refunds"),
    RevokedBy.CREDIT_NOTE: ("Voiding the credit note", "Voiding the credit notes"),
    RevokedBy.DISPUTED: ("Winning the dispute", "Winning the disputes"),
    RevokedBy.BLOCKED: ("Lifting the block", "Lifting the blocks"),
}
"""What undoes one of a kind, or several."""

ENDED_BY = {
    RevokedBy.REFUNDED: "the refund",
    RevokedBy.CREDIT_NOTE: "the credit note",
    RevokedBy.DISPUTED: "the dispute",
    RevokedBy.SUBSCRIPTION_ENDED: "the end of subscription",
    RevokedBy.CUSTOMER_DELETED: "the deletion of customer",
    RevokedBy.MANUAL_GRANT_REVOKED: "the revocation",
    RevokedBy.BLOCKED: "the block",
}
"""What ends an answer, to stand before an id."""


def verdict(decision: Decision) -> str:
    """`allow 200 paid`."""
    return f"{'allow' if decision.allowed else 'deny'} {decision.reason.status} {decision.reason}"


def would_change(explanation: Explanation, who: str) -> tuple[str, ...]:
    """What would change the answer, in sentences; the last says what time alone will do."""
    known = _by_what_becomes_known(explanation, who)
    return (
        *([known] if known is not None else []),
        *_by_naming(explanation),
        *(_by_undoing(explanation, undoing) for undoing in explanation.undoings),
        *_by_payment(explanation),
        _by_time(explanation),
    )


def _by_what_becomes_known(explanation: Explanation, who: str) -> str | None:
    decision = explanation.decision
    undoable = {undoing.kind for undoing in explanation.undoings if undoing.decision.allowed}
    match decision.reason:
        case Reason.PAID | Reason.RENEWAL_LEEWAY | Reason.UNPAID_TERMS | Reason.MANUAL:
            return _what_ends_it(explanation)
        case Reason.PAYMENT_REQUIRED:
            return None  # `_by_payment` says it, invoice by invoice
        case Reason.CYCLE_LAPSED | Reason.NOT_ENTITLED:
            by_hand = "; or a new grant by an operator" if explanation.manual else ""
            return f"A paid invoice for a cycle that covers the moment, of {_plans(explanation)}{by_hand}."
        case Reason.UNKNOWN_SUBJECT:
            return f"An event in which Stripe names {who}, and a paid invoice of {_plans(explanation)}."
        case Reason.UNKNOWN_API:
            known = listed(explanation.known_apis, "and") or "none"
            return f"A catalog that names the API {decision.api}; known now: {known}."
        case Reason.BLOCKED:
            return None if explanation.undoings else "An operator who lifts the block."
        case Reason.DISPUTED if RevokedBy.DISPUTED in undoable:
            return None  # `_by_undoing` says it
        case Reason.REFUNDED | Reason.DISPUTED:
            return (
                f"Another invoice for a cycle that covers the moment, paid and kept, of {_plans(explanation)}; "
                f"invoice {decision.invoice} can't be paid again."
            )


def _what_ends_it(explanation: Explanation) -> str:
    decision = explanation.decision
    by_hand = [manual.grant.id for manual in explanation.manual if manual.how is How.MANUAL]
    if decision.until is None:
        return "It has no end, unless an operator revokes the grant or blocks the customer."
    until = moment(decision.until)
    ending = [each for each in explanation.revocations if each.id is not None and each.at == decision.until]
    if by := list(dict.fromkeys(f"{ENDED_BY[each.kind]} {each.id}" for each in ending if _ends_something(each))):
        return f"It ends at {until}, by {listed(by, 'and')}."
    match decision.reason:
        case Reason.UNPAID_TERMS:
            return f"It ends at {until}, unless the invoice is paid by then."
        case Reason.MANUAL:
            grants = f"grant{'s' if len(by_hand) > 1 else ''} {listed(by_hand, 'and')}" if by_hand else "grant"
            return f"It ends at {until}, or when an operator revokes the {grants}."
        case _:
            return f"It ends at {until}, unless an invoice for a cycle that follows is paid by then."


def _ends_something(revocation: ExplainedRevocation) -> bool:
    return revocation.kind is RevokedBy.BLOCKED or bool(revocation.ended)


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


def _by_undoing(explanation: Explanation, undoing: Undoing) -> str:
    """`Winning the dispute du_1 opens it until …`; every block is lifted at once, so they are not named."""
    one, several = UNDOING[undoing.kind]
    is_block = undoing.kind is RevokedBy.BLOCKED
    what = one if is_block or len(undoing.ids) == 1 else several
    named = "" if is_block else f" {listed(undoing.ids, 'and')}"
    by_then = " by then" if explanation.is_past else ""
    if undoing.decision.allowed:
        return f"{what}{named}{by_then} {_opens(explanation, undoing.decision)}."
    leaves = "would have left it at" if explanation.is_past else "leaves it at"
    return f"{what}{named}{by_then} {leaves} {verdict(undoing.decision)}."


def _by_payment(explanation: Explanation) -> Iterator[str]:
    for payment in explanation.payments:
        named = f"invoice {payment.invoice}"
        shown = explanation.invoices.get(payment.invoice)
        if shown is None or shown.status in OWED:
            amounts = shown and shown.amounts
            amount = money(amounts.amount_remaining, amounts.currency) if amounts else ""
            by_then = " by then" if explanation.is_past else ""
            does = _opens(explanation, payment.decision)
            yield f"Paying {named}{f' ({amount})' if amount else ''}{by_then} {does}."
        elif shown.status is InvoiceStatus.VOID:
            yield f"Paying {named}, had it not been voided at {moment(shown.transitions[InvoiceStatus.VOID])}."


def _opens(explanation: Explanation, then: Decision) -> str:
    """What the answer *then* comes to beside the one now or, where the moment has gone by, would have come to."""
    past, now = explanation.is_past, explanation.decision
    if not then.allowed:
        return "would have ended it at once" if past else "ends it at once"
    if then.until is not None and now.allowed and (now.until is None or then.until < now.until):
        return f"{'would have ended it at' if past else 'ends it at'} {moment(then.until)}"
    until = "for good" if then.until is None else f"until {moment(then.until)}"
    if now.allowed:
        return f"{'would have kept it open' if past else 'keeps it open'} {until}"
    return f"{'would have opened it' if past else 'opens it'} {until}"


def _by_time(explanation: Explanation) -> str:
    change = explanation.change
    if change is None:
        return "Time alone changes nothing."
    return f"If nothing more becomes known, it turns to {verdict(change.decision)} at {moment(change.at)}."
