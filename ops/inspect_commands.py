"""`entitle check` and `entitle progress`: what is recorded, asked of the database itself. An edge: the command line."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

import click
from sqlalchemy import Engine

from entitlements.api import answers
from entitlements.api.answering import decided
from entitlements.api.operations import progress_in
from entitlements.api.snapshots import CannotDecide, CatalogMemory, Snapshot
from entitlements.api.subjects import Subject, SubjectType
from entitlements.api.tokens import Token, UnclearScope
from entitlements.incomplete import MOST_COUNTED
from ops import settings
from ops.catalog_commands import Moment
from ops.database import engine
from ops.settings import BadSetting, Environment

OPERATOR = Token(value="operator", marketplace=None)
"""Whoever can reach the database may ask about everything in it."""


@click.command()
@click.option("--customer", required=True, help="Stripe's customer, cus_…")
@click.option("--api", required=True, help="The API, as the catalog names it.")
@click.option("--marketplace", help="The marketplace; needed where the catalog has several integrations.")
@click.option("--at", type=Moment(), help="The moment asked about; default now.")
@click.option("--json", "as_json", is_flag=True, help="The answer as AuthZEN gives it.")
def check(customer: str, api: str, marketplace: str | None, at: datetime | None, as_json: bool) -> None:
    """
    Say whether a customer may call an API, as a gateway would be told; exit 1 if not.

    Example: entitle check --customer cus_123 --api orders --at 2026-02-01T00:00:00Z
    """
    subject = Subject(type=SubjectType.CUSTOMER, id=customer, marketplace=marketplace)
    with database().connect() as connection:
        snapshot = Snapshot(connection=connection, now=datetime.now(UTC), catalogs=CatalogMemory())
        try:
            decision = decided(snapshot, OPERATOR, subject, api, at).decision
        except (UnclearScope, CannotDecide) as error:
            raise BadSetting(str(error)) from error
    if as_json:
        click.echo(json.dumps(answers.evaluation(decision)))
    else:
        until = f" until {answers.rfc3339(decision.until)}" if decision.until else ""
        invoice = f", invoice {decision.invoice}" if decision.invoice else ""
        click.echo(f"{'allow' if decision.allowed else 'deny'}: {decision.reason}{until}{invoice}")
    sys.exit(0 if decision.allowed else 1)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As GET /v1/progress gives it.")
def progress(as_json: bool) -> None:
    """
    Say how far each consumer group is: the next offset of every partition it reads; and what is incomplete.

    Example: entitle progress --json
    """
    with database().connect() as connection:
        found = progress_in(connection)
    if as_json:
        click.echo(json.dumps(found))
        return
    for name, places in found["groups"].items():
        click.echo(name if places else f"{name}: has not begun")
        for place, offset in sorted(places.items()):
            click.echo(f"  {place:40} {offset:>12,}")
    if count := found["incomplete"]["invoices"]:
        many = " or more" if count == MOST_COUNTED else ""
        click.echo(f"{count:,}{many} invoices lack lines that Stripe has: run `entitle complete`")


def database() -> Engine:
    """The database that the settings name."""
    environment = Environment()
    return engine(
        settings.database_url(environment),
        settings.schema(environment),
        settings_schema=settings.settings_schema(environment),
    )
