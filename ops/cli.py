"""
`entitle`, the one command line. The edge where operators say what is to be done.

Exit codes: 0 done; 1 it could not be done, or the answer is no; 2 a setting, an argument or the catalog is wrong.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from sqlalchemy.exc import OperationalError, ProgrammingError

from consumers.failures import AnotherLog, OffsetOutOfRange, TooManyDeadLetters
from entitlements import ledger, store
from entitlements.api import answers
from entitlements.domain.access import Scope, apis_of, decide, standing
from ops import processes, settings
from ops.asking import NoAnswer
from ops.catalog_commands import Moment, catalog
from ops.catalog_file import CatalogMistakes
from ops.database import engine
from ops.database import migrate as migrate_database
from ops.demo import INTEGRATION, StoryFailed, Telling
from ops.operator_log import LogUnavailable, make_topics
from ops.settings import BadSetting, Environment
from ops.stack import ServerFailed, StackBusy, StackUnavailable
from ops.supervisor import Program, Supervisor, stopping_on_signals
from ops.up import NotReady, describe, pipeline, wait_until_ready
from schemas.topics import CONSUMER_GROUPS

HERE = Path(".entitle")
LOOK_S = 0.05


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def entitle() -> None:
    """Opens each API to each customer exactly for the billing cycles that Stripe says are paid, and says why."""


@entitle.command()
def ingest() -> None:
    """
    Take Stripe's webhooks and publish them to Kafka.

    Example: ENTITLE_CATALOG=catalog.yaml ENTITLE_KAFKA=localhost:9092 entitle ingest
    """
    processes.ingest(Environment())


@entitle.command()
@click.argument("groups", nargs=-1, required=True, type=click.Choice(list(CONSUMER_GROUPS)))
def consume(groups: tuple[str, ...]) -> None:
    """
    Read the log and record facts, as a member of each of GROUPS; several are a process each, under a supervisor.

    Example: entitle consume grants
    """
    environment = Environment()
    if len(groups) == 1:
        processes.consume(environment, groups[0])
        return
    programs = [
        Program(name=name, command=[sys.executable, "-m", "ops", "consume", name], environment=environment.variables)
        for name in dict.fromkeys(groups)
    ]
    supervisor = Supervisor(programs, _say)
    with stopping_on_signals() as stopped:
        try:
            supervisor.start()
            supervisor.run(until=stopped)
        finally:
            supervisor.stop()


@entitle.command()
def query() -> None:
    """
    Answer gateways' questions.

    Example: ENTITLE_DATABASE_URL=postgresql://localhost/entitle ENTITLE_QUERY_TOKENS=secret entitle query
    """
    processes.query(Environment())


@entitle.command()
def migrate() -> None:
    """
    Bring the tables up to date and, where ENTITLE_KAFKA is set, make the topics that are not there.

    Example: ENTITLE_DATABASE_URL=postgresql://localhost/entitle entitle migrate
    """
    environment = Environment()
    url, schema = settings.database_url(environment), settings.schema(environment)
    source = settings.kafka(environment) if environment.get("ENTITLE_KAFKA") else None
    topics = settings.log_topics(environment)
    database = engine(url, schema)
    migrate_database(database, schema)
    _say(f"the tables of schema {schema} are up to date")
    if source is not None:
        make_topics(source, topics, _say)
        _say(f"the topics are there: {', '.join(topic.name for topic in topics)}")


@entitle.command()
def up() -> None:
    """
    Start everything, servers included where none are set, and keep it running until Ctrl-C.

    Example: ENTITLE_CATALOG=catalog.yaml entitle up
    """
    with stopping_on_signals() as stopped, pipeline(Environment(), HERE, _say) as running:
        wait_until_ready(running, stopped)
        if not stopped():
            click.echo(describe(running))
        running.supervisor.run(until=stopped)
        _say("stopping")


@entitle.command()
def demo() -> None:
    """
    Play a customer's story through the whole program, and say beside each answer what it should be.

    Example: entitle demo
    """
    given = Environment()
    addresses = {
        name: str(settings.free_address())
        for name in ("ENTITLE_INGEST_ADDRESS", "ENTITLE_QUERY_ADDRESS")
        if given.get(name) is None
    }
    console = Console(width=max(100, Console().width))
    with (
        tempfile.TemporaryDirectory(prefix="entitle-demo-", ignore_cleanup_errors=True) as folder,
        stopping_on_signals() as stopped,
        pipeline(given.with_values(addresses), Path(folder), _say) as running,
    ):
        wait_until_ready(running, stopped)
        if INTEGRATION not in running.secrets:
            raise BadSetting(f"ENTITLE_CATALOG: the story needs an integration {INTEGRATION}; unset it for the example")

        def pause() -> None:
            if stopped():
                raise StoryFailed("it was interrupted")
            running.supervisor.look_after()
            time.sleep(LOOK_S)

        telling = Telling(edge=running.edge, secret=running.secrets[INTEGRATION], console=console, pause=pause)
        wrong = telling.play()
    sys.exit(1 if wrong else 0)


@entitle.command()
@click.option("--customer", required=True, help="Stripe's customer, cus_…")
@click.option("--api", required=True, help="The API, as the catalog names it.")
@click.option("--integration", help="The integration; needed where the catalog has several.")
@click.option("--at", type=Moment(), help="The moment asked about; default now.")
@click.option("--json", "as_json", is_flag=True, help="The answer as JSON.")
def check(customer: str, api: str, integration: str | None, at: datetime | None, as_json: bool) -> None:
    """
    Say whether a customer may call an API, as a gateway would be told; exit 1 if not.

    Example: entitle check --customer cus_123 --api orders --at 2026-02-01T00:00:00Z
    """
    environment = Environment()
    database = engine(settings.database_url(environment), settings.schema(environment))
    now = datetime.now(UTC)
    with database.connect() as connection:
        revisions = store.as_revisions(store.catalog_revisions_in(connection))
        current = revisions.in_force_at(now)
        if current is None:
            raise BadSetting("no catalog has been applied yet: entitle catalog apply FILE")
        names = sorted(current.catalog.integrations)
        if integration is None and len(names) > 1:
            raise BadSetting(f"the catalog has several integrations: add --integration, one of {', '.join(names)}")
        scope = Scope(integration=integration or names[0])
        facts = store.facts_of(connection, integration=scope.integration, customer=customer)
    known = standing(facts, scope, revisions)
    decision = decide(known, api, at or now, known_apis=apis_of(known, scope, revisions, now))
    if as_json:
        click.echo(json.dumps(answers.evaluation(decision)))
    else:
        until = f" until {decision.until:%Y-%m-%dT%H:%M:%SZ}" if decision.until else ""
        invoice = f", invoice {decision.invoice}" if decision.invoice else ""
        click.echo(f"{'allow' if decision.allowed else 'deny'}: {decision.reason}{until}{invoice}")
    sys.exit(0 if decision.allowed else 1)


@entitle.command()
@click.option("--json", "as_json", is_flag=True, help="As GET /v1/progress gives it.")
def progress(as_json: bool) -> None:
    """
    Say how far each consumer group is: the next offset of every partition it reads.

    Example: entitle progress --json
    """
    environment = Environment()
    database = engine(settings.database_url(environment), settings.schema(environment))
    with database.connect() as connection:
        rows = ledger.positions(connection)
    groups = {
        name: {f"{row.topic}-{row.partition}": row.next_offset for row in rows if row.group == name}
        for name in CONSUMER_GROUPS
    }
    if as_json:
        click.echo(json.dumps({"groups": groups}))
        return
    for name, places in groups.items():
        click.echo(name if places else f"{name}: has not begun")
        for place, offset in sorted(places.items()):
            click.echo(f"  {place:40} {offset:>12,}")


entitle.add_command(catalog)


def main() -> None:
    """Run `entitle`, and turn what a person can cure into one line on stderr."""
    try:
        entitle(prog_name="entitle")
    except (BadSetting, CatalogMistakes) as error:
        click.echo(f"entitle: {error}" if isinstance(error, BadSetting) else str(error), err=True)
        sys.exit(2)
    except (StackUnavailable, StackBusy, ServerFailed, LogUnavailable, NotReady, StoryFailed, NoAnswer) as error:
        click.echo(f"entitle: {error}", err=True)
        sys.exit(1)
    except (AnotherLog, OffsetOutOfRange, TooManyDeadLetters) as error:
        click.echo(f"entitle: the consumer has stopped: {error}", err=True)
        sys.exit(1)
    except (OperationalError, ProgrammingError) as error:
        hint = " (has `entitle migrate` been run?)" if isinstance(error, ProgrammingError) else ""
        click.echo(f"entitle: the database said: {str(error.orig).strip().splitlines()[0]}{hint}", err=True)
        sys.exit(1)


def _say(line: str) -> None:
    click.echo(line, err=True)
