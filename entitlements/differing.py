"""
Two schemas filled from the same log: how far each is, and whose facts differ at all. The edge to the database, on a
connection that is handed in, which sees both; reads them as of one moment if its transaction does.

Only who differs is then compared: with a million events and few wrong ones that is the difference between seconds and
an hour. Rows are joined by digest, which is what they say, and by the one column that is joined, `stated_at`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Table, func, select, text

from entitlements import ledger, reading
from entitlements.everyone import NAMING, CustomerName
from entitlements.ledger import Position
from entitlements.reading import Payment
from entitlements.rows import quoted
from entitlements.store import TABLE_OF
from entitlements.tables import catalog_revisions, customers

AT_EASE = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0", "work_mem": "'128MB'"}
"""For this transaction alone: it reads whole tables, should do so in memory, and may wait for its reader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactCounts:
    """Of one table: how many facts one side alone has, the other alone, and how many are *stated* at another time."""

    before: int
    after: int
    stated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Differing:
    """
    Whose facts differ between two schemas, and by how many facts of each table where any do.

    *everyone* says that the catalog revisions differ, which concerns them all. Of payments that differ and lead to
    nobody there are *unlinked*.
    """

    names: frozenset[CustomerName]
    everyone: bool
    counts: Mapping[str, FactCounts]
    unlinked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """Where each side goes on in a partition for a group: its next offset, None where it has not begun."""

    group: str
    topic: str
    partition: int
    before: int | None
    after: int | None

    @property
    def records(self) -> int:
        """By so many the side after is ahead; below zero where it is behind."""
        return (self.after or 0) - (self.before or 0)


def look_at(connection: Connection, schema: str) -> None:
    """From here on the transaction sees the tables of *schema*."""
    connection.execute(text("SELECT set_config('search_path', :schema, true)"), {"schema": quoted(schema)})


def at_ease(connection: Connection) -> None:
    """From here on the transaction may take its time, and memory."""
    for name, value in AT_EASE.items():
        connection.exec_driver_sql(f"SET LOCAL {name} = {value}")


def is_there(connection: Connection, schema: str) -> bool:
    """Whether there is a schema of that name with tables of facts."""
    found = connection.execute(
        text("SELECT to_regclass(:table)"), {"table": f"{quoted(schema)}.{catalog_revisions.name}"}
    )
    return found.scalar_one() is not None


def leads(connection: Connection, before: str, after: str) -> tuple[Lead, ...]:
    """How far both are, by group and partition; None where a side has not begun."""
    sides: list[dict[tuple[str, str, int], Position]] = []
    for schema in (before, after):
        look_at(connection, schema)
        sides.append({(each.group, each.topic, each.partition): each for each in ledger.positions(connection)})
    one, other = ({place: each.next_offset for place, each in side.items()} for side in sides)
    return tuple(
        Lead(group=place[0], topic=place[1], partition=place[2], before=one.get(place), after=other.get(place))
        for place in sorted(one.keys() | other.keys())
    )


def differing(connection: Connection, before: str, after: str) -> Differing:
    """Whose facts differ, whatever that means for access."""
    names: set[CustomerName] = set()
    payments: set[Payment] = set()
    counts: dict[str, list[int]] = {}
    for row in connection.execute(
        text(" UNION ALL ".join(_apart(table, before, after) for table in TABLE_OF.values()))
    ):
        of_table = counts.setdefault(row.of, [0, 0, 0])
        for number, count in enumerate((row.one, row.other, row.both)):
            of_table[number] += count
        if row.customer is not None:
            names.add(CustomerName(integration=row.integration, customer=row.customer))
        if row.payment is not None:
            payments.add(Payment(integration=row.integration, payment=row.payment))
    found = _customers_of(connection, (before, after), payments)
    return Differing(
        names=frozenset(names.union(*found.values())),
        everyone=catalog_revisions.name in counts,
        counts={name: FactCounts(before=one, after=other, stated=both) for name, (one, other, both) in counts.items()},
        unlinked=sum(not found.get(each) for each in payments),
    )


def read_between(connection: Connection, before: str, after: str) -> frozenset[CustomerName]:
    """Whom the records concern that one side has read and the other has not: of them nothing is to be concluded yet."""
    names: set[CustomerName] = set()
    for ahead, behind in ((before, after), (after, before)):
        look_at(connection, ahead)
        payments: set[Payment] = set()
        for row in connection.execute(text(_BETWEEN.format(ahead=quoted(ahead), behind=quoted(behind)))):
            if row.customer is not None:
                names.add(CustomerName(integration=row.integration, customer=row.customer))
            elif row.payment is not None:
                payments.add(Payment(integration=row.integration, payment=row.payment))
        names = names.union(*_customers_of(connection, (before, after), payments).values())
    return frozenset(names)


