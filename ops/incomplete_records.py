"""
Which records of the log lack something, and of which invoices. An edge: Postgres and Kafka.

Snapshots say themselves that they lack lines. That one lacks what paid it only its record says, in a header: so the
records of all paid invoices that nothing links to a payment are looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

import msgspec
from sqlalchemy import Engine

from consumers.log import Source
from consumers.record import Record
from entitlements import evidence
from entitlements.incomplete import IncompleteInvoice, incomplete_invoices, unlinked_invoices
from ingest.delivery import INCOMPLETE, PAYMENTS
from ingest.questions import payments_left_out
from ops.log_records import Address, records_at

GROUP = "invoices"
"""The consumer group that says which snapshots lack lines."""

INVOICES_AT_ONCE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Lacking:
    """A record that lacks something: of which event and invoice it is, and where."""

    integration: str
    invoice: str
    event: str
    address: Address


def lacking_lines(engine: Engine) -> tuple[IncompleteInvoice, ...]:
    """The invoices that lack lines."""
    with engine.connect() as connection:
        return incomplete_invoices(connection)


def lacking_payments(engine: Engine, source: Source) -> tuple[IncompleteInvoice, ...]:
    """The invoices of which a record is marked as lacking what paid them, and that are still not linked to it."""
    with engine.connect() as connection:
        unlinked = unlinked_invoices(connection)
    found = []
    for some in chunks(unlinked):
        of_event: dict[tuple[str, str], list[Record | None]] = defaultdict(list)
        for lacking, record in _read(source, _lacking(engine, some)):
            of_event[lacking.invoice, lacking.event].append(record)
        marked = {invoice for (invoice, _), records in of_event.items() if lack_payments(records)}
        found += [each for each in some if each.invoice in marked]
    return tuple(found)


def chunks(invoices: Sequence[IncompleteInvoice]) -> Iterator[list[IncompleteInvoice]]:
    """At most `INVOICES_AT_ONCE`, of one integration."""
    for _, of_integration in groupby(invoices, key=lambda each: each.integration):
        while some := list(islice(of_integration, INVOICES_AT_ONCE)):
            yield some


def in_log(
    engine: Engine, source: Source, invoices: Sequence[IncompleteInvoice]
) -> list[tuple[Lacking, Record | None]]:
    """
    The records that state the snapshots of *invoices*, of one integration; of an event, the first. None where the log
    has it no longer. Raises `LogUnavailable`.
    """
    first = {(each.invoice, each.event): each for each in reversed(_lacking(engine, invoices))}
    return _read(source, list(first.values()))


def _read(source: Source, lacking: Sequence[Lacking]) -> list[tuple[Lacking, Record | None]]:
    records = records_at(source, [each.address for each in lacking])
    return [(each, records.get(each.address)) for each in lacking]


def _lacking(engine: Engine, invoices: Sequence[IncompleteInvoice]) -> list[Lacking]:
    integration, snapshots = invoices[0].integration, {each.invoice: each.snapshots for each in invoices}
    with engine.connect() as connection:
        stated = evidence.about(connection, integration=integration, objects=snapshots.keys())
    found: list[Lacking] = []
    for record in stated:
        facts = {digest for reading in record.readings if reading.group == GROUP for digest in reading.facts}
        if record.event and record.about and facts & snapshots[record.about]:
            address = evidence.address(record)
            found.append(Lacking(integration=integration, invoice=record.about, event=record.event, address=address))
    return found


def lack_payments(records: Sequence[Record | None]) -> bool:
    """Whether one of an event's records is marked so, and none says what paid its invoice, be it that nothing did."""
    values = [(record.value, record.headers) for record in records if record is not None and record.value is not None]
    is_marked = any(
        PAYMENTS in dict(headers).get(INCOMPLETE, b"").decode(errors="replace").split(",") for _, headers in values
    )
    return is_marked and all(payments_left_out(msgspec.json.decode(value)) is not None for value, _ in values)
