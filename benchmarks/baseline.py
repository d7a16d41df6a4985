"""
The opponents: what one writes by hand in an afternoon, kept lean. Edge: HTTP, Postgres, the environment.

FastAPI, the signature by Stripe's own `verify_header`, the JSON read once, one upsert with psycopg2, committed before
the answer. Run with two workers, uvloop and httptools:

    BASELINE_DATABASE=postgresql://… uvicorn --factory benchmarks.baseline:by_the_book --workers 2 --no-access-log

*By the book* is as FastAPI's documentation has it for a library that blocks: `def`, in a thread, a connection from a
pool, a transaction. *Blocking* is the fastest that was found: `async def` all the same, one connection for each worker,
autocommit. While it waits for Postgres its loop stands still, health checks included.

Both keep an invoice's last status: an older event that comes late overwrites a newer one, and nobody can ask why.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import psycopg2
import stripe
from fastapi import Depends, FastAPI, HTTPException, Request
from psycopg2.pool import ThreadedConnectionPool

from benchmarks.webhooks import API, PRICE, SECRET

THREADS = 40
"""How many FastAPI has for `def`: each may need a connection at once."""

TABLE = """
CREATE TABLE IF NOT EXISTS baseline_cycles (
    invoice text PRIMARY KEY,
    customer text NOT NULL,
    status text NOT NULL,
    price text NOT NULL,
    period_start timestamptz NOT NULL,
    period_end timestamptz NOT NULL,
    pay_at text,
    event text NOT NULL
);
CREATE INDEX IF NOT EXISTS baseline_cycles_by_customer ON baseline_cycles (customer)
"""
UPSERT = """
INSERT INTO baseline_cycles (invoice, customer, status, price, period_start, period_end, pay_at, event)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (invoice) DO UPDATE SET
    status = excluded.status, price = excluded.price, period_start = excluded.period_start,
    period_end = excluded.period_end, pay_at = excluded.pay_at, event = excluded.event
"""
QUESTION = """
SELECT 1 FROM baseline_cycles
WHERE customer = %s AND price = %s AND status = 'paid' AND period_start <= now() AND now() < period_end
"""

Query = Callable[[str, tuple[object, ...]], bool]


def make_table(database: str) -> None:
    """Make the table where it is not there yet."""
    with psycopg2.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute(TABLE)


def by_the_book() -> FastAPI:
    """One worker, with a thread and a connection for each request."""
    application = FastAPI()
    pool = ThreadedConnectionPool(THREADS, THREADS, os.environ["BASELINE_DATABASE"])

    def query(statement: str, values: tuple[object, ...]) -> bool:
        connection = pool.getconn()
        try:
            with connection, connection.cursor() as cursor:
                return _run(cursor, statement, values)
        finally:
            pool.putconn(connection)

    @application.post("/webhooks/stripe")
    def webhook(request: Request, payload: Annotated[bytes, Depends(_body)]) -> dict[str, str]:
        return _take(payload, request, query)

    @application.get("/entitlements/{customer}/{api}")
    def entitlement(customer: str, api: str) -> dict[str, bool]:
        return {"decision": query(QUESTION, (customer, {API: PRICE}[api]))}

    return application


def blocking() -> FastAPI:
    """One worker, with one connection."""
    application = FastAPI()
    connection = psycopg2.connect(os.environ["BASELINE_DATABASE"])
    connection.autocommit = True

    def query(statement: str, values: tuple[object, ...]) -> bool:
        with connection.cursor() as cursor:
            return _run(cursor, statement, values)

    @application.post("/webhooks/stripe")
    async def webhook(request: Request) -> dict[str, str]:
        return _take(await request.body(), request, query)

    @application.get("/entitlements/{customer}/{api}")
    async def entitlement(customer: str, api: str) -> dict[str, bool]:
        return {"decision": query(QUESTION, (customer, {API: PRICE}[api]))}

    return application


async def _body(request: Request) -> bytes:
    return await request.body()


def _take(payload: bytes, request: Request, query: Query) -> dict[str, str]:
    try:
        header = request.headers["stripe-signature"]
        stripe.WebhookSignature.verify_header(payload.decode(), header, SECRET, 300)
    except stripe.SignatureVerificationError as error:
        raise HTTPException(400, "the signature does not match") from error
    event = json.loads(payload)
    if event["type"].startswith("invoice."):
        query(UPSERT, _row(event["id"], event["data"]["object"]))
    return {"status": "recorded"}


def _row(event: str, invoice: dict[str, Any]) -> tuple[object, ...]:
    line = invoice["lines"]["data"][0]
    start, end = (datetime.fromtimestamp(line["period"][side], UTC) for side in ("start", "end"))
    cycle = (line["price"]["id"], start, end)
    return (invoice["id"], invoice["customer"], invoice["status"], *cycle, invoice["hosted_invoice_url"], event)


def _run(cursor: Any, statement: str, values: tuple[object, ...]) -> bool:
    """Whether the statement had a row to show."""
    cursor.execute(statement, values)
    return cursor.description is not None and cursor.fetchone() is not None
