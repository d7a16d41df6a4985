"""
`entitle replay`: a part of the log read again, by today's version. An edge: the command line.

What is asked for becomes spans of the log, which are said and written down before anything is read; from then on the
replay can be interrupted, killed and resumed. Long because what is asked for comes in six ways.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click
from sqlalchemy import Connection, Engine

from consumers.extent import check, ends_of, extents
from consumers.failures import AnotherLog, OffsetOutOfRange, TooManyDeadLetters
from consumers.log import Source
from consumers.record import Partition
from consumers.verdicts import Group
from entitlements import ledger, letters, replays
from entitlements.ledger import Position
from entitlements.letters import Which
from entitlements.replays import Overtaken, Replay, Span, Tally
from ops import replay_plan, replay_shown, settings
from ops.catalog_commands import Moment, who
from ops.explain_commands import console
from ops.how_far import how_far
from ops.inspect_commands import database
from ops.log_records import offsets_at
from ops.operator_log import LogUnavailable
from ops.processes import group as consumer_group
from ops.replay import Replaying, by_place
from ops.replay_plan import END, Plan, between, extents_read, offsets_asked, spans_of
from ops.replay_search import carries, names, recorded_of_customer, recorded_of_events, scanned
from ops.settings import BadSetting, Environment
from ops.whom import NAME
from schemas.topics import CONSUMER_GROUPS

LATEST = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an operator asks for; exactly one of the six ways is taken."""

    offsets: tuple[Span, ...]
    since: datetime | None
    until: datetime | None
    events: tuple[str, ...]
    customer: str | None
    everything: bool
    scan: bool

    def __post_init__(self) -> None:
        ways = (self.offsets, self.since or self.until, self.events, self.customer, self.everything)
        if sum(bool(way) for way in ways) != 1:
            raise click.UsageError(
                "Say what is to be read again, with one of --offsets, --since/--until, --event, --customer, --all."
            )

    @property
    def words(self) -> str:
        """The same, to be kept."""
        if self.offsets:
            ends = [(each, "" if each.end == END else each.end) for each in self.offsets]
            return " ".join(f"--offsets {each.topic}-{each.partition}:{each.start}-{end}" for each, end in ends)
        if self.events:
            return " ".join(f"--event {each}" for each in self.events)
        if self.customer:
            return f"--customer {self.customer}"
        bounds = {"--since": self.since, "--until": self.until}
        return " ".join(f"{name} {at.isoformat()}" for name, at in bounds.items() if at) or "--all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where it is done: the log, the database, the groups that read again and how far they are."""

    source: Source
    database: Engine
    schema: str
    groups: tuple[Group[Any], ...]
    positions: Mapping[tuple[str, Partition], Position]
    ends: Mapping[Partition, int]
    beginnings: Mapping[Partition, int]

    def plan(self, spans: Sequence[Span]) -> Plan:
        """What of *spans* can be read again. Raises `BadSetting` for a partition that these groups do not read."""
        known = extents_read(self.positions.values(), self.beginnings)
        try:
            return replay_plan.plan(spans, known, self.ends)
        except ValueError as error:
            raise BadSetting(str(error)) from error

    def everything(self) -> tuple[Span, ...]:
        """All of the log that these groups read."""
        return tuple(Span(topic=topic, partition=number, start=0, end=END) for topic, number in sorted(self.beginnings))

    def open_letters(self, connection: Connection, spans: Sequence[Span]) -> frozenset[int]:
        """The dead letters of these groups in *spans* that nobody has seen to, by id."""
        mine = {each.name for each in self.groups}
        return frozenset(
            letter.id
            for letter in letters.letters(connection, Which())
            if letter.group in mine
            and any(
                (span.topic, span.partition) == (letter.topic, letter.partition)
                and span.start <= letter.offset < span.end
                for span in spans
            )
        )


