"""
Whom an operator's act is about and what it may open, by the newest catalog that was published. An edge: the command
line's options, and Postgres for orgs alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from typing import Any

import click

from entitlements.api import orgs
from entitlements.api.orgs import OrgName
from entitlements.api.responses import Problem
from entitlements.api.snapshots import CannotDecide, CatalogMemory, Snapshot
from entitlements.api.tokens import UnclearScope
from entitlements.domain.catalog import Catalog
from entitlements.domain.facts import CatalogRevision, Fact
from entitlements.domain.wording import listed
from entitlements.store import as_revisions, one_of_each_number
from ops.inspect_commands import OPERATOR, database
from ops.settings import BadSetting

LONGEST_NAME = 255
"""Characters of a name or an id, as the query side takes them."""

Check = Callable[[click.Context, click.Parameter, Any], Any]


def printable(longest: int) -> Check:
    """For an option: each of its values must be a text of 1 to *longest* printable characters, not all blank."""

    def check(_context: click.Context, _parameter: click.Parameter, value: Any) -> Any:
        for each in value if isinstance(value, tuple) else (value,):
            if each is not None and not (each.strip() and each.isprintable() and len(each) <= longest):
                raise click.BadParameter(f"must be a text of 1 to {longest} printable characters")
        return value

    return check


NAME = printable(LONGEST_NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whom:
    """Whom an act is about, as an operator says it: a customer or an org, of an integration or a marketplace."""

    customer: str | None
    org: str | None
    integration: str | None
    marketplace: str | None

    def __post_init__(self) -> None:
        if (self.customer is None) == (self.org is None):
            raise click.UsageError("Say whom it is about, with one of --customer and --org.")
        if None not in (self.integration, self.marketplace):
            raise click.UsageError("Say where, with one of --integration and --marketplace.")


def about_whom(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that say whom it is about, and calls it with them as one `Whom`."""

    @wraps(command)
    def called(
        customer: str | None, org: str | None, integration: str | None, marketplace: str | None, **others: Any
    ) -> None:
        command(whom=Whom(customer=customer, org=org, integration=integration, marketplace=marketplace), **others)

    options = (
        click.option("--customer", callback=NAME, help="Stripe's customer, cus_…"),
        click.option("--org", callback=NAME, help="The consumer organisation, in its place."),
        click.option("--integration", callback=NAME, help="Needed where the catalog has several integrations."),
        click.option("--marketplace", callback=NAME, help="In its place: a marketplace of it."),
    )
    for option in reversed(options):
        called = option(called)
    return called


def newest_catalog(published: Iterable[Fact]) -> Catalog:
    """The catalog of the highest number, in force or not yet. Raises `BadSetting` where none was ever applied."""
    newest = as_revisions(one_of_each_number(each for each in published if isinstance(each, CatalogRevision))).newest
    if newest is None:
        raise BadSetting("no catalog has been applied yet: run `entitle catalog apply`")
    return newest.catalog


def integration_of(whom: Whom, catalog: Catalog) -> str:
    """The integration that is meant; the only one, where nothing is said. Raises `BadSetting`."""
    if whom.marketplace is not None:
        if whom.marketplace not in catalog.marketplaces:
            raise BadSetting(f"there is no marketplace {whom.marketplace}, only {_names(catalog.marketplaces)}")
        return catalog.marketplaces[whom.marketplace].integration
    if whom.integration is None and len(catalog.integrations) > 1:
        raise BadSetting(
            f"the catalog has the integrations {_names(catalog.integrations)}: say which with --integration, or by a "
            "--marketplace"
        )
    if whom.integration is not None and whom.integration not in catalog.integrations:
        raise BadSetting(f"there is no integration {whom.integration}, only {_names(catalog.integrations)}")
    return whom.integration or next(iter(catalog.integrations))


def customer_of(whom: Whom, integration: str) -> str:
    """The customer; an org is whom the query side takes it for. Raises `BadSetting` for one that is nobody."""
    if whom.org is None:
        return str(whom.customer)
    name = OrgName(org=whom.org, integration=integration)
    with database().connect() as connection:
        snapshot = Snapshot(connection=connection, now=datetime.now(UTC), catalogs=CatalogMemory())
        try:
            return str(orgs.get(snapshot, OPERATOR, name)["customer"])
        except (Problem, UnclearScope, CannotDecide) as error:
            raise BadSetting(str(error)) from error


def apis_opened(
    catalog: Catalog, integration: str, marketplace: str | None, *, plan: str | None, apis: Collection[str]
) -> tuple[str, ...]:
    """
    What a grant of *plan* or, where that is None, of *apis* opens by this catalog, in order of name.

    Raises `BadSetting` for a plan or an API that is not sold there: its text names those that are.
    """
    where = f"integration {integration}" if marketplace is None else f"marketplace {marketplace}"
    sold = {
        name: each
        for name, each in catalog.plans.items()
        if each.integration == integration and marketplace in (None, each.marketplace)
    }
    if plan is not None:
        if plan not in sold:
            raise BadSetting(f"{where} has no plan {plan}; its plans are {_names(sold)}")
        return tuple(sorted(sold[plan].apis))
    known = frozenset[str]().union(*(each.apis for each in sold.values()))
    if unknown := sorted(set(apis) - known):
        raise BadSetting(f"no plan of {where} opens {listed(unknown, 'or')}; its APIs are {_names(known)}")
    return tuple(sorted(set(apis)))


def _names(names: Collection[str]) -> str:
    return listed(sorted(names), "and") or "none"
