"""
What is to be told of those whom changes concern: read, decided, and numbered where it is news. Edge: Postgres.

On a connection that is handed in, in its caller's transaction. Knows no Kafka.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import takewhile

import msgspec
from sqlalchemy import Connection

from entitlements import feed, reading
from entitlements.domain.boundaries import next_boundary, passed
from entitlements.domain.catalog import Revisions
from entitlements.domain.facts import CustomerFacts
from entitlements.domain.stretches import access_from, is_told_already
from entitlements.everyone import CustomerName
from entitlements.feed import FeedPosition, Waiting
from entitlements.orgs import orgs_of, settings_in
from entitlements.store import as_revisions
from schemas.access_change import AccessChange

CHANGES_AT_ONCE = 200
"""Changes that one transaction takes; all that wait and concern the same are one."""

WALKED_AT_ONCE = 50
"""Customers looked at again beside them, while a new catalog concerns everyone: what is paid meanwhile waits less."""

READ_AT_ONCE = 5
"""
Customers whose facts are read together. What is to be said of one with many years of invoices takes a good part of a
second, and PostgreSQL ends a session that asks it nothing in mid-transaction for long.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A transaction's work: where the relay is now, how many were *told* anew or *same*, and whether *more* waits."""

    position: FeedPosition
    told: int
    same: int
    more: bool


class Catalogs:
    """
    The catalog revisions as last read; read again when the table holds others. And who is left to be looked at again
    since another one came into force, by time alone: of what is told, only which orgs a customer is follows from that.
    """

    __slots__ = ("_held", "_in_force", "_left")

    def __init__(self) -> None:
        self._held: tuple[bytes, Revisions] = (b"", Revisions())
        self._in_force: int | None = None
        self._left: list[CustomerName] = []

    @property
    def is_walking(self) -> bool:
        """Whether some are left."""
        return bool(self._left)

    def renamed(self, connection: Connection, now: datetime, *, most: int) -> AbstractSet[CustomerName]:
        """
        The next of those in the feed who may be other orgs than before, at most so many.

        All whom any catalog names, when this is asked first: nobody knows what a relay before this one has seen.
        """
        revisions = self._held[1] if self._held[0] else self.revisions(connection)
        in_force = revisions.in_force_at(now)
        if in_force is not None and in_force.number != self._in_force:
            self._in_force = in_force.number
            self._left = sorted({*_named_by_catalogs(connection, revisions)})
        upcoming, self._left = self._left[:most], self._left[most:]
        return feed.told(connection, upcoming).keys()

    def put_back(self, names: Sequence[CustomerName]) -> None:
        """These were not looked at yet: they are the next."""
        self._left = [*names, *self._left]

    def revisions(self, connection: Connection) -> Revisions:
        """All revisions that *connection* shows. Raises `ValueError` for one that this version can't read."""
        digest = reading.catalogs_digest(connection)
        if digest != self._held[0]:
            self._held = (digest, as_revisions(reading.catalog_revisions_in(connection)))
        return self._held[1]


def _named_by_catalogs(connection: Connection, revisions: Revisions) -> Iterator[CustomerName]:
    """Who is an org in one of the catalogs, and to whom an operator gave a name that one of them fixes."""
    catalogs = [revision.catalog for revision in revisions.revisions]
    for catalog in catalogs:
        for integration in catalog.integrations:
            for org in catalog.orgs.values():
                yield CustomerName(integration=integration, customer=org.customer)
    fixed = frozenset(name for catalog in catalogs for name in catalog.orgs)
    for setting in settings_in(connection) if fixed else ():
        if setting.org in fixed:
            yield CustomerName(integration=setting.integration, customer=setting.customer)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Due:
    """Whom a step is to look at: whom each change concerns, who is next of everybody, who may be other orgs."""

    changes: Sequence[tuple[Waiting, Sequence[CustomerName]]]
    walked: Sequence[CustomerName]
    renamed: Sequence[CustomerName]

    @property
    def names(self) -> tuple[CustomerName, ...]:
        """All of them once, in the order in which they are looked at: what was paid first waits least."""
        concerned = (name for _, names in self.changes for name in names)
        return tuple(dict.fromkeys((*concerned, *self.walked, *self.renamed)))


