"""How a grant spoke, in the words of a person: to stand after its cycle and its invoice, or its id. Pure."""

from __future__ import annotations

from datetime import datetime

from entitlements.domain.acts import ManualGrant
from entitlements.domain.explanation import ExplainedGrant, ExplainedManual, ExplainedRevocation, GivenBack, How
from entitlements.domain.period import END_OF_TIME
from entitlements.domain.spans import SpanReason
from entitlements.domain.wording import listed, moment, money


def grant_spoke(grant: ExplainedGrant, at: datetime) -> str:
    """How a line spoke at the moment *at*. Long because every way has its words."""
    cycle, invoice = grant.cycle, grant.cycle.invoice
    match grant.how:
        case How.PAID:
            return f"paid: open until {_when(grant.until)}"
        case How.UNPAID_TERMS:
            return f"not paid yet: unpaid terms until {_when(grant.until)}"
        case How.RENEWAL_LEEWAY:
            return f"paid and over: leeway until {_when(grant.until)}"
        case How.BLOCKED:
            return f"blocked: without that, open until {_when(grant.until)}"
        case How.REFUNDED | How.DISPUTED:
            return withheld(grant)
        case How.CANCELLED:
            return f"ended {ended_with_subscription(grant)}"
        case How.ENDED:
            return f"ended {ended_by(grant)}"
        case How.NOT_YET:
            return f"not yet begun: invoice {invoice.status_at(at)}"
        case How.NOT_FINALIZED:
            return f"not yet: finalized {moment(invoice.finalized_at)}"
        case How.WITHHELD:
            overdue = listed(grant.because_of, "and") or "another invoice"
            return f"not paid: unpaid terms withheld, {overdue} {'are' if len(grant.because_of) > 1 else 'is'} overdue"
        case How.OPEN:
            return _not_paid(grant, at)
        case How.UNCOLLECTIBLE:
            return f"not paid: uncollectible since {_when(invoice.uncollectible_at)}"
        case How.VOID:
            return f"void since {_when(invoice.voided_at)}"
        case How.PAID_TOO_LATE:
            return f"paid {_when(invoice.paid_at)}, after its end: opened nothing"
        case How.OVER | How.MANUAL | How.NO_PLAN:  # the last two are of operators' grants alone
            return f"paid; over since {moment(max([cycle.period.end, *(span.period.end for span in grant.opens)]))}"


def withheld(grant: ExplainedGrant) -> str:
    """`given back since 11 Jan 2026 00:00 UTC: 25.00 of 25.00 usd, by re_1`; since when a line is withheld, by what."""
    what = "given back" if grant.how is How.REFUNDED else "disputed"
    if grant.withheld is None:
        return what
    by = listed(list(dict.fromkeys(_named(each) for each in grant.withheld.by)), "and")
    amounts = "" if grant.withheld.given_back is None else given_back(grant.withheld.given_back)
    return f"{what} since {moment(grant.withheld.since)}{f': {amounts},' if amounts else ''}{f' by {by}' if by else ''}"


def _named(revocation: ExplainedRevocation) -> str:
    status = revocation.status in (None, "succeeded", "issued", "refund")
    return f"{revocation.id}" if status else f"{revocation.id} ({revocation.status})"


def given_back(so_far: GivenBack) -> str:
    """`10.00 of 25.00 usd`; nothing where that is not known."""
    if so_far.total is None or so_far.currency is None:
        return ""
    amount = money(so_far.amount, so_far.currency).removesuffix(f" {so_far.currency}")
    return f"{amount} of {money(so_far.total, so_far.currency)}"


def ended_by(grant: ExplainedGrant) -> str:
    """`12 Jan 2026 00:00 UTC by a credit of in_2`."""
    return f"{_when(grant.cycle.ended_at)} by a credit of {listed(grant.because_of, 'and') or 'another invoice'}"


def ended_with_subscription(grant: ExplainedGrant) -> str:
    """`10 Jan 2026 00:00 UTC with its subscription sub_1`."""
    named = "" if grant.cycle.line.subscription is None else f" {grant.cycle.line.subscription}"
    return f"{_when(grant.cycle.line.subscription_ended_at)} with its subscription{named}"


def _not_paid(grant: ExplainedGrant, at: datetime) -> str:
    if grant.cycle.period.end <= at:
        return "not paid, and its cycle is over"
    ended_at = grant.cycle.line.subscription_ended_at
    if ended_at is not None and ended_at <= at:
        return f"not paid, and its subscription ended {moment(ended_at)}"
    terms = [span.period.end for span in grant.opens if span.reason is SpanReason.UNPAID_TERMS]
    return f"not paid: unpaid terms ended {moment(max(terms))}" if terms else "not paid: its terms open nothing unpaid"


def manual_spoke(manual: ExplainedManual) -> str:
    """How an operator's grant spoke, by whom it is and why."""
    return f"{_manual(manual)}; given by {manual.grant.by}: {manual.grant.reason}"


def _manual(manual: ExplainedManual) -> str:
    ends = manual.opens.end if manual.opens is not None else manual.grant.end or END_OF_TIME
    open_ended = ends == END_OF_TIME
    match manual.how:
        case How.MANUAL:
            return "open until it is revoked" if open_ended else f"open until {moment(ends)}"
        case How.BLOCKED:
            return f"blocked: without that, open until {'it is revoked' if open_ended else moment(ends)}"
        case How.NO_PLAN:
            return f"opens nothing: no catalog has a plan {manual.grant.plan}"
        case How.ENDED if manual.revocation is not None:
            act = manual.revocation
            return f"revoked since {moment(act.since)} by {act.by}: {act.reason}"
        case How.NOT_YET:
            return "not yet begun"
        case _:
            return f"over since {moment(ends)}"


def what_is_granted(grant: ManualGrant) -> str:
    """`plan enterprise`, or the APIs by name."""
    return listed(grant.apis, "and") if grant.plan is None else f"plan {grant.plan}"


def _when(at: datetime | None) -> str:
    return "" if at is None else moment(at)
