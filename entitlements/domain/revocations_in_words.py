"""What a revocation came to, in the words of a person: to stand after its kind and its invoice. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from entitlements.domain.acts import Block
from entitlements.domain.explanation import ExplainedRevocation, GivenBack, RevokedBy
from entitlements.domain.grants_in_words import given_back
from entitlements.domain.manual import Manual
from entitlements.domain.payments import INQUIRY, LOST
from entitlements.domain.period import END_OF_TIME
from entitlements.domain.spans import Span, SpanReason
from entitlements.domain.what_if import name_of
from entitlements.domain.wording import listed, moment, money

OPENED_AS = {
    SpanReason.PAID: "the paid cycle",
    SpanReason.UNPAID_TERMS: "the unpaid terms",
    SpanReason.RENEWAL_LEEWAY: "the leeway",
}

REVOKED_AS = {
    RevokedBy.MARKED_UNCOLLECTIBLE: "marked uncollectible",
    RevokedBy.VOIDED: "voided",
    RevokedBy.CREDITED: "credit line",
    RevokedBy.REFUNDED: "refund",
    RevokedBy.CREDIT_NOTE: "credit note",
    RevokedBy.DISPUTED: "dispute",
    RevokedBy.SUBSCRIPTION_ENDED: "subscription ended",
    RevokedBy.CUSTOMER_DELETED: "customer deleted",
    RevokedBy.MANUAL_GRANT_REVOKED: "grant revoked",
    RevokedBy.BLOCKED: "block",
}
"""What a revocation is called; every kind stands here."""


def revocation_spoke(revocation: ExplainedRevocation) -> str:
    """What it is and what it ended."""
    match revocation.kind:
        case RevokedBy.VOIDED | RevokedBy.MARKED_UNCOLLECTIBLE | RevokedBy.CREDITED:
            return "takes effect when its invoice is paid" if revocation.at is None else _ended(revocation)
        case RevokedBy.REFUNDED | RevokedBy.CREDIT_NOTE:
            return f"{_named(revocation)}: {_gave_back(revocation)}"
        case RevokedBy.DISPUTED:
            return f"{_named(revocation)}: {_disputed(revocation)}"
        case RevokedBy.SUBSCRIPTION_ENDED | RevokedBy.CUSTOMER_DELETED:
            return f"{revocation.id}: {_ended(revocation)}"
        case RevokedBy.MANUAL_GRANT_REVOKED | RevokedBy.BLOCKED:
            return _by_hand(revocation)


def _named(revocation: ExplainedRevocation) -> str:
    """`re_1 (10.00 usd, succeeded)`."""
    currency = None if revocation.given_back is None else revocation.given_back.currency
    told = [each for each in (money(revocation.amount, currency), _status(revocation)) if each]
    return f"{revocation.id} ({', '.join(told)})" if told else f"{revocation.id}"


def _status(revocation: ExplainedRevocation) -> str:
    match revocation.kind, revocation.status:
        case RevokedBy.REFUNDED, None:
            return "by the charge"
        case RevokedBy.CREDIT_NOTE, "refund":
            return "with a refund"
        case _, status:
            return status or ""


def _gave_back(revocation: ExplainedRevocation) -> str:
    if revocation.at == revocation.until:
        return "gives nothing back"
    if revocation.until is not None:
        return f"counted until {moment(revocation.until)}; {_ended(revocation)}"
    so_far = None if revocation.given_back is None else given_back(revocation.given_back)
    whole = () if revocation.given_back is None else revocation.given_back.lines
    credited = [line for line in revocation.lines if line in whole]
    told = [f"{so_far} given back by then"] if so_far else []
    told += [f"all of line {listed(credited, 'and')}"] if credited else []
    later = "with what came later, " if revocation.ended and not credited and _is_part(revocation.given_back) else ""
    return "; ".join([*([", ".join(told)] if told else []), f"{later}{_ended(revocation)}"])


def _is_part(so_far: GivenBack | None) -> bool:
    return so_far is not None and so_far.total is not None and so_far.amount < so_far.total


def _disputed(revocation: ExplainedRevocation) -> str:
    status = revocation.status or ""
    if revocation.at == revocation.until:
        return f"{'an inquiry; ' if status.startswith(INQUIRY) else ''}suspended nothing"
    if revocation.until is not None:
        return f"over since {moment(revocation.until)}; {_ended(revocation, 'suspended')}"
    return _ended(revocation, "ended" if status == LOST else "suspended")


def _by_hand(revocation: ExplainedRevocation) -> str:
    act = revocation.act
    by = "" if act is None else f"by {act.by}: {act.reason}; "
    if not isinstance(act, Block):
        return f"{by}{_ended(revocation)}"
    if revocation.lifted_by is not None:
        lifting = revocation.lifted_by
        return f"{by}closed everything until {moment(lifting.since)}, lifted by {lifting.by}: {lifting.reason}"
    until = "it is lifted" if revocation.until is None else moment(revocation.until)
    return f"{by}closes everything until {until}"


def _ended(revocation: ExplainedRevocation, did: str = "ended") -> str:
    if not revocation.ended:
        return f"{did} nothing{': its plan keeps it open' if revocation.kept else ''}"
    also = ", as others do too" if revocation.shared else ""
    return "; ".join(dict.fromkeys(_each_ended(revocation, did))) + also


def _each_ended(revocation: ExplainedRevocation, did: str) -> Iterator[str]:
    """`ended the paid cycle and the leeway of in_1, which else ran until …`: what follows on from each other as one."""
    together: list[list[Span | Manual]] = []
    for each in revocation.ended:
        last = together[-1][-1] if together else None
        if last is not None and last.period.end == each.period.start and _of_one(last, each):
            together[-1].append(each)
        else:
            together.append([each])
    for parts in together:
        what = listed([_part(each) for each in parts], "and")
        of = parts[0]
        if isinstance(of, Span):
            what = f"{what} of {of.cycle.invoice.id}"
        end = parts[-1].period.end
        if revocation.until is not None and end == revocation.until:
            yield f"{did} {what} until then"
        elif end == END_OF_TIME:
            yield f"{did} {what}, which else had no end"
        else:
            yield f"{did} {what}, which else ran until {moment(end)}"


def _of_one(opened: Span | Manual, other: Span | Manual) -> bool:
    return isinstance(opened, Span) and isinstance(other, Span) and name_of(opened)[:2] == name_of(other)[:2]


def _part(opened: Span | Manual) -> str:
    match opened:
        case Span(reason=reason):
            return OPENED_AS[reason]
        case Manual(grant=grant):
            return f"the grant {grant.id}"
