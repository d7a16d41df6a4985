"""
What is to be told of those whom changes concern: read, decided, and numbered where it is news. Edge: Postgres.

On a connection that is handed in, in its caller's transaction. Knows no Kafka. Long because whom a step is to look at,
what is said of them and how far that went are one decision about one transaction.
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
from entitlements.reading import Payment
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
        return feed.among(connection, upcoming)

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
    def together(self) -> tuple[tuple[CustomerName, ...], ...]:
        """
        All of them once, in the order in which they are looked at: what was paid first waits least. Those of one change
        are in one step: it is done with all of them or not at all, and would else begin with the same one again.
        """
        found, seen = [], set[CustomerName]()
        for names in (*(names for _, names in self.changes), *((name,) for name in (*self.walked, *self.renamed))):
            found.append(tuple(name for name in names if name not in seen))
            seen |= {*names}
        return tuple(names for names in found if names)


def _without_end() -> Callable[[], bool]:
    return lambda: True


def take_step(
    connection: Connection,
    catalogs: Catalogs,
    now: datetime,
    *,
    begin: Callable[[], Callable[[], bool]] = _without_end,
) -> Step:
    """
    Tell whom the next changes concern, and, where one concerns everyone, some of those who are left; also where time
    alone puts another catalog in force.

    A customer of whom nothing else is to be said than was told gets no new number, unless time alone changed an answer
    since: that is told once, with the number that follows. As the first customer's turn comes it calls *begin*, for
    every step finds out anew whom it is to look at, and asks what that gave before each change but the first and each
    customer whom none names: where it may not go on, who is left waits for the next step. A transaction is as long as
    its time and one change, however long what is to be said of a customer takes.
    """
    position = feed.position(connection)
    position, due = _due(connection, catalogs, position, now)
    together = due.together
    if not due.changes and not together and not position.is_walking:
        return Step(position=position, told=0, same=0, more=catalogs.is_walking)
    states, same, done = [], [], set[CustomerName]()
    for state, told in _states(connection, together, catalogs.revisions(connection), now, begin):
        name = CustomerName(integration=state.integration, customer=state.customer)
        done.add(name)
        boundary = next_boundary(state, state.as_of)
        if told is not None and not state.boundaries and is_told_already(told, state):
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
    is_cut_short = len(done) < sum(map(len, together))
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
    return position, _Due(changes=_concerned(connection, changes), walked=walked, renamed=renamed)


def _walked(position: FeedPosition, due: _Due, done: Collection[CustomerName]) -> FeedPosition:
    """How far everybody was looked at again, now that these are *done*."""
    if not position.is_walking or len(due.changes) == CHANGES_AT_ONCE:
        return position
    reached = tuple(takewhile(lambda name: name in done, due.walked))
    if len(due.walked) < WALKED_AT_ONCE and len(reached) == len(due.walked):
        return replace(position, is_walking=False, walked=None)
    return replace(position, walked=reached[-1]) if reached else position


def _concerned(connection: Connection, changes: Sequence[Waiting]) -> list[tuple[Waiting, list[CustomerName]]]:
    """Whom each concerns by name or by a payment; one that nothing links yet is found by the link's own change."""
    payments = {
        change: Payment(integration=change.integration, payment=change.payment)
        for change in changes
        if change.integration is not None and change.customer is None and change.payment is not None
    }
    whose, nobody = reading.customers_of_each(connection, frozenset(payments.values())), frozenset[str]()
    found = []
    for change in changes:
        named = nobody if change.customer is None else {change.customer}
        customers = whose.get(payments[change], nobody) if change in payments else named
        integration = change.integration
        names = [] if integration is None else [CustomerName(integration=integration, customer=c) for c in customers]
        found.append((change, sorted(names)))
    return found


def _states(
    connection: Connection,
    together: Sequence[Sequence[CustomerName]],
    revisions: Revisions,
    now: datetime,
    begin: Callable[[], Callable[[], bool]],
) -> Iterator[tuple[AccessChange, AccessChange | None]]:
    """
    What is to be said of each customer, still without a number of its own, and what was told before; for as long as the
    time allows that has begun with the first of them, and to the end of those who belong together.
    """
    whom = [name for names in together for name in names]
    firsts = {names[0] for names in together}
    orgs = orgs_of(connection, whom)
    in_force = revisions.in_force_at(now)
    fixed = {} if in_force is None else {name: org.customer for name, org in in_force.catalog.orgs.items()}
    may_go_on: Callable[[], bool] | None = None
    for name, facts, told in _read(connection, whom):
        if may_go_on is None:
            may_go_on = begin()
        elif name in firsts and not may_go_on():
            return
        as_of = now if told is None else max(now, told.as_of)  # the clock of a relay that was at work before this one
        access = access_from(as_of, facts, name.integration, revisions)
        by_catalog = {org for org, customer in fixed.items() if customer == name.customer}
        state = AccessChange(
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
        yield state, told


def _read(
    connection: Connection, whom: Sequence[CustomerName]
) -> Iterator[tuple[CustomerName, CustomerFacts, AccessChange | None]]:
    """Each customer's facts, and what was last told of it."""
    for at in range(0, len(whom), READ_AT_ONCE):
        some = whom[at : at + READ_AT_ONCE]
        facts, told = reading.facts_of_each(connection, some), feed.told(connection, some)
        yield from ((name, facts[name], told.get(name)) for name in some)
