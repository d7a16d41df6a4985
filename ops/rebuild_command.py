"""
`entitle rebuild`: the log from its beginning into a schema beside the live one, and the two exchanged. An edge: the
command line.

Without a flag it builds and follows; each flag is another thing to do with what was built. What is done is in
`rebuild.py` (building), `rebuild_difference_told.py` (comparing), `rebuild_swap.py` (exchanging) and
`entitlements/beside.py` (what there is). Long because a command with so many ways has so many ends.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import click
from sqlalchemy import Connection

from consumers.extent import Extent
from consumers.record import Partition
from entitlements import beside
from entitlements.beside import Schema
from entitlements.everyone import CustomerName
from ops import rebuild_shown, settings
from ops.explain_commands import console
from ops.processes import spare_the_collector
from ops.rebuild import Building, Leaving, read_part
from ops.rebuild_difference import Agreed
from ops.rebuild_difference_told import news_of, tell
from ops.rebuild_place import (
    BEGIN_ANEW,
    CannotRebuild,
    Place,
    begun_by_this_version,
    checked,
    lags,
    place,
    reading_into,
)
from ops.rebuild_seat import seated
from ops.rebuild_shown import Standing
from ops.rebuild_swap import Swapping
from ops.settings import Environment

WAYS = ("status", "swap", "swap_back", "discard", "drop")

LOW_PRIORITY = 10
"""Of processes that read: who answers questions on the same machine comes first."""

NEAR = 10_000
"""Records that a rebuild may be behind to be swapped: they are read first, which should be a moment."""

SWAPPED_OUT = "schema that was swapped out"
DROP_IT = "swap back with the version whose they are, or drop it with `entitle rebuild --drop`"
BEGIN_WITH_ANOTHER = (
    "drop what was built with `entitle rebuild --discard`, then begin anew with a version that can read them"
)
SWAP_BACK_WITH_ANOTHER = (
    "swap back with a version that can read them, or drop what was swapped out with `entitle rebuild --drop`"
)


@click.command()
@click.option("--status", is_flag=True, help="Say what there is: the rebuild, how far it is, what was swapped out.")
@click.option("--swap", is_flag=True, help="Put the rebuild in the place of what serves, which is kept.")
@click.option("--swap-back", is_flag=True, help="Exchange what serves and what was swapped out; again: forth.")
@click.option("--discard", is_flag=True, help="Drop the rebuild.")
@click.option("--drop", is_flag=True, help="Drop what was swapped out.")
@click.option("--diff", is_flag=True, help="Only say what --swap, or --swap-back where that is said too, would change.")
@click.option("--customer", help="With --diff: of this customer alone, with all facts behind it.")
@click.option("--yes-close", type=click.IntRange(min=0), metavar="N", help="So many customers may lose access.")
@click.option("--processes", type=click.IntRange(1, 64), help="How many read side by side; default: one a core.")
@click.option("--no-follow", is_flag=True, help="End once caught up with the log.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="What was done, for programs; with --yes.")
@click.option("--part", hidden=True, help="What one of several processes reads.")
def rebuild(
    diff: bool,
    customer: str | None,
    yes_close: int | None,
    processes: int | None,
    no_follow: bool,
    yes: bool,
    as_json: bool,
    part: str | None,
    **ways: bool,
) -> None:
    """
    Read the whole log again, by this version, into a schema beside the live one, which serves on; then follow it.

    What was built serves nobody until --swap. Interrupted or killed, it goes on where it was. What is swapped out is
    kept, caught up and exchanged again by --swap-back, until --drop.

    --diff says whose access a swap would change, how, and by which facts: exit code 0 nobody's, 1 somebody's, 2 it
    could not be found out. A swap that would close access for more than a share of the customers (ENTITLE_BRAKE_SHARE)
    swaps nothing, says so with exit code 3, and asks for --yes-close with their number.

    Example: entitle rebuild --processes 2
    """
    way = _way([name for name in WAYS if ways[name]], diff=diff, one=customer is not None, unasked=as_json and not yes)
    there, agreed = place(Environment()), Agreed(brake=settings.brake(Environment()), yes_close=yes_close)
    if diff:
        sys.exit(tell(there, agreed, customer, is_back=way == "swap_back", as_json=as_json))
    if part is not None:
        _read_part(there, part)
        return
    with _reading_into(there, there.names.before if way == "swap_back" else there.names.rebuild):
        document, told = _done(there, way, agreed, processes or os.cpu_count() or 1, not no_follow, yes, as_json)
    if as_json:
        click.echo(json.dumps(document))
    else:
        console().print(told, soft_wrap=False, highlight=False)


def _done(
    there: Place, way: str, agreed: Agreed, processes: int, follows: bool, yes: bool, as_json: bool
) -> tuple[dict[str, Any], str]:
    """Do it; what was done, for programs and for people."""
    ask, say = _asking(yes), _say(as_json)
    match way:
        case "build":
            return _build(there, processes, follows=follows, say=say)
        case "status":
            standing = _standing(there)
            return rebuild_shown.document(standing), rebuild_shown.shown(standing)
        case "swap":
            return _swap(there, agreed, ask, say)
        case "swap_back":
            return _swap_back(there, processes, agreed, ask, say)
        case _:
            return _drop(there, way, ask)


def _way(asked: list[str], *, diff: bool, one: bool, unasked: bool) -> str:
    """What is to be done; *one* customer is named, and nobody may be *unasked* where something is put elsewhere."""
    if len(asked) > 1:
        raise click.UsageError(f"Say one of {', '.join('--' + name.replace('_', '-') for name in asked)}.")
    way = asked[0] if asked else "build"
    if (one and not diff) or (diff and way not in ("build", "swap", "swap_back")):
        raise click.UsageError("--customer goes with --diff, and --diff with --swap or --swap-back at most.")
    if unasked and not diff and way not in ("build", "status"):
        raise click.UsageError("With --json nobody can be asked: say --yes.")
    return way


def _build(there: Place, processes: int, *, follows: bool, say: Callable[[str], None]) -> tuple[dict[str, Any], str]:
    schema = there.names.rebuild
    with seated(there, wait=False) as seat:
        building = Building(place=there, schema=schema, seat=seat, processes=processes, say=say)
        is_new = building.begin()
        begins = "a new rebuild" if is_new else "going on with the rebuild"
        say(f"{begins} in schema {schema}; {there.names.live} serves on")
        if missing := rebuild_shown.gone(there.extents()):
            say(missing)
        left: str | None = None
        records, seconds = 0, 0.0
        try:
            records, seconds = building.catch_up()
            say(rebuild_shown.caught_up(records, seconds))
            if follows:
                say("following; Ctrl-C ends this, `entitle rebuild` goes on. " + rebuild_shown.NEXT)
                left = building.follow()
        except Leaving:
            left = "somebody else has it now, to swap or to drop it"
        except KeyboardInterrupt:
            say("interrupted; `entitle rebuild` goes on where it was")
            raise
    document = {"schema": schema, "records": records, "seconds": round(seconds, 3), "left": left}
    return document, f"Ended: {left}." if left else f"The rebuild is in schema {schema}. {rebuild_shown.NEXT}"


def _swap(
    there: Place, agreed: Agreed, ask: Callable[[str], None], say: Callable[[str], None]
) -> tuple[dict[str, Any], str]:
    standing = _standing(there)
    _may_be_swapped(standing)
    if standing.before is not None:
        say(rebuild_shown.drops(standing.before))
    ask(f"Swap the rebuild ({standing.rebuild_behind:,} records behind) in for {there.names.live}?")
    with seated(there, wait=True) as seat:
        _may_be_swapped(_standing(there))
        building = Building(place=there, schema=there.names.rebuild, seat=seat, processes=1, say=say)
        news = _caught_up_with_news(building, agreed, say, command="entitle rebuild --swap")
        swapped = Swapping(place=there, coming=there.names.rebuild, news=news, say=say).swap()
    return rebuild_shown.swapped_document(swapped, there.names), rebuild_shown.swapped(swapped, there.names)


def _caught_up_with_news(
    building: Building, agreed: Agreed, say: Callable[[str], None], *, command: str
) -> frozenset[CustomerName]:
    """
    Whose access changes with what is built, which is caught up with the log before the look, and after it once more: a
    look takes minutes where many differ, and what came meanwhile nobody is to wait for. Raises `Braked`.
    """
    try:
        building.catch_up()
        news = news_of(building.place, building.schema, agreed, command=command)
        records, _ = building.catch_up()
    except Leaving as error:
        raise CannotRebuild(
            "another `entitle rebuild` waits to swap or to drop what is built, and has it now (or PostgreSQL has ended "
            "this one's session). This one has changed nothing; `entitle rebuild --status` says what there is."
        ) from error
    if records:
        say(f"read {records:,} more records, which came meanwhile")
    return news


def _may_be_swapped(standing: Standing) -> None:
    """Raises `CannotRebuild` for what is not there, not of this version, not finished or far behind."""
    begun_by_this_version(checked(standing.rebuild, "rebuild; `entitle rebuild` begins one", cure=BEGIN_ANEW))
    if standing.is_unfinished or standing.rebuild_behind > NEAR:
        raise CannotRebuild(
            f"the rebuild is not finished: {standing.rebuild_behind:,} records are left to read"
            f"{', and it is to be completed' if standing.is_unfinished else ''}; `entitle rebuild` goes on with it"
        )


def _swap_back(
    there: Place, processes: int, agreed: Agreed, ask: Callable[[str], None], say: Callable[[str], None]
) -> tuple[dict[str, Any], str]:
    standing = _standing(there)
    checked(standing.before, SWAPPED_OUT, cure=DROP_IT)
    ask(f"Exchange {there.names.live} and what was swapped out ({standing.before_behind:,} records behind)?")
    with seated(there, wait=True) as seat:
        checked(_standing(there).before, SWAPPED_OUT, cure=DROP_IT)
        back = Building(place=there, schema=there.names.before, seat=seat, processes=processes, say=say)
        news = _caught_up_with_news(back, agreed, say, command="entitle rebuild --swap-back")
        swapped = Swapping(place=there, coming=there.names.before, news=news, say=say).swap()
    return rebuild_shown.swapped_document(swapped, there.names), rebuild_shown.swapped(swapped, there.names)


def _drop(there: Place, way: str, ask: Callable[[str], None]) -> tuple[dict[str, Any], str]:
    name, what = (there.names.rebuild, "rebuild") if way == "discard" else (there.names.before, SWAPPED_OUT)
    gone = [name] if way == "discard" else [name, there.names.older]

    def found(connection: Connection) -> list[str]:
        return [each for each in gone if beside.find(connection, each) is not None]

    database = there.database(there.names.live)
    try:
        with database.connect() as connection:
            if not found(connection):
                raise CannotRebuild(f"there is no {what}")
        ask(f"Drop the {what}, {name}, and all in it?")
        with seated(there, wait=True), database.begin() as connection:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            dropped = found(connection)
            for each in dropped:
                beside.drop(connection, each)
    finally:
        database.dispose()
    return {"dropped": dropped}, f"Dropped {' and '.join(dropped) or 'nothing'}; {there.names.live} serves on."


def _standing(there: Place) -> Standing:
    database = there.database(there.names.live)
    extents = there.extents()
    try:
        with database.connect() as connection:
            found = {
                name: beside.find(connection, name)
                for name in (there.names.live, there.names.rebuild, there.names.before)
            }
            behind = {
                name: sum(lags(there, there.positions(connection, name), extents).values())
                if schema is not None and schema.step is not None
                else sum(extent.end - extent.beginning for extent in extents.values())
                for name, schema in found.items()
            }
            rebuilt = found[there.names.rebuild]
            unfinished = rebuilt is not None and not _is_whole(there, connection, rebuilt, extents)
    finally:
        database.dispose()
    return Standing(
        names=there.names,
        live=found[there.names.live],
        live_behind=behind[there.names.live],
        rebuild=rebuilt,
        rebuild_behind=behind[there.names.rebuild],
        is_unfinished=unfinished,
        before=found[there.names.before],
        before_behind=behind[there.names.before],
    )


def _is_whole(there: Place, connection: Connection, rebuilt: Schema, extents: Mapping[Partition, Extent]) -> bool:
    """Whether every group has begun in every partition, and all indexes are there: those are made at the end."""
    if rebuilt.step is None or beside.lookups_missing(connection, rebuilt.name):
        return False
    begun = {(row.group, (row.topic, row.partition)) for row in there.positions(connection, rebuilt.name)}
    return all((each.name, one) in begun for each in there.groups for one in extents if one[0] in each.topics)


def _read_part(there: Place, part: str) -> None:
    spare_the_collector()
    os.nice(LOW_PRIORITY)
    wanted = json.loads(part)
    schema, ends = wanted["schema"], {(topic, number): end for topic, number, end in wanted["ends"]}
    with _reading_into(there, schema):
        read_part(there, schema, ends)


def _reading_into(there: Place, schema: str) -> AbstractContextManager[None]:
    cure = SWAP_BACK_WITH_ANOTHER if schema == there.names.before else BEGIN_WITH_ANOTHER
    return reading_into(schema, there.names.live, cure=cure)


def _asking(yes: bool) -> Callable[[str], None]:
    def ask(question: str) -> None:
        if not yes:
            click.confirm(question, abort=True, err=True)

    return ask


def _say(as_json: bool) -> Callable[[str], None]:
    def say(line: str) -> None:
        if not as_json:
            click.echo(line, err=True)

    return say
