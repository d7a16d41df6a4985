"""
One batch: one transaction for all that came of its records in all groups. Edge: Postgres.

Knows no Kafka. Every record ends, in every group that reads it, in one of four outcomes: recorded, duplicate, ignored,
dead letter. Long because what is done together and what is done again record by record are one thing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine, text

from consumers import provenance
from consumers.failures import Failure, TooManyDeadLetters, classify, too_many
from consumers.record import Partition, Record
from consumers.verdicts import Decode, Fact, Group, Positions, Verdict, decided
from entitlements import ledger
from entitlements.ledger import Fenced, Outcome, Position
from entitlements.rows import SEES, Filled, quoted, send


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """
    A batch that is committed: where each group goes on, what became of the records, in their order, and which facts
    were new or changed something.

    *overtaken* says where another instance of a group was faster: nothing of that is in it, and its rows have moved.
    """

    positions: Positions
    verdicts: Mapping[str, Sequence[Verdict]]
    learnt: Mapping[str, Sequence[Fact]]
    overtaken: Fenced | None = None


Transaction = Callable[[], AbstractContextManager[Connection]]
Keep = Callable[[Connection, Positions, Taken, Sequence[Filled]], None]
"""
Notes in the batch's transaction what it came to, given the positions before it, and sends what is left of its
provenance. Raises where the batch must not count.
"""


Note = Callable[[Connection, Sequence[Mapping[str, Any]]], Sequence[Filled]]
"""How provenance is written: gives what is left to send."""


def in_passing(_: Connection, rows: Sequence[Mapping[str, Any]]) -> Sequence[Filled]:
    """With what is kept of the batch, in one message."""
    return ledger.noted(rows)


def copied(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> Sequence[Filled]:
    """At once, by who alone writes to a schema (`ledger.copy_provenance`)."""
    ledger.copy_provenance(connection, rows)
    return ()


def advance(connection: Connection, before: Positions, taken: Taken, noted: Sequence[Filled]) -> None:
    """
    What a consumer keeps: whom it learnt something about, and where its groups go on. Raises `Fenced` where another
    instance was faster.
    """
    move_on(connection, before, taken, (*noted, *ledger.changed(concerned(taken))))


def announce(connection: Connection, taken: Taken, noted: Sequence[Filled]) -> None:
    """Note whom the batch concerns, for the relay and for whoever remembers answers."""
    if left := (*noted, *ledger.changed(concerned(taken))):
        send(connection, *left)


def concerned(taken: Taken) -> Collection[tuple[str, str | None, str | None, str | None]]:
    """Whom the batch concerns, each once, by the first group that learnt something: see `ledger.changed`."""
    learnt = taken.learnt
    whom = {
        _concerned(fact): group
        for group in reversed(tuple(learnt))
        for fact in learnt[group]
        if not _concerns_nobody(fact)
    }
    return [(group, *each) for each, group in whom.items()]


def move_on(connection: Connection, before: Positions, taken: Taken, noted: Sequence[Filled]) -> None:
    """Where the groups go on, and no more: in a schema that serves nobody."""
    moved = ((before[key], now) for key, now in taken.positions.items() if now != before[key])
    ledger.advance(connection, moved, behind=noted)


@contextmanager
def transaction_on(database: Engine, schema: str) -> Iterator[Connection]:
    """One that sees *schema* alone; most connections do so by themselves (`rows.SEES`)."""
    with database.begin() as connection:
        if connection.info.get(SEES) != schema:
            connection.execute(_SEARCH_PATH, {"path": quoted(schema)})
        yield connection


_SEARCH_PATH = text("SELECT set_config('search_path', :path, true)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """
    How batches are recorded: in which *transaction*, as what, and in which *groups*.

    More than *limit* dead letters in a row of one partition are not set aside. A replay and a redrive *keep* something
    else than the groups' positions, and a rebuild *notes* its provenance in another way.
    """

    transaction: Transaction
    decode: Decode
    groups: Sequence[Group[Any]]
    limit: int
    keep: Keep = advance
    note: Note = in_passing


def take(recorder: Recorder, records: Sequence[Record], positions: Positions) -> Taken:
    """
    Record *records* in every group that has not done so yet, and move the groups' positions, all or nothing.

    Where the database refuses something that may be one record's fault, the batch is done again record by record, and
    the guilty ones alone are set aside. Where another instance was faster in a group and partition, it is done again
    without those, lest groups that stand beside that one wait for ever. Raises `Fenced` where nothing would be left,
    `TooManyDeadLetters` where more would be set aside than may be, once those up to the limit are, so that they can be
    looked at; and what is transient or a bug as it comes.
    """
    try:
        return _taken(recorder, records, positions)
    except TooManyDeadLetters as stop:
        if before := [record for record in records if record.source != stop.source or record.offset < stop.offset]:
            take(recorder, before, positions)
        raise


def _taken(recorder: Recorder, records: Sequence[Record], positions: Positions) -> Taken:
    left = decided(recorder.decode, recorder.groups, records, positions)
    overtaken: Fenced | None = None
    while True:
        try:
            taken = _written(recorder, left, positions)
        except Fenced as error:
            left = _without(left, error)
            if not any(left.values()):
                raise
            overtaken = error
        else:
            return replace(taken, overtaken=overtaken)


def _written(recorder: Recorder, verdicts: Mapping[str, Sequence[Verdict]], positions: Positions) -> Taken:
    try:
        with recorder.transaction() as connection:
            return _write(connection, recorder, verdicts, positions, _together)
    except Exception as error:
        if classify(error) is not Failure.POISON:
            raise
    with recorder.transaction() as connection:
        return _write(connection, replace(recorder, note=in_passing), verdicts, positions, _one_by_one)


def _without(verdicts: Mapping[str, Sequence[Verdict]], overtaken: Fenced) -> dict[str, Sequence[Verdict]]:
    """What is left to record in partitions that nobody else has moved on in."""
    return {
        group: [verdict for verdict in of_group if (group, *verdict.record.source) not in overtaken.lost]
        for group, of_group in verdicts.items()
    }


Recorded = tuple[list[Verdict], set[bytes]]
"""What became of a group's records, and which facts are new by them."""

