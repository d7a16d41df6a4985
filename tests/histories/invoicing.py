"""Draws an invoice for given lines: when it is made, what becomes of it, and what is told of that. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.histories.chance import DAY, HOUR, Chance
from tests.histories.model import Invoice, Line, Said, Update
from tests.histories.reversing import with_credit_notes, with_payments

Outcome = tuple[tuple[str, int], ...]

OUTCOMES: tuple[Outcome, ...] = (
    (("paid", 0),),
    (("paid", HOUR),),
    (),
    (("paid", 4 * DAY),),
    (("paid", 0),),
    (("paid", 12 * DAY),),
    (("void", 0),),
    (("void", HOUR + 600),),
    (("uncollectible", HOUR + 600),),
    (("uncollectible", DAY), ("paid", 2 * DAY)),
    (("uncollectible", DAY), ("void", 2 * DAY)),
    (("paid", 9 * DAY),),
    (("uncollectible", DAY), ("paid", DAY)),
)
CONTRADICTORY: tuple[Outcome, ...] = (
    (("void", DAY), ("paid", 3 * DAY)),
    (("paid", DAY), ("void", 3 * DAY)),
    (("uncollectible", 3 * DAY), ("paid", DAY)),
)
"""What becomes of an invoice, in seconds after it was finalized; and what becomes of none, by Stripe's word."""

MADE = (0, 0, 0, 0, -DAY, 12 * DAY, -11 * DAY)
"""When it is made, seen from its first cycle's start: ahead, or backdated."""

SHAPES = (("old",), ("new",), ("mixed",), ("both",), ("old", "new"), ("new", "old"), ("both", "mixed"))


def invoice(chance: Chance, lines: Sequence[Line], base: int, reason: str, shapes: tuple[str, ...]) -> Invoice:
    """An invoice for *lines*, made about *base*, and what became of it."""
    created = base + chance.one(*MADE)
    if chance.rarely(40):
        return Invoice(id=chance.name("in"), reason=reason, created=created, lines=tuple(lines), told_as_draft=True)
    open_at = created + chance.one(0, HOUR, DAY)
    outcomes = CONTRADICTORY if chance.rarely(20) else OUTCOMES
    outcome = {status: open_at + later for status, later in chance.one(*outcomes)}
    lag = chance.one(0, 0, 1, HOUR)
    says_times = not chance.rarely(5)
    last = max(outcome, key=lambda status: outcome[status], default="open")
    may_miss = sorted({"open", *outcome} - {last, "paid", "void"}) if says_times else []
    made = Invoice(
        id=chance.name("in"),
        reason=chance.one("subscription_threshold", "manual") if chance.rarely(12) else reason,
        created=created,
        lines=tuple(lines),
        tax=chance.one(0, 0, 100),
        open_at=open_at,
        uncollectible_at=outcome.get("uncollectible"),
        paid_at=outcome.get("paid"),
        void_at=outcome.get("void"),
        due=chance.one(None, open_at + 7 * DAY, open_at + DAY, open_at + 15 * DAY),
        lag=lag,
        says_times=says_times,
        untold=frozenset(chance.one((), *((each,) for each in may_miss))),
        told_as_draft=chance.rarely(6),
        thin=says_times and chance.rarely(8),
        lacking=1 if len(lines) > 1 and chance.rarely(6) else 0,
        updates=tuple(_updates(chance, open_at + lag)),
        shapes=shapes,
    )
    return with_credit_notes(chance, with_payments(chance, made))


def _updates(chance: Chance, told_at: int) -> Iterator[Update]:
    at = told_at
    for _ in chance.times(0, 0, 0, 1, 2):
        at += chance.one(0, 1, DAY, 9 * DAY)
        kind = chance.one("invoice.updated", "invoice.payment_failed", "invoice.sent", "invoice.paid")
        said = Said(
            due=at + chance.one(2 * DAY, DAY), plan=chance.one(None, "basic"), line_plan=chance.one(None, "basic")
        )
        yield Update(at=at, kind=kind, said=said if chance.one(False, True) else None)
