"""
What was built in the place of what serves, and back. An edge: Kafka, Postgres.

What comes may know nothing less than what goes: else somebody who was let in a moment ago would be turned away until
the consumers have read that record again. So what the live one has read meanwhile is read in the very transaction in
which they change places, while both stand still; it is a few records, since the tables are locked just after the log's
end was reached, and where it is more than `MOST_LEFT` they are let go again. Killed at any point, either the old serves
or the new, whole. Long because each way in which a try may fail has something to say to a person.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from consumers.batch import Recorder, Taken, Transaction, take, transaction_on
from consumers.extent import check
from consumers.log import Log
from consumers.record import Partition, Record
from consumers.verdicts import Positions, furthest_behind
from entitlements import beside, exchange, ledger, privileges
from entitlements.everyone import CustomerName
from entitlements.exchange import Holder
from entitlements.ledger import Fenced, Position
from ops.database import MIGRATION_LOCK, complaint
from ops.rebuild_place import CannotRebuild, Place
from schemas import codec

PATIENCE_S = 60.0
"""How long the tables' locks are tried for."""

PAUSES_S = (0.05, 0.25)
"""Between tries, by chance within: whoever waited behind the last one gets through."""

CATCH_UP_S = 0.25
"""How long questions wait for Kafka's last records; if they do not come, another try."""

MOST_LEFT = 300
"""Records that may be left to read while everybody stands still; where there are more, another try."""

POLL_S = 0.5
QUIET_S = 10.0
"""How long Kafka may give nothing of what it says it has."""

MOST_HOLDERS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Swapped:
    """
    How it went: tries, milliseconds that everybody stood still, records that were read within these; and why what was
    kept before could *not* be *dropped*, None where it was, or where there was nothing.
    """

    tries: int
    still_ms: float
    meanwhile: int
    at: datetime
    not_dropped: str | None = None


