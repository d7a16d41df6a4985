"""`entitle orgs`: which customer each org is, in the database itself. An edge: the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import click

from entitlements.api.orgs import OrgName, listed, put, remove
from entitlements.api.requests import read_id
from entitlements.api.responses import Problem
from entitlements.api.snapshots import CannotDecide, CatalogMemory, Snapshot
from entitlements.api.tokens import UnclearScope
from ops import settings
from ops.catalog_commands import who
from ops.database import engine
from ops.inspect_commands import OPERATOR
from ops.settings import BadSetting, Environment

INTEGRATION = click.option("--integration", help="Needed where the catalog has several integrations.")


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help='{"orgs": [{"org": …, "customer": …, "from": …}]}')
@click.pass_context
def orgs(context: click.Context, *, as_json: bool) -> None:
    """
    List the orgs, those of the catalog first, or set one, or remove it.

    Example: entitle orgs --json
    """
    if context.invoked_subcommand is not None:
        return
    with settings_as_they_are() as snapshot:
        found = listed(snapshot)
    if as_json:
        click.echo(json.dumps({"orgs": found}))
        return
    if not found:
        click.echo("no org is set, nor in the catalog")
    for each in found:
        since = f", {each['set_at']} by {each['set_by']}" if "set_at" in each else ""
        click.echo(
            f"{each['org']:24} {each['customer']:24} {each.get('integration', '(any)'):12} {each['from']}{since}"
        )


@orgs.command("set")
@click.argument("org")
@click.argument("customer")
@INTEGRATION
def set_org(org: str, customer: str, integration: str | None) -> None:
    """
    Let ORG be the Stripe customer CUSTOMER from now on, for every question, whatever moment it is about.

    Example: entitle orgs set initech cus_123
    """
    with settings_as_they_are() as snapshot:
        put(snapshot, OPERATOR, _name(org, integration), read_id(customer, "CUSTOMER"), who())
    click.echo(f"{org} is {customer} now")


@orgs.command("remove")
@click.argument("org")
@INTEGRATION
def remove_org(org: str, integration: str | None) -> None:
    """
    Let ORG be nobody from now on.

    Example: entitle orgs remove initech
    """
    with settings_as_they_are() as snapshot:
        remove(snapshot, OPERATOR, _name(org, integration), who())
    click.echo(f"{org} is nobody now")


def _name(org: str, integration: str | None) -> OrgName:
    return OrgName(org=read_id(org, "ORG"), integration=integration)


@contextmanager
def settings_as_they_are() -> Iterator[Snapshot]:
    """The database as it is now, in a transaction that is committed where nothing goes wrong."""
    environment = Environment()
    database = engine(
        settings.database_url(environment),
        settings.schema(environment),
        settings_schema=settings.settings_schema(environment),
    )
    try:
        with database.begin() as connection:
            yield Snapshot(connection=connection, now=datetime.now(UTC), catalogs=CatalogMemory())
    except (Problem, UnclearScope, CannotDecide) as error:
        raise BadSetting(str(error)) from error
