"""
`entitle rebuild --diff`: what a swap would change, for whom, and by which facts. An edge: the command line.

It writes nothing. Exit code 0: nobody's access differs; 1: somebody's does; 2: it could not be found out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.progress import track
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from entitlements.api.answers import rfc3339
from entitlements.domain.brake import Brake
from entitlements.domain.difference_totals import Totals
from entitlements.everyone import CustomerName
from ops import difference_excerpt, rebuild_difference_document, rebuild_difference_shown
from ops.brake import Weighed
from ops.database import complaint
from ops.difference_excerpt import Excerpt
from ops.explain_commands import console
from ops.rebuild_difference import Agreed, SideBySide, side_by_side, with_everybody
from ops.rebuild_difference_shown import MOST_FACTS, Why
from ops.rebuild_place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The schemas *before* and *after*, *now*, and of whom it is told: *customer*, or everybody where that is None."""

    before: str
    after: str
    now: datetime
    customer: str | None
    brake: Brake


def tell(there: Place, agreed: Agreed, customer: str | None, *, is_back: bool, as_json: bool) -> int:
    """Print what a swap would change, or a swap back if it *is_back*, and return the exit code."""
    asked = Compared(
        before=there.names.live,
        after=there.names.before if is_back else there.names.rebuild,
        now=datetime.now(UTC),
        customer=customer,
        brake=agreed.brake,
    )
    database = there.database(there.names.live)
    try:
        return compare(database, asked, as_json=as_json)
    finally:
        database.dispose()


def news_of(there: Place, coming: str, agreed: Agreed, *, command: str) -> frozenset[CustomerName]:
    """
    Whose access changes when the schema *coming* serves, which *command* does.

    Raises `Braked` where that closes access for more than was agreed to.
    """
    database = there.database(there.names.live)
    try:
        return agreed.news(database, there.names.live, coming, datetime.now(UTC), command=command)
    finally:
        database.dispose()


def compare(on: Engine, asked: Compared, *, as_json: bool) -> int:
    """Print the difference, and return the exit code."""
    try:
        with side_by_side(on, asked.before, asked.after) as both:
            counts = (_tell_programs if as_json else _tell_people)(both, asked)
    except DBAPIError as error:
        click.echo(f"entitle: {complaint(error)}", err=True)
        return 2
    return 1 if counts.differing else 0


def _tell_people(both: SideBySide, asked: Compared) -> Totals:
    page, names = console(), both.names(asked.customer)
    counts, weighed, rows, why = Totals(), Weighed(), Excerpt(), Why()
    stderr = Console(stderr=True)
    for each in track(
        both.compared(names), "customers", len(names), console=stderr, transient=True, disable=not stderr.is_terminal
    ):
        counts = counts.plus(each.difference, (), asked.now)
        weighed = weighed.plus(each.name, each.difference, (), asked.now)
        rows = rows.plus(each.name, each.difference.access, each.difference.lines)
        why = why.plus(each)
    swap: list[RenderableType] = []
    if asked.customer is None:
        weighed = with_everybody(weighed, both, asked.now, asked.brake)
        swap += rebuild_difference_shown.swap(weighed, asked.brake)
    click.echo(f"{asked.before}, which serves, beside {asked.after}, which was rebuilt")
    page.print(
        Group(
            *rebuild_difference_shown.how_far(both.leads, why.between),
            *([] if asked.customer else rebuild_difference_shown.facts(both.differing)),
            *rebuild_difference_shown.access(counts, both.count_customers()),
            *swap,
            *difference_excerpt.shown(rows),
            *rebuild_difference_shown.why(why, None if asked.customer else MOST_FACTS),
        )
    )
    return counts


def _tell_programs(both: SideBySide, asked: Compared) -> Totals:
    """One JSON document, customer by customer as they come."""
    head = {
        "before": asked.before,
        "after": asked.after,
        "now": rfc3339(asked.now),
        "next_offsets": rebuild_difference_document.of_leads(both.leads),
        "facts": rebuild_difference_document.of_facts(both.differing),
    }
    click.echo(json.dumps(head).removesuffix("}") + ', "customers": [', nl=False)
    counts, weighed, separator = Totals(), Weighed(), "\n"
    for each in both.compared(both.names(asked.customer)):
        counts = counts.plus(each.difference, (), asked.now)
        weighed = weighed.plus(each.name, each.difference, (), asked.now)
        click.echo(f"{separator}{json.dumps(rebuild_difference_document.of_customer(each))}", nl=False)
        separator = ",\n"
    tail: dict[str, Any] = {"counts": rebuild_difference_document.of_counts(counts, both.count_customers())}
    if asked.customer is None:
        weighed = with_everybody(weighed, both, asked.now, asked.brake)
        tail["brake"] = rebuild_difference_document.of_weighed(weighed, asked.brake)
    click.echo("\n], " + json.dumps(tail).removeprefix("{"))
    return counts
