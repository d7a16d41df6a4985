"""
The program itself, put through a delivery: its codec, its deciders, its transactions, on a real PostgreSQL. An edge.

Long because a delivery, its crashes and what became of it are followed in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from consumers import grants, invoices, revocations
from consumers.batch import Recorder, take
from consumers.record import Partition, Record
from consumers.verdicts import Group, Positions
from entitlements import ledger, reading, store
from entitlements.domain.access import Scope, apis_of, decide, standing
from entitlements.domain.catalog import Revisions
from entitlements.domain.decision import Decision
from entitlements.domain.facts import Fact
from entitlements.ledger import Fenced, Position
from ops.database import migrate
from schemas.codec import CatalogApplied, Message, decode, encode_catalog, encode_stripe
from schemas.operator_acts import (
    AccessGranted,
    AccessRevoked,
    CustomerBlocked,
    CustomerUnblocked,
    Encoded,
    OperatorAct,
    encode_act,
)
from schemas.topics import CONSUMER_GROUPS, EVENTS, OPERATOR_COMMANDS
from tests.histories.deliveries import Delivery, Step
from tests.histories.model import Customer, History
from tests.histories.rendering import document_of

INTEGRATION, ELSEWHERE = "main", "elsewhere"
"""The integration that is asked about, and another one, which has the same ids."""

SCHEMA = "histories"
NOW = datetime(2030, 1, 1, tzinfo=UTC)
"""When the questions are asked: after all that happens."""

DECIDERS: Mapping[str, Callable[[Message], Sequence[Fact]]] = {
    "grants": grants.decide,
    "revocations": revocations.decide,
    "invoices": invoices.decide,
}
BESIDE_FACTS = ("provenance", "dead_letters", "changes", "consumer_offsets")
EVERYTHING = 1_000_000


class Crash(Exception):
    """The process is gone, in the middle of a transaction."""


Recording = Callable[[sa.Connection, Sequence[Fact]], Collection[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The consumers on a connection; *decide* and *record* are what a planted mistake replaces."""

    connection: sa.Connection
    decide: Mapping[str, Callable[[Message], Sequence[Fact]]]
    record: Recording

    def deliver(self, history: History, delivery: Delivery) -> None:
        """From an empty database, all of a delivery; then every group is where the log ends."""
        self._forget()
        log = _log(history, delivery)
        first = _starts(log)
        with self.connection.begin():
            ledger.begin(self.connection, [*first.values()])
        held: Positions = first
        for step in delivery.steps:
            try:
                held = self._step(log, step, first if step.stale else held)
            except (Crash, Fenced):
                held = self._positions()
            if step.stale:
                held = self._positions()
        self._step(log, Step(groups=tuple(CONSUMER_GROUPS), size=EVERYTHING), held)

    def tables(self) -> str:
        """All facts: every column of every row of their tables, as one JSON text."""
        with self.connection.begin():
            return str(self.connection.exec_driver_sql(_TABLES).scalar_one())

    def astray(self, delivery: Delivery) -> list[str]:
        """What of a delivery is not accounted for, each record once in each group that reads it; no dead letters."""
        length = {EVENTS: sum(len(each) for each in delivery.events), OPERATOR_COMMANDS: len(delivery.messages)}
        wanted = {group: sum(length[topic] for topic in topics) for group, topics in CONSUMER_GROUPS.items()}
        with self.connection.begin():
            found = self.connection.exec_driver_sql(_ACCOUNTS).mappings().one()
        accounts = {f"records of {group}": number for group, number in wanted.items()}
        accounts |= {f"next offsets of {group}": number for group, number in wanted.items()}
        accounts["dead letters"] = 0
        return [f"{what}: {found[what]}, not {number}" for what, number in accounts.items() if found[what] != number]

    def revisions(self) -> Revisions:
        """The catalog revisions that were read."""
        with self.connection.begin():
            return store.as_revisions(reading.catalog_revisions_in(self.connection))

    def answers(self, customer: str, questions: Sequence[tuple[str, int]], revisions: Revisions) -> list[Decision]:
        """The decision for each API and moment."""
        with self.connection.begin():
            facts = reading.facts_of(self.connection, integration=INTEGRATION, customer=customer)
        scope = Scope(integration=INTEGRATION)
        stands = standing(facts, scope, revisions)
        known = apis_of(stands, scope, revisions, NOW)
        return [decide(stands, api, _moment(at), known_apis=known) for api, at in questions]

    def _step(self, log: Mapping[Partition, Sequence[Record]], step: Step, held: Positions) -> Positions:
        groups = [
            Group(name=name, topics=CONSUMER_GROUPS[name], decide=self.decide[name], record=self.record)
            for name in step.groups
        ]
        ours = {key: position for key, position in held.items() if key[0] in step.groups}
        records = [record for of in log for record in _next(log[of], [p for k, p in ours.items() if k[1] == of], step)]
        with self._dying_before(step.crash):
            recorder = Recorder(transaction=self._transaction, decode=decode, groups=groups, limit=0)
            taken = take(recorder, records, ours)
        return {**held, **taken.positions}

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        with self.connection.begin():
            yield self.connection

    @contextmanager
    def _dying_before(self, statement: int | None) -> Iterator[None]:
        """Ends in a `Crash` before the statement of that number or, if there are fewer, before the commit."""
        if statement is None:
            yield
            return
        left = statement

        def count_down(*_: object) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Crash

        def commit(*_: object) -> None:
            raise Crash

        listeners = {"before_cursor_execute": count_down, "commit": commit}
        for name, listener in listeners.items():
            sa.event.listen(self.connection, name, listener)
        try:
            yield
        finally:
            for name, listener in listeners.items():
                sa.event.remove(self.connection, name, listener)

    def _positions(self) -> Positions:
        with self.connection.begin():
            found = ledger.positions(self.connection)
        return {(each.group, (each.topic, each.partition)): each for each in found}

    def _forget(self) -> None:
        with self.connection.begin():
            self.connection.exec_driver_sql(_FORGET)