_BETWEEN = """
WITH between_both AS (
    SELECT read.integration, read.customer, read.facts
    FROM {ahead}.consumer_offsets mine
    LEFT JOIN {behind}.consumer_offsets theirs USING (consumer_group, topic, partition)
    CROSS JOIN LATERAL (
        SELECT * FROM {ahead}.provenance
        WHERE consumer_group = mine.consumer_group AND topic = mine.topic AND partition = mine.partition
        AND "offset" >= coalesce(theirs.next_offset, 0)
    ) AS read
    WHERE mine.next_offset > coalesce(theirs.next_offset, 0) AND cardinality(read.facts) > 0
)
SELECT DISTINCT integration, customer, NULL AS payment FROM between_both WHERE customer IS NOT NULL
UNION
SELECT t.integration, NULL, coalesce(t.payment_intent, t.charge)
FROM (SELECT DISTINCT unnest(facts) AS digest FROM between_both WHERE customer IS NULL) stated
JOIN (
    SELECT digest, integration, payment_intent, charge FROM {ahead}.payment_links
    UNION ALL SELECT digest, integration, payment_intent, charge FROM {ahead}.amounts_refunded
    UNION ALL SELECT digest, integration, payment_intent, charge FROM {ahead}.refunds
    UNION ALL SELECT digest, integration, payment_intent, charge FROM {ahead}.disputes
) t USING (digest)
"""
"""Who is named by a record that *behind* has yet to read, and the payments of those records that name nobody."""


_APART = """
SELECT '{table}' AS of, {integration} AS integration, {customer} AS customer, {payment} AS payment,
    count(*) FILTER (WHERE b.digest IS NULL) AS one, count(*) FILTER (WHERE a.digest IS NULL) AS other,
    count(*) FILTER (WHERE a.digest IS NOT NULL AND b.digest IS NOT NULL) AS both
FROM {before}.{table} a FULL JOIN {after}.{table} b ON a.digest = b.digest
WHERE a.digest IS NULL OR b.digest IS NULL OR {stated}
GROUP BY 1, 2, 3, 4
"""


def _apart(table: Table, before: str, after: str) -> str:
    """One row for each customer, or payment, of whom a side has other rows of this table."""
    return _APART.format(
        table=table.name,
        before=quoted(before),
        after=quoted(after),
        integration=_either(table, "integration"),
        customer=_either(table, "customer"),
        payment=_either(table, "payment_intent", "charge"),
        stated="a.stated_at <> b.stated_at" if "stated_at" in table.c else "false",
    )


def _either(table: Table, *columns: str) -> str:
    """The first of *columns* that either side gives; NULL where the table has none of them."""
    there = [f"{side}.{column}" for column in columns if column in table.c for side in ("a", "b")]
    return f"coalesce({', '.join(there)})" if there else "NULL::text"


def _customers_of(
    connection: Connection, schemas: Iterable[str], payments: Collection[Payment]
) -> dict[Payment, set[CustomerName]]:
    """Whose each payment is, by the links of either schema: one may have read the link that the other lacks."""
    found: dict[Payment, set[CustomerName]] = {}
    for schema in schemas:
        look_at(connection, schema)
        for payment, whose in reading.customers_of_each(connection, payments).items():
            names = {CustomerName(integration=payment.integration, customer=customer) for customer in whose}
            found[payment] = found.get(payment, set()) | names
    return found


def count_customers(connection: Connection, schemas: Iterable[str]) -> int:
    """How many customers Stripe has named, in the schema that has most."""
    found = []
    for schema in schemas:
        look_at(connection, schema)
        found.append(int(connection.execute(select(func.count()).select_from(customers)).scalar_one()))
    return max(found)


_NAMED = "SELECT integration, customer FROM {schema}.{table}"


def everyone_in(connection: Connection, schemas: Iterable[str]) -> Iterator[CustomerName]:
    """All customers that either schema names, each once, in order."""
    named = [_NAMED.format(schema=quoted(schema), table=table.name) for schema in schemas for table in NAMING]
    rows = connection.execute(text(f"{' UNION '.join(named)} ORDER BY 1, 2"))
    yield from (CustomerName(integration=row.integration, customer=row.customer) for row in rows)
