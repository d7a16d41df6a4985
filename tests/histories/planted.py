"""Five mistakes that such programs make, each to be planted in ours, so that it is seen that the laws find them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from unittest import mock

import sqlalchemy as sa

from entitlements import store
from entitlements.domain import cycles
from entitlements.domain.facts import Fact, Grant, InvoiceSnapshot
from entitlements.domain.invoice import InvoiceHistory
from entitlements.tables import grants, invoices
from schemas.codec import Message, StripeMessage
from tests.histories.program import DECIDERS, Program, Recording


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """What is done wrong, and the program that does it."""

    what: str
    planted: Callable[[Program], Any]


@contextmanager
def _recording(program: Program, record: Recording) -> Iterator[Program]:
    yield replace(program, record=record)


def _watermark(is_late: Callable[[datetime, datetime], bool]) -> Recording:
    """Facts about an invoice are dropped that are late by `created`, compared with the newest that is recorded."""

    def record(connection: sa.Connection, facts: Sequence[Fact]) -> Collection[bytes]:
        newest: dict[tuple[str, str], datetime] = {}
        for table in (grants, invoices):
            found = connection.execute(
                sa.select(table.c.invoice, sa.func.max(table.c.stated_at)).group_by(table.c.invoice)
            )
            newest |= {(table.name, invoice): at for invoice, at in found}
        kept = []
        for fact in facts:
            if isinstance(fact, Grant | InvoiceSnapshot):
                known = newest.get((store.TABLE_OF[type(fact)].name, fact.invoice))
                if known is not None and is_late(fact.stated_at, known):
                    continue
            kept.append(fact)
        return store.record(connection, kept)

    return record


def _last_write(connection: sa.Connection, facts: Sequence[Fact]) -> Collection[bytes]:
    """One row of an invoice, and of each of its lines: what was written last."""
    recorded = store.record(connection, facts)
    lines = {(fact.invoice, fact.line): fact.digest for fact in facts if isinstance(fact, Grant)}
    for (invoice, line), digest in lines.items():
        same = (grants.c.invoice == invoice) & (grants.c.line == line)
        connection.execute(sa.delete(grants).where(same, grants.c.digest != digest))
    whole = {fact.invoice: fact.digest for fact in facts if isinstance(fact, InvoiceSnapshot)}
    for invoice, digest in whole.items():
        connection.execute(sa.delete(invoices).where(invoices.c.invoice == invoice, invoices.c.digest != digest))
    return recorded


def _with_event_id(message: Message) -> Sequence[Fact]:
    """What is shown of an invoice has the id of the event that told it first, and is the same fact by its digest."""
    facts: list[Fact] = []
    for fact in DECIDERS["invoices"](message):
        if isinstance(fact, InvoiceSnapshot) and isinstance(message, StripeMessage):
            marked = replace(fact, number=message.event["id"])
            object.__setattr__(marked, "_digest", fact.digest)
            facts.append(marked)
        else:
            facts.append(fact)
    return facts


@contextmanager
def _keeping_event_ids(program: Program) -> Iterator[Program]:
    yield replace(program, decide={**program.decide, "invoices": _with_event_id})


def _from_their_period_on(of: Mapping[str, InvoiceHistory]) -> dict[tuple[str, str], datetime]:
    """Credit lines end what they credit from their period's start on, though they are paid later."""
    endings: dict[tuple[str, str], datetime] = {}
    for invoice in of.values():
        for credit in invoice.credits if invoice.paid_at is not None else ():
            for other in of.values():
                for line in other.lines:
                    if cycles._ends(credit, invoice, line, other):
                        at = endings.get((other.id, line.id), credit.period_start)
                        endings[other.id, line.id] = min(at, credit.period_start)
    return endings


@contextmanager
def _crediting_backwards(program: Program) -> Iterator[Program]:
    with mock.patch.object(cycles, "_endings", _from_their_period_on):
        yield program


MISTAKES: Mapping[str, Mistake] = {
    "compares-created": Mistake(
        what="what was created before the newest known of its invoice is dropped",
        planted=lambda program: _recording(program, _watermark(lambda created, newest: created < newest)),
    ),
    "last-write-wins": Mistake(
        what="what is written last of an invoice replaces the rest",
        planted=lambda program: _recording(program, _last_write),
    ),
    "drops-same-second": Mistake(
        what="what was created in the second of the newest known of its invoice is dropped",
        planted=lambda program: _recording(program, _watermark(lambda created, newest: created == newest)),
    ),
    "keeps-first-event-id": Mistake(
        what="a fact keeps the id of the event that was read first", planted=_keeping_event_ids
    ),
    "credits-backwards": Mistake(
        what="a credit line acts from its period's start on, not from its payment", planted=_crediting_backwards
    ),
}
