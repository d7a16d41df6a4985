"""
Every customer under the revisions as they are, and with one more behind them. An edge: Postgres.

A batch of customers is read in a transaction of its own, so none is held open for long: what is found of one customer
is of one moment, and of two customers perhaps of two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from entitlements.api.snapshots import asking
from entitlements.domain.access import Scope, invoices_of, standing_with
from entitlements.domain.catalog import Revision, Revisions
from entitlements.domain.difference import Difference, compared
from entitlements.domain.difference_ahead import NextTerms, next_terms
from entitlements.domain.difference_sources import Side, sold_by
from entitlements.domain.facts import CatalogRevision, CustomerFacts
from entitlements.everyone import CustomerName, customers_behind
from entitlements.reading import catalog_revisions_in, facts_of_each
from entitlements.store import as_revisions
from ops.catalog_file import CatalogFile
from ops.operator_log import succeeding
from ops.settings import BadSetting

AT_ONCE = 50
"""Customers whose facts are in memory together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The revisions *before* and *after* one more, *following*; None where nothing would be published."""

    before: Revisions
    after: Revisions
    following: Revision | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What would be otherwise for one customer, and (*ahead*) for the cycles that follow on its present ones."""

    name: CustomerName
    difference: Difference
    ahead: tuple[NextTerms, ...]

    @property
    def differs(self) -> bool:
        return bool(self.difference.access or self.difference.lines or self.ahead)


def proposed(
    on: Engine, file: CatalogFile, *, applied_by: str, in_force_from: datetime | None, at: datetime
) -> Proposal:
    """
    What `catalog apply` would publish behind the revisions that the `grants` consumer has recorded.

    Raises `BadSetting` where this version can't read one of those.
    """
    with asking(on) as connection:
        recorded = catalog_revisions_in(connection)
    return proposed_behind(recorded, file, applied_by=applied_by, in_force_from=in_force_from, at=at)


def proposed_behind(
    recorded: Sequence[CatalogRevision],
    file: CatalogFile,
    *,
    applied_by: str,
    in_force_from: datetime | None,
    at: datetime,
) -> Proposal:
    """The same behind revisions that are known already, by number."""
    try:
        before = as_revisions(recorded)
    except ValueError as error:
        raise BadSetting(f"this version can't read what was applied: {error}") from error
    newest = recorded[-1] if recorded else None
    applied = succeeding(newest, file.document, applied_by=applied_by, in_force_from=in_force_from, at=at)
    if applied is None:
        return Proposal(before=before, after=before, following=None)
    following = Revision(number=applied.number, in_force_from=applied.in_force_from, catalog=file.catalog)
    return Proposal(before=before, after=Revisions(revisions=(*before.revisions, following)), following=following)


def customers_compared(
    on: Engine, proposal: Proposal, now: datetime, *, open_since: datetime | None = None
) -> Iterator[Compared]:
    """
    Every customer or, with *open_since*, each to whom anything may be open then or later; one at a time, in order.
    Nobody where nothing would be published.
    """
    last: CustomerName | None = None
    while proposal.following is not None:
        with asking(on) as connection:
            names = customers_behind(connection, last, most=AT_ONCE, open_since=open_since)
            known = facts_of_each(connection, names)
        if not names:
            return
        sold = {integration: _sold(integration, proposal) for integration in {name.integration for name in names}}
        for name in names:
            yield _compared(name, known[name], proposal, sold[name.integration], now)
        last = names[-1]


Sold = Mapping[str, frozenset[str]]
"""The APIs that each marketplace sells, as `sold_by` gives it."""


def _sold(integration: str, proposal: Proposal) -> tuple[Sold, Sold]:
    return sold_by(integration, proposal.before), sold_by(integration, proposal.after)


def _compared(
    name: CustomerName, facts: CustomerFacts, proposal: Proposal, sold: tuple[Sold, Sold], now: datetime
) -> Compared:
    scope = Scope(integration=name.integration)
    invoices = invoices_of(facts)
    before = Side(standing=standing_with(invoices, facts, scope, proposal.before), sold=sold[0])
    after = Side(standing=standing_with(invoices, facts, scope, proposal.after), sold=sold[1])
    return Compared(
        name=name,
        difference=compared(before, after),
        ahead=next_terms(before.standing, name.integration, now, proposal.before, proposal.after),
    )
