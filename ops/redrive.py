"""
Dead letters, decided and recorded again by today's code, in their own group. Edge: Postgres.

Some at a time, and each time one transaction: facts, what the records came to, new reasons, what was done, and how many
are set aside in a row. So a kill at any point leaves each letter either as it was or done, whoever else is at work.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import Any

from sqlalchemy import Connection, Engine
from tenacity import retry, retry_if_exception, stop_after_delay, wait_random_exponential

from consumers.batch import Recorder, Taken, announce, take
from consumers.failures import is_transient, reason
from consumers.record import Record
from consumers.unpacking import UNREADABLE
from consumers.verdicts import Decode, Group, Positions
from entitlements import letters
from entitlements.ledger import Outcome, Position
from entitlements.letters import Act, Content, Letter, State
from entitlements.rows import Filled
from schemas import codec

AT_ONCE = 100
"""Letters in a transaction: it holds rows that consumers may wait for."""

PATIENCE_S = 30
"""How long a server may be away."""

ReadAgain = Callable[[Collection[Letter]], Mapping[int, Record]]
"""Reads the records of letters that hold none from the log, by the letters' ids; those that are gone are not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """What became of a letter; *reason* is why it stays one, *learnt* the kinds of facts that were new."""

    letter: Letter
    outcome: Outcome
    reason: str | None


class _Changed(Exception):
    """Somebody else has acted on some of them; *left* are those that may still be redriven."""

    def __init__(self, left: tuple[Letter, ...]) -> None:
        super().__init__("somebody else has acted on some of these letters")
        self.left = left


@dataclass(frozen=True, slots=True, kw_only=True)
class Redrive:
    """Where letters are redriven, by which *groups*, for whom; a *dry_run* does it all and takes it back."""

    database: Engine
    groups: Mapping[str, Group[Any]]
    read_again: ReadAgain
    by: str
    states: frozenset[State] = frozenset({State.OPEN})
    dry_run: bool = False
    decode: Decode = codec.decode

    def of(self, some: Iterable[Letter]) -> Iterator[Redriven]:
        """Redrive *some*; those that somebody else has seen to meanwhile are passed over."""
        for name, of_group in groupby(sorted(some, key=lambda each: (each.group, each.id)), lambda each: each.group):
            while chunk := tuple(islice(of_group, AT_ONCE)):
                yield from self._together(self.groups[name], chunk)

    def _together(self, group: Group[Any], some: Sequence[Letter]) -> tuple[Redriven, ...]:
        while some:
            try:
                return self._in_one_transaction(group, some)
            except _Changed as changed:
                some = changed.left
        return ()

    @retry(
        retry=retry_if_exception(is_transient),
        wait=wait_random_exponential(multiplier=0.1, max=2),
        stop=stop_after_delay(PATIENCE_S),
        reraise=True,
    )
    def _in_one_transaction(self, group: Group[Any], some: Sequence[Letter]) -> tuple[Redriven, ...]:
        records = self._records(some)
        by_place = {(each.topic, each.partition, each.offset): each for each in some}
        done: list[Redriven] = []

        @contextmanager
        def transaction() -> Iterator[Connection]:
            with self.database.connect() as connection:
                left = letters.locked(connection, some, self.states)
                if len(left) != len(some):
                    raise _Changed(left)
                yield connection
                connection.rollback() if self.dry_run else connection.commit()

        def keep(connection: Connection, _before: Positions, taken: Taken, noted: Sequence[Filled]) -> None:
            announce(connection, taken, noted)
            done[:] = [
                Redriven(
                    letter=by_place[verdict.record.topic, verdict.record.partition, verdict.record.offset],
                    outcome=verdict.outcome,
                    reason=None if verdict.error is None else reason(verdict.error),
                )
                for verdict in taken.verdicts[group.name]
            ]
            told = [(each.letter, each.outcome, each.reason) for each in done]
            letters.note(connection, Act.REDRIVEN, told, by=self.by)
            letters.count_in_a_row(connection, some)

        recorder = Recorder(transaction=transaction, decode=self.decode, groups=[group], limit=sys.maxsize, keep=keep)
        take(recorder, records, _positions(some))
        return tuple(done)

    def _records(self, some: Sequence[Letter]) -> list[Record]:
        with self.database.connect() as connection:
            found = {letter.id: letters.content(connection, letter) for letter in some}
        held = {id_: content for id_, content in found.items() if content is not None}
        if len(held) < len(found):
            raise _Changed(tuple(letter for letter in some if letter.id in held))
        empty = [letter for letter in some if held[letter.id].value is None]
        again = self.read_again(empty) if empty else {}
        return [again.get(letter.id) or _record(letter, held[letter.id]) for letter in some]


def _record(letter: Letter, content: Content) -> Record:
    never_read = content.value is None and letter.reason.startswith(UNREADABLE)
    return Record(
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        timestamp=-1 if letter.appended_at is None else round(letter.appended_at.timestamp() * 1000),
        key=content.key,
        value=content.value,
        headers=content.headers,
        unreadable=letter.reason if never_read else None,
    )


def _positions(some: Iterable[Letter]) -> Positions:
    """As if the group had still to read these records."""
    found: dict[tuple[str, tuple[str, int]], Position] = {}
    for letter in some:
        position = Position(
            group=letter.group,
            topic=letter.topic,
            partition=letter.partition,
            next_offset=letter.offset,
            cluster_id=letter.cluster_id,
            topic_id=letter.topic_id,
        )
        place = (letter.group, (letter.topic, letter.partition))
        first = found.setdefault(place, position)
        found[place] = replace(first, next_offset=min(first.next_offset, letter.offset))
    return found
