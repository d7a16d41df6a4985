"""
Facts into Postgres and out again: one recording function for all tables, one reading function per question.

The edge to the database, on a connection that is handed in. Never begins, never commits: the caller's transaction is
the unit. Knows no schema by name (see `tables.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Row, Select, Table, bindparam, select

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
from entitlements.rows import Prepared, bytea, inserting, run
from entitlements.tables import catalog_revisions, customers, grants, invoices, revocations
from schemas.stripe_event import InvoiceStatus

TABLE_OF: dict[type[Fact], Table] = {
    Grant: grants,
    Revocation: revocations,
    InvoiceSnapshot: invoices,
    Customer: customers,
    CatalogRevision: catalog_revisions,
}


COLUMNS_OF: dict[type, tuple[str, ...]] = {
    kind: tuple(field.name for field in fields(kind) if field.name in table.c) for kind, table in TABLE_OF.items()
}

READ: Mapping[str, Callable[[Any], Any]] = {"status": InvoiceStatus, "kind": RevocationKind, "credited_lines": tuple}
"""How a column's value becomes the fact's, where the two differ."""

AFact = TypeVar("AFact", bound=Fact)


def record(connection: Connection, facts: Iterable[Fact]) -> frozenset[bytes]:
    """
    Write a batch of facts; returns the digests of those that were new, or that are now known to be older than thought.

    Whatever the database refuses raises SQLAlchemy's `DataError` or `IntegrityError`, and the transaction is lost.
    """
    by_table: dict[type[Fact], dict[bytes, dict[str, Any]]] = defaultdict(dict)
    for fact in facts:
        rows, digest = by_table[type(fact)], fact.digest
        if digest not in rows:
            rows[digest] = _row(fact)
        elif (stated_at := getattr(fact, "stated_at", None)) is not None:
            rows[digest]["stated_at"] = min(rows[digest]["stated_at"], stated_at)
    recorded: set[bytes] = set()
    for kind, table in TABLE_OF.items():
        if kind in by_table:
            recorded |= _insert(connection, table, by_table[kind])
    return frozenset(recorded)


def _insert(connection: Connection, table: Table, rows: dict[bytes, dict[str, Any]]) -> set[bytes]:
    """In the order of the digests, so that two writers of the same facts can't wait for each other."""
    result = run(connection, _recording(table), (rows[digest] for digest in sorted(rows)))
    return {bytes(digest) for digest in result.scalars()}


@cache
def _recording(table: Table) -> Prepared:
    statement = inserting(table, table.c.keys())
    if "stated_at" in table.c:
        statement = statement.on_conflict_do_update(
            index_elements=[table.c.digest],
            set_={"stated_at": statement.excluded.stated_at},
            where=statement.excluded.stated_at < table.c.stated_at,
        )
    else:
        statement = statement.on_conflict_do_nothing()
    return Prepared(name=f"record_{table.name}", statement=statement.returning(table.c.digest))


def _row(fact: Fact) -> dict[str, Any]:
    return {name: getattr(fact, name) for name in COLUMNS_OF[type(fact)]} | {"digest": bytea(fact.digest)}


def facts_of(connection: Connection, *, integration: str, customer: str) -> CustomerFacts:
    """All that is known of a customer, as of the connection's snapshot."""

    def of_customer(table: Table) -> Sequence[Row[Any]]:
        return connection.execute(_of_customer(table), {"integration": integration, "customer": customer}).all()

    return CustomerFacts(
        named=bool(of_customer(customers)),
        grants=tuple(_fact(Grant, row) for row in of_customer(grants)),
        revocations=tuple(_fact(Revocation, row) for row in of_customer(revocations)),
        invoices=tuple(_fact(InvoiceSnapshot, row) for row in of_customer(invoices)),
    )


def facts_with(connection: Connection, digests: Collection[bytes]) -> tuple[Fact, ...]:
    """The facts with these digests, in order of kind and digest; one query for each kind."""
    found: list[Fact] = []
    for kind, table in TABLE_OF.items():
        statement = select(table).where(table.c.digest.in_(digests)).order_by(table.c.digest)
        found += [_fact(kind, row) for row in connection.execute(statement)]
    return tuple(found)


@cache
def _of_customer(table: Table) -> Select[Any]:
    return select(table).where(
        table.c.integration == bindparam("integration"), table.c.customer == bindparam("customer")
    )


def _fact(kind: type[AFact], row: Row[Any]) -> AFact:
    values = {name: row._mapping[name] for name in COLUMNS_OF[kind]}
    read = {name: READ[name](value) for name, value in values.items() if name in READ and value is not None}
    return kind(**(values | read))


def catalog_revisions_in(connection: Connection) -> tuple[CatalogRevision, ...]:
    """The catalog revisions that count, by number."""
    rows = connection.execute(select(catalog_revisions))
    return one_of_each_number(_fact(CatalogRevision, row) for row in rows)


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
