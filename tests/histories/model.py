"""
A history as it happened, free of Stripe's JSON and of the program: what the oracle judges and the renderer tells. Pure.

Times are Unix seconds, amounts cents. Besides what happened, a history says what of it was *told*: which events were
sent, when, and in which shape, for the contract's rules rest on that in a few places (the first snapshot's metadata,
the times that a snapshot gives, a price that only some API versions carry). Long because a history is one thing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

RANK = {"draft": 0, "open": 1, "uncollectible": 2, "void": 3, "paid": 4}

UNTIL_DUE = "until_due"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A plan and its terms; *first_unpaid* and *renewal_unpaid* in seconds, or `UNTIL_DUE`."""

    name: str
    apis: tuple[str, ...]
    prices: tuple[str, ...] = ()
    quotas: tuple[tuple[str, int], ...] = ()
    every: str = "month"
    first_unpaid: int | str = 0
    renewal_unpaid: int | str = 0
    leeway: int = 0
    on_refund: str = "revoke"
    on_dispute: str = "suspend"
    on_cancel: str = "cycle_end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """A catalog revision; *since* None: from the beginning of time, or for a later one from *published* on."""

    number: int
    since: int | None
    plans: tuple[Plan, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """
    One line of an invoice. *plan* and *price_plan* are what the line's and its price's metadata name.

    *credited* are the lines that a credit names. *as_invoice_item*: the new shape tells of no subscription item.
    """

    id: str
    amount: int
    start: int
    end: int
    quantity: int | str | None = 1
    subscription: str | None = None
    item: str | None = None
    price: str | None = None
    proration: bool = False
    metered: bool = False
    plan: str | None = None
    price_plan: str | None = None
    credited: tuple[str, ...] = ()
    credited_invoice: str | None = None
    as_invoice_item: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What people can still change on an invoice that is finalized: the due date, and plans that metadata name."""

    due: int | None = None
    plan: str | None = None
    line_plan: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """An event of *kind* about an invoice that came to no other status; *said* unless None changes what it says."""

    at: int
    kind: str
    said: Said | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """
    An invoice as one event shows it, as it was *as_of* a moment; *said* None: as it was made. *shape* is how it is
    rendered, *lines* how many of its lines it carries.
    """

    created: int
    as_of: int
    kind: str
    status: str
    said: Said | None
    shape: str
    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """A refund and, by its *steps*, when it had which status; it *names* its payment by one id or by both."""

    id: str
    amount: int
    steps: tuple[tuple[int, str], ...]
    names: tuple[str, ...] = ("charge", "payment_intent")

    @property
    def made_at(self) -> int:
        return self.steps[0][0]

    @property
    def undone_at(self) -> int | None:
        return min((at for at, status in self.steps if status in ("failed", "canceled")), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """
    A dispute and, by its *steps*, when it had which status; it *names* its payment by one id or by both.

    The steps of the numbers in *again* are told by an event that closes nothing, though they settle it.
    """

    id: str
    steps: tuple[tuple[int, str], ...]
    again: tuple[int, ...] = ()
    names: tuple[str, ...] = ("charge", "payment_intent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """
    A payment of an invoice. *charge* and *intent* are its ids, one of which may be missing.

    *linked*: somebody tells which invoice it paid; *by_invoice_payment*, or else the invoice or the charge does, up to
    2025-02. *tells_charges* and *tells_refunds*: refunds are told by the charge, by objects of their own, or by both.
    """

    amount: int
    at: int
    charge: str | None
    intent: str | None
    linked: bool = True
    by_invoice_payment: bool = True
    tells_charges: bool = True
    tells_refunds: bool = True
    refunds: tuple[Refund, ...] = ()
    disputes: tuple[Dispute, ...] = ()

    def charges(self) -> tuple[tuple[int, int], ...]:
        """When the charge was told, and how much of it had been refunded then."""
        if not self.tells_charges or self.charge is None:
            return ()
        told = []
        for refund in self.refunds:
            at = refund.made_at
            made = [
                each.amount
                for each in self.refunds
                if each.made_at <= at and (each.undone_at is None or each.undone_at > at)
            ]
            told.append((at, sum(made)))
        return tuple(told)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditNote:
    """A credit note, told *lag* seconds after it was issued; *lines* are the lines it credits, and by how much."""

    id: str
    amount: int
    issued_at: int
    voided_at: int | None = None
    lag: int = 0
    names_refund: str | None = None
    lines: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """
    An invoice and when it came to each status. Each is told *lag* seconds later unless it is *untold*, by snapshots
    which give those times where it *says_times*, and are rendered in the *shapes*, in turn. *updates* are in order.

    It may be of a *subscription* that no line of it names.

    *thin*: its first event is told a second time as the invoice was in the end, for a thin event's object is fetched
    later. *lacking*: so many of its first snapshots carry one line only, for Stripe leaves out what is over ten.
    """

    id: str
    reason: str
    created: int
    lines: tuple[Line, ...]
    subscription: str | None = None
    tax: int = 0
    open_at: int | None = None
    uncollectible_at: int | None = None
    paid_at: int | None = None
    void_at: int | None = None
    due: int | None = None
    plan: str | None = None
    lag: int = 0
    says_times: bool = True
    untold: frozenset[str] = frozenset()
    told_as_draft: bool = False
    thin: bool = False
    lacking: int = 0
    updates: tuple[Update, ...] = ()
    shapes: tuple[str, ...] = ("old",)
    payments: tuple[Payment, ...] = ()
    credit_notes: tuple[CreditNote, ...] = ()

    @property
    def total(self) -> int:
        return sum(line.amount for line in self.lines) + self.tax

    @property
    def moments(self) -> dict[str, int]:
        """When it came to each status, lowest first."""
        given = {
            "open": self.open_at,
            "uncollectible": self.uncollectible_at,
            "void": self.void_at,
            "paid": self.paid_at,
        }
        return {status: at for status, at in given.items() if at is not None}

    def snapshots(self) -> tuple[Snapshot, ...]:
        """What was told of it once it was no draft, in order of time."""
        told: list[tuple[int, int, str, str, Said | None]] = []
        for status, at in self.moments.items():
            if status not in self.untold:
                created = at + self.lag
                said = [each.said for each in self.updates if each.said is not None and each.at < created]
                told.append((created, RANK[status], KIND[status], status, said[-1] if said else None))
        for number, update in enumerate(self.updates):
            reached = [status for status, at in self.moments.items() if at + self.lag <= update.at]
            said = [each.said for each in self.updates[: number + 1] if each.said is not None]
            if reached:
                status = max(reached, key=RANK.__getitem__)
                told.append((update.at, 5 + number, update.kind, status, said[-1] if said else None))
        snapshots = [
            Snapshot(
                created=created,
                as_of=created,
                kind=kind,
                status=status,
                said=said,
                shape=self.shapes[number % len(self.shapes)],
                lines=1 if number < min(self.lacking, len(told) - 1) else len(self.lines),
            )
            for number, (created, _, kind, status, said) in enumerate(sorted(told, key=lambda each: each[:2]))
        ]
        if self.thin:
            first, last = snapshots[0], snapshots[-1]
            snapshots.append(replace(last, created=first.created, kind=first.kind, lines=len(self.lines)))
        return tuple(snapshots)


KIND = {
    "open": "invoice.finalized",
    "uncollectible": "invoice.marked_uncollectible",
    "void": "invoice.voided",
    "paid": "invoice.paid",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A subscription that ended *at*, told *lag* seconds later."""

    subscription: str
    at: int
    lag: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ManualGrant:
    """Given by an operator *at* a moment: a plan or, where that is None, *apis*, during `[start, end)`."""

    id: str
    plan: str | None
    apis: tuple[str, ...]
    start: int
    end: int | None
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ManualRevocation:
    """A manual grant is over *since* then."""

    id: str
    grant: str
    since: int
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Said *at* a moment: the customer may call nothing during `[start, end)`."""

    id: str
    start: int
    end: int | None
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unblock:
    """Every block said until then is over *since* then."""

    id: str
    since: int
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A customer and all that happened to it; *deleted_at* as the event tells it."""

    id: str
    invoices: tuple[Invoice, ...] = ()
    ends: tuple[End, ...] = ()
    deleted_at: int | None = None
    noise: tuple[tuple[int, str], ...] = ()
    manual_grants: tuple[ManualGrant, ...] = ()
    manual_revocations: tuple[ManualRevocation, ...] = ()
    blocks: tuple[Block, ...] = ()
    unblocks: tuple[Unblock, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All of it."""

    customers: tuple[Customer, ...]
    catalogs: tuple[Catalog, ...]
