"""
Facts out of Postgres: one reading function per question. The edge to the database, on a connection that is handed in;
schema-agnostic, as `store.py`.

Rows travel as JSON, which becomes the facts in one step: a question costs one statement, whatever is known.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Text, cast, func, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by

from entitlements.domain.facts import CatalogRevision, CustomerFacts, Fact
from entitlements.everyone import CustomerName
from entitlements.exchange import WAIT_FIRST
from entitlements.store import TABLE_OF, one_of_each_number
from entitlements.tables import catalog_revisions

_KNOWN = """
WITH RECURSIVE linked AS (
    SELECT * FROM payment_links
    WHERE integration = {integration} AND customer = {customer}
    UNION
    SELECT * FROM payment_links
    WHERE integration = {integration} AND invoice = ANY (ARRAY(
        SELECT DISTINCT invoice FROM grants WHERE integration = {integration} AND customer = {customer}))
    UNION
    SELECT further.* FROM linked CROSS JOIN LATERAL (
        SELECT * FROM payment_links
        WHERE integration = {integration} AND payment_intent = linked.payment_intent
        UNION ALL
        SELECT * FROM payment_links
        WHERE integration = {integration} AND charge = linked.charge
    ) AS further
), refunded AS (
    SELECT * FROM refunds
    WHERE integration = {integration} AND payment_intent = ANY (ARRAY(SELECT payment_intent FROM linked))
    UNION
    SELECT * FROM refunds
    WHERE integration = {integration} AND charge = ANY (ARRAY(SELECT charge FROM linked))
), disputed AS (
    SELECT * FROM disputes
    WHERE integration = {integration} AND payment_intent = ANY (ARRAY(SELECT payment_intent FROM linked))
    UNION
    SELECT * FROM disputes
    WHERE integration = {integration} AND charge = ANY (ARRAY(SELECT charge FROM linked))
)
SELECT json_build_object(
    'named', EXISTS (SELECT FROM customers WHERE integration = {integration} AND customer = {customer}),
    'payment_links', (SELECT coalesce(json_agg(linked), '[]') FROM linked),
    'amounts_refunded', (SELECT coalesce(json_agg(t), '[]') FROM amounts_refunded t
        WHERE integration = {integration} AND charge = ANY (ARRAY(SELECT charge FROM linked))),
    'refunds', (SELECT coalesce(json_agg(refunded), '[]') FROM refunded),
    'disputes', (SELECT coalesce(json_agg(disputed), '[]') FROM disputed),
    'grants', (SELECT coalesce(json_agg(t), '[]') FROM grants t
        WHERE integration = {integration} AND customer = {customer}),
    'revocations', (SELECT coalesce(json_agg(t), '[]') FROM revocations t
        WHERE integration = {integration} AND customer = {customer}),
    'invoices', (SELECT coalesce(json_agg(t), '[]') FROM invoices t
        WHERE integration = {integration} AND customer = {customer}),
    'credit_notes', (SELECT coalesce(json_agg(t), '[]') FROM credit_notes t
        WHERE integration = {integration} AND customer = {customer}),
    'ended_subscriptions', (SELECT coalesce(json_agg(t), '[]') FROM ended_subscriptions t
        WHERE integration = {integration} AND customer = {customer}),
    'manual_grants', (SELECT coalesce(json_agg(t), '[]') FROM manual_grants t
        WHERE integration = {integration} AND customer = {customer}),
    'manual_revocations', (SELECT coalesce(json_agg(t), '[]') FROM manual_revocations t
        WHERE integration = {integration} AND customer = {customer}),
    'blocks', (SELECT coalesce(json_agg(t), '[]') FROM blocks t
        WHERE integration = {integration} AND customer = {customer}),
    'unblocks', (SELECT coalesce(json_agg(t), '[]') FROM unblocks t
        WHERE integration = {integration} AND customer = {customer})
)::text AS facts
"""
"""
Of one customer; from payment intents to their charges and from charges to their payment intents, as far as links lead.
"""

_FACTS_OF = f"PREPARE facts_of (text, text) AS {_KNOWN.format(integration='$1', customer='$2')}"
"""Prepared once in a session: to plan so many tables takes PostgreSQL longer than to read them."""

_EACH = """
SELECT asked.integration, asked.customer, known.facts
FROM unnest(CAST(:integrations AS text[]), CAST(:customers AS text[])) AS asked (integration, customer)
CROSS JOIN LATERAL ({known}) AS known
"""
_FACTS_OF_EACH = text(_EACH.format(known=_KNOWN.format(integration="asked.integration", customer="asked.customer")))
"""Of several customers: most of what one costs by itself is to plan its statement."""

_WHOSE = """
WITH RECURSIVE linked AS (
    SELECT * FROM payment_links
    WHERE integration = {integration} AND payment_intent = {payment}
    UNION
    SELECT * FROM payment_links
    WHERE integration = {integration} AND charge = {payment}
    UNION
    SELECT further.* FROM linked CROSS JOIN LATERAL (
        SELECT * FROM payment_links
        WHERE integration = {integration} AND payment_intent = linked.payment_intent
        UNION ALL
        SELECT * FROM payment_links
        WHERE integration = {integration} AND charge = linked.charge
    ) AS further
)
SELECT customer FROM linked WHERE customer IS NOT NULL
UNION
SELECT customer FROM provenance
WHERE integration = {integration} AND object_id = ANY (ARRAY(SELECT invoice FROM linked)) AND customer IS NOT NULL
"""
_CUSTOMERS_OF = text(_WHOSE.format(integration=":integration", payment=":payment"))
_EACH_PAYMENT = """
SELECT asked.integration, asked.payment, whose.customer
FROM unnest(CAST(:integrations AS text[]), CAST(:payments AS text[])) AS asked (integration, payment)
CROSS JOIN LATERAL ({whose}) AS whose
"""
_CUSTOMERS_OF_EACH = text(
    _EACH_PAYMENT.format(whose=_WHOSE.format(integration="asked.integration", payment="asked.payment"))
)

_DIGEST = catalog_revisions.c.digest
_CATALOGS_STATE = select(func.sha256(func.string_agg(_DIGEST, aggregate_order_by(text("''::bytea"), _DIGEST))))
_CATALOGS = text("SELECT coalesce(json_agg(t), '[]')::text FROM catalog_revisions t")

# Made here, by the one thread that imports this: msgspec 0.22 ends the process where several threads are the first to
# read a type (`reads_types_when_imported`, tests/house_rules/edges.py).
_CUSTOMER = msgspec.json.Decoder(CustomerFacts)
_OF_KIND: Mapping[type[Fact], msgspec.json.Decoder[list[Any]]] = {
    kind: msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]
    for kind in TABLE_OF
}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Payment:
    """A payment intent or a charge of an integration, by id."""

    integration: str
    payment: str


def facts_of(connection: Connection, *, integration: str, customer: str) -> CustomerFacts:
    """All that is known of a customer, as of the connection's snapshot or, where it has none yet, one taken now."""
    prepared = connection.info.setdefault("prepared", set())  # lives as long as the session
    if "facts_of" not in prepared:
        connection.exec_driver_sql(_FACTS_OF)
        prepared.add("facts_of")
    asked = {"integration": integration, "customer": customer}
    found = connection.exec_driver_sql(
        f"{WAIT_FIRST}; EXECUTE facts_of (%(integration)s, %(customer)s)", asked
    )  # one message
    return _CUSTOMER.decode(found.scalar_one())


