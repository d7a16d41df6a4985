"""
The long-running processes, put together from settings. The edge where they are wired.

Each reads and checks all its settings before it opens anything, logs to stderr, and ends in order on SIGTERM or SIGINT.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import signal
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType

from consumers import boundaries as boundary_clock
from consumers import grants, invoices, revocations
from consumers import relay as feed_relay
from consumers.extent import ends_of
from consumers.feed_metrics import BoundaryMetrics, RelayMetrics
from consumers.feed_topic import FeedTopic
from consumers.metrics import Metrics as ConsumerMetrics
from consumers.runner import run
from consumers.verdicts import Group, kafka_group
from entitlements import store
from entitlements.api.app import query_app
from entitlements.api.metrics import Metrics as QueryMetrics
from entitlements.api.snapshot_stream import STREAMS
from entitlements.api.snapshots import ANSWER_SECONDS, DATABASE_THREADS
from entitlements.domain.catalog import Catalog
from entitlements.domain.facts import Fact
from ingest.app import SHUTDOWN_SECONDS, ingest_app
from ingest.metrics import Metrics as IngestMetrics
from ingest.publisher import KafkaPublisher
from ingest.stripe_api import StripeApi
from ops import catalog_file, logs, settings
from ops.database import engine
from ops.health import Condition, answering
from ops.process_metrics import process_registry
from ops.serving import serve, server
from ops.settings import Environment
from schemas.codec import Message
from schemas.topics import CONSUMER_GROUPS, EVENTS

log = logging.getLogger(__name__)

QUERY_SHUTDOWN_S = 5

NEW_OBJECTS_BEFORE_A_LOOK = 50_000
"""
After how many more objects made than freed Python looks for cycles; its own 700 is two webhooks' worth. What is read
from JSON has none: looking at a batch's again and again took half of a consumer's time.
"""

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
    api = stripe_api(environment, catalog)
    _log_to_stderr(environment)
    publisher = KafkaPublisher(source.bootstrap, EVENTS, security=source.security)
    metrics = IngestMetrics(process_registry(environment, "ingest"))
    app = ingest_app(integrations, publisher, time.monotonic, metrics, api)
    with (
        contextlib.closing(api),
        contextlib.closing(settings.listening("ENTITLE_INGEST_ADDRESS", address)) as listener,
    ):
        log.info("webhooks of %s come in at %s", ", ".join(sorted(integrations)), address)
        if keyless := sorted(name for name in integrations if not api.has_key(name)):
            log.info("without a key for Stripe's API, so thin events are refused: %s", ", ".join(keyless))
        serve(server(app, shutdown_seconds=SHUTDOWN_SECONDS), listener)


def stripe_api(environment: Environment, catalog: Catalog) -> StripeApi:
    """Stripe's API, by the keys that the settings have and in the versions that the catalog names."""
    versions = {name: each.api_version for name, each in catalog.integrations.items()}
    return StripeApi(settings.stripe_keys(environment, catalog), versions, address=settings.stripe_address(environment))


def consume(environment: Environment, names: Collection[str]) -> None:
    """Be the consumer of the groups *names*, all in one, until told to stop."""
    schema, source = settings.schema(environment), settings.kafka(environment)
    limit = settings.dead_letters_in_a_row(environment)
    database = engine(settings.database_url(environment), schema, connections=2, ask_first=False)
    address = settings.health_address(environment)
    _log_to_stderr(environment)
    condition, registry = Condition(time.monotonic), process_registry(environment, kafka_group(names))
    groups = [group(name) for name in names]
    topics = {topic for each in groups for topic in each.topics}
    stop = _told_to_stop()
    with answering(address, condition, registry):
        run(
            groups,
            source,
            database,
            schema,
            stop=stop,
            dead_letters_in_a_row=limit,
            on_health=condition.is_now,
            on_round=condition.comes_round,
            counting=ConsumerMetrics(registry, lambda: ends_of(source, topics), time.time),
        )


def relay(environment: Environment) -> None:
    """Turn what is committed into the change feed and its topic until told to stop, or stand by while another does."""
    source, retention = settings.kafka(environment), settings.feed_retention(environment)
    database = engine(
        settings.database_url(environment),
        settings.schema(environment),
        settings_schema=settings.settings_schema(environment),
        connections=1,
    )
    address = settings.health_address(environment)
    _log_to_stderr(environment)
    condition, registry = Condition(time.monotonic), process_registry(environment, "relay")
    with answering(address, condition, registry):
        feed_relay.run(
            database,
            partial(FeedTopic, source),
            clock=_now,
            retention=retention,
            stop=_told_to_stop(),
            counting=RelayMetrics(registry),
            on_health=condition.is_now,
            on_round=condition.comes_round,
        )


def boundaries(environment: Environment) -> None:
    """Announce what time alone changes until told to stop."""
    database = engine(settings.database_url(environment), settings.schema(environment), connections=1)
    address = settings.health_address(environment)
    _log_to_stderr(environment)
    condition, registry = Condition(time.monotonic), process_registry(environment, "boundaries")
    with answering(address, condition, registry):
        boundary_clock.run(
            database,
            clock=_now,
            stop=_told_to_stop(),
            counting=BoundaryMetrics(registry, _now),
            on_health=condition.is_now,
            on_round=condition.comes_round,
        )


def _told_to_stop() -> threading.Event:
    """Set once SIGTERM or SIGINT comes."""
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    return stop


def _now() -> datetime:
    return datetime.now(UTC)


def query(environment: Environment) -> None:
    """Answer gateways until told to stop."""
    tokens, address = settings.query_tokens(environment), settings.query_address(environment)
    admins, trust = settings.admin_tokens(environment), settings.gateway_trust(environment)
    known_as = settings.query_url(environment)
    limits = settings.memory_limits(environment)
    database = engine(
        settings.database_url(environment),
        settings.schema(environment),
        settings_schema=settings.settings_schema(environment),
        connections=DATABASE_THREADS + STREAMS + 1,
        statement_timeout_s=ANSWER_SECONDS,
    )
    _log_to_stderr(environment)
    metrics = QueryMetrics(process_registry(environment, "query"))
    app = query_app(
        database,
        tokens,
        _now,
        admins=admins,
        metrics=metrics,
        monotonic=time.monotonic,
        limits=limits,
        trust=trust,
        known_as=known_as,
    )
    with contextlib.closing(settings.listening("ENTITLE_QUERY_ADDRESS", address)) as listener:
        log.info("questions are answered at %s", address)
        answering = server(app.asgi, shutdown_seconds=QUERY_SHUTDOWN_S, refused=metrics.answered, at_once=app.at_once)
        serve(answering, listener)


def spare_the_collector() -> None:
    """Keep what was loaded out of Python's search for cycles, and let it search rarely."""
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS_BEFORE_A_LOOK)


def _log_to_stderr(environment: Environment) -> None:
    logs.set_up(settings.log_format(environment), settings.log_level(environment))
    spare_the_collector()
