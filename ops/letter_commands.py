"""
`entitle dead-letters`: what was set aside, read again or given up. An edge: the command line.

What is done about a letter is done in Postgres at once, and noted there with who did it; it is no message of the log.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any

import click
from sqlalchemy import Engine

from consumers.record import Record
from entitlements import letters
from entitlements.letters import Act, Letter, State, Which
from ops import letters_shown, settings
from ops.catalog_commands import who
from ops.explain_commands import console
from ops.inspect_commands import database
from ops.log_records import records_at
from ops.processes import group
from ops.redrive import Redrive
from ops.settings import BadSetting, Environment
from ops.whom import printable
from schemas.topics import CONSUMER_GROUPS

MOST_SHOWN = 50
TO_BE_SEEN_TO = frozenset({State.OPEN, State.DISCARDED})
"""What may be redriven where it is named by its id."""


@click.group("dead-letters")
def dead_letters() -> None:
    """See to the records that consumers have set aside."""


def _selection(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the arguments that say which letters are meant, and calls it with them as one `Which`."""

    @wraps(command)
    def called(ids: tuple[int, ...], group: str | None, because: str | None, **others: Any) -> None:
        if ids and (group or because):
            raise click.UsageError("Say which letters by their ids, or by --group and --because, not by both.")
        states = TO_BE_SEEN_TO if ids else frozenset({State.OPEN})
        command(which=Which(ids=ids, group=group, because=because, states=states), **others)

    options = (
        click.argument("ids", nargs=-1, type=int),
        click.option("--group", type=click.Choice(list(CONSUMER_GROUPS)), help="All open letters of this group."),
        click.option("--because", metavar="TEXT", help="All open letters whose reason has this text in it."),
    )
    for option in reversed(options):
        called = option(called)
    return called


@dead_letters.command("list")
@click.option("--group", type=click.Choice(list(CONSUMER_GROUPS)), help="Those of this group.")
@click.option("--because", metavar="TEXT", help="Those whose reason has this text in it.")
@click.option("--all", "all_states", is_flag=True, help="Also those that were read since, or discarded.")
@click.option(
    "--each", is_flag=True, help=f"One line for each letter, the first {MOST_SHOWN}, in place of one a reason."
)
@click.option(
    "--json", "as_json", is_flag=True, help='{"reasons": [{"group": …, "count": …}]}; --each: {"letters": […]}'
)
def list_letters(group: str | None, because: str | None, all_states: bool, each: bool, as_json: bool) -> None:
    """
    Say what was set aside and not seen to yet, by group and reason; exit 0 though there is none.

    Example: entitle dead-letters list --group grants
    """
    which = Which(group=group, because=because, states=frozenset(State if all_states else [State.OPEN]))
    with database().connect() as connection:
        summaries = letters.summaries(connection, which)
        found = letters.letters(connection, which, most=None if as_json else MOST_SHOWN) if each else ()
    count = sum(summary.count for summary in summaries)
    if as_json and each:
        click.echo(json.dumps({"letters": [letters_shown.letter(one) for one in found]}))
    elif as_json:
        click.echo(json.dumps({"reasons": [letters_shown.summary(one) for one in summaries]}))
    else:
        console().print(letters_shown.each_shown(found, count) if each else letters_shown.listed(summaries))


@dead_letters.command()
@click.argument("letter_id", metavar="ID", type=int)
@click.option("--json", "as_json", is_flag=True, help='{"id": …, "reason": …, "detail": …, "value": …, "done": […]}')
def show(letter_id: int, as_json: bool) -> None:
    """
    Show one letter whole: where its record lies, why it was set aside, what it holds, what was done about it.

    What it holds is a customer's: it goes to the terminal, and nowhere else.

    Example: entitle dead-letters show 17
    """
    with database().connect() as connection:
        (found, *_) = letters.letters(connection, Which(ids=(letter_id,), states=frozenset(State))) or (None,)
        content = None if found is None else letters.content(connection, found)
        if found is None or content is None:
            raise BadSetting(f"there is no dead letter {letter_id}; `entitle dead-letters list --all --each` has all")
        done = letters.done_about(connection, found)
    if as_json:
        click.echo(json.dumps(letters_shown.whole(found, content, done)))
    else:
        console().print(letters_shown.whole_shown(found, content, done))