def facts_of_each(connection: Connection, whom: Collection[CustomerName]) -> Mapping[CustomerName, CustomerFacts]:
    """The same of each of these customers, in one statement."""
    given = {
        "integrations": [each.integration for each in whom],
        "customers": [each.customer for each in whom],
    }
    return {
        CustomerName(integration=row.integration, customer=row.customer): _CUSTOMER.decode(row.facts)
        for row in (connection.execute(_FACTS_OF_EACH, given) if whom else ())
    }


def facts_with(connection: Connection, digests: Collection[bytes]) -> tuple[Fact, ...]:
    """The facts with these digests, in order of kind and digest; one query for each kind."""
    found: list[Fact] = []
    for kind, table in TABLE_OF.items():
        chosen = select(table).where(table.c.digest.in_(digests)).order_by(table.c.digest).subquery()
        rows = connection.execute(select(cast(func.coalesce(func.json_agg(chosen.table_valued()), "[]"), Text)))
        found += _OF_KIND[kind].decode(rows.scalar_one())
    return tuple(found)


def customers_of(connection: Connection, *, integration: str, payment: str) -> frozenset[str]:
    """
    Whose a payment is, by all that is committed: for a change that names a payment and no customer.

    Empty while nothing links it; the link, or the invoice, will be a change of its own, and be asked for then.
    """
    return frozenset(connection.execute(_CUSTOMERS_OF, {"integration": integration, "payment": payment}).scalars())


def customers_of_each(connection: Connection, payments: Collection[Payment]) -> Mapping[Payment, frozenset[str]]:
    """The same of each of these payments, in one statement; one that leads to nobody is not among them."""
    found: dict[Payment, frozenset[str]] = {}
    ordered = sorted(payments)
    given = {
        "integrations": [each.integration for each in ordered],
        "payments": [each.payment for each in ordered],
    }
    for row in connection.execute(_CUSTOMERS_OF_EACH, given) if ordered else ():
        payment = Payment(integration=row.integration, payment=row.payment)
        found[payment] = found.get(payment, frozenset()) | {row.customer}
    return found


def every_catalog_revision(connection: Connection) -> tuple[CatalogRevision, ...]:
    """All catalog revisions, also those that don't count since another of their number does."""
    return tuple(_OF_KIND[CatalogRevision].decode(connection.execute(_CATALOGS).scalar_one()))


def catalog_revisions_in(connection: Connection) -> tuple[CatalogRevision, ...]:
    """The catalog revisions that count, by number."""
    return one_of_each_number(every_catalog_revision(connection))


def catalogs_digest(connection: Connection) -> bytes:
    """What tells one set of catalog revisions from another, without reading them; empty where there is none."""
    return bytes(connection.execute(_CATALOGS_STATE).scalar_one() or b"")
