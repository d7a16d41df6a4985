"""
Questions to the database, each answered from one moment. Edge: Postgres, from threads.

A question is a plain function of a `Snapshot`: one read-only transaction in which all tables show the same moment. A
database that is slow or away costs each question at most `ANSWER_SECONDS`, and its threads never more than
`DATABASE_THREADS`: what can't be answered raises `CannotDecide`, and is never a denial. A change of settings goes the
same way, in a transaction that may write.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, func, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, ProgrammingError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from entitlements.domain.catalog import Catalog, Revisions
from entitlements.exchange import WAIT_FIRST
from entitlements.reading import catalog_revisions_in
from entitlements.store import as_revisions
from entitlements.tables import catalog_revisions

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

DATABASE_THREADS = 8
"""Questions that are with the database at once; the engine needs as many connections."""

ANSWER_SECONDS = 2.0
"""Longest wait for an answer; the engine's statement timeout should not be longer."""

MAX_UNANSWERED = 256
"""Questions with the database or waiting for their turn; one more is refused at once."""

NOT_MIGRATED = frozenset({"42P01", "42703", "3F000"})
"""PostgreSQL's codes for a table, a column or a schema that is not there."""

_DIGEST = catalog_revisions.c.digest
_CATALOGS_STATE = select(func.sha256(func.string_agg(_DIGEST, aggregate_order_by(text("''::bytea"), _DIGEST))))


def reading(database: Engine) -> Engine:
    """The database, each transaction of which reads at one moment and writes nothing."""
    return database.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def looking(database: Engine) -> Engine:
    """
    The database by sessions of its own, in which each statement is a transaction by itself. To turn other sessions into
    such and back is a round trip each time, and one that has ended meanwhile never comes back to its pool.
    """
    return create_engine(
        database.url, pool=database.pool.recreate(), isolation_level="AUTOCOMMIT", hide_parameters=True
    )


def once_more(ask: Callable[[], Answer]) -> Answer:
    """What *ask* gives, which only reads; asked again where its session had ended: by then all are made anew."""
    try:
        return ask()
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        return ask()


@contextmanager
def asking(on: Engine) -> Iterator[Connection]:
    """A transaction in which to ask: behind an exchange that is under way, with all that this one has recorded."""
    with on.begin() as connection:
        connection.exec_driver_sql(WAIT_FIRST)
        yield connection


class CannotDecide(Exception):
    """It can't be known now who may call what; ask again. The text says why, and what an operator has to do."""


class CatalogMemory:
    """
    The catalog revisions as last read; read again when the table holds others.

    What is in the table is told by a digest over all its rows, so that a database exchanged under a running process
    is noticed as well as a new revision.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: tuple[bytes, Revisions] = (b"", Revisions())

    def revisions(self, connection: Connection) -> Revisions:
        """All revisions that *connection* shows. Raises `CannotDecide` if one can't be read."""
        state = bytes(connection.execute(_CATALOGS_STATE).scalar_one() or b"")
        held = self._held
        if held[0] != state:
            held = self._held = (state, revisions_in(connection))
        return held[1]


def revisions_in(connection: Connection) -> Revisions:
    """The catalog revisions that count. Raises `CannotDecide` if one can't be read."""
    try:
        return as_revisions(catalog_revisions_in(connection))
    except ValueError as error:
        raise CannotDecide(f"This version can't read the catalog: {error}.") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that was known at one moment. *now* is when the question came to be answered."""

    connection: Connection
    now: datetime
    catalogs: CatalogMemory

    def terms(self) -> tuple[Revisions, Catalog]:
        """All catalog revisions, and the catalog in force now. Raises `CannotDecide` where none was ever applied."""
        revisions = self.catalogs.revisions(self.connection)
        current = revisions.in_force_at(self.now)
        if current is None:
            raise CannotDecide("No catalog has been applied yet: run `entitle catalog apply`.")
        return revisions, current.catalog


class Snapshots:
    """The one way to the database: a bounded number of threads and of questions waiting for them."""

    __slots__ = ("_away", "_catalogs", "_clock", "_looking", "_reading", "_threads", "_unanswered", "_writing")

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._looking = looking(engine)
        self._writing = engine.execution_options(isolation_level="REPEATABLE READ")
        self._reading = reading(engine)
        self._clock = clock
        self._catalogs = CatalogMemory()
        self._threads = ThreadPoolExecutor(DATABASE_THREADS, thread_name_prefix="question")
        self._unanswered: set[Future[Any]] = set()
        self._away = False

    async def ask(self, question: Callable[[Snapshot], Answer]) -> Answer:
        """
        The answer to *question*, which is called in a thread, and again where its session had ended.

        Raises `CannotDecide` if the database is away, too slow, overrun with questions or not migrated.
        """
        return await self._in_turn(self._reading, question)

    async def look_up(self, question: Callable[[Connection], Answer]) -> Answer:
        """
        The answer to *question*, which is called as `ask` does and asks one statement: a transaction around it would
        cost as many round trips again. Raises `CannotDecide` as `ask` does.
        """
        return await self._in_turn(self._looking, lambda snapshot: question(snapshot.connection))

    async def change(self, change: Callable[[Snapshot], Answer]) -> Answer:
        """
        What *change* returns, which is called in a thread and may write; committed if it raises nothing.

        Raises `CannotDecide` as `ask` does. After one, it may have been committed all the same: ask for it again.
        """
        return await self._in_turn(self._writing, change)

    async def _in_turn(self, engine: Engine, question: Callable[[Snapshot], Answer]) -> Answer:
        if len(self._unanswered) >= MAX_UNANSWERED:
            raise CannotDecide("Too many questions are waiting for the database.")
        future = self._threads.submit(self._answer, engine, question)
        self._unanswered.add(future)
        future.add_done_callback(self._unanswered.discard)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise CannotDecide(f"The database has not answered in {ANSWER_SECONDS:g} s.") from None

    def is_away(self) -> bool:
        """Whether the last question found the database away, or without the tables of this version."""
        return self._away

    def close(self) -> None:
        """Take no more questions; those that wait for a thread are dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._looking.dispose()

    def _answer(self, engine: Engine, question: Callable[[Snapshot], Answer]) -> Answer:
        try:
            asked = partial(self._asked, engine, question)
            answer = asked() if engine is self._writing else once_more(asked)
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            self._note(error)
            raise CannotDecide("The database can't be reached.") from error
        except ProgrammingError as error:
            if getattr(error.orig, "pgcode", None) not in NOT_MIGRATED:
                raise
            self._note(error)
            raise CannotDecide("The database lacks tables of this version: run `entitle migrate`.") from error
        self._note(None)
        return answer

    def _asked(self, engine: Engine, question: Callable[[Snapshot], Answer]) -> Answer:
        # One statement begins nothing, and says itself that it waits (`reading.facts_of`).
        with engine.begin() if engine is self._looking else asking(engine) as connection:
            return question(Snapshot(connection=connection, now=self._clock(), catalogs=self._catalogs))

    def _note(self, error: SQLAlchemyError | None) -> None:
        """One line when the database stops answering and one when it answers again, not one per question."""
        if error is not None and not self._away:
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()
            log.error("questions can't be answered: %s", reason[0] if reason else type(error).__name__)
        elif error is None and self._away:
            log.info("questions are answered again")
        self._away = error is not None
