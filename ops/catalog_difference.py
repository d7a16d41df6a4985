"""
`entitle catalog diff`: what an apply would change, and for whom, before it does. An edge: the command line.

It asks the database alone, so it goes by the revisions and the facts that the consumers have recorded.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group
from rich.progress import track
from sqlalchemy.exc import DBAPIError

from entitlements.api.answers import rfc3339
from entitlements.api.snapshots import reading
from entitlements.domain.catalog import Revision
from entitlements.domain.difference_of_catalogs import CatalogDifference, catalogs_compared
from entitlements.domain.difference_totals import Totals
from entitlements.domain.wording import moment
from ops import catalog_file, difference_document, difference_excerpt, difference_shown
from ops.catalog_commands import Moment, who
from ops.comparing import Compared, Proposal, customers_compared, proposed
from ops.database import complaint
from ops.difference_excerpt import Excerpt
from ops.explain_commands import console
from ops.inspect_commands import database


@click.command("diff")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--from", "in_force_from", type=Moment(), help="As `apply --from`: in force from then on; default now.")
@click.option("--json", "as_json", is_flag=True, help='{"revision": …, "catalog": …, "customers": […], "counts": {…}}')
def catalog_diff(path: Path, in_force_from: datetime | None, as_json: bool) -> None:
    """
    Say what applying a catalog would change, and for whom: what opens and closes, from when to when, and by which
    invoices; which billed lines have another plan; what the next cycles will be under. Nothing is published.

    Exit code 0: nothing changes for any customer; 1: something does; 2: it could not be found out.

    Example: entitle catalog diff catalog.yaml --from 2026-02-01T00:00:00Z
    """
    file, now = catalog_file.load(path), datetime.now(UTC)
    try:
        on = reading(database())
        proposal = proposed(on, file, applied_by=who(), in_force_from=in_force_from, at=now)
        newest = proposal.before.newest
        documents = catalogs_compared(newest.catalog if newest else None, file.catalog)
        tell = _tell_programs if as_json else _tell_people
        counts = tell(path, proposal, documents, customers_compared(on, proposal, now), now)
    except DBAPIError as error:
        click.echo(f"entitle: {complaint(error)}", err=True)
        sys.exit(2)
    sys.exit(1 if counts.differing or counts.lines or counts.ahead else 0)


def _tell_people(
    path: Path, proposal: Proposal, documents: CatalogDifference, customers: Iterable[Compared], now: datetime
) -> Totals:
    """Prints what is shown of it, the documents first, and returns the counts."""
    page = console()
    click.echo(_headline(path, proposal))
    counts, rows = Totals(), Excerpt()
    if proposal.following is None:
        return counts
    page.print(Group(*difference_shown.catalogs(documents)))
    stderr = Console(stderr=True)
    silent = not stderr.is_terminal
    for each in track(customers, "customers", console=stderr, total=None, transient=True, disable=silent):
        counts = counts.plus(each.difference, each.ahead, now)
        rows = rows.plus(each.name, each.difference.access, each.difference.lines)
    page.print(Group(*difference_shown.totals(counts), *difference_excerpt.shown(rows)))
    return counts


def _headline(path: Path, proposal: Proposal) -> str:
    if proposal.following is None:
        return f"{path} is the newest revision already; nothing would be published"
    since = proposal.following.in_force_from
    start = "the beginning of time" if since is None else moment(since)
    return f"{path} would be revision {proposal.following.number}, in force from {start}"


def _tell_programs(
    path: Path, proposal: Proposal, documents: CatalogDifference, customers: Iterable[Compared], now: datetime
) -> Totals:
    """Prints one JSON document, customer by customer as they come, and returns the counts."""
    head = {
        "path": str(path),
        "now": rfc3339(now),
        "newest": proposal.before.newest and proposal.before.newest.number,
        "revision": proposal.following and _revision(proposal.following),
        "catalog": difference_document.of_catalogs(documents),
    }
    click.echo(json.dumps(head).removesuffix("}") + ', "customers": [', nl=False)
    counts, separator = Totals(), "\n"
    for each in customers:
        counts = counts.plus(each.difference, each.ahead, now)
        if each.differs:
            found = difference_document.of_customer(each.name, each.difference, each.ahead)
            click.echo(f"{separator}{json.dumps(found)}", nl=False)
            separator = ",\n"
    click.echo(f'\n], "counts": {json.dumps(difference_document.of_totals(counts))}}}')
    return counts


def _revision(revision: Revision) -> dict[str, Any]:
    since = revision.in_force_from
    return {"number": revision.number, "in_force_from": None if since is None else rfc3339(since)}
