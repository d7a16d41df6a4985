"""
Facts into Postgres and out again: one recording function for all tables, one reading function per question.

The edge to the database, on a connection that is handed in. Never begins, never commits: the caller's transaction is
the unit. Knows no schema by name (see `tables.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import fields
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, Table, bindparam, select
from sqlalchemy.dialects.postgresql import insert

from entitlements.domain.catalog import Revision, Revisions
from entitlements.domain.catalog_document import read_catalog
from entitlements.domain.facts import (
    CatalogRevision,
    Customer,
    CustomerFacts,
    Fact,
    Grant,
    InvoiceSnapshot,
    Revocation,
    RevocationKind,
)
from entitlements.tables import catalog_revisions, customers, grants, invoices, revocations
from schemas.stripe_event import InvoiceStatus

TABLE_OF: dict[type[Fact], Table] = {
    Grant: grants,
    Revocation: revocations,
    InvoiceSnapshot: invoices,
    Customer: customers,
    CatalogRevision: catalog_revisions,
}


COLUMNS_OF: dict[type[Fact], tuple[str, ...]] = {
    kind: tuple(field.name for field in fields(kind) if field.name in table.c) for kind, table in TABLE_OF.items()
}


def record(connection: Connection, facts: Iterable[Fact]) -> frozenset[bytes]:
    """
    Write a batch of facts; returns the digests of those that were new, or that are now known to be older than thought.

    Whatever the database refuses raises SQLAlchemy's `DataError` or `IntegrityError`, and the transaction is lost.
    """
    by_table: dict[type[Fact], dict[bytes, dict[str, Any]]] = defaultdict(dict)
    for fact in facts:
        rows, row = by_table[type(fact)], _row(fact)
        known = rows.setdefault(row["digest"], row)
        if "stated_at" in row:
            known["stated_at"] = min(known["stated_at"], row["stated_at"])
    recorded: set[bytes] = set()
    for kind, table in TABLE_OF.items():
        if kind in by_table:
            recorded |= _insert(connection, table, by_table[kind])
    return frozenset(recorded)


def _insert(connection: Connection, table: Table, rows: dict[bytes, dict[str, Any]]) -> set[bytes]:
    """In the order of the digests, so that two writers of the same facts can't wait for each other."""
    statement = insert(table)
    if "stated_at" in table.c:
        statement = statement.on_conflict_do_update(
            index_elements=[table.c.digest],
            set_={"stated_at": statement.excluded.stated_at},
            where=statement.excluded.stated_at < table.c.stated_at,
        )
    else:
        statement = statement.on_conflict_do_nothing()
    result = connection.execute(statement.returning(table.c.digest), [rows[digest] for digest in sorted(rows)])
    return {bytes(digest) for digest in result.scalars()}


def _row(fact: Fact) -> dict[str, Any]:
    row = {name: getattr(fact, name) for name in COLUMNS_OF[type(fact)]}
    if "credited_lines" in row:
        row["credited_lines"] = list(row["credited_lines"])
    return row | {"digest": fact.digest}


def facts_of(connection: Connection, *, integration: str, customer: str) -> CustomerFacts:
    """All that is known of a customer, as of the connection's snapshot."""

    def of_customer(table: Table) -> Sequence[Row[Any]]:
        return connection.execute(_of_customer(table), {"integration": integration, "customer": customer}).all()

    return CustomerFacts(
        named=bool(of_customer(customers)),
        grants=tuple(
            Grant(**(_values(Grant, row) | {"status": InvoiceStatus(row.status)})) for row in of_customer(grants)
        ),
        revocations=tuple(
            Revocation(
                **(
                    _values(Revocation, row)
                    | {
                        "kind": RevocationKind(row.kind),
                        "status": row.status and InvoiceStatus(row.status),
                        "credited_lines": tuple(row.credited_lines),
                    }
                )
            )
            for row in of_customer(revocations)
        ),
        invoices=tuple(
            InvoiceSnapshot(**(_values(InvoiceSnapshot, row) | {"status": InvoiceStatus(row.status)}))
            for row in of_customer(invoices)
        ),
    )


@cache
def _of_customer(table: Table) -> Select[Any]:
    return select(table).where(
        table.c.integration == bindparam("integration"), table.c.customer == bindparam("customer")
    )


def _values(kind: type[Fact], row: Row[Any]) -> dict[str, Any]:
    return {name: row._mapping[name] for name in COLUMNS_OF[kind]}


def catalog_revisions_in(connection: Connection) -> tuple[CatalogRevision, ...]:
    """The catalog revisions that count, by number."""
    rows = connection.execute(select(catalog_revisions))
    return one_of_each_number(CatalogRevision(**_values(CatalogRevision, row)) for row in rows)


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
        revisions.append(Revision(number=each.number, in_force_from=each.in_force_from, catalog=catalog))
    return Revisions(revisions=tuple(revisions))
