"""
Which payments paid which invoice, and what of them was refunded or disputed, joined over all that was said. Pure.

Refunds and disputes name a charge, a payment intent or both; what links these to an invoice may be said before or after
(contract, section 5). All times are the `created` of events.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from entitlements.domain.facts import CustomerFacts
from entitlements.domain.period import END_OF_TIME, Period
from entitlements.domain.reversals import AmountRefunded, DisputeStated, PaymentLink, RefundStated

COUNTING = frozenset({"pending", "succeeded"})
"""Statuses in which a refund counts (R5)."""

UNDONE = frozenset({"failed", "canceled"})
"""Statuses from which on it no longer does."""

SETTLED = frozenset({"lost", "prevented", "warning_closed", "won"})
"""Statuses of a dispute that is closed. Of two in one second the last by name counts: `lost` is first, `won` last."""

LOST = "lost"
INQUIRY = "warning_"
"""How the statuses of a dispute begin that is no dispute yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """
    It gives back *amount*, in the currency's smallest unit, for as long as it *counts*; *undone_at* ends that.

    *status* is the furthest that it was stated to have come to.
    """

    id: str
    status: str
    amount: int
    counts: Period
    undone_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """It suspends what its payment paid for. *status* is the one that counts: of its closing, or the latest."""

    id: str
    status: str
    suspends: Period


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """
    A payment intent and its charges, or a charge alone; *ids* are theirs, *customers* whose it was said to be.

    *amounts_refunded* are, by charge, the amounts that were stated to have been refunded in all, each with its moment.
    """

    ids: frozenset[str]
    customers: frozenset[str]
    invoices: frozenset[str]
    amounts_refunded: Mapping[str, tuple[tuple[datetime, int], ...]]
    refunds: tuple[Refund, ...]
    disputes: tuple[Dispute, ...]

    @property
    def moments(self) -> set[datetime]:
        """When what was refunded may change."""
        stated = {at for said in self.amounts_refunded.values() for at, _ in said}
        refunds = {at for refund in self.refunds for at in (refund.counts.start, refund.counts.end, refund.undone_at)}
        return stated | {at for at in refunds if at is not None}

    def stated_at(self, moment: datetime) -> int:
        """The largest amount stated for each of its charges, less the refunds that were undone."""
        stated = sum(
            max((amount for at, amount in said if at <= moment), default=0) for said in self.amounts_refunded.values()
        )
        return stated - sum(
            refund.amount for refund in self.refunds if refund.undone_at is not None and refund.undone_at <= moment
        )

    def counting_at(self, moment: datetime) -> int:
        """The sum of the refunds that count."""
        return sum(refund.amount for refund in self.refunds if refund.counts.covers(moment))

    def refunded_at(self, moment: datetime) -> int:
        """R5: what was given back of it, which its charges and its refunds both tell: the larger of the two."""
        return max(self.stated_at(moment), self.counting_at(moment))


def payments_of(facts: CustomerFacts) -> tuple[Payment, ...]:
    """Every payment that the facts speak of, whether it is linked to an invoice or not, in order of its ids."""
    said: list[PaymentLink | AmountRefunded | RefundStated | DisputeStated] = [
        *facts.payment_links,
        *facts.amounts_refunded,
        *facts.refunds,
        *facts.disputes,
    ]
    group_of = _connected((each.payment_intent, each.charge) for each in said)
    of_each: dict[frozenset[str], list[PaymentLink | AmountRefunded | RefundStated | DisputeStated]] = defaultdict(list)
    for each in said:
        if each.payment is not None:
            of_each[group_of[each.payment]].append(each)
    return tuple(_payment(ids, of_each[ids]) for ids in sorted(of_each, key=sorted))


def _connected(pairs: Iterable[tuple[str | None, str | None]]) -> dict[str, frozenset[str]]:
    """The ids that belong together, by each of them."""
    group_of: dict[str, frozenset[str]] = {}
    for pair in pairs:
        joined = frozenset(id_ for id_ in pair if id_ is not None)
        joined = joined.union(*(group_of.get(id_, frozenset()) for id_ in joined))
        group_of |= dict.fromkeys(joined, joined)
    return group_of


def _payment(ids: frozenset[str], said: list[PaymentLink | AmountRefunded | RefundStated | DisputeStated]) -> Payment:
    links: list[PaymentLink] = []
    amounts: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
    refunds: dict[str, list[RefundStated]] = defaultdict(list)
    disputes: dict[str, list[DisputeStated]] = defaultdict(list)
    for each in said:
        match each:
            case PaymentLink():
                links.append(each)
            case AmountRefunded():
                amounts[each.charge].append((each.stated_at, each.amount))
            case RefundStated():
                refunds[each.refund].append(each)
            case DisputeStated():
                disputes[each.dispute].append(each)
    return Payment(
        ids=ids,
        customers=frozenset(link.customer for link in links if link.customer is not None),
        invoices=frozenset(link.invoice for link in links if link.invoice is not None),
        amounts_refunded={charge: tuple(sorted(stated)) for charge, stated in sorted(amounts.items())},
        refunds=tuple(_refund(name, stated) for name, stated in sorted(refunds.items())),
        disputes=tuple(_dispute(name, stated) for name, stated in sorted(disputes.items())),
    )


def _refund(name: str, said: list[RefundStated]) -> Refund:
    counting = min((each.stated_at for each in said if each.status in COUNTING), default=END_OF_TIME)
    undone = min((each.stated_at for each in said if each.status in UNDONE), default=None)
    return Refund(
        id=name,
        status=max(said, key=lambda each: (_stage(each), each.stated_at, each.status)).status,
        amount=min((each.stated_at, each.amount) for each in said)[1],
        counts=Period(counting, END_OF_TIME).cut_at(undone),
        undone_at=undone,
    )


def _stage(refund: RefundStated) -> int:
    if refund.status in UNDONE:
        return 3
    return ("pending", "succeeded").index(refund.status) + 1 if refund.status in COUNTING else 0


def _dispute(name: str, said: list[DisputeStated]) -> Dispute:
    """
    R6: suspended from what is no inquiry on until it is given back; for ever where it is lost last, whoever says so.

    What was closed before that was the inquiry. It is given back by the latest closing after which none is lost. A
    closing is the event `closed`: what tells again that it is won (`funds_reinstated`, `updated`) is none, and gives it
    back, the first of them, only where no closing does.
    """
    since = min((each.at for each in said if not each.status.startswith(INQUIRY)), default=END_OF_TIME)
    settled = sorted(
        (each.at, each.status, each.is_closing) for each in said if each.status in SETTLED and each.at >= since
    )
    lost = max(((at, status) for at, status, _ in settled if status == LOST), default=None)
    restoring = [(at, is_closing) for at, status, is_closing in settled if lost is None or (at, status) > lost]
    first = min((at for at, _ in restoring), default=END_OF_TIME)
    over = max((at for at, is_closing in restoring if is_closing), default=first)
    status = settled[-1][1] if settled else max((each.at, each.status) for each in said)[1]
    return Dispute(id=name, status=status, suspends=Period(since, over))
