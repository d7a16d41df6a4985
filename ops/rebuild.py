"""
The log from its beginning, into a schema beside the live one. An edge: Kafka, Postgres, child processes.

It is the consumers' own runner on another schema. Partitions are split among processes until it has caught up, then
one process follows. Where to go on is what the schema's own offsets say, so it may be ended or killed at any point and
begun again. Nothing in it serves: no changes are announced, commits need not wait for the disk, and indexes that only
questions need are made at the end. Long because to begin, to catch up and to follow share all they know.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from consumers.batch import transaction_on
from consumers.extent import start
from consumers.record import Partition
from consumers.runner import run
from entitlements import beside, ledger
from ops.database import migrate
from ops.how_far import how_far
from ops.operator_log import LogUnavailable
from ops.rebuild_place import BEGIN_ANEW, Place, begun_by_this_version, checked, first_note, lags
from ops.rebuild_seat import Seat
from ops.server import tied

FEW = 2_000
"""So many records left to read are not worth several processes."""

AT_ONCE = 1_000
"""Records in a transaction while building."""

FETCH_BYTES = 4 * 1024 * 1024
"""Had from Kafka at once: kafka-python copies it several times, and what is larger leaves the processor's caches."""

LOOK_S = 0.5
NO_END = 1 << 62
"""Behind every offset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """How it ended: *records* read in this run in so many *seconds*, *behind* records left; *left* says why it left."""

    records: int
    seconds: float
    behind: int
    left: str | None


class Leaving(Exception):
    """Somebody else is to have what is built."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Building:
    """Builds in *schema*, with so many *processes*; *say* is told what a person should know."""

    place: Place
    schema: str
    seat: Seat
    processes: int
    say: Callable[[str], None]

    def begin(self) -> bool:
        """Make the schema, or go on with the one that is there; says whether it is new. Raises `CannotRebuild`."""
        database = self.place.database(self.place.names.live)
        try:
            with database.begin() as connection:
                live = self.place.names.live
                cure = "run `entitle migrate`"
                checked(beside.find(connection, live), f"schema {live} that serves: {cure}", cure=cure)
                found = beside.find(connection, self.schema)
                if found is None:
                    beside.make(connection, self.schema, first_note())
            if found is not None:
                begun_by_this_version(found)
            if found is None or found.step is None:
                migrate(database, self.schema)
            with database.begin() as connection:
                checked(beside.find(connection, self.schema), f"schema {self.schema}", cure=BEGIN_ANEW)
                if not self.place.positions(connection, self.schema):
                    beside.without_lookups(connection, self.schema)
        finally:
            database.dispose()
        return found is None

    def catch_up(self) -> tuple[int, float]:
        """Read to the log's end, as it is now and then again; how many records that were, in how many seconds."""
        database = self.place.database(self.schema, commits_later=True)
        started, records = time.monotonic(), 0
        try:
            while sum((left := self._left(database)).values()) > 0:
                records += self._some(database, left)
                if sum(left.values()) <= FEW:
                    break
            self._begin_everywhere(database)
            self._finish(database)
        finally:
            database.dispose()
        return records, time.monotonic() - started

    def follow(self) -> str:
        """Read on as records come, until Ctrl-C (`KeyboardInterrupt`), or until it is to be left: then it says why."""
        stop, why = threading.Event(), [""]
        database = self.place.database(self.schema, commits_later=True)
        looked = [0.0]

        def on_round() -> None:
            if time.monotonic() - looked[0] < LOOK_S:
                return
            looked[0] = time.monotonic()
            if self._is_to_leave():
                why[0] = "somebody else has it now, to swap or to drop it"
                stop.set()

        until = dict.fromkeys(self.place.extents(), NO_END)
        try:
            run(
                self.place.groups,
                self.place.source,
                database,
                self.schema,
                until=until,
                stop=stop,
                dead_letters_in_a_row=self.place.limit,
                on_round=on_round,
                serves=False,
            )
        finally:
            database.dispose()
        return why[0]

    def _left(self, database: Engine) -> dict[Partition, int]:
        found = self.place.extents()
        with database.connect() as connection:
            return lags(self.place, self.place.positions(connection, self.schema), found)

    def _some(self, database: Engine, left: Mapping[Partition, int]) -> int:
        """Read to where the log ends now; how many records that were."""
        ends = {partition: extent.end for partition, extent in self.place.extents().items() if left.get(partition)}
        total = sum(left.values())
        with how_far("rebuilding", total) as advance:
            if total <= FEW:
                read_part(self.place, self.schema, ends)
            else:
                self._side_by_side(database, shares(left, self.processes), ends, total, advance)
            done = total - sum(count for partition, count in self._left_of(database, ends).items() if partition in ends)
            advance(done)
        return done

    def _side_by_side(
        self,
        database: Engine,
        split: Sequence[Sequence[Partition]],
        ends: Mapping[Partition, int],
        total: int,
        advance: Callable[[int], None],
    ) -> None:
        with ExitStack() as until_done:
            parts = [
                until_done.enter_context(_part(self.schema, {partition: ends[partition] for partition in each}))
                for each in split
            ]
            while any(part.poll() is None for part in parts):
                if any(part.poll() not in (None, 0) for part in parts):
                    break
                time.sleep(LOOK_S)
                advance(total - sum(self._left_of(database, ends).values()))
                if self._is_to_leave():
                    raise Leaving
        if any(part.returncode for part in parts):
            raise LogUnavailable(
                "a part of the rebuild has stopped; what it says is above. Once that is seen to, `entitle rebuild` "
                "goes on with it."
            )

    def _left_of(self, database: Engine, ends: Mapping[Partition, int]) -> dict[Partition, int]:
        """Without asking Kafka."""
        with database.connect() as connection:
            rows = self.place.positions(connection, self.schema)
        next_of = {(row.group, (row.topic, row.partition)): row.next_offset for row in rows}
        return {
            partition: max(
                0,
                *(
                    end - next_of.get((each.name, partition), 0)
                    for each in self.place.groups
                    if partition[0] in each.topics
                ),
            )
            for partition, end in ends.items()
        }

    def _begin_everywhere(self, database: Engine) -> None:
        """Also in partitions that hold nothing: nobody has read there, and what has not begun is not whole."""
        starts = [
            start(each.name, partition, extent)
            for partition, extent in self.place.extents().items()
            for each in self.place.groups
            if partition[0] in each.topics
        ]
        with transaction_on(database, self.schema) as connection:
            ledger.begin(connection, starts)

    def _finish(self, database: Engine) -> None:
        """What questions need, and PostgreSQL's planner; where it is there already, nothing."""
        with database.connect() as connection:
            missing = beside.lookups_missing(connection, self.schema)
        if not missing:
            return
        self.say(f"making {len(missing)} indexes")
        on = database.execution_options(isolation_level="AUTOCOMMIT")
        with on.connect() as connection:
            connection.exec_driver_sql("SET statement_timeout = 0")
            for table in beside.TABLES:  # before the indexes: while one is missing it is not finished
                connection.exec_driver_sql(f"VACUUM (ANALYZE) {table.name}")
            for index in missing:
                index.create(connection)
                if self._is_to_leave():
                    raise Leaving
            connection.invalidate()

    def _is_to_leave(self) -> bool:
        try:
            return self.seat.is_wanted()
        except DBAPIError:
            return True


