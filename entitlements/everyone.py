"""
Every customer of every integration, a few at a time: for what has to look at all of them in bounded memory.

The edge to the database, on a connection that is handed in; schema-agnostic, as `store.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, func, literal, or_, select, tuple_, union

from entitlements.act_tables import manual_grants
from entitlements.tables import customers, grants

NAMING = (customers, grants, manual_grants)
"""The tables that name whoever may have access: consumers are not equally far, and a manual grant needs no invoice."""

LONGEST_CYCLE = timedelta(days=366)
"""Of a line whose period is empty: it lasts one `every` of its plan (contract, R8), a year at most."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class CustomerName:
    """A customer of an integration."""

    integration: str
    customer: str


def customers_behind(
    connection: Connection, last: CustomerName | None, *, most: int, open_since: datetime | None = None
) -> tuple[CustomerName, ...]:
    """
    The next customers behind *last* (None: from the first), in order, at most so many; none where there are no more.

    With *open_since* those alone to whom anything may be open at that moment or later, whatever the catalog says: who
    was billed for a cycle that ends after it, or has a manual grant that does. Each table is read by its index, from
    there on and no further than needed.
    """
    kept: Mapping[Table, ColumnElement[bool] | None] = dict.fromkeys(NAMING)
    if open_since is not None:
        kept = _open_since(open_since)
    found = union(*(_named_in(table, which, last, most) for table, which in kept.items())).subquery()
    ordered = select(found).order_by(found.c.integration, found.c.customer).limit(most)
    return tuple(
        CustomerName(integration=row.integration, customer=row.customer) for row in connection.execute(ordered)
    )


def count_open_since(connection: Connection, open_since: datetime) -> int:
    """How many customers those are."""
    found = union(
        *(
            select(table.c.integration, table.c.customer).where(which)
            for table, which in _open_since(open_since).items()
        )
    )
    return int(connection.execute(select(func.count()).select_from(found.subquery())).scalar_one())


def _open_since(moment: datetime) -> dict[Table, ColumnElement[bool]]:
    """The rows, by table, that may open something at that moment or later."""
    is_empty = grants.c.period_end <= grants.c.period_start
    lasts = and_(is_empty, grants.c.period_start > moment - LONGEST_CYCLE)
    return {
        grants: or_(grants.c.period_end > moment, lasts),
        manual_grants: or_(manual_grants.c.end.is_(None), manual_grants.c.end > moment),
    }


def _named_in(
    table: Table, which: ColumnElement[bool] | None, last: CustomerName | None, most: int
) -> Select[tuple[str, str]]:
    named = (table.c.integration, table.c.customer)
    chosen = select(*named).distinct().order_by(*named).limit(most)
    if which is not None:
        chosen = chosen.where(which)
    if last is not None:
        chosen = chosen.where(tuple_(*named) > tuple_(literal(last.integration), literal(last.customer)))
    return select(chosen.subquery())
