"""
What serves and what was rebuilt, customer by customer, before they are exchanged. An edge: Postgres.

Both schemas are read as of one moment, in one transaction that writes nothing. SQL finds whose facts differ at all;
those alone are read and decided, each side by its own catalog revisions. Terms and decisions are this version's on both
sides, so it is facts that make the difference. What is *before* serves and what is *after* would take its place: what
would close is `closed`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, Engine

from entitlements import differing
from entitlements.api.snapshots import asking, reading
from entitlements.differing import Differing, Lead, at_ease, look_at
from entitlements.domain.access import Scope, standing
from entitlements.domain.brake import Brake, may_be_open_since
from entitlements.domain.catalog import Revisions
from entitlements.domain.difference import Difference, compared
from entitlements.domain.difference_of_facts import FactChange, facts_compared
from entitlements.domain.difference_sources import Side, sold_by
from entitlements.domain.facts import CustomerFacts
from entitlements.everyone import CustomerName, count_open_since, customers_behind
from entitlements.reading import catalog_revisions_in, facts_of_each
from entitlements.store import as_revisions
from ops.brake import Counted, Weighed, hold
from ops.comparing import AT_ONCE, Sold
from ops.settings import BadSetting


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """
    One customer whose *facts* differ, and the *difference* that makes, possibly none.

    *is_between* says that one side has read records about it that the other has yet to read: wait, and look again.
    """

    name: CustomerName
    difference: Difference
    facts: tuple[FactChange, ...]
    is_between: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBySide:
    """
    The schemas *before* and *after* at one moment, and for as long as the *connection*'s transaction lasts: how far
    each is, its catalogs (*terms*), whose facts differ, and whom records concern that one side has read (*between*).
    """

    connection: Connection
    before: str
    after: str
    leads: tuple[Lead, ...]
    terms: tuple[Revisions, Revisions]
    differing: Differing
    between: frozenset[CustomerName]

    def names(self, customer: str | None = None) -> tuple[CustomerName, ...]:
        """Whose facts differ, in order; everybody, where the catalogs do; of these *customer* alone, if not None."""
        found = self.differing.names
        if self.differing.everyone:
            found = frozenset(differing.everyone_in(self.connection, (self.before, self.after)))
        return tuple(sorted(each for each in found if customer in (None, each.customer)))

    def compared(self, names: tuple[CustomerName, ...]) -> Iterator[Found]:
        """Each of *names*, a few read at a time."""
        sold: dict[str, tuple[Sold, Sold]] = {}
        for first in range(0, len(names), AT_ONCE):
            some = names[first : first + AT_ONCE]
            known = []
            for schema in (self.before, self.after):
                look_at(self.connection, schema)
                known.append(facts_of_each(self.connection, some))
            for name in some:
                if name.integration not in sold:
                    one, other = (sold_by(name.integration, terms) for terms in self.terms)
                    sold[name.integration] = one, other
                yield self._found(name, (known[0][name], known[1][name]), sold[name.integration])

    def _found(self, name: CustomerName, facts: tuple[CustomerFacts, CustomerFacts], sold: tuple[Sold, Sold]) -> Found:
        scope = Scope(integration=name.integration)
        one, other = (
            Side(standing=standing(known, scope, terms), sold=its)
            for known, terms, its in zip(facts, self.terms, sold, strict=True)
        )
        return Found(
            name=name,
            difference=compared(one, other),
            facts=facts_compared(*facts, integration=name.integration, customer=name.customer),
            is_between=name in self.between,
        )

    def count_customers(self) -> int:
        """How many customers Stripe has named, on the side that has more."""
        return differing.count_customers(self.connection, (self.before, self.after))

    def most_open(self, now: datetime) -> int:
        """To so many customers anything may be open before, now or later; fewer have it, where lines are of no plan."""
        look_at(self.connection, self.before)
        return count_open_since(self.connection, may_be_open_since(self.terms[0], now))

    def count_open(self, now: datetime, *, enough: int | None) -> int:
        """To how many customers anything is open before, now or later; counting ends where there are *enough*."""
        terms, count, last = self.terms[0], 0, None
        since = may_be_open_since(terms, now)
        look_at(self.connection, self.before)
        while enough is None or count < enough:
            names = customers_behind(self.connection, last, most=AT_ONCE, open_since=since)
            if not names:
                break
            for name, known in facts_of_each(self.connection, names).items():
                count += has_anything(known, name.integration, terms, now)
            last = names[-1]
        return count


def has_anything(facts: CustomerFacts, integration: str, terms: Revisions, now: datetime) -> bool:
    """Whether any API is open to the customer *now* or later."""
    there = standing(facts, Scope(integration=integration), terms)
    opened = [*(span.period for span in there.billed.spans), *(each.period for each in there.manual)]
    return any(left.end > now for period in opened if period.end > now for left in period.without(there.blocked))


@contextmanager
def side_by_side(on: Engine, before: str, after: str) -> Iterator[SideBySide]:
    """
    Both schemas as they are at one moment, in a transaction of its own.

    Raises `BadSetting` where one of them is not there, or has a catalog revision that this version can't read.
    """
    with asking(reading(on)) as connection:
        for schema in (before, after):
            if not differing.is_there(connection, schema):
                raise BadSetting(f"there is no schema {schema} to compare: `entitle rebuild` makes one")
        yield looked_at(connection, before, after)


def looked_at(connection: Connection, before: str, after: str) -> SideBySide:
    """The same on a connection that is handed in; its transaction then sees one of the two, and has no timeout."""
    at_ease(connection)
    terms = []
    for schema in (before, after):
        look_at(connection, schema)
        try:
            terms.append(as_revisions(catalog_revisions_in(connection)))
        except ValueError as error:
            raise BadSetting(f"this version can't read what was applied: {error}") from error
    return SideBySide(
        connection=connection,
        before=before,
        after=after,
        leads=differing.leads(connection, before, after),
        terms=(terms[0], terms[1]),
        differing=differing.differing(connection, before, after),
        between=differing.read_between(connection, before, after),
    )


def differing_customers(both: SideBySide) -> frozenset[CustomerName]:
    """Whose access differs, in the past or in the future, in what or how."""
    return frozenset(found.name for found in both.compared(both.names()) if found.difference.access)


def with_everybody(found: Weighed, both: SideBySide, now: datetime, brake: Brake) -> Weighed:
    """
    What was *found* of those who differ, with all others who have anything open: counted no further than it takes to
    know whether the brake asks, since to count all of many customers takes minutes.
    """
    most, enough = both.most_open(now), brake.enough(found.closing)
    if brake.asks(closing=found.closing, of=most, yes_close=None):
        return replace(found, open=most, counted=Counted.AT_MOST)
    count = both.count_open(now, enough=enough)
    is_all = enough is None or count < enough
    return replace(found, open=max(found.open, count), counted=Counted.ALL if is_all else Counted.AT_LEAST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """Under which *brake* schemas change places, and to how many closings somebody has said *yes_close*."""

    brake: Brake
    yes_close: int | None

    def news(self, on: Engine, before: str, after: str, now: datetime, *, command: str) -> frozenset[CustomerName]:
        """
        Whose access differs once *after* takes the place of *before*, which *command* does.

        Raises `Braked` where that closes access for more than was agreed to.
        """
        found, differ = Weighed(), set()
        with side_by_side(on, before, after) as both:
            for each in both.compared(both.names()):
                found = found.plus(each.name, each.difference, (), now)
                if each.difference.access:
                    differ.add(each.name)
            if self.brake.asks(closing=found.closing, of=found.closing, yes_close=self.yes_close):
                found = with_everybody(found, both, now, self.brake)
        tells_all = f"{command} --diff"
        hold(found, self.brake, self.yes_close, what="Nothing is swapped", command=command, tells_all=tells_all)
        return frozenset(differ)