def _offsets(_context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]) -> tuple[Span, ...]:
    try:
        return tuple(offsets_asked(each) for each in value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@click.option(
    "--offsets", multiple=True, callback=_offsets, metavar="TOPIC-PARTITION:FROM-TO", help="FROM on, without TO."
)
@click.option("--since", type=Moment(), help="What Kafka had from this moment on, by its own time.")
@click.option("--until", type=Moment(), help="What Kafka had before this moment.")
@click.option("--event", "events", multiple=True, callback=NAME, help="The records that carry this event, evt_…")
@click.option("--customer", callback=NAME, help="The records of this customer, cus_…")
@click.option("--all", "everything", is_flag=True, help="All of the log.")
@click.option(
    "--group", "groups", multiple=True, type=click.Choice(list(CONSUMER_GROUPS)), help="Default: every group."
)
@click.option("--scan", is_flag=True, help="Look for the event or customer in all of the log, whatever provenance has.")
@click.option(
    "--resume",
    type=int,
    is_flag=False,
    flag_value=LATEST,
    metavar="[N]",
    help="Go on with replay N; else the last that is not finished.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--json", "as_json", is_flag=True, help='{"replay": n, "records": n, "outcomes": …, "learnt": …}; with --yes'
)
def replay(groups: tuple[str, ...], resume: int | None, yes: bool, as_json: bool, **asked: Any) -> None:
    """
    Read a part of the log again, by this version, through every consumer group or some; say what was learnt.

    Consumers may be at work meanwhile, and their offsets stay where they are. It takes nothing back: what was missed or
    set aside is recorded, what was recorded wrongly stays. Interrupted or killed, it goes on with --resume.

    Example: entitle replay --since 2026-02-01T09:00:00Z --until 2026-02-01T10:00:00Z --group grants
    """
    if as_json and not yes:
        raise click.UsageError("With --json nobody can be asked: say --yes.")
    if resume is not None and (groups or any(asked.values())):
        raise click.UsageError("--resume goes on with what was asked for before: say nothing else.")
    if resume is None:
        wanted = Asked(**asked)
        place = _place(groups or tuple(CONSUMER_GROUPS))
        begun = _begin(place, wanted, ask=not yes)
    else:
        begun = _begun(resume)
        place = _place(begun.groups)
        if begun.facts_schema != place.schema:
            raise BadSetting(
                f"replay {begun.id} records in schema {begun.facts_schema}, ENTITLE_SCHEMA is {place.schema}"
            )
    tally = _run(place, begun)
    with place.database.connect() as connection:
        now = place.open_letters(connection, begun.spans)
    found = replay_shown.letters(begun.letters, now)
    if as_json:
        click.echo(json.dumps(replay_shown.document(begun, tally, found)))
    else:
        console().print(replay_shown.shown(begun, tally, found))


def _place(groups: Sequence[str]) -> Place:
    """Raises `BadSetting` where none of the groups has read anything, `LogUnavailable` where it was another log."""
    environment = Environment()
    engine, schema, source = database(), settings.schema(environment), settings.kafka(environment)
    members = tuple(consumer_group(name) for name in sorted(set(groups)))
    with engine.connect() as connection:
        positions = by_place(ledger.positions(connection, groups), members)
    if not positions:
        raise BadSetting(f"nothing to read again: {', '.join(sorted(set(groups)))} has read nothing yet")
    partitions = {partition for _, partition in positions}
    try:
        found = extents(source, partitions)
        for (_, partition), position in positions.items():
            check(position, found[partition])
        ends = ends_of(source, {topic for each in members for topic in each.topics})
    except (AnotherLog, OffsetOutOfRange) as error:
        raise LogUnavailable(str(error)) from error
    return Place(
        source=source,
        database=engine,
        schema=schema,
        groups=members,
        positions=positions,
        ends=ends,
        beginnings={partition: extent.beginning for partition, extent in found.items()},
    )


def _begin(place: Place, asked: Asked, *, ask: bool) -> Replay:
    """Find what is asked for, say how much it is, ask, and write it down."""
    spans, how_found = _spans(place, asked)
    plan = place.plan(spans)
    click.echo(replay_shown.beforehand(plan, [each.name for each in place.groups], how_found), err=True)
    if not plan.spans:
        click.echo("nothing is read again", err=True)
        sys.exit(1)
    if ask:
        click.confirm("Read them again?", abort=True, err=True)
    with place.database.begin() as connection:
        return replays.begin(
            connection,
            facts_schema=place.schema,
            asked=asked.words,
            groups=[each.name for each in place.groups],
            spans=plan.spans,
            letters=place.open_letters(connection, plan.spans),
            by=who(),
        )


def _spans(place: Place, asked: Asked) -> tuple[Sequence[Span], str]:
    """What is asked for, and how it was found where that is worth saying."""
    if asked.offsets:
        return asked.offsets, ""
    if asked.since or asked.until:
        since = offsets_at(place.source, place.beginnings.keys(), asked.since) if asked.since else None
        until = offsets_at(place.source, place.beginnings.keys(), asked.until) if asked.until else None
        return between(since, until, place.beginnings.keys()), ""
    if asked.everything:
        return place.everything(), ""
    if not asked.scan:
        with place.database.connect() as connection:
            recorded = (
                recorded_of_events(connection, asked.events)
                if asked.events
                else recorded_of_customer(connection, str(asked.customer))
            )
        if mine := [each for each in recorded if each[:2] in place.beginnings]:
            return spans_of(mine), ", found by provenance"
    matches = carries(asked.events) if asked.events else names(str(asked.customer))
    whole = place.plan(place.everything())
    why = "" if asked.scan else "provenance has none of these records: "
    click.echo(f"{why}looking through {whole.count:,} records of the log", err=True)
    with how_far("looking", whole.count) as on_records:
        found = scanned(place.source, whole.spans, matches, on_records)
    but = "" if asked.events else "; refunds, disputes and others that name a payment alone are not among them"
    return spans_of(found), f", found in the log{but}"


def _begun(number: int) -> Replay:
    with database().connect() as connection:
        found = replays.latest(connection) if number == LATEST else replays.find(connection, number)
    if found is None:
        which = "no replay was ever begun" if number == LATEST else f"there is no replay {number}"
        raise BadSetting(f"{which}; `entitle replay` begins one")
    return found


def _run(place: Place, begun: Replay) -> Tally:
    """Read on to the end; where it ends early, say how it goes on."""
    limit = settings.dead_letters_in_a_row(Environment())
    replaying = Replaying(source=place.source, database=place.database, groups=place.groups, limit=limit)
    with place.database.connect() as connection:
        already = replays.tally(connection, begun)
    if replay_shown.is_finished(begun, already):
        click.echo(f"replay {begun.id} is finished", err=True)
    elif already.records:
        click.echo(f"replay {begun.id} ({begun.asked}) goes on after {already.records:,} of {begun.count:,}", err=True)
    try:
        with how_far("replaying", begun.count, already=already.records) as advance:
            return replaying.go_on(begun, place.positions, lambda tally: advance(tally.records))
    except Overtaken as error:
        raise LogUnavailable(
            f"this one has stopped: {error} Leave it to that one or, if there is none, go on with "
            f"`entitle replay --resume {begun.id}`."
        ) from error
    except (TooManyDeadLetters, LogUnavailable) as error:
        raise LogUnavailable(
            f"the replay has stopped: {error} Go on with `entitle replay --resume {begun.id}`."
        ) from error
    except KeyboardInterrupt:
        click.echo(f"\nentitle: interrupted; go on with `entitle replay --resume {begun.id}`", err=True)
        raise