class _NotYet(Exception):
    """Another try; the text says why, where a person can do something about it should it stay so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swapping:
    """
    Puts the schema *coming*, which has just caught up, in the place of the live one; the seat is had.

    *news* are customers who are known to be answered otherwise: gateways are told of them first. *say* is told what a
    person should know; *patience_s* is how long locks are tried for.
    """

    place: Place
    coming: str
    news: Iterable[CustomerName] = ()
    say: Callable[[str], None] = lambda _: None
    patience_s: float = PATIENCE_S

    def swap(self) -> Swapped:
        """
        Change places, and drop what was kept before, if that can be had. Raises `CannotRebuild` where somebody holds a
        table; once they have changed places, nothing.
        """
        database = self.place.database(self.coming)
        try:
            self._prepare(database)
            held = self._held(database)
            with closing(Log(self.place.source, partitions=sorted(furthest_behind(held)))) as log:
                swapped = self._try_on(database, log, held)
            try:
                with database.begin() as connection:
                    beside.drop(connection, self.place.names.older)
            except DBAPIError as error:
                return replace(swapped, not_dropped=complaint(error))
            return swapped
        finally:
            database.dispose()

    def _prepare(self, database: Engine) -> None:
        """All that can be done while nobody has to wait."""
        names = self.place.names
        try:
            with database.begin() as connection:
                beside.drop(connection, names.older)
                beside.drop(connection, names.passing)
        except OperationalError as error:
            if not exchange.is_busy(error):
                raise
            with database.connect() as connection:
                found = exchange.holders(connection, (names.older, names.passing))
            raise CannotRebuild(
                f"{names.older}, which an earlier swap has left behind, must be dropped first, and somebody holds one "
                f"of its tables; nothing was changed. {held_by(found)}"
            ) from error
        with database.begin() as connection:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            exchange.foretell(connection, names, self.coming)
            privileges.hand_on(connection, names.live, self.coming)
        with transaction_on(database, self.coming) as connection:
            news = {(exchange.GROUP, each.integration, each.customer, None) for each in self.news}
            ledger.write_changes(connection, news)

    def _held(self, database: Engine) -> Positions:
        found = self.place.extents()
        with database.connect() as connection:
            rows = self.place.positions(connection, self.coming)
        for row in rows:
            check(row, found[row.topic, row.partition])
        return {(row.group, (row.topic, row.partition)): row for row in rows}

    def _try_on(self, database: Engine, log: Log, held: Positions) -> Swapped:
        tries, until = 0, time.monotonic() + self.patience_s
        while True:
            _seek(log, held)  # also again: what a try has read and not committed
            held = self._drained(database, log, held)
            tries += 1
            try:
                return self._exchanged(database, log, held, tries)
            except (OperationalError, _NotYet) as error:
                if isinstance(error, OperationalError) and not exchange.is_busy(error):
                    raise
                if time.monotonic() > until:
                    why = str(error) if isinstance(error, _NotYet) else ""
                    raise CannotRebuild(why or self._in_the_way(database, tries)) from error
            if tries == 10:
                self.say("somebody holds a table for longer than a question takes; going on to try")
            time.sleep(random.uniform(*PAUSES_S))  # noqa: S311

    def _drained(self, database: Engine, log: Log, held: Positions) -> Positions:
        """What is in Kafka by now, recorded; nobody has to wait for it."""
        ends, came = log.ends(), time.monotonic()
        while any(log.position(partition) < end for partition, end in ends.items()):
            if records := log.poll(POLL_S):
                held = _recorded(lambda: transaction_on(database, self.coming), self.place, records, held).positions
                came = time.monotonic()
            elif time.monotonic() - came > QUIET_S:
                raise CannotRebuild(
                    f"Kafka has not given what it has of the log within {QUIET_S:.0f} s, and nothing was changed: see "
                    "whether its brokers are well, and try again"
                )
        return held

    def _exchanged(self, database: Engine, log: Log, held: Positions, tries: int) -> Swapped:
        names = self.place.names
        at = datetime.now(UTC)
        with database.connect() as connection:  # a look ahead, that nobody waits for
            self._wanted(connection, held)
        with transaction_on(database, self.coming) as connection:
            if not connection.execute(_NO_MIGRATION, {"key": MIGRATION_LOCK}).scalar_one():
                raise _NotYet
            began = time.monotonic()
            exchange.lock(connection, (self.coming, names.live))
            if {*self.place.positions(connection, self.coming)} != {*held.values()}:
                raise CannotRebuild(f"another process writes into {self.coming}; nothing was changed, try again")
            records = _up_to(log, self._wanted(connection, held))
            if records:
                _recorded(lambda: _within(connection), self.place, records, held)
            exchange.exchange(connection, names, self.coming, at=at)
        still_ms = 1000 * (time.monotonic() - began)
        return Swapped(tries=tries, still_ms=still_ms, meanwhile=len(records), at=at)

    def _wanted(self, connection: Connection, held: Positions) -> dict[Partition, int]:
        """Up to where the live one has read the log; raises `_NotYet` where that is much more than *held* says."""
        wanted = _wanted(self.place.positions(connection, self.place.names.live), held)
        mine = furthest_behind(held)
        left = sum(max(0, end - mine[partition]) for partition, end in wanted.items())
        if left > MOST_LEFT:
            raise _NotYet(
                f"the consumers read faster than the swap can: they were {left:,} records ahead once it had read all "
                f"there was, and questions would wait for more than {MOST_LEFT}. Nothing was changed; try again when "
                "fewer events come."
            )
        return wanted

    def _in_the_way(self, database: Engine, tries: int) -> str:
        with database.connect() as connection:
            found = exchange.holders(connection, (self.coming, self.place.names.live))
        return (
            f"the tables could not be had in {tries} tries within {self.patience_s:.0f} s, and nothing was changed. "
            f"{held_by(found)}"
        )


_NO_MIGRATION = text("SELECT pg_try_advisory_xact_lock(:key)")


def held_by(found: Sequence[Holder]) -> str:
    """Who is in the way, and what to do."""
    if not found:
        return "Nobody holds one at the moment: try again, when fewer questions come."
    told = "; ".join(
        f"PostgreSQL's process {each.pid} ({each.application}, {each.state}"
        f"{f', since {each.since:%H:%M:%S}' if each.since else ''}) has {', '.join(each.tables[:3])}"
        f"{' and others' if len(each.tables) > 3 else ''}"
        for each in found[:MOST_HOLDERS]
    )
    return f"{told}. Wait for them, or end them with pg_terminate_backend, and try again."


def _seek(log: Log, held: Positions) -> None:
    """Read on from where *held* says."""
    topic_ids = {(row.topic, row.partition): row.topic_id for row in held.values()}
    for partition, next_offset in furthest_behind(held).items():
        log.settle(partition, next_offset, topic_ids[partition])


def _wanted(live: Iterable[Position], held: Positions) -> dict[Partition, int]:
    """Up to where the live one has read the log that is being read here; another log's offsets mean nothing."""
    wanted: dict[Partition, int] = {}
    for row in live:
        mine = held.get((row.group, (row.topic, row.partition)))
        if mine is not None and (row.cluster_id, row.topic_id) == (mine.cluster_id, mine.topic_id):
            partition = (row.topic, row.partition)
            wanted[partition] = max(row.next_offset, wanted.get(partition, 0))
    return wanted


def _up_to(log: Log, wanted: Mapping[Partition, int]) -> list[Record]:
    """No more than that: the rest can be read while nobody waits."""
    records: list[Record] = []
    until = time.monotonic() + CATCH_UP_S
    while any(log.position(partition) < end for partition, end in wanted.items()):
        if time.monotonic() > until:
            raise _NotYet
        records += (record for record in log.poll(0.02) if record.offset < wanted.get(record.source, 0))
    return records


def _recorded(transaction: Transaction, place: Place, records: Sequence[Record], held: Positions) -> Taken:
    try:
        recorder = Recorder(transaction=transaction, decode=codec.decode, groups=place.groups, limit=place.limit)
        return take(recorder, records, held)
    except Fenced as error:
        raise CannotRebuild(
            f"another process records there as well: {error}; nothing was changed, try again"
        ) from error


@contextmanager
def _within(connection: Connection) -> Iterator[Connection]:
    with connection.begin_nested():
        yield connection
