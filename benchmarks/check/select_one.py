"""
The opponent: FastAPI and asyncpg, one SELECT for each question, as one writes it by hand. Edge: HTTP, Postgres.

    CHECK_DATABASE=postgresql://… uvicorn --factory benchmarks.check.select_one:application --no-access-log
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI, Response

QUESTION = """
SELECT 1 FROM entitlements.grants
WHERE integration = 'main' AND customer = $1 AND status = 'paid' AND period_start <= now()
    AND now() < period_end LIMIT 1
"""


def application() -> FastAPI:
    """One worker with a pool of ten connections."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(os.environ["CHECK_DATABASE"], min_size=10, max_size=10) as pool:
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/check/{customer}")
    async def check(customer: str) -> Response:
        found = await app.state.pool.fetchval(QUESTION, customer)
        return Response(status_code=200 if found else 402)

    return app
