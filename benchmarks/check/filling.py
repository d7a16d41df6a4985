"""Many customers in little time: made by PostgreSQL itself, as consumers would have recorded them. Edge: Postgres."""

from __future__ import annotations

import psycopg2

from benchmarks.webhooks import PRICE

GRANTS_EACH = 4
"""Grants of one customer: of this month's invoice and the last one's, as they were open and as they were paid."""

_CUSTOMERS = """
INSERT INTO customers (digest, integration, customer)
SELECT sha256(('c' || number)::bytea), 'main', 'cus_' || lpad(number::text, 9, '0')
FROM generate_series(%(first)s, %(last)s) number
"""
_GRANTS = """
INSERT INTO grants (digest, integration, customer, invoice, line, status, finalized_at, paid_at, invoice_created,
    billing_reason, subscription, subscription_item, price, amount, period_start, period_end, proration, usage_type,
    line_plan, invoice_plan, invoice_total, stated_at)
SELECT sha256(('g' || number || '-' || nth)::bytea), 'main', 'cus_' || lpad(number::text, 9, '0'),
    'in_' || number || '-' || nth / 2, 'il_' || number || '-' || nth / 2,
    CASE nth %% 2 WHEN 0 THEN 'open' ELSE 'paid' END, start, CASE nth %% 2 WHEN 0 THEN NULL ELSE start END, start,
    'subscription_cycle', 'sub_' || number, 'si_' || number, %(price)s, 2500, start, start + interval '30 days', false,
    'licensed', '', '', 2500, start
FROM generate_series(%(first)s, %(last)s) number, generate_series(0, %(each)s - 1) nth,
    LATERAL (SELECT date_trunc('day', now()) - interval '10 days' - nth / 2 * interval '30 days' AS start) cycle
"""
_INVOICES = """
INSERT INTO invoices (digest, integration, customer, invoice, status, currency, total, created, lines_complete,
    invoice_plan, stated_at)
SELECT sha256(('i' || number || '-' || nth)::bytea), 'main', 'cus_' || lpad(number::text, 9, '0'),
    'in_' || number || '-' || nth, 'paid', 'usd', 2500, now() - interval '10 days', true, '', now() - interval '10 days'
FROM generate_series(%(first)s, %(last)s) number, generate_series(0, %(each)s / 2 - 1) nth
"""


def fill(database: str, *, grants: int) -> int:
    """Have customers with so many grants in all; how many customers those are."""
    customers = max(1, grants // GRANTS_EACH)
    with psycopg2.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SET search_path = entitlements")
        cursor.execute("SELECT count(*) FROM customers")
        there = cursor.fetchone()[0]
        values = {"first": there, "last": customers - 1, "price": PRICE, "each": GRANTS_EACH}
        for statement in (_CUSTOMERS, _GRANTS, _INVOICES):
            cursor.execute(statement, values)
    connection = psycopg2.connect(database)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE, PARALLEL 0)")
    connection.close()
    return customers
