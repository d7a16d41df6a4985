"""
Invoices that lack lines or what paid them, which is to be fetched. Edge: Postgres, on a connection that is handed in.

An invoice lacks lines if no snapshot that carries all of them is known; only rows of `invoices` that say so are looked
at, whatever else there is.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, func, select

from entitlements.reversal_tables import payment_links
from entitlements.tables import invoices

MOST_COUNTED = 1_000
"""As far as anybody counts, at some 10 µs each: with more, the number says that there are many."""

_whole = invoices.alias("whole")
_is_incomplete = ~invoices.c.lines_complete & ~(
    select(_whole.c.digest)
    .where(*(_whole.c[name] == invoices.c[name] for name in ("integration", "customer", "invoice")))
    .where(_whole.c.lines_complete)
    .offset(0)  # asked for each row: PostgreSQL would else join all of them, and only then stop at a limit
    .exists()
)

_is_unlinked = (invoices.c.amount_paid > 0) & ~(
    select(payment_links.c.digest)
    .where(*(payment_links.c[name] == invoices.c[name] for name in ("integration", "invoice")))
    .exists()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncompleteInvoice:
    """An invoice that lacks something; *snapshots* are the digests of what such snapshots said of it."""

    integration: str
    invoice: str
    snapshots: frozenset[bytes]


def count_incomplete(connection: Connection) -> int:
    """How many invoices lack lines; no more than `MOST_COUNTED` are counted."""
    some = select(invoices.c.integration, invoices.c.invoice).where(_is_incomplete).distinct().limit(MOST_COUNTED)
    return connection.execute(select(func.count()).select_from(some.subquery())).scalar_one()


def incomplete_invoices(connection: Connection) -> tuple[IncompleteInvoice, ...]:
    """All invoices that lack lines, by integration and id."""
    return _found(connection, _is_incomplete)


def unlinked_invoices(connection: Connection) -> tuple[IncompleteInvoice, ...]:
    """
    All invoices of which something was paid and that nothing links to a payment, by integration and id.

    Most lack nothing, as those paid elsewhere (`paid_out_of_band`). Reads all of `invoices`.
    """
    return _found(connection, _is_unlinked)


def _found(connection: Connection, lacks: ColumnElement[bool]) -> tuple[IncompleteInvoice, ...]:
    found: dict[tuple[str, str], set[bytes]] = defaultdict(set)
    rows = select(invoices.c.integration, invoices.c.invoice, invoices.c.digest).where(lacks)
    for row in connection.execute(rows):
        found[row.integration, row.invoice].add(bytes(row.digest))
    return tuple(
        IncompleteInvoice(integration=integration, invoice=invoice, snapshots=frozenset(snapshots))
        for (integration, invoice), snapshots in sorted(found.items())
    )
