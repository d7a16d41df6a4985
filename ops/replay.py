"""
A part of the log read again, by today's code, into the groups that have read it before. Edge: Kafka, Postgres.

It is the runner's batch with another ending: the groups' own offsets stay where they are, and in their place a step of
the replay is appended, in the same transaction. So consumers may be at work at the same time, and a kill at any point
costs nothing: facts are there or not, and the next step is known. What was recorded stays; a replay only adds.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine
from tenacity import retry, retry_if_exception, stop_after_delay, wait_random_exponential

from consumers.batch import Recorder, Taken, announce, take
from consumers.failures import is_transient, too_many
from consumers.log import Source
from consumers.record import Partition, Record
from consumers.verdicts import Group, Positions
from entitlements import letters, replays
from entitlements.ledger import Position
from entitlements.letters import State, Which
from entitlements.replays import Replay, Tally
from entitlements.rows import Filled
from entitlements.store import TABLE_OF
from ops.log_records import records_in
from schemas import codec

AT_ONCE = 500
"""Records in a transaction, as consumers have them."""

PATIENCE_S = 30
"""How long the database may be away."""

Place = tuple[str, str, int, int]
"""Group, topic, partition and offset."""

InARow = Mapping[tuple[str, Partition], int]
"""How many records are set aside in a row, by group and partition, since the last that stated a fact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaying:
    """
    Where records are read again and recorded, by which groups.

    *limit* dead letters in a row stop it, but for those that were set aside before: nobody expects better of them.
    """

    source: Source
    database: Engine
    groups: Sequence[Group[Any]]
    limit: int

    def go_on(self, replay: Replay, positions: Positions, on_step: Callable[[Tally], None]) -> Tally:
        """
        Read on where *replay* is, to its end; *on_step* is told what came of it so far after each batch.

        *positions* are the groups' own, of the log that is read. Raises `Overtaken`, `TooManyDeadLetters`,
        `LogUnavailable`, and SQLAlchemy's errors where the database stays away: go on again.
        """
        with self.database.connect() as connection:
            so_far = replays.tally(connection, replay)
            some = letters.letters(connection, Which(states=frozenset({State.OPEN, State.DISCARDED})))
        expected = frozenset((each.group, each.topic, each.partition, each.offset) for each in some)
        in_a_row: InARow = {}
        held: Positions = {
            key: replace(each, next_offset=0, dead_letters_in_a_row=0) for key, each in positions.items()
        }
        with closing(
            records_in(self.source, replay.spans, first=so_far.span, next_offset=so_far.next_offset, most=AT_ONCE)
        ) as reading:
            for span, next_offset, records in reading:
                again = _from(held, records)
                done, in_a_row = self._step(replay, so_far, (span, next_offset), records, again, expected, in_a_row)
                so_far = Tally(
                    step=done.step + 1,
                    span=done.span,
                    next_offset=done.next_offset,
                    records=so_far.records + done.records,
                    outcomes=Counter(so_far.outcomes) + Counter(done.outcomes),
                    learnt=Counter(so_far.learnt) + Counter(done.learnt),
                )
                on_step(so_far)
        return so_far

    @retry(
        retry=retry_if_exception(is_transient),
        wait=wait_random_exponential(multiplier=0.1, max=2),
        stop=stop_after_delay(PATIENCE_S),
        reraise=True,
    )
    def _step(
        self,
        replay: Replay,
        before: Tally,
        then: tuple[int, int],
        records: Sequence[Record],
        held: Positions,
        expected: frozenset[Place],
        in_a_row: InARow,
    ) -> tuple[Tally, InARow]:
        """
        Record a batch and append its step, all or nothing: what came of it alone, and how many are set aside in a row.

        *then* is the span and offset that come next; where the batch ends early, at too many dead letters, its own.
        """
        appended: list[tuple[Tally, InARow]] = []

        def keep(connection: Connection, _before: Positions, taken: Taken, noted: Sequence[Filled]) -> None:
            announce(connection, taken, noted)
            counted = _counted(in_a_row, taken, expected, self.limit)
            verdicts = [verdict for of_group in taken.verdicts.values() for verdict in of_group]
            read = {verdict.record.offset for verdict in verdicts}
            span, next_offset = then if len(read) == len(records) else (before.span, max(read) + 1)
            learnt = (TABLE_OF[type(fact)].name for facts in taken.learnt.values() for fact in facts)  # type: ignore[index]
            step = Tally(
                step=before.step,
                span=span,
                next_offset=next_offset,
                records=len(read),
                outcomes=Counter(verdict.outcome.value for verdict in verdicts),
                learnt=Counter(learnt),
            )
            replays.append(connection, replay, step)
            appended[:] = [(step, counted)]

        recorder = Recorder(
            transaction=self.database.begin, decode=codec.decode, groups=self.groups, limit=sys.maxsize, keep=keep
        )
        take(recorder, records, held)
        return appended[0]


def _counted(in_a_row: InARow, taken: Taken, expected: frozenset[Place], limit: int) -> InARow:
    """How many are set aside in a row behind the batch, in each group and partition. Raises `TooManyDeadLetters`."""
    counted = dict(in_a_row)
    for group, verdicts in taken.verdicts.items():
        for verdict in verdicts:
            record, key = verdict.record, (group, verdict.record.source)
            if verdict.error is None:
                counted[key] = 0 if verdict.facts else counted.get(key, 0)
            elif (group, *record.source, record.offset) not in expected:
                counted[key] = counted.get(key, 0) + 1
                if counted[key] > limit:
                    raise too_many(group, record, limit, verdict.error)
    return counted


def _from(held: Positions, records: Sequence[Record]) -> Positions:
    """As if each group had still to read these records."""
    first: dict[tuple[str, int], int] = {}
    for record in records:
        first[record.source] = min(record.offset, first.get(record.source, record.offset))
    return {key: replace(each, next_offset=first.get(key[1], each.next_offset)) for key, each in held.items()}


def by_place(
    positions: Sequence[Position], groups: Sequence[Group[Any]]
) -> Mapping[tuple[str, tuple[str, int]], Position]:
    """The positions of *groups* in the topics that they read."""
    topics = {group.name: group.topics for group in groups}
    return {
        (each.group, (each.topic, each.partition)): each
        for each in positions
        if each.topic in topics.get(each.group, ())
    }
