"""
`entitle catalog apply`: the next revision published, unless it would close access for many. An edge: the command line.

A first catalog closes nothing, nor does the newest again: there the database is not asked, so that an installation can
be set up before it has one. What would close is worked out from the facts that the consumers have recorded, under the
revisions that the operators' topic has.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from entitlements.api.snapshots import asking, reading
from entitlements.domain.brake import may_be_open_since
from entitlements.domain.difference_of_names import names_lost
from entitlements.domain.difference_of_routes import routes_lost
from entitlements.domain.facts import CatalogRevision
from entitlements.orgs import settings_in
from ops import brake, catalog_file, settings
from ops.brake import Weighed
from ops.catalog_commands import Moment, who
from ops.catalog_file import CatalogFile
from ops.comparing import Proposal, customers_compared, proposed_behind
from ops.database import complaint
from ops.far_enough import left_to_read
from ops.inspect_commands import database
from ops.operator_log import LogUnavailable, publish_catalog, published_revisions, succeeding
from ops.settings import BadSetting, Environment


@click.command("apply")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--from", "in_force_from", type=Moment(), help="In force from this moment on; default now.")
@click.option("--yes-close", type=click.IntRange(min=0), metavar="N", help="So many customers may lose access.")
@click.option("--yes-unseen", is_flag=True, help="Do not look whom it closes access for.")
def catalog_apply(path: Path, in_force_from: datetime | None, yes_close: int | None, yes_unseen: bool) -> None:
    """
    Publish a catalog as the next revision, in force from now on or, to correct a mistake, from an earlier moment.

    Where that would close access for more than a share of the customers (ENTITLE_BRAKE_SHARE), now, later or at their
    next cycle, or because they are no longer found by an org's name, it publishes nothing, says so with exit code 3,
    and asks for --yes-close with their number. Where the database is away, or the consumers have not read the log, it
    cannot say, and asks for --yes-unseen. Routes that are taken away are named, and not counted.

    Example: entitle catalog apply catalog.yaml --from 2026-02-01T00:00:00Z
    """
    environment = Environment()
    source, its_brake = settings.kafka(environment), settings.brake(environment)
    file = catalog_file.load(path)
    before = published_revisions(source)
    newest = before[-1] if before else None
    following = succeeding(newest, file.document, applied_by=who(), in_force_from=in_force_from, at=datetime.now(UTC))
    uncounted: str | None = None
    if following is not None and newest is not None and not yes_unseen:
        what, command = f"{path} is not applied", _command(path, in_force_from)
        try:
            on = database()
            if left := left_to_read(source, on):
                raise brake.cannot_tell(left, what=what, command=command)
            weighed, uncounted = _weighed(on, before, file, in_force_from)
        except DBAPIError as error:
            raise brake.cannot_tell(complaint(error), what=what, command=command) from error
        except BadSetting as error:
            raise brake.cannot_tell(str(error), what=what, command=command) from error
        tells_all = command.replace(" apply ", " diff ", 1)
        brake.hold(weighed, its_brake, yes_close, what=what, command=command, tells_all=tells_all, uncounted=uncounted)
        if published_revisions(source) != before:
            raise LogUnavailable("another catalog was applied meanwhile: see what it says, and apply this one again")
    published = publish_catalog(
        source, file.document, applied_by=who(), in_force_from=in_force_from, at=datetime.now(UTC)
    )
    if published is None:
        click.echo(f"{path} is the newest revision already; nothing was published")
        return
    if uncounted:
        click.echo(uncounted, err=True)
    since = published.in_force_from or "the beginning of time"
    click.echo(f"{path} is revision {published.number}, in force from {since}")


def _command(path: Path, in_force_from: datetime | None) -> str:
    since = "" if in_force_from is None else f" --from {in_force_from:%Y-%m-%dT%H:%M:%SZ}"
    return f"entitle catalog apply {shlex.quote(str(path))}{since}"


def _weighed(
    database: Engine, before: Sequence[CatalogRevision], file: CatalogFile, in_force_from: datetime | None
) -> tuple[Weighed, str | None]:
    """
    Everybody to whom anything may be open, under the revisions as they are and with this one behind them; and what
    can't be counted of it.
    """
    at, on = datetime.now(UTC), reading(database)
    proposal = proposed_behind(before, file, applied_by=who(), in_force_from=in_force_from, at=at)
    lost, uncounted = _lost(on, proposal, at)
    customers = customers_compared(on, proposal, at, open_since=may_be_open_since(proposal.before, at))
    console = Console(stderr=True)
    found = Weighed()
    for each in track(
        customers, "whom it closes", console=console, total=None, transient=True, disable=not sys.stderr.isatty()
    ):
        names = lost.get((each.name.integration, each.name.customer), ())
        found = found.plus(each.name, each.difference, each.ahead, at, names)
    return found, uncounted


def _lost(on: Engine, proposal: Proposal, at: datetime) -> tuple[Mapping[tuple[str, str], tuple[str, ...]], str | None]:
    """Who is no longer found by which names, and which routes are gone, once the proposal is in force."""
    following = proposal.following
    then = at if following is None or following.in_force_from is None else max(at, following.in_force_from)
    before, after = (each.in_force_at(then) for each in (proposal.before, proposal.after))
    if before is None or after is None:
        return {}, None
    with asking(on) as connection:
        settings_of = {(each.integration, each.org): each.customer for each in settings_in(connection)}
    lost = names_lost(before.catalog, after.catalog, settings_of)
    return lost, brake.routes_uncounted(routes_lost(before.catalog, after.catalog))
