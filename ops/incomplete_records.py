"""
Which records of the log lack something, and of which invoices. An edge: Postgres and Kafka.

Snapshots say themselves that they lack lines. That one lacks what paid it only its record says, in a header: so the
records of all paid invoices that nothing links to a payment are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

from sqlalchemy import Engine

from consumers.log import Source
from consumers.record import Record
from entitlements import evidence
from entitlements.incomplete import IncompleteInvoice, incomplete_invoices, unlinked_invoices
from ingest.delivery import INCOMPLETE, PAYMENTS
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
        marked = {lacking.invoice for lacking, record in in_log(engine, source, some) if _lacks_payments(record)}
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
    lacking = _lacking(engine, invoices)
    records = records_at(source, [each.address for each in lacking])
    return [(each, records.get(each.address)) for each in lacking]


def _lacking(engine: Engine, invoices: Sequence[IncompleteInvoice]) -> list[Lacking]:
    integration, snapshots = invoices[0].integration, {each.invoice: each.snapshots for each in invoices}
    with engine.connect() as connection:
        stated = evidence.about(connection, integration=integration, objects=snapshots.keys())
    found: dict[tuple[str, str], Lacking] = {}
    for record in stated:
        facts = {digest for reading in record.readings if reading.group == GROUP for digest in reading.facts}
        if record.event and record.about and facts & snapshots[record.about]:
            lacking = Lacking(
                integration=integration, invoice=record.about, event=record.event, address=evidence.address(record)
            )
            found.setdefault((record.about, record.event), lacking)
    return list(found.values())


def _lacks_payments(record: Record | None) -> bool:
    mark = None if record is None else dict(record.headers).get(INCOMPLETE)
    return mark is not None and PAYMENTS in mark.decode(errors="replace").split(",")
