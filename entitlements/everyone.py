"""
Every customer of every integration, a few at a time: for what has to look at all of them in bounded memory.

The edge to the database, on a connection that is handed in; schema-agnostic, as `store.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Select, Table, literal, select, tuple_, union

from entitlements.act_tables import manual_grants
from entitlements.tables import customers, grants

NAMING = (customers, grants, manual_grants)
"""The tables that name whoever may have access: consumers are not equally far, and a manual grant needs no invoice."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class CustomerName:
    """A customer of an integration."""

    integration: str
    customer: str


def customers_behind(connection: Connection, last: CustomerName | None, *, most: int) -> tuple[CustomerName, ...]:
    """
    The next customers behind *last* (None: from the first), in order, at most so many; none where there are no more.

    Each table is read by its index, from there on and no further than needed.
    """
    found = union(*(_named_in(table, last, most) for table in NAMING)).subquery()
    ordered = select(found).order_by(found.c.integration, found.c.customer).limit(most)
    return tuple(
        CustomerName(integration=row.integration, customer=row.customer) for row in connection.execute(ordered)
    )


def _named_in(table: Table, last: CustomerName | None, most: int) -> Select[tuple[str, str]]:
    named = (table.c.integration, table.c.customer)
    chosen = select(*named).distinct().order_by(*named).limit(most)
    if last is not None:
        chosen = chosen.where(tuple_(*named) > tuple_(literal(last.integration), literal(last.customer)))
    return select(chosen.subquery())
