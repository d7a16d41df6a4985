"""
A part of the log read again, by today's code, into the groups that have read it before. Edge: Kafka, Postgres.

It is the runner's batch with another ending: the groups' own offsets stay where they are, and in their place a step of
the replay is appended, in the same transaction. So consumers may be at work at the same time, and a kill at any point
costs nothing: facts are there or not, and the next step is known. What was recorded stays; a replay only adds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine
from tenacity import retry, retry_if_exception, stop_after_delay, wait_random_exponential

from consumers.batch import Taken, take
from consumers.failures import is_transient
from consumers.log import Source
from consumers.record import Record
from consumers.verdicts import Group, Positions
from entitlements import replays
from entitlements.ledger import Position
from entitlements.replays import Replay, Tally
from entitlements.store import TABLE_OF
from ops.log_records import records_in
from schemas import codec

AT_ONCE = 500
"""Records in a transaction, as consumers have them."""

PATIENCE_S = 30
"""How long the database may be away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaying:
    """Where records are read again and recorded, by which groups; *limit* dead letters in a row stop it."""

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
        held: Positions = {
            key: replace(each, next_offset=0, dead_letters_in_a_row=0) for key, each in positions.items()
        }
        with closing(
            records_in(self.source, replay.spans, first=so_far.span, next_offset=so_far.next_offset, most=AT_ONCE)
        ) as reading:
            for span, next_offset, records in reading:
                done, held = self._step(replay, so_far, (span, next_offset), records, _from(held, records))
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
        self, replay: Replay, before: Tally, then: tuple[int, int], records: Sequence[Record], held: Positions
    ) -> tuple[Tally, Positions]:
        """
        Record a batch and append its step, all or nothing: what came of it alone, and the groups' positions behind it.

        *then* is the span and offset that come next; where the batch ends early, at too many dead letters, its own.
        """
        appended: list[Tally] = []

        def keep(connection: Connection, _before: Positions, taken: Taken) -> None:
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
            appended[:] = [step]

        taken = take(self.database.begin, codec.decode, self.groups, records, held, self.limit, keep)
        return appended[0], taken.positions


def _from(held: Positions, records: Sequence[Record]) -> Positions:
    """As if each group had still to read these records; of how many it has set aside in a row it keeps the count."""
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
