"""
`entitle`, the one command line. The edge where operators say what is to be done.

Exit codes: 0 done; 1 it could not be done, or the answer is no; 2 a setting, an argument or the catalog is wrong; 3 it
would close access for many, and nobody has said that this is meant.

Long because each way to fail that a person can cure is told apart here.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

import click
from kafka.errors import (
    AuthorizationError,
    KafkaError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)
from rich.console import Console
from sqlalchemy.exc import DBAPIError

from consumers.failures import AnotherLog, OffsetOutOfRange, TooManyDeadLetters, reason
from ops import brake, logs, processes, settings
from ops.act_commands import block, grant, revoke, unblock
from ops.acts_listing import acts
from ops.asking import NoAnswer
from ops.catalog_apply import catalog_apply
from ops.catalog_commands import catalog
from ops.catalog_difference import catalog_diff
from ops.catalog_file import CatalogMistakes
from ops.complete_command import complete
from ops.database import SETTINGS, complaint, engine
from ops.database import migrate as migrate_database
from ops.demo import INTEGRATION, StoryFailed, Telling
from ops.demo_elsewhere import telling as telling_elsewhere
from ops.explain_commands import event, explain
from ops.inspect_commands import check, progress
from ops.key_commands import keys
from ops.letter_commands import dead_letters
from ops.operator_log import LogUnavailable, make_topics
from ops.org_commands import orgs
from ops.rebuild_command import rebuild
from ops.rebuild_place import CannotRebuild
from ops.replay_commands import replay
from ops.settings import BadSetting, Environment
from ops.stack import ServerFailed, StackBusy, StackUnavailable
from ops.supervisor import interrupted_once
from ops.up import NotReady, describe, pipeline, wait_until_ready
from schemas.topics import CONSUMER_GROUPS

NOT_LET_IN = (AuthorizationError, SaslAuthenticationFailedError, UnsupportedSaslMechanismError)
"""What Kafka says that waiting does not cure, and a person who looks at the settings does."""

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
    Read the log and record facts for each of GROUPS, all in this one process, which reads and decodes once.

    Where any of them cannot go on, all of them stand still: run them apart to have each depend on itself alone.

    Example: entitle consume grants revocations invoices
    """
    processes.consume(Environment(), frozenset(groups))


@entitle.command()
def relay() -> None:
    """
    Tell gateways what changes: number it for /v1/changes and publish it to Kafka. Of several one is at work.

    Example: entitle relay
    """
    processes.relay(Environment())


@entitle.command()
def boundaries() -> None:
    """
    Announce what time alone changes: cycles, leeways, unpaid terms and blocks that begin or end.

    Example: entitle boundaries
    """
    processes.boundaries(Environment())


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
    settings_schema = settings.settings_schema(environment)
    source = settings.kafka(environment) if environment.get("ENTITLE_KAFKA") else None
    topics = settings.log_topics(environment)
    database = engine(url, schema)
    migrate_database(database, schema)
    migrate_database(database, settings_schema, SETTINGS)
    _say(f"the tables of schemas {schema} and {settings_schema} are up to date")
    if source is not None:
        make_topics(source, topics, _say)
        _say(f"the topics are there: {', '.join(topic.name for topic in topics)}")


@entitle.command()
def up() -> None:
    """
    Start everything, servers included where none are set, and keep it running until Ctrl-C.

    Example: ENTITLE_CATALOG=catalog.yaml entitle up
    """
    with contextlib.suppress(KeyboardInterrupt), interrupted_once(), pipeline(Environment(), HERE, _say) as running:
        wait_until_ready(running)
        click.echo(describe(running))
        running.supervisor.run(until=lambda: False)
    _say("stopped")


@entitle.command()
@click.option("--ingest", metavar="URL", help="Where webhooks come in, of an installation that runs already.")
@click.option("--query", metavar="URL", help="Where it answers; the settings give a signing secret and a token.")
def demo(ingest: str | None, query: str | None) -> None:
    """
    Play a customer's story through the whole program, and say beside each answer what it should be.

    Example: entitle demo
    """
    given = Environment()
    console = Console(width=max(100, Console().width))
    if ingest or query:
        elsewhere = telling_elsewhere(given, ingest=ingest, query=query, console=console)
        sys.exit(1 if elsewhere.play() else 0)
    addresses = {
        name: str(settings.free_address())
        for name in ("ENTITLE_INGEST_ADDRESS", "ENTITLE_QUERY_ADDRESS")
        if given.get(name) is None
    }
    with (
        tempfile.TemporaryDirectory(prefix="entitle-demo-", ignore_cleanup_errors=True) as folder,
        interrupted_once(),
        pipeline(given.with_values(addresses), Path(folder), _say) as running,
    ):
        wait_until_ready(running)
        if INTEGRATION not in running.secrets:
            raise BadSetting(f"ENTITLE_CATALOG: the story needs an integration {INTEGRATION}; unset it for the example")

        def pause() -> None:
            running.supervisor.look_after()
            time.sleep(LOOK_S)

        telling = Telling(edge=running.edge, secret=running.secrets[INTEGRATION], console=console, pause=pause)
        wrong = telling.play()
    sys.exit(1 if wrong else 0)


entitle.add_command(check)
entitle.add_command(explain)
entitle.add_command(event)
entitle.add_command(progress)
entitle.add_command(complete)
catalog.add_command(catalog_apply)
catalog.add_command(catalog_diff)
entitle.add_command(catalog)
entitle.add_command(orgs)
entitle.add_command(keys)
entitle.add_command(grant)
entitle.add_command(revoke)
entitle.add_command(block)
entitle.add_command(unblock)
entitle.add_command(dead_letters)
entitle.add_command(replay)
entitle.add_command(rebuild)
entitle.add_command(acts)


def main() -> None:
    """Run `entitle`, and turn what a person can cure into one line on stderr."""
    logs.warn_whole()
    try:
        entitle(prog_name="entitle", standalone_mode=False)
    except click.exceptions.Exit as ending:
        sys.exit(ending.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        _end("interrupted", 130)
    except CatalogMistakes as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except BadSetting as error:
        _end(str(error), 2)
    except brake.Braked as error:
        _end(str(error), brake.EXIT_CODE)
    except (AnotherLog, OffsetOutOfRange, TooManyDeadLetters) as error:
        _end(f"the consumer has stopped: {error}", 1)
    except (
        StackUnavailable,
        StackBusy,
        ServerFailed,
        LogUnavailable,
        NotReady,
        StoryFailed,
        NoAnswer,
        CannotRebuild,
    ) as error:
        _end(str(error), 1)
    except DBAPIError as error:
        _end(complaint(error), 1)
    except KafkaError as error:
        if not (error.retriable or isinstance(error, NOT_LET_IN)):
            raise  # a bug of ours, or of the client's: whoever mends it needs to see where
        _end(f"Kafka, which is where ENTITLE_KAFKA says, did not do what it was asked: {reason(error)}", 1)
    except OSError as error:
        _end(f"{error.filename or 'the operating system'}: {error.strerror or error}", 1)


def _end(line: str, code: int) -> NoReturn:
    click.echo(f"entitle: {line}", err=True)
    sys.exit(code)


def _say(line: str) -> None:
    click.echo(line, err=True)
