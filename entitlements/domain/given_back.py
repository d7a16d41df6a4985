"""
While how much of an invoice, or of one of its lines, is given back: rule R5 of the contract. Pure.

What was given back may stand no longer, when a refund fails or a credit note is voided: so periods, not one moment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from entitlements.domain.payments import Payment
from entitlements.domain.period import END_OF_TIME, Period
from entitlements.domain.reversals import CreditNoteStated


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditNote:
    """
    It gives back *amount*, and of each of *lines* so much, for as long as it *counts*: from its issue until it is void.

    One that *names_refund* gives back nothing of the whole, for the refund does. In the currency's smallest unit.
    """

    id: str
    invoice: str
    amount: int
    counts: Period
    names_refund: bool
    lines: tuple[tuple[str, int], ...]


def credit_notes_of(said: Iterable[CreditNoteStated]) -> tuple[CreditNote, ...]:
    """Every credit note, joined over what was said of it."""
    notes: dict[str, list[CreditNoteStated]] = defaultdict(list)
    for each in said:
        notes[each.credit_note].append(each)
    return tuple(_joined(each) for _, each in sorted(notes.items()))


def _joined(said: list[CreditNoteStated]) -> CreditNote:
    one = min(said, key=lambda each: (each.stated_at, each.digest))
    void = [each for each in said if each.is_void]
    given = [each.voided_at for each in void if each.voided_at is not None]
    voided_at = min(given or [each.stated_at for each in void], default=None)
    return CreditNote(
        id=one.credit_note,
        invoice=one.invoice,
        amount=one.amount,
        counts=Period(min(each.issued_at for each in said), END_OF_TIME).cut_at(voided_at),
        names_refund=any(each.names_refund for each in said),
        lines=tuple(sorted(_lines(said).items())),
    )


def _lines(said: list[CreditNoteStated]) -> dict[str, int]:
    """By line what is credited of it: Stripe leaves lines out of long ones, so each as the fullest statement has it."""
    lines: dict[str, int] = {}
    for each in said:
        for line, amount in zip(each.lines, each.line_amounts, strict=True):
            lines[line] = max(amount, lines.get(line, amount))
    return lines


def whole(total: int | None, payments: Iterable[Payment], notes: Iterable[CreditNote]) -> tuple[Period, ...]:
    """While all of an invoice is given back; *total* is what it was over, None where that is not known."""
    paid, credited = list(payments), list(notes)
    moments = {moment for payment in paid for moment in payment.moments} | _moments_of(credited)
    return _while_all(total, lambda moment: amount_at(moment, paid, credited), moments)


def amount_at(moment: datetime, payments: Iterable[Payment], notes: Iterable[CreditNote]) -> int:
    """How much of an invoice is given back at a moment: what was refunded, and credited without a refund."""
    credited = (note.amount for note in notes if not note.names_refund and note.counts.covers(moment))
    return sum(payment.refunded_at(moment) for payment in payments) + sum(credited)


def of_line(line: str, amount: int, notes: Iterable[CreditNote]) -> tuple[Period, ...]:
    """While the credit notes' lines give back all of one line of an invoice, which was over *amount*."""
    said = [note for note in notes if any(name == line for name, _ in note.lines)]
    return _while_all(amount, lambda moment: of_line_at(moment, line, said), _moments_of(said))


def of_line_at(moment: datetime, line: str, notes: Iterable[CreditNote]) -> int:
    """How much of one line of an invoice the credit notes' lines give back at a moment."""
    counting = (note for note in notes if note.counts.covers(moment))
    return sum(credited for note in counting for name, credited in note.lines if name == line)


def _moments_of(notes: Iterable[CreditNote]) -> set[datetime]:
    return {moment for note in notes for moment in (note.counts.start, note.counts.end)}


def _while_all(total: int | None, given_back: Callable[[datetime], int], moments: set[datetime]) -> tuple[Period, ...]:
    """The stretches between *moments* in which *given_back* reaches a *total* above zero."""
    if total is None or total <= 0:
        return ()
    ordered = sorted({*moments, END_OF_TIME})
    return tuple(Period(start, end) for start, end in pairwise(ordered) if given_back(start) >= total)