@dead_letters.command()
@_selection
@click.option("--all", "everything", is_flag=True, help="All open letters.")
@click.option("--dry-run", is_flag=True, help="Do it, say what came of it, and take it back.")
@click.option(
    "--json", "as_json", is_flag=True, help='{"redriven": [{"id": …, "came_to": …, "reason": …}], "dry_run": …}'
)
def redrive(which: Which, everything: bool, dry_run: bool, as_json: bool) -> None:
    """
    Read letters again, by this version, in the group that has set them aside; exit 1 if some can't be read yet.

    Each is recorded as if it had never been set aside, with its facts, or stays a letter, with today's reason.

    Example: entitle dead-letters redrive --because "has no period" --dry-run
    """
    engine = database()
    chosen = _choose(engine, which, everything)
    redriving = Redrive(
        database=engine,
        groups={name: group(name) for name in CONSUMER_GROUPS},
        read_again=_read_again,
        by=who(),
        states=which.states,
        dry_run=dry_run,
    )
    done = list(redriving.of(chosen))
    if as_json:
        click.echo(json.dumps({"redriven": [letters_shown.redriven(each) for each in done], "dry_run": dry_run}))
    else:
        console().print(letters_shown.redriven_shown(done, passed_over=len(chosen) - len(done), dry_run=dry_run))
    sys.exit(1 if any(each.reason is not None for each in done) else 0)


@dead_letters.command()
@_selection
@click.option("--all", "everything", is_flag=True, help="All open letters.")
@click.option("--reason", required=True, callback=printable(1000), help="Why, for the record.")
@click.option("--json", "as_json", is_flag=True, help='{"discarded": [id, …]}')
def discard(which: Which, everything: bool, reason: str, as_json: bool) -> None:
    """
    Give letters up, and keep who did so, when and why. They stay in the table, and can still be redriven by their ids.

    Example: entitle dead-letters discard 17 18 --reason "a load test wrote into the topic"
    """
    engine = database()
    chosen = _choose(engine, replace(which, states=frozenset({State.OPEN})), everything)
    with engine.begin() as connection:
        gone = letters.locked(connection, chosen, {State.OPEN})
        letters.note(connection, Act.DISCARDED, [(letter, None, reason) for letter in gone], by=who())
        letters.count_in_a_row(connection, gone)
    if as_json:
        click.echo(json.dumps({"discarded": [letter.id for letter in gone]}))
    else:
        click.echo(f"{letters_shown.so_many(len(gone))} discarded: {reason}")


def _choose(engine: Engine, which: Which, everything: bool) -> tuple[Letter, ...]:
    """The letters that are meant. Raises for a selection of nothing in particular, and for ids that can't be meant."""
    if not (which.ids or which.group or which.because or everything):
        raise click.UsageError("Say which letters: by their ids, by --group, by --because, or --all.")
    with engine.connect() as connection:
        found = letters.letters(connection, which)
        if missing := sorted(set(which.ids) - {letter.id for letter in found}):
            known = letters.letters(connection, Which(ids=tuple(missing), states=frozenset(State)))
            states = {letter.id: letter.state.value for letter in known}
            told = ", ".join(f"{each} ({states.get(each, 'no such letter')})" for each in missing)
            raise BadSetting(f"nothing was done, since these are not open: {told}")
    return found


def _read_again(empty: Collection[Letter]) -> Mapping[int, Record]:
    """From Kafka, what its client could not read when they were set aside."""
    source = settings.kafka(Environment())
    found = records_at(source, [(letter.topic, letter.partition, letter.offset) for letter in empty])
    by_place = {(letter.topic, letter.partition, letter.offset): letter.id for letter in empty}
    return {by_place[place]: record for place, record in found.items()}
