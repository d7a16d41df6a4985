"""
Facts into Postgres: one recording function for all tables. How they come out again is in `reading.py`.

The edge to the database, on a connection that is handed in. Never begins, never commits: the caller's transaction is
the unit. Knows no schema by name (see `tables.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import cache
from itertools import groupby
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, select, union_all
from sqlalchemy.sql.dml import ReturningInsert

from entitlements.act_tables import blocks, manual_grants, manual_revocations, unblocks
from entitlements.domain.acts import Block, ManualGrant, ManualRevocation, Unblock
from entitlements.domain.catalog import Revision, Revisions
from entitlements.domain.catalog_document import read_catalog
from entitlements.domain.facts import CatalogRevision, Customer, Fact, Grant, InvoiceSnapshot, Revocation
from entitlements.domain.reversals import (
    AmountRefunded,
    CreditNoteStated,
    DisputeStated,
    PaymentLink,
    RefundStated,
    SubscriptionEnded,
)
from entitlements.reversal_tables import (
    amounts_refunded,
    credit_notes,
    disputes,
    ended_subscriptions,
    payment_links,
    refunds,
)
from entitlements.rows import Filled, Prepared, bytea, inserting, send
from entitlements.tables import catalog_revisions, customers, grants, invoices, revocations

TABLE_OF: dict[type[Fact], Table] = {
    Grant: grants,
    Revocation: revocations,
    InvoiceSnapshot: invoices,
    Customer: customers,
    CatalogRevision: catalog_revisions,
    PaymentLink: payment_links,
    AmountRefunded: amounts_refunded,
    RefundStated: refunds,
    DisputeStated: disputes,
    CreditNoteStated: credit_notes,
    SubscriptionEnded: ended_subscriptions,
    ManualGrant: manual_grants,
    ManualRevocation: manual_revocations,
    Block: blocks,
    Unblock: unblocks,
}


OFTEN = frozenset({Grant, Revocation, InvoiceSnapshot, Customer, PaymentLink})
"""
What paid invoices state. Any set of these kinds that comes together has a statement of its own, and so has each other
kind alone: so a session prepares 41 at most, and what states one kind waits for no other's table.
"""

COLUMNS_OF: dict[type, tuple[str, ...]] = {
    kind: tuple(field.name for field in fields(kind) if field.name in table.c) for kind, table in TABLE_OF.items()
}


def record(connection: Connection, facts: Iterable[Fact]) -> frozenset[bytes]:
    """
    Write a batch of facts; returns the digests of those that were new, or that are now known to be older than thought.

    Whatever the database refuses raises SQLAlchemy's `DataError` or `IntegrityError`, and the transaction is lost.
    """
    by_kind: dict[type[Fact], dict[bytes, dict[str, Any]]] = defaultdict(dict)
    for fact in facts:
        rows, digest = by_kind[type(fact)], fact.digest
        if digest not in rows:
            rows[digest] = _row(fact)
        elif (stated_at := getattr(fact, "stated_at", None)) is not None:
            rows[digest]["stated_at"] = min(rows[digest]["stated_at"], stated_at)
    new: set[bytes] = set()
    for kinds in _in_statements(kind for kind in TABLE_OF if kind in by_kind):
        # In the order of the digests, so that two writers of the same facts can't wait for each other.
        ordered = [[row for _, row in sorted(by_kind[kind].items())] for kind in kinds]
        recorded = send(connection, Filled(prepared=_recording(kinds), rows=ordered))
        new |= {bytes(digest) for digest in recorded.scalars()}
    return frozenset(new)


def _in_statements(kinds: Iterable[type[Fact]]) -> Iterator[tuple[type[Fact], ...]]:
    """*kinds*, by the statements that record them, in their order."""
    for comes_often, neighbours in groupby(kinds, OFTEN.__contains__):
        found = tuple(neighbours)
        yield from (found,) if comes_often else ((kind,) for kind in found)


@cache
def _recording(kinds: tuple[type[Fact], ...]) -> Prepared:
    """
    The facts of these kinds in one statement, kind by kind.

    PostgreSQL runs the parts of such a union one after the other, so locks, too, are taken in the order of `TABLE_OF`.
    """
    parts = [_inserting(TABLE_OF[kind], place).cte(f"part_{place}") for place, kind in enumerate(kinds, 1)]
    places = "_".join(str(place) for place, kind in enumerate(TABLE_OF) if kind in kinds)
    statement = union_all(*(select(part.c.digest) for part in parts))
    return Prepared(name=f"record_{places}", statement=statement, tables=len(kinds))


def _inserting(table: Table, place: int) -> ReturningInsert[tuple[bytes]]:
    statement = inserting(table, table.c.keys(), place)
    if "stated_at" in table.c:
        statement = statement.on_conflict_do_update(
            index_elements=[table.c.digest],
            set_={"stated_at": statement.excluded.stated_at},
            where=statement.excluded.stated_at < table.c.stated_at,
        )
    else:
        statement = statement.on_conflict_do_nothing()
    return statement.returning(table.c.digest)


def _row(fact: Fact) -> dict[str, Any]:
    return {name: getattr(fact, name) for name in COLUMNS_OF[type(fact)]} | {"digest": bytea(fact.digest)}


def one_of_each_number(revisions: Iterable[CatalogRevision]) -> tuple[CatalogRevision, ...]:
    """
    The revisions that count, by number: should two operators have published under one number at the same time, the one
    of the smaller digest, whichever came first.
    """
    found: dict[int, CatalogRevision] = {}
    for revision in sorted(revisions, key=lambda each: (each.number, each.digest)):
        found.setdefault(revision.number, revision)
    return tuple(found.values())


def as_revisions(recorded: Iterable[CatalogRevision]) -> Revisions:
    """The recorded revisions, read. One that this version can't read raises `ValueError` and names it."""
    revisions = []
    for each in recorded:
        catalog, mistakes = read_catalog(msgspec.json.decode(each.document))
        if catalog is None:
            raise ValueError(f"catalog revision {each.number} can't be read: {mistakes[0].text}")
        revisions.append(
            Revision(number=each.number, in_force_from=each.in_force_from, catalog=catalog, applied_by=each.applied_by)
        )
    return Revisions(revisions=tuple(revisions))