def take_step(
    connection: Connection, catalogs: Catalogs, now: datetime, *, may_go_on: Callable[[], bool] = lambda: True
) -> Step:
    """
    Tell whom the next changes concern, and, where one concerns everyone, some of those who are left; also where time
    alone puts another catalog in force.

    A customer of whom nothing else is to be said than was told gets no new number, unless time alone changed an answer
    since: that is told once, with the number that follows. Before each customer but the first it asks *may_go_on*, and
    where it may not, who is left waits for the next step: a transaction is as long as its time, however long what is to
    be said of a customer takes.
    """
    position = feed.position(connection)
    position, due = _due(connection, catalogs, position, now)
    if not due.changes and not due.names and not position.is_walking:
        return Step(position=position, told=0, same=0, more=catalogs.is_walking)
    before = feed.told(connection, due.names)
    states, same, done = [], [], set[CustomerName]()
    for state in _states(connection, due.names, before, catalogs.revisions(connection), now, may_go_on):
        name = CustomerName(integration=state.integration, customer=state.customer)
        done.add(name)
        boundary = next_boundary(state, state.as_of)
        if name in before and not state.boundaries and is_told_already(before[name], state):
            same.append((name, boundary))
            continue
        position = replace(position, head=position.head + 1)
        states.append((msgspec.structs.replace(state, seq=position.head), boundary))
    feed.tell(connection, states, now=now)
    feed.await_boundaries(connection, same)
    feed.relayed(connection, [id_ for change, names in due.changes if done.issuperset(names) for id_ in change.ids])
    catalogs.put_back([name for name in due.renamed if name not in done])
    position = _walked(position, due, done)
    feed.move(connection, position)
    is_cut_short = len(done) < len(due.names)
    more = len(due.changes) == CHANGES_AT_ONCE or position.is_walking or catalogs.is_walking or is_cut_short
    return Step(position=position, told=len(states), same=len(same), more=more)


def _due(
    connection: Connection, catalogs: Catalogs, position: FeedPosition, now: datetime
) -> tuple[FeedPosition, _Due]:
    """Whom a step is to look at from *position* on, which begins with everybody where a change concerns everyone."""
    changes = feed.waiting(connection, most=CHANGES_AT_ONCE)
    if any(change.customer is None and change.payment is None for change in changes):
        position = replace(position, is_walking=True, walked=None)
    has_room, walked, renamed = len(changes) < CHANGES_AT_ONCE, tuple[CustomerName, ...](), tuple[CustomerName, ...]()
    if position.is_walking and has_room:
        walked = feed.names_behind(connection, position.walked, most=WALKED_AT_ONCE)
    if has_room:
        renamed = tuple(sorted(catalogs.renamed(connection, now, most=WALKED_AT_ONCE)))
    concerned = [(change, sorted(_concerned(connection, change))) for change in changes]
    return position, _Due(changes=concerned, walked=walked, renamed=renamed)


def _walked(position: FeedPosition, due: _Due, done: Collection[CustomerName]) -> FeedPosition:
    """How far everybody was looked at again, now that these are *done*."""
    if not position.is_walking or len(due.changes) == CHANGES_AT_ONCE:
        return position
    reached = tuple(takewhile(lambda name: name in done, due.walked))
    if len(due.walked) < WALKED_AT_ONCE and len(reached) == len(due.walked):
        return replace(position, is_walking=False, walked=None)
    return replace(position, walked=reached[-1]) if reached else position


def _concerned(connection: Connection, change: Waiting) -> Iterator[CustomerName]:
    """Whom a change concerns by name or by a payment; one that nothing links yet is found by the link's own change."""
    if change.integration is None:
        return
    if change.customer is not None:
        yield CustomerName(integration=change.integration, customer=change.customer)
    elif change.payment is not None:
        found = reading.customers_of(connection, integration=change.integration, payment=change.payment)
        yield from (CustomerName(integration=change.integration, customer=customer) for customer in found)


def _states(
    connection: Connection,
    whom: Sequence[CustomerName],
    before: dict[CustomerName, AccessChange],
    revisions: Revisions,
    now: datetime,
    may_go_on: Callable[[], bool],
) -> Iterator[AccessChange]:
    """What is to be said of each customer, still without a number of its own, for as long as it *may go on*."""
    orgs = orgs_of(connection, whom)
    in_force = revisions.in_force_at(now)
    fixed = {} if in_force is None else {name: org.customer for name, org in in_force.catalog.orgs.items()}
    for number, (name, facts) in enumerate(_facts_of(connection, whom)):
        if number and not may_go_on():
            return
        told = before.get(name)
        as_of = now if told is None else max(now, told.as_of)  # the clock of a relay that was at work before this one
        access = access_from(as_of, facts, name.integration, revisions)
        by_catalog = {org for org, customer in fixed.items() if customer == name.customer}
        yield AccessChange(
            seq=1,
            integration=name.integration,
            customer=name.customer,
            as_of=as_of,
            orgs=tuple(sorted(by_catalog | {org for of, org in orgs if of == name and org not in fixed})),
            catalog_revision=None if revisions.newest is None else revisions.newest.number,
            blocked=access.blocked,
            access=access.apis,
            boundaries=() if told is None else passed(told, as_of),
        )


def _facts_of(connection: Connection, names: Sequence[CustomerName]) -> Iterator[tuple[CustomerName, CustomerFacts]]:
    for at in range(0, len(names), READ_AT_ONCE):
        some = names[at : at + READ_AT_ONCE]
        found = reading.facts_of_each(connection, some)
        yield from ((name, found[name]) for name in some)
