"""
Facts out of Postgres: one reading function per question. The edge to the database, on a connection that is handed in;
schema-agnostic, as `store.py`.

Rows travel as JSON, which becomes the facts in one step: a question costs one statement, whatever is known.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from sqlalchemy import Connection, Text, cast, func, select, text

from entitlements.domain.facts import CatalogRevision, CustomerFacts, Fact
from entitlements.store import TABLE_OF, one_of_each_number

_FACTS_OF = """
WITH RECURSIVE linked AS (
    SELECT * FROM payment_links
    WHERE integration = $1 AND customer = $2
    UNION
    SELECT * FROM payment_links
    WHERE integration = $1 AND invoice = ANY (ARRAY(
        SELECT DISTINCT invoice FROM grants WHERE integration = $1 AND customer = $2))
    UNION
    SELECT further.* FROM linked CROSS JOIN LATERAL (
        SELECT * FROM payment_links
        WHERE integration = $1 AND payment_intent = linked.payment_intent
        UNION ALL
        SELECT * FROM payment_links
        WHERE integration = $1 AND charge = linked.charge
    ) AS further
), refunded AS (
    SELECT * FROM refunds
    WHERE integration = $1 AND payment_intent = ANY (ARRAY(SELECT payment_intent FROM linked))
    UNION
    SELECT * FROM refunds
    WHERE integration = $1 AND charge = ANY (ARRAY(SELECT charge FROM linked))
), disputed AS (
    SELECT * FROM disputes
    WHERE integration = $1 AND payment_intent = ANY (ARRAY(SELECT payment_intent FROM linked))
    UNION
    SELECT * FROM disputes
    WHERE integration = $1 AND charge = ANY (ARRAY(SELECT charge FROM linked))
)
SELECT json_build_object(
    'named', EXISTS (SELECT FROM customers WHERE integration = $1 AND customer = $2),
    'payment_links', (SELECT coalesce(json_agg(linked), '[]') FROM linked),
    'amounts_refunded', (SELECT coalesce(json_agg(t), '[]') FROM amounts_refunded t
        WHERE integration = $1 AND charge = ANY (ARRAY(SELECT charge FROM linked))),
    'refunds', (SELECT coalesce(json_agg(refunded), '[]') FROM refunded),
    'disputes', (SELECT coalesce(json_agg(disputed), '[]') FROM disputed),
    'grants', (SELECT coalesce(json_agg(t), '[]') FROM grants t
        WHERE integration = $1 AND customer = $2),
    'revocations', (SELECT coalesce(json_agg(t), '[]') FROM revocations t
        WHERE integration = $1 AND customer = $2),
    'invoices', (SELECT coalesce(json_agg(t), '[]') FROM invoices t
        WHERE integration = $1 AND customer = $2),
    'credit_notes', (SELECT coalesce(json_agg(t), '[]') FROM credit_notes t
        WHERE integration = $1 AND customer = $2),
    'ended_subscriptions', (SELECT coalesce(json_agg(t), '[]') FROM ended_subscriptions t
        WHERE integration = $1 AND customer = $2),
    'manual_grants', (SELECT coalesce(json_agg(t), '[]') FROM manual_grants t
        WHERE integration = $1 AND customer = $2),
    'manual_revocations', (SELECT coalesce(json_agg(t), '[]') FROM manual_revocations t
        WHERE integration = $1 AND customer = $2),
    'blocks', (SELECT coalesce(json_agg(t), '[]') FROM blocks t
        WHERE integration = $1 AND customer = $2),
    'unblocks', (SELECT coalesce(json_agg(t), '[]') FROM unblocks t
        WHERE integration = $1 AND customer = $2)
)::text
"""
"""
From payment intents to their charges and from charges to their payment intents, as far as links lead. Prepared once in
a session: to plan so many tables takes PostgreSQL longer than to read them.
"""

_CUSTOMERS_OF = text("""
WITH RECURSIVE linked AS (
    SELECT * FROM payment_links
    WHERE integration = :integration AND payment_intent = :payment
    UNION
    SELECT * FROM payment_links
    WHERE integration = :integration AND charge = :payment
    UNION
    SELECT further.* FROM linked CROSS JOIN LATERAL (
        SELECT * FROM payment_links
        WHERE integration = :integration AND payment_intent = linked.payment_intent
        UNION ALL
        SELECT * FROM payment_links
        WHERE integration = :integration AND charge = linked.charge
    ) AS further
)
SELECT customer FROM linked WHERE customer IS NOT NULL
UNION
SELECT customer FROM provenance
WHERE integration = :integration AND object_id = ANY (ARRAY(SELECT invoice FROM linked)) AND customer IS NOT NULL
""")

_CATALOGS = text("SELECT coalesce(json_agg(t), '[]')::text FROM catalog_revisions t")


def facts_of(connection: Connection, *, integration: str, customer: str) -> CustomerFacts:
    """All that is known of a customer, as of the connection's snapshot."""
    prepared = connection.info.setdefault("prepared", set())  # lives as long as the session
    if "facts_of" not in prepared:
        connection.exec_driver_sql(f"PREPARE facts_of (text, text) AS {_FACTS_OF}")
        prepared.add("facts_of")
    asked = {"integration": integration, "customer": customer}
    found = connection.exec_driver_sql("EXECUTE facts_of (%(integration)s, %(customer)s)", asked)
    return msgspec.json.decode(found.scalar_one(), type=CustomerFacts)


def facts_with(connection: Connection, digests: Collection[bytes]) -> tuple[Fact, ...]:
    """The facts with these digests, in order of kind and digest; one query for each kind."""
    found: list[Fact] = []
    for kind, table in TABLE_OF.items():
        chosen = select(table).where(table.c.digest.in_(digests)).order_by(table.c.digest).subquery()
        rows = connection.execute(select(cast(func.coalesce(func.json_agg(chosen.table_valued()), "[]"), Text)))
        found += msgspec.json.decode(rows.scalar_one(), type=list[kind])  # type: ignore[valid-type]
    return tuple(found)


def customers_of(connection: Connection, *, integration: str, payment: str) -> frozenset[str]:
    """
    Whose a payment is, by all that is committed: for a change that names a payment and no customer.

    Empty while nothing links it; the link, or the invoice, will be a change of its own, and be asked for then.
    """
    return frozenset(connection.execute(_CUSTOMERS_OF, {"integration": integration, "payment": payment}).scalars())


def catalog_revisions_in(connection: Connection) -> tuple[CatalogRevision, ...]:
    """The catalog revisions that count, by number."""
    rows = connection.execute(_CATALOGS).scalar_one()
    return one_of_each_number(msgspec.json.decode(rows, type=list[CatalogRevision]))
