"""
The long-running processes, put together from settings: ingest, one consumer, query. The edge where they are wired.

Each reads and checks all its settings before it opens anything, logs to stderr, and ends in order on SIGTERM or SIGINT.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType

import uvicorn

from consumers import grants, invoices, revocations
from consumers.batch import Group
from consumers.runner import run
from entitlements import store
from entitlements.api.app import query_app
from entitlements.api.snapshots import ANSWER_SECONDS, DATABASE_THREADS
from entitlements.domain.facts import Fact
from ingest.app import ingest_app
from ingest.app import server as ingest_server
from ingest.publisher import KafkaPublisher
from ops import catalog_file, settings
from ops.database import engine
from ops.settings import Environment
from schemas.codec import Message
from schemas.topics import CONSUMER_GROUPS, EVENTS

log = logging.getLogger(__name__)

QUERY_SHUTDOWN_S = 5

DECIDERS: Mapping[str, Callable[[Message], Sequence[Fact]]] = MappingProxyType(
    {"grants": grants.decide, "revocations": revocations.decide, "invoices": invoices.decide}
)


def group(name: str) -> Group[Fact]:
    """The consumer group of that name."""
    return Group(name=name, topics=CONSUMER_GROUPS[name], decide=DECIDERS[name], record=store.record)


def ingest(environment: Environment) -> None:
    """Take Stripe's deliveries until told to stop."""
    catalog = catalog_file.load(settings.catalog_path(environment)).catalog
    integrations = settings.integrations(environment, catalog)
    address, source = settings.ingest_address(environment), settings.kafka(environment)
    log_to_stderr()
    publisher = KafkaPublisher(source.bootstrap, EVENTS, security=source.security)
    with contextlib.closing(settings.listening("ENTITLE_INGEST_ADDRESS", address)) as listener:
        log.info("webhooks of %s come in at %s", ", ".join(sorted(integrations)), address)
        ingest_server(ingest_app(integrations, publisher, time.monotonic)).run(sockets=[listener])


def consume(environment: Environment, name: str) -> None:
    """Be a member of the consumer group *name* until told to stop."""
    schema, source = settings.schema(environment), settings.kafka(environment)
    limit = settings.dead_letters_in_a_row(environment)
    database = engine(settings.database_url(environment), schema, connections=2)
    log_to_stderr()
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    run([group(name)], source, database, schema, stop=stop, dead_letters_in_a_row=limit)


def query(environment: Environment) -> None:
    """Answer gateways until told to stop."""
    tokens, address = settings.query_tokens(environment), settings.query_address(environment)
    database = engine(
        settings.database_url(environment),
        settings.schema(environment),
        connections=DATABASE_THREADS,
        statement_timeout_s=ANSWER_SECONDS,
    )
    log_to_stderr()
    configuration = uvicorn.Config(
        query_app(database, tokens, lambda: datetime.now(UTC)),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=QUERY_SHUTDOWN_S,
    )
    with contextlib.closing(settings.listening("ENTITLE_QUERY_ADDRESS", address)) as listener:
        log.info("questions are answered at %s", address)
        uvicorn.Server(configuration).run(sockets=[listener])


def log_to_stderr() -> None:
    """One line a record, in UTC. kafka-python repeats at each attempt what our own lines say once: it is not heard."""
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
