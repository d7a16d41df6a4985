"""A memory for tests: on a real database that knows the given facts, by a clock that stands until it is set."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from entitlements.api.memory import Limits, Memory
from entitlements.api.snapshots import Snapshots
from entitlements.api.subjects import Subject, SubjectType
from entitlements.api.tokens import Token
from entitlements.domain.facts import Fact
from ops.database import SETTINGS, migrate
from tests.asking import NOW, SETTINGS_SCHEMA, on, write
from tests.stated import catalog

TOKEN = Token(value="any")
SOON_S = 1.0
"""The promise: within a second of a commit the answer is another."""


@dataclass(slots=True, kw_only=True)
class Clock:
    """A clock that stands until it is set."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A memory, its database and its clock."""

    memory: Memory
    engine: sa.Engine
    clock: Clock

    async def reason(self, customer: str = "cus_paid", api: str = "orders", kind: str = "customer") -> str:
        """The reason of the answer about now, `degraded` behind it where it is marked."""
        answer = await self.memory.decision(TOKEN, Subject(type=SubjectType(kind), id=customer), api, None)
        return f"{answer.decision.reason}{' degraded' if answer.degraded else ''}"

    async def comes_to(self, reason: str, *asked: str) -> bool:
        """Whether the reason is this one within the second."""
        return await within_a_second(lambda: self.reason(*asked), reason)

    def is_known(self, customer: str = "cus_paid") -> bool:
        """Whether the answer needs no database."""
        return self.memory.at_hand(TOKEN, Subject(type=SubjectType.CUSTOMER, id=customer), "orders") is not None


async def within_a_second(ask: Callable[[], Awaitable[object]], expected: object) -> bool:
    deadline = time.monotonic() + SOON_S
    while time.monotonic() < deadline:
        if await ask() == expected:
            return True
        await asyncio.sleep(0.002)
    return False


@asynccontextmanager
async def remembering(
    url: str, *facts: Fact, limits: Limits | None = None, monotonic: Callable[[], float] = time.monotonic
) -> AsyncIterator[Asked]:
    """A memory that has looked once, on a database that knows *facts*."""
    clock = Clock()
    with on(url) as engine:
        migrate(engine, "public")
        migrate(engine, SETTINGS_SCHEMA, SETTINGS)
        write(engine, catalog(), *facts)
        asking = Snapshots(engine, clock)
        memory = Memory(
            engine,
            asking,
            clock=clock,
            monotonic=monotonic,
            limits=limits or Limits(miss_s=5.0),  # the machine may be busy
        )
        memory.start()
        try:
            await memory.catch_up()
            yield Asked(memory=memory, engine=engine, clock=clock)
        finally:
            memory.stop()
            asking.close()


def statements(engine: sa.Engine) -> list[str]:
    """What is run from now on on the engine's database, by it and its like, but for what looks for changes."""
    seen: list[str] = []

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def note(connection: sa.Connection, _cursor: object, statement: str, *_: object) -> None:
        looks = any(word in statement for word in ("EXECUTE look", "PREPARE look", "LISTEN"))
        if connection.engine.url == engine.url and not looks:
            seen.append(statement)

    return seen


def allow_connections(database: str, elsewhere: str, given: bool) -> None:
    """Let the database take connections, or take none and end those that there are."""
    name = sa.make_url(database).database
    url = sa.make_url(elsewhere).set(drivername="postgresql+psycopg2")
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {given}'))
        if not given:
            connection.execute(
                sa.text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")  # noqa: S608
            )
