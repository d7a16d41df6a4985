"""
An explanation in the words of a person: the answer in one sentence, and what a person should look at. Pure.

Every sentence follows from the explanation's values. How each grant and revocation spoke is in `grants_in_words.py` and
`revocations_in_words.py`, what would change the answer in `changes_in_words.py`, how times and amounts are written in
`wording.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from entitlements.domain.changes_in_words import verdict
from entitlements.domain.decision import Reason
from entitlements.domain.explanation import ExplainedGrant, Explanation, How, PersonsEye, Unlinked
from entitlements.domain.grants_in_words import ended_by, ended_with_subscription
from entitlements.domain.payments import LOST
from entitlements.domain.wording import listed, moment, period


def headline(explanation: Explanation, who: str) -> str:
    """The answer in one sentence; *who* is the subject as the question names it, such as "customer cus_1"."""
    decision = explanation.decision
    text = f"{verdict(decision)}: {_because(explanation, who)}"
    if not decision.allowed:
        return text
    return f"{text}; open {'without end' if decision.until is None else f'until {moment(decision.until)}'}"


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
            return f"{about} was given back"
        case Reason.DISPUTED:
            return f"the payment of {about} {_disputed(_named(explanation))}"
        case Reason.CYCLE_LAPSED:
            return f"{about} {_lapsed(_named(explanation))}, and nothing paid covers the moment"
        case Reason.UNKNOWN_SUBJECT:
            return f"{who} is not known here; Stripe has never named it"
        case Reason.NOT_ENTITLED:
            over = any(manual.how in (How.OVER, How.ENDED) for manual in explanation.manual)
            by_hand = ", and what an operator granted is over" if over else ""
            return f"up to this moment, nothing paid has opened {decision.api} for {who}{by_hand}"


def _named(explanation: Explanation) -> ExplainedGrant:
    """The grant whose invoice and cycle the decision names."""
    named = (explanation.decision.invoice, explanation.decision.cycle)
    return next(each for each in explanation.grants if (each.cycle.invoice.id, each.cycle.period) == named)


def _disputed(grant: ExplainedGrant) -> str:
    is_lost = grant.withheld is not None and any(each.status == LOST for each in grant.withheld.by)
    return "was disputed, and the dispute is lost" if is_lost else "is disputed"


def _lapsed(grant: ExplainedGrant) -> str:
    match grant.how:
        case How.ENDED:
            return f"was paid, but ended {ended_by(grant)}"
        case How.CANCELLED:
            return f"was paid, but ended {ended_with_subscription(grant)}"
        case How.REFUNDED:
            return "was paid and given back"
        case How.DISPUTED:
            return f"was paid, and the payment {_disputed(grant)}"
        case How.PAID_TOO_LATE:
            return "was paid after its end"
        case _:
            return "was paid and is over"


def needs_an_eye(explanation: Explanation) -> tuple[str, ...]:
    """What a person should look at, since it may hide a grant or is not what Stripe says can be."""
    left_out = [f"{explanation.left_out} more invoices, further from the moment, are left out."]
    return (
        *_of_invoices(explanation.eye),
        *_of_operators(explanation),
        *(_unlinked(each) for each in explanation.eye.unlinked),
        *(left_out if explanation.left_out else ()),
    )


def _of_invoices(eye: PersonsEye) -> Iterator[str]:
    for line in eye.unmapped:
        priced = f"{line.price or 'no price'}, {period(line.period)}"
        yield f"Invoice {line.invoice}: line {line.id} ({priced}) is of no plan."
    for invoice in eye.incomplete:
        yield f"Invoice {invoice}: Stripe left lines out of its events."
    for invoice in eye.contradictory:
        yield f"Invoice {invoice}: seen both paid and void; paid counts."


def _of_operators(explanation: Explanation) -> Iterator[str]:
    for manual in explanation.manual:
        if manual.how is How.NO_PLAN:
            yield f"Grant {manual.grant.id} by {manual.grant.by}: no catalog has a plan {manual.grant.plan}."
    for act in explanation.eye.homeless:
        yield f"Revocation {act.id} by {act.by}: no grant {act.grant} of this customer is known."


def _unlinked(unlinked: Unlinked) -> str:
    what = listed(unlinked.taken_back, "and")
    of = f" (payment {listed(unlinked.payment, 'and')})" if unlinked.payment else ""
    ends = "ends" if len(unlinked.taken_back) == 1 else "end"
    if not unlinked.invoices:
        return f"{what}{of} {ends} nothing: no event has said yet which invoice was paid with it."
    invoices = f"invoice{'s' if len(unlinked.invoices) > 1 else ''} {listed(unlinked.invoices, 'and')}"
    return f"{what}{of} {ends} nothing: nothing is known of the {invoices}."
