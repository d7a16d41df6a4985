"""
`entitle explain` and `entitle event`: why a decision is as it is, what became of an event. An edge: the command line.

Both ask the database itself, about one moment of it.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console

from entitlements import evidence
from entitlements.api import explain as explaining
from entitlements.api import explain_then
from entitlements.api.authzen import Evaluation
from entitlements.api.requests import read_id
from entitlements.api.responses import Problem
from entitlements.api.snapshots import CannotDecide, CatalogMemory, Snapshot, asking, reading
from entitlements.api.subjects import Subject, SubjectType
from entitlements.api.tokens import UnclearScope
from entitlements.ledger import positions
from entitlements.reading import facts_with
from ops import explained, explained_then, traced
from ops.catalog_commands import Moment
from ops.inspect_commands import OPERATOR, database
from ops.settings import BadSetting

WIDTH = 100
"""Columns of what is shown, on a terminal that is not narrower."""


@click.command()
@click.option("--customer", help="Stripe's customer, cus_…")
@click.option("--org", help="The consumer organisation, in its place.")
@click.option("--api", required=True, help="The API, as the catalog names it.")
@click.option("--at", type=Moment(), help="The moment asked about; default now.")
@click.option("--marketplace", help="The marketplace; needed where the catalog has several integrations.")
@click.option("--known-at", type=Moment(), help="As the log stood at that moment, beside what is known now.")
@click.option("--json", "as_json", is_flag=True, help="As GET /v1/explain gives it.")
def explain(
    customer: str | None,
    org: str | None,
    api: str,
    at: datetime | None,
    marketplace: str | None,
    known_at: datetime | None,
    as_json: bool,
) -> None:
    """
    Say whether a consumer may call an API, why, from which events, and what would change it.

    With --known-at: what was answered then, on what evidence, and what was learnt since. The moment asked about is that
    one too, where --at says no other. What counts is when the log had an event, not when a consumer had read it.

    Example: entitle explain --customer cus_123 --api orders --at 2026-02-01T00:00:00Z
    """
    if (customer is None) == (org is None):
        raise click.UsageError("Say whom it is about, with one of --customer and --org.")
    kind = SubjectType.CUSTOMER if org is None else SubjectType.ORG
    with _snapshot() as snapshot:
        subject = Subject(type=kind, id=read_id(customer or org, f"--{kind}"), marketplace=marketplace)
        asked = Evaluation(subject=subject, api=read_id(api, "--api"), at=at)
        if known_at is None:
            found = explaining.answer(snapshot, OPERATOR, asked)
        else:
            found = explain_then.answer(snapshot, OPERATOR, asked, known_at)
    if as_json:
        click.echo(json.dumps(found))
    elif known_at is not None:
        console().print(explained_then.shown(found))
    else:
        console().print(explained.shown(found))


@click.command()
@click.argument("event")
@click.option("--integration", help="Look in this one only; default: all that the catalog ever named.")
@click.option("--json", "as_json", is_flag=True, help='{"event": …, "records": [{"topic": …, "groups": […], …}]}')
def event(event: str, integration: str | None, as_json: bool) -> None:
    """
    Say where an event, or an operator's message, is in the log, what each consumer group made of it, and which events
    say the same.

    Example: entitle event evt_123
    """
    with _snapshot() as snapshot:
        found = trace(snapshot, read_id(event, "EVENT"), integration)
    if as_json:
        click.echo(json.dumps(found))
    elif found["records"]:
        console().print(traced.shown(found))
    else:
        where = f"integration {integration}" if integration else "any integration of the catalog"
        click.echo(
            f"entitle: no consumer group has read {event} in {where}. Look in Stripe's dashboard how its delivery was "
            "answered: `published` names topic, partition and offset, and `entitle progress` says how far the groups "
            "are; `ignored` says why it is not in the log. A record that no code could read is in the table "
            "dead_letters, without the event's id.",
            err=True,
        )
    sys.exit(0 if found["records"] else 1)


def trace(snapshot: Snapshot, event: str, integration: str | None) -> dict[str, Any]:
    """Every record that carries an event of this id, as `traced.document` gives it. Raises `CannotDecide`."""
    revisions = snapshot.catalogs.revisions(snapshot.connection).revisions
    named = {name for revision in revisions for name in revision.catalog.integrations}
    records = evidence.of_event(snapshot.connection, event, integrations={integration} if integration else named)
    about: dict[str, set[str]] = defaultdict(set)
    for record in records:
        if record.integration is not None and record.about is not None:
            about[record.integration].add(record.about)
    neighbours = [
        neighbour
        for name, objects in about.items()
        for neighbour in evidence.about(snapshot.connection, integration=name, objects=objects)
    ]
    facts = facts_with(snapshot.connection, {digest for record in records for digest in record.facts})
    return traced.document(event, records, neighbours, facts, positions(snapshot.connection))


def console() -> Console:
    """The terminal, no wider than is easy to read; what is no terminal gets plain text of the full width."""
    terminal = Console(highlight=False)
    return Console(highlight=False, width=min(terminal.width, WIDTH) if terminal.is_terminal else WIDTH)


@contextmanager
def _snapshot() -> Iterator[Snapshot]:
    """The database as it is at one moment."""
    with asking(reading(database())) as connection:
        try:
            yield Snapshot(connection=connection, now=datetime.now(UTC), catalogs=CatalogMemory())
        except (Problem, UnclearScope, CannotDecide) as error:
            raise BadSetting(str(error)) from error