Way = Callable[[Connection, Sequence[Group[Any]], Mapping[str, Sequence[Verdict]]], Mapping[str, Recorded]]
"""Together or one by one: what was recorded of each group's."""


def _write(
    connection: Connection,
    recorder: Recorder,
    undone: Mapping[str, Sequence[Verdict]],
    positions: Positions,
    way: Way,
) -> Taken:
    verdicts: dict[str, Sequence[Verdict]] = {}
    learnt: dict[str, Sequence[Fact]] = {}
    moves: dict[tuple[str, Partition], Position] = {}
    for group, (final, new) in way(connection, recorder.groups, undone).items():
        verdicts[group] = final
        moves |= _moves(group, final, positions, recorder.limit)
        facts = (fact for verdict in final for fact in verdict.facts)
        learnt[group] = [*{digest: fact for fact in facts if (digest := fact.digest) in new}.values()]
    each = [(group, verdict) for group, of_group in verdicts.items() for verdict in of_group]
    ledger.write_dead_letters(
        connection,
        [
            provenance.dead_letter(positions[group, of.record.source], of.record, of.error)
            for group, of in each
            if of.error is not None
        ],
    )
    noted = recorder.note(
        connection,
        [
            provenance.row(group, of.record, of.shown, of.outcome, (fact.digest for fact in of.facts))
            for group, of in each
        ],
    )
    taken = Taken(positions={**positions, **moves}, verdicts=verdicts, learnt=learnt)
    recorder.keep(connection, positions, taken, noted)
    return taken


def _concerns_nobody(fact: Fact) -> bool:
    """Whether it is of an integration, and can be found by no customer and no payment: a refund that names neither."""
    integration, customer, payment = _concerned(fact)
    return integration is not None and customer is None and payment is None


def _concerned(fact: Fact) -> tuple[str | None, str | None, str | None]:
    """Whose integration, which customer or, where a fact names none, by which payment it can be found."""
    return fact.integration, fact.customer, None if fact.customer else getattr(fact, "payment", None)


def _together(
    connection: Connection, groups: Sequence[Group[Any]], undone: Mapping[str, Sequence[Verdict]]
) -> Mapping[str, Recorded]:
    """What groups record in the same way is recorded for all of them at once."""
    facts: dict[Any, list[Fact]] = {group.record: [] for group in groups}
    for group in groups:
        facts[group.record] += (fact for verdict in undone[group.name] for fact in verdict.facts)
    new = {record: set(record(connection, its)) if its else set() for record, its in facts.items()}
    return {group.name: _claimed(undone[group.name], new[group.record]) for group in groups}


def _claimed(verdicts: Sequence[Verdict], unclaimed: set[bytes]) -> Recorded:
    """
    The first record that states a new fact has recorded it, as if records came one at a time: what is claimed is taken
    out of *unclaimed*.
    """
    final, new = [], set()
    for verdict in verdicts:
        claimed = unclaimed.intersection(fact.digest for fact in verdict.facts)
        unclaimed -= claimed
        new |= claimed
        final.append(replace(verdict, outcome=Outcome.RECORDED) if claimed else verdict)
    return final, new


def _one_by_one(
    connection: Connection, groups: Sequence[Group[Any]], undone: Mapping[str, Sequence[Verdict]]
) -> Mapping[str, Recorded]:
    """What is refused is set aside alone."""
    recorded: dict[str, Recorded] = {}
    for group in groups:
        final, new = recorded[group.name] = [], set()
        for verdict in undone[group.name]:
            its, its_new = _alone(connection, group, verdict)
            final.append(its)
            new |= its_new
    return recorded


def _alone(connection: Connection, group: Group[Any], verdict: Verdict) -> tuple[Verdict, set[bytes]]:
    if not verdict.facts:
        return verdict, set()
    try:
        with connection.begin_nested():
            [final], new = _claimed([verdict], set(group.record(connection, verdict.facts)))
    except Exception as error:
        if classify(error) is not Failure.POISON:
            raise
        return replace(verdict, facts=(), outcome=Outcome.DEAD_LETTER, error=error), set()
    return final, new


def _moves(
    group: str, verdicts: Sequence[Verdict], positions: Positions, limit: int
) -> dict[tuple[str, Partition], Position]:
    reached: dict[tuple[str, Partition], tuple[int, int]] = {}
    for verdict in verdicts:
        record, key = verdict.record, (group, verdict.record.source)
        _, in_a_row = reached.get(key) or (0, positions[key].dead_letters_in_a_row)
        if verdict.error is not None:
            in_a_row += 1
        elif verdict.facts:  # an ignored message proves nothing: most types are, whatever state the reading is in
            in_a_row = 0
        if in_a_row > limit and verdict.error is not None:
            raise too_many(group, record, in_a_row - 1, verdict.error)
        reached[key] = record.next_offset, in_a_row
    return {
        key: replace(positions[key], next_offset=next_offset, dead_letters_in_a_row=in_a_row)
        for key, (next_offset, in_a_row) in reached.items()
    }