def read_part(place: Place, schema: str, until: Mapping[Partition, int]) -> None:
    """What one process reads of the log into *schema*, up to these offsets."""
    database = place.database(schema, commits_later=True)
    try:
        run(
            place.groups,
            replace(place.source, max_poll_records=AT_ONCE, fetch_bytes=FETCH_BYTES),
            database,
            schema,
            until=until,
            dead_letters_in_a_row=place.limit,
            serves=False,
        )
    finally:
        database.dispose()


def shares(left: Mapping[Partition, int], processes: int) -> list[list[Partition]]:
    """The partitions in at most so many parts, as even as can be in what is left to read of each."""
    parts: list[list[Partition]] = [[] for _ in range(processes)]
    loads = [0] * processes
    for partition, count in sorted(left.items(), key=lambda item: (-item[1], item[0])):
        if count:
            lightest = loads.index(min(loads))
            parts[lightest].append(partition)
            loads[lightest] += count
    return [part for part in parts if part]


@contextmanager
def _part(schema: str, until: Mapping[Partition, int]) -> Iterator[subprocess.Popen[bytes]]:
    """A process of our own for a part; it ends with us, however we end."""
    ends = [[topic, number, end] for (topic, number), end in sorted(until.items())]
    document = json.dumps({"schema": schema, "ends": ends})
    process = subprocess.Popen(
        tied([sys.executable, "-m", "ops", "rebuild", "--part", document], signal.SIGKILL),
        stdin=subprocess.DEVNULL,
        env=dict(os.environ),
        start_new_session=True,  # Ctrl-C is ours to pass on
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