def _next(records: Sequence[Record], positions: Sequence[Position], step: Step) -> Sequence[Record]:
    first = min((position.next_offset for position in positions), default=len(records))
    return records[first : first + step.size]


def _log(history: History, delivery: Delivery) -> dict[Partition, list[Record]]:
    log: dict[Partition, list[Record]] = {}
    for partition, events in enumerate(delivery.events):
        encoded = [encode_stripe(integration=sent.integration, event=sent.event) for sent in events]
        log[EVENTS, partition] = [_record(EVENTS, partition, *each) for each in enumerate(encoded)]
    messages = messages_of(history)
    said = [messages[number] for number in delivery.messages]
    log[OPERATOR_COMMANDS, 0] = [_record(OPERATOR_COMMANDS, 0, *each) for each in enumerate(said)]
    return log


def _record(topic: str, partition: int, offset: int, encoded: Encoded) -> Record:
    key, value, headers = encoded
    return Record(
        topic=topic, partition=partition, offset=offset, timestamp=-1, key=key, value=value, headers=tuple(headers)
    )


def messages_of(history: History) -> list[Encoded]:
    """What operators say: each catalog revision, then what they do for each customer."""
    catalogs = [
        encode_catalog(
            CatalogApplied(
                number=catalog.number,
                in_force_from=None if catalog.since is None else _moment(catalog.since),
                applied_by="an operator",
                document=document_of(catalog),
            ),
            at=NOW,
        )
        for catalog in history.catalogs
    ]
    return catalogs + [encode_act(act) for customer in history.customers for act in _acts(customer)]


def _acts(customer: Customer) -> Iterator[OperatorAct]:
    for kind, acts in (
        (AccessGranted, customer.manual_grants),
        (AccessRevoked, customer.manual_revocations),
        (CustomerBlocked, customer.blocks),
        (CustomerUnblocked, customer.unblocks),
    ):
        for act in acts:
            said = {name: getattr(act, name) for name in type(act).__slots__}
            times = {
                name: _moment(said[name]) for name in ("start", "end", "since", "at") if said.get(name) is not None
            }
            said |= {"integration": INTEGRATION, "customer": customer.id, "by": "an operator", "reason": "a reason"}
            yield kind(**(said | times))


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _starts(log: Mapping[Partition, Sequence[Record]]) -> dict[tuple[str, Partition], Position]:
    return {
        (group, (topic, partition)): Position(
            group=group, topic=topic, partition=partition, next_offset=0, cluster_id="c", topic_id="t"
        )
        for group, topics in CONSUMER_GROUPS.items()
        for topic, partition in log
        if topic in topics
    }


_FACTS = tuple(table.name for table in store.TABLE_OF.values())
_ROWS = ", ".join(f"'{name}', (SELECT json_agg(t ORDER BY digest) FROM {name} t)" for name in _FACTS)  # noqa: S608
_TABLES = f"SELECT json_build_object({_ROWS})::text"
_OF_GROUP = """,
    (SELECT count(*) FROM provenance WHERE consumer_group = '{0}') AS "records of {0}",
    (SELECT sum(next_offset) FROM consumer_offsets WHERE consumer_group = '{0}')::integer AS "next offsets of {0}"
"""
_ACCOUNTS = 'SELECT (SELECT count(*) FROM dead_letters) AS "dead letters"' + "".join(  # noqa: S608
    map(_OF_GROUP.format, CONSUMER_GROUPS)
)
_FORGET = "; ".join(f"DELETE FROM {name}" for name in (*_FACTS, *BESIDE_FACTS))  # noqa: S608


@contextmanager
def programs(url: str) -> Iterator[Program]:
    """The program on an empty database that nobody else uses, migrated."""
    address = sa.make_url(url).set(drivername="postgresql+psycopg2")
    options = f"-csearch_path={SCHEMA} -ctimezone=UTC -csynchronous_commit=off"
    engine = sa.create_engine(address, connect_args={"options": options}, hide_parameters=True)
    migrate(engine, SCHEMA)
    with engine.connect() as connection:
        yield Program(connection=connection, decide=DECIDERS, record=store.record)
    engine.dispose()
