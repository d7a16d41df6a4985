"""
What the contract makes of a history, moment by moment: written from its words, sharing nothing with the program. Pure.

Every question is answered by asking each line of each invoice what it gives at that very moment; `until` is found by
trying every moment at which anything could change. Rules by their numbers in the contract, section 5. Long because the
rules are, and because it may lean on nothing.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.histories.model import UNTIL_DUE, Catalog, Customer, Dispute, History, Invoice, Line, Payment, Plan, Snapshot

DAY = 86_400
NEVER = 10**11
ALLOWING = ("paid", "manual", "unpaid_terms", "renewal_leeway")
RESTORING = ("won", "warning_closed", "prevented")
CLOSING = ("lost", *RESTORING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """*until* None: never. *because* holds the invoices that may be named for it."""

    reason: str
    until: int | None = None
    quotas: tuple[tuple[str, int], ...] = ()
    because: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An invoice as far as it is known: the time of each status, NEVER where it never came to that."""

    invoice: Invoice
    open: int
    uncollectible: int
    void: int
    paid: int
    due: int | None

    def is_open(self, at: int) -> bool:
        return self.open <= at < min(self.uncollectible, self.void, self.paid)

    def is_owed(self, at: int) -> bool:
        return self.open <= at < min(self.void, self.paid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """
    A line and what it would give: *plan* None where it is of none, or grants nothing (R8). *by_invoice*: the invoice's
    metadata named it. *over* is when credit lines end it, *ended* when its subscription ends; else NEVER.
    """

    of: Known
    line: Line
    start: int
    end: int
    plan: Plan | None
    by_invoice: bool
    over: int = NEVER
    ended: int = NEVER

    @property
    def paid_from(self) -> int:
        return max(self.start, self.of.paid)


class Oracle:
    """Answers for one customer of a history, the current catalog being that of the moment *now*."""

    def __init__(self, history: History, customer: str, now: int) -> None:
        found = [each for each in history.customers if each.id == customer]
        self.catalogs = history.catalogs
        self.is_known = any(each != Customer(id=customer) for each in found)
        self.customer = found[0] if found else Customer(id=customer)
        invoices = [_known(invoice) for invoice in self.customer.invoices if invoice.snapshots()]
        lines = [billed for known in invoices for billed in self._lines(known)]
        self.lines = [replace(each, over=_credited(each, invoices), ended=self._ended(each.line)) for each in lines]
        self.manual = [
            (grant, grant.apis if plan is None else plan.apis, plan)
            for grant in self.customer.manual_grants
            for plan in [_plan_named(self.catalogs, grant.at, grant.plan)]
            if grant.plan is None or plan is not None
        ]
        named = [plan.apis for plan in _in_force(self.catalogs, now).plans]
        named += [each.plan.apis for each in self.lines if each.plan is not None]
        named += [apis for _, apis, _ in self.manual]
        self.apis = frozenset(api for apis in named for api in apis)
        self.boundaries = sorted({at for at in self._boundaries() if at < NEVER})
        self._denied: dict[str, list[int]] = {}
        self._moments: dict[int, list[tuple[Billed, str, str | None]]] = {}

    def answer(self, api: str, at: int) -> Answer:
        """The contract's section 6 for one API at one moment."""
        if api not in self.apis:
            return Answer(reason="unknown_api")
        if self._is_blocked(at):
            return Answer(reason="blocked")
        given = list(self._given(api, at))
        for reason in ALLOWING:
            speaking = [each for each in given if each[0] == reason]
            if speaking:
                because = frozenset(name for _, name, _ in speaking)
                return Answer(reason=reason, until=self._until(api, at), quotas=_quotas(speaking), because=because)
        return self._denial(api, at)

    def _denial(self, api: str, at: int) -> Answer:
        lines = [each for each in self.lines if each.plan is not None and api in each.plan.apis]
        owed = frozenset(each.of.invoice.id for each in lines if self._would_open_if_paid(each, at))
        if owed:
            return Answer(reason="payment_required", because=owed)
        for reason in ("refunded", "disputed"):
            withheld = [each for each, _, why in self._moment(at) if why == reason and api in _plan(each).apis]
            if withheld:
                return Answer(reason=reason, because=frozenset(each.of.invoice.id for each in withheld))
        lapsed = frozenset(each.of.invoice.id for each in lines if each.of.paid < NEVER and each.paid_from <= at)
        if lapsed:
            return Answer(reason="cycle_lapsed", because=lapsed)
        return Answer(reason="not_entitled" if self.is_known else "unknown_subject")

    def _until(self, api: str, at: int) -> int | None:
        if api not in self._denied:
            self._denied[api] = [
                each for each in self.boundaries if self._is_blocked(each) or not [*self._given(api, each)]
            ]
        denied = self._denied[api]
        place = bisect_right(denied, at)
        return denied[place] if place < len(denied) else None

    def _given(self, api: str, at: int) -> Iterator[tuple[str, str, tuple[object, Plan | None, Decimal]]]:
        """Everything that opens the API then: why, whose name to give, and what it adds to quotas, once by its key."""
        for each, reason, why in self._moment(at):
            plan = _plan(each)
            if why is None and api in plan.apis:
                invoice = each.of.invoice.id
                quantity = Decimal(1) if each.by_invoice or each.line.quantity is None else Decimal(each.line.quantity)
                key = (invoice, plan.name, each.start, each.end) if each.by_invoice else (invoice, each.line.id)
                yield reason, invoice, (key, plan, quantity)
        for grant, apis, of in self.manual:
            revoked = min(
                (each.since for each in self.customer.manual_revocations if each.grant == grant.id), default=NEVER
            )
            if api in apis and grant.start <= at < min(revoked, NEVER if grant.end is None else grant.end):
                yield "manual", grant.id, (grant.id, of, Decimal(1))

    def _moment(self, at: int) -> list[tuple[Billed, str, str | None]]:
        """Each line that gives something then, or would if nothing were withheld: for what reason, withheld why."""
        if at not in self._moments:
            self._moments[at] = [
                (each, reason, self._withheld(each, at)) for each in self.lines if (reason := self._gives(each, at))
            ]
        return self._moments[at]

    # What a line gives by R1, R2, R3, R4, R7 and R8, refunds and disputes left aside.

    def _gives(self, each: Billed, at: int) -> str | None:
        if each.plan is None or at >= each.over:
            return None
        if self._gives_paid(each, at):
            return "paid"
        if self._in_own_terms(each, at) and not self._stopped_by_older(each, at):
            return "unpaid_terms"
        return "renewal_leeway" if self._in_leeway(each, at) else None

    def _gives_paid(self, each: Billed, at: int) -> bool:
        """R1, and what R7 leaves of it."""
        if _plan(each).on_cancel == "immediately" and each.of.paid <= each.ended <= at:
            return False
        return each.paid_from <= at < each.end

    def _in_own_terms(self, each: Billed, at: int) -> bool:
        """R2 for a line alone, whatever is owed besides."""
        known, plan = each.of, each.plan
        if (
            plan is None
            or each.line.proration
            or known.invoice.reason in ("subscription_update", "subscription_threshold")
        ):
            return False
        if not known.is_open(at) or not each.start <= at < each.end or at >= each.ended:
            return False
        is_renewal = self._is_renewal(each, at)
        terms = plan.renewal_unpaid if is_renewal else plan.first_unpaid
        if isinstance(terms, str):
            assert terms == UNTIL_DUE
            return known.due is not None and at < known.due
        return at < (each.start if is_renewal else max(each.start, known.open)) + terms

    def _is_renewal(self, each: Billed, at: int) -> bool:
        if each.of.invoice.reason == "subscription_cycle":
            return True
        if each.line.subscription is not None or each.line.item is not None:
            return False
        return any(
            other.of is not each.of
            and other.plan is not None
            and other.plan.name == _plan(each).name
            and other.of.paid <= at
            and other.start < each.start <= self._stood_to(other) + DAY
            for other in self.lines
        )

    def _stood_to(self, each: Billed) -> int:
        """The end of the last second of a cycle in which nothing had ended or withheld it."""
        for at in reversed([each.start, *(at for at in self.boundaries if each.start < at < each.end), each.end]):
            if at == each.start or (at <= each.over and self._withheld(each, at - 1) is None):
                return at
        raise AssertionError(each)

    def _stopped_by_older(self, each: Billed, at: int) -> bool:
        """R2: an invoice whose line of the same item, or plan, starts earlier is owed and past its own terms."""
        older: dict[str, list[Billed]] = {}
        for other in self.lines:
            is_older = other.of is not each.of and other.of.is_owed(at) and other.start < each.start
            if is_older and other.line.amount >= 0 and self._is_same(each, other):
                older.setdefault(other.of.invoice.id, []).append(other)
        return any(not any(self._in_own_terms(other, at) for other in lines) for lines in older.values())

    def _is_same(self, each: Billed, other: Billed) -> bool:
        if each.line.item is not None:
            return other.line.item == each.line.item
        return other.plan is not None and other.plan.name == _plan(each).name

    def _in_leeway(self, each: Billed, at: int) -> bool:
        """R3: after a paid cycle that stood to its end, unless (R4) the next one's invoice was given up by then."""
        if each.line.item is None or at >= each.ended or not each.end <= at < each.end + _plan(each).leeway:
            return False
        last = each.end - 1
        if each.over <= last or not self._gives_paid(each, last) or self._withheld(each, last) is not None:
            return False
        following = [
            other
            for other in self.lines
            if other.line.item == each.line.item
            and not other.line.proration
            and other.line.amount >= 0
            and other.start >= each.end
        ]
        first = min((other.start for other in following), default=NEVER)
        after = [other.of for other in following if other.start == first and other.of is not each.of]
        return not any(min(known.uncollectible, known.void) <= at for known in after)

    def _would_open_if_paid(self, each: Billed, at: int) -> bool:
        is_billed = each.plan is not None and each.of.is_owed(at) and each.start <= at < each.end and at < each.over
        return is_billed and self._withheld(each, at) is None

    # What takes it back: R5 and R6.

    def _withheld(self, each: Billed, at: int) -> str | None:
        plan, invoice = _plan(each), each.of.invoice
        if plan.on_refund == "revoke":
            if 0 < invoice.total <= _given_back(invoice, at):
                return "refunded"
            credited = [
                amount
                for note in invoice.credit_notes
                if note.issued_at <= at < (note.voided_at or NEVER)
                for line, amount in note.lines
                if line == each.line.id
            ]
            if 0 < each.line.amount <= sum(credited):
                return "refunded"
        payments = [payment for payment in invoice.payments if payment.linked]
        if plan.on_dispute == "suspend" and any(_is_disputed(payment, at) for payment in payments):
            return "disputed"
        return None

    # R7, R10 and all the moments at which something may change.

    def _ended(self, line: Line) -> int:
        ends = [each.at for each in self.customer.ends if each.subscription == line.subscription]
        if line.subscription is not None and self.customer.deleted_at is not None:
            ends.append(self.customer.deleted_at)
        return min(ends, default=NEVER)

    def _is_blocked(self, at: int) -> bool:
        return any(
            block.start <= at < (NEVER if block.end is None else block.end)
            and not any(block.at <= each.at and each.since <= at for each in self.customer.unblocks)
            for block in self.customer.blocks
        )

    def _boundaries(self) -> Iterator[int]:
        for each in self.lines:
            yield from (each.start, each.end, each.over, each.ended, each.of.due or NEVER)
            yield from (each.of.open, each.of.uncollectible, each.of.void, each.of.paid)
            if each.plan is not None:
                first, renewal = (
                    0 if isinstance(terms, str) else terms
                    for terms in (each.plan.first_unpaid, each.plan.renewal_unpaid)
                )
                yield from (each.end + each.plan.leeway, each.start + renewal)
                yield from (each.start + first, each.of.open + first)
        for invoice in self.customer.invoices:
            for payment in invoice.payments:
                yield from (at for refund in payment.refunds for at, _ in refund.steps)
                yield from (at for dispute in payment.disputes for at, _ in dispute.steps)
            for note in invoice.credit_notes:
                yield from (note.issued_at, note.voided_at or NEVER)
        yield from (at for each in self.customer.manual_grants for at in (each.start, each.end or NEVER, each.at))
        yield from (at for each in self.customer.blocks for at in (each.start, each.end or NEVER, each.at))
        yield from (each.since for each in self.customer.manual_revocations)
        yield from (each.since for each in self.customer.unblocks)

    # What is billed: the catalog's section 3 and R8.

    def _lines(self, known: Known) -> Iterator[Billed]:
        for line in known.invoice.lines:
            if not _showing(line, known.invoice):
                continue
            plan, by_invoice = _plan_of(line, known, self.catalogs)
            start, end = line.start, line.end
            if end <= start and line.item is None:
                end = NEVER if plan is None else _one_cycle_after(start, plan.every)
            if not _may_grant(line, known.invoice) or end <= start:
                plan = None
            yield Billed(of=known, line=line, start=start, end=end, plan=plan, by_invoice=by_invoice)


def _plan(each: Billed) -> Plan:
    assert each.plan is not None
    return each.plan


def _known(invoice: Invoice) -> Known:
    """Section 5, head: the times that snapshots give or, where they give none, when the status was first shown."""
    at = {status: moment + (0 if invoice.says_times else invoice.lag) for status, moment in invoice.moments.items()}
    if "paid" in at and "void" in at:
        del at["void"]  # should both ever be seen, paid counts
    if at.get("uncollectible", NEVER) >= min(at.get("paid", NEVER), at.get("void", NEVER)):
        at.pop("uncollectible", None)  # nothing leaves paid or void
    return Known(
        invoice=invoice,
        open=at["open"],
        uncollectible=at.get("uncollectible", NEVER),
        void=at.get("void", NEVER),
        paid=at.get("paid", NEVER),
        due=_first_said(invoice, invoice.due, "due"),
    )


def _showing(line: Line, invoice: Invoice) -> list[Snapshot]:
    """The snapshots that carry a line."""
    number = invoice.lines.index(line)
    return [snapshot for snapshot in invoice.snapshots() if number < snapshot.lines]


def _shows_price(line: Line, invoice: Invoice) -> bool:
    """Whether its price is ever carried: up to 2025-02."""
    return line.price is not None and any(snapshot.shape != "new" for snapshot in _showing(line, invoice))


def _first_said(invoice: Invoice, original: Any, name: str, line: Line | None = None) -> Any:
    """Of what may still change, what the first snapshot says; within one second, the smallest canonical JSON."""
    snapshots = invoice.snapshots() if line is None else _showing(line, invoice)
    first = min(snapshot.created for snapshot in snapshots)
    said = [getattr(each.said, name) if each.said else original for each in snapshots if each.created == first]
    return min(said, key=json.dumps)


def _plan_of(line: Line, known: Known, catalogs: tuple[Catalog, ...]) -> tuple[Plan | None, bool]:
    """Section 3: the revision in force at finalization or, if it names no plan, the first later one that does."""
    invoice = known.invoice
    for catalog in _from_then_on(catalogs, known.open):
        plans = {plan.name: plan for plan in catalog.plans}
        priced = {price: plan for plan in catalog.plans for price in plan.prices}
        if (named := plans.get(_first_said(invoice, line.plan, "line_plan", line))) is not None:
            return named, False
        if _shows_price(line, invoice) and (named := plans.get(line.price_plan or "")) is not None:
            return named, False
        if (named := priced.get(line.price or "")) is not None:
            return named, False
        if (
            not _is_of_subscription(invoice)
            and (named := plans.get(_first_said(invoice, invoice.plan, "plan"))) is not None
        ):
            return named, True
    return None, False


def _is_of_subscription(invoice: Invoice) -> bool:
    """Whether it was made with a Stripe subscription: it says so, or one of its lines does."""
    return invoice.subscription is not None or any(line.subscription or line.item for line in invoice.lines)


def _plan_named(catalogs: tuple[Catalog, ...], at: int, name: str | None) -> Plan | None:
    for catalog in _from_then_on(catalogs, at):
        for plan in catalog.plans:
            if plan.name == name:
                return plan
    return None


def _in_force(catalogs: tuple[Catalog, ...], at: int) -> Catalog:
    """The highest-numbered whose `from` is not after the moment; the first holds from the beginning of time."""
    return max(
        (each for each in catalogs if each.number == 1 or each.since is None or each.since <= at),
        key=lambda each: each.number,
    )


def _from_then_on(catalogs: tuple[Catalog, ...], at: int) -> list[Catalog]:
    first = _in_force(catalogs, at).number
    return sorted((each for each in catalogs if each.number >= first), key=lambda each: each.number)


def _may_grant(line: Line, invoice: Invoice) -> bool:
    """R8: not what is negative, of quantity 0, or metered in arrears."""
    if line.amount < 0 or (line.quantity is not None and Decimal(line.quantity) == 0):
        return False
    if _shows_price(line, invoice):
        return not line.metered
    return line.item is None or line.proration or line.end > invoice.created


def _one_cycle_after(start: int, every: str) -> int:
    if every in ("day", "week"):
        return start + (DAY if every == "day" else 7 * DAY)
    moment = datetime.fromtimestamp(start, UTC)
    month = moment.month + (1 if every == "month" else 12)
    year, month = (moment.year, month) if month <= 12 else (moment.year + 1, month - 12)
    for day in (moment.day, 30, 29, 28):
        try:
            return int(moment.replace(year=year, month=month, day=day).timestamp())
        except ValueError:  # that month has no such day
            continue
    raise AssertionError(start)


def _credited(each: Billed, invoices: list[Known]) -> int:
    """R8: when credit lines of paid invoices end a line."""
    found = [
        max(credit.start, known.paid)
        for known in invoices
        for credit in known.invoice.lines
        if credit.amount < 0 and credit.proration and known.paid < NEVER and _showing(credit, known.invoice)
        if _credits(credit, known, each)
    ]
    return min(found, default=NEVER)


def _credits(credit: Line, on: Known, each: Billed) -> bool:
    if credit.credited:
        return each.line.id in credit.credited
    if credit.item is None or (credit.item, credit.price) != (each.line.item, each.line.price):
        return False
    return each.line.start < credit.start or (each.line.start == credit.start and each.of.open < on.open)


def _given_back(invoice: Invoice, at: int) -> int:
    """R5, in cents, over the payments of an invoice that are linked to it, and its credit notes."""
    notes = [
        note.amount
        for note in invoice.credit_notes
        if note.issued_at <= at < (note.voided_at or NEVER) and note.names_refund is None
    ]
    return sum(notes) + sum(_given_back_of(payment, at) for payment in invoice.payments if payment.linked)


def _given_back_of(payment: Payment, at: int) -> int:
    """Of each payment the larger of what its charge says and what its refunds say."""
    told = payment.refunds if payment.tells_refunds else ()
    undone = sum(each.amount for each in told if each.undone_at is not None and each.undone_at <= at)
    largest = max((amount for when, amount in payment.charges() if when <= at), default=0)
    counting = 0
    for refund in told:
        since = min((when for when, status in refund.steps if status in ("pending", "succeeded")), default=NEVER)
        if since <= at < (refund.undone_at or NEVER):
            counting += refund.amount
    return max(largest - undone, counting)


def _is_disputed(payment: Payment, at: int) -> bool:
    """R6, whichever of a payment's disputes it is."""
    for dispute in payment.disputes:
        since = min((when for when, status in dispute.steps if not status.startswith("warning_")), default=NEVER)
        if since <= at < (_restored_at(dispute, since) or NEVER):
            return True
    return False


def _restored_at(dispute: Dispute, since: int) -> int | None:
    """
    How it ended is what was said last, in one second `won`. Of several closings after that the latest counts. A closing
    is `charge.dispute.closed`; an event of another kind that shows a dispute won restores where no closing does.
    """
    numbered = enumerate(dispute.steps)
    ends = [(when, status, number) for number, (when, status) in numbered if status in CLOSING and when >= since]
    lost = max((when for when, status, _ in ends if status == "lost"), default=since)
    restored = [(when, number) for when, status, number in ends if status in RESTORING and when >= lost]
    closings = [when for when, number in restored if number not in dispute.again]
    return max(closings) if closings else min((when for when, _ in restored), default=None)


def _quotas(speaking: list[tuple[str, str, tuple[object, Plan | None, Decimal]]]) -> tuple[tuple[str, int], ...]:
    """R9: quotas of one name add up; a plan without it lifts it."""
    each_once = {key: (plan, quantity) for _, _, (key, plan, quantity) in speaking}
    limits = [({} if plan is None else dict(plan.quotas), quantity) for plan, quantity in each_once.values()]
    names = sorted({name for quotas, _ in limits for name in quotas})
    return tuple(
        (name, int(sum(quotas[name] * quantity for quotas, quantity in limits)))
        for name in names
        if all(name in quotas for quotas, _ in limits)
    )
