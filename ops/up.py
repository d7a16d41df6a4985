"""
`entitle up`: servers, tables, topics, catalog, and every program of ours as a process of its own. Edge: all of them.

What the settings do not give is supplied for trying out: the embedded servers, the example catalog, a signing secret
and tokens, kept in the folder so that they stay the same.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from entitlements.domain.catalog import Integration
from ops import catalog_file, settings, stack
from ops.asking import Edge
from ops.database import SETTINGS, engine, migrate
from ops.operator_log import make_topics, publish_catalog
from ops.settings import Address, BadSetting, Environment
from ops.supervisor import Program, Supervisor
from schemas.topics import CONSUMER_GROUPS

READY_S = 60.0

SERVERS = ("ENTITLE_DATABASE_URL", "ENTITLE_KAFKA")
"""The settings whose servers are started where they are not set."""

FEED = ("relay", "boundaries")
"""What tells gateways of changes, so that they may decide by themselves."""

WITH_HEALTH = ("consumers", *FEED)
"""The programs without a listener of their own, in the order of their ports for health."""

QUESTION = {
    "subject": {"type": "customer", "id": "cus_1"},
    "action": {"name": "invoke"},
    "resource": {"type": "api", "id": "orders"},
}

Say = Callable[[str], None]


class NotReady(Exception):
    """The programs were started but did not come to work: the text says which and where their logs are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """
    All that runs. *secrets* are the signing secrets by integration, the first of each; *started* are the settings of
    the servers that were started because none were set.
    """

    environment: Environment
    edge: Edge
    secrets: Mapping[str, str]
    started: frozenset[str]
    supervisor: Supervisor
    folder: Path


@contextmanager
def pipeline(given: Environment, folder: Path, say: Say, *, without: Collection[str] = ()) -> Iterator[Pipeline]:
    """
    Everything running and ready while the context lasts; then all that was started here is stopped.

    *without* names programs that are not started: webhooks become answers without the `FEED`.
    """
    path = Path(given.get("ENTITLE_CATALOG") or settings.EXAMPLE_CATALOG)
    catalog = catalog_file.load(path)
    environment = _with_secrets(given, catalog.catalog.integrations, folder).with_values({"ENTITLE_CATALOG": str(path)})
    ingest, query = settings.ingest_address(environment), settings.query_address(environment)
    named = settings.integrations(environment, catalog.catalog)
    tokens = settings.query_tokens(environment)
    asked = _check(environment)
    with stack.running(
        folder / "servers", database="ENTITLE_DATABASE_URL" not in asked, kafka="ENTITLE_KAFKA" not in asked, say=say
    ) as servers:
        if servers.database is not None:
            environment = environment.with_values({"ENTITLE_DATABASE_URL": servers.database.address})
        if servers.kafka is not None:
            environment = environment.with_values({"ENTITLE_KAFKA": servers.kafka.address})
        _prepare(environment, catalog, say)
        started = [server for server in (servers.database, servers.kafka) if server is not None]
        supervisor = Supervisor(_programs(environment, folder / "logs", without), say, servers=started)
        edge = Edge(ingest=f"http://{ingest}", query=f"http://{query}", token=tokens[0].value)
        try:
            supervisor.start()
            yield Pipeline(
                environment=environment,
                edge=edge,
                secrets={name: integration.signing_secrets[0] for name, integration in named.items()},
                started=frozenset(SERVERS) - asked,
                supervisor=supervisor,
                folder=folder,
            )
        finally:
            supervisor.stop()


def wait_until_ready(running: Pipeline) -> None:
    """Look after the programs until both listeners are ready; raises `NotReady` after a minute."""
    deadline = time.monotonic() + READY_S
    running.supervisor.run(until=lambda: not running.edge.ready() or time.monotonic() > deadline)
    if waiting := running.edge.ready():
        raise NotReady(f"{'; '.join(waiting)}. The programs' logs are in {running.folder / 'logs'}")


def describe(running: Pipeline) -> str:
    """What a person needs to try it with curl."""
    edge = running.edge
    started = [name for name in SERVERS if name in running.started]  # what was set may hold a password
    healths = health_addresses(running.environment)
    shown = zip(("Servers", ""), started, strict=False)
    lines = ["", f"Webhooks   POST {edge.ingest}/webhooks/stripe/INTEGRATION, signed by Stripe or with its secret:"]
    lines += [f"             {name}: {secret}" for name, secret in running.secrets.items()]
    lines += [
        f"Questions  {edge.query}, bearer token {edge.token}",
        f"Settings   PUT {edge.query}/v1/orgs/ORG, bearer token {settings.admin_tokens(running.environment)[0].value}",
        "Try        curl -s -H 'Authorization: Bearer " + edge.token + f"' {edge.query}/v1/progress",
        "           curl -s -H 'Authorization: Bearer " + edge.token + "' -H 'Content-Type: application/json' \\",
        f"                -d '{json.dumps(QUESTION)}' \\",
        f"                {edge.query}/access/v1/evaluation",
        *(f"{label:11}{name}={running.environment.variables[name]}" for label, name in shown),
        *(f"{name.capitalize():11}http://{health}/readyz" for name, health in healths.items()),
        f"Logs       {running.folder / 'logs'}",
        "Ctrl-C stops all of it.",
        "",
    ]
    return "\n".join(lines)


def _check(environment: Environment) -> frozenset[str]:
    """All settings that the programs will read, before anything is opened; which of `SERVERS` are set."""
    settings.log_topics(environment)
    settings.settings_schema(environment)
    settings.admin_tokens(environment)
    settings.dead_letters_in_a_row(environment)
    settings.feed_retention(environment)
    asked = frozenset(name for name in SERVERS if environment.get(name))
    if "ENTITLE_DATABASE_URL" in asked:
        settings.database_url(environment)
    if "ENTITLE_KAFKA" in asked:
        settings.kafka(environment)
    settings.log_format(environment), settings.log_level(environment)
    listeners = [
        ("ENTITLE_INGEST_ADDRESS", settings.ingest_address(environment)),
        ("ENTITLE_QUERY_ADDRESS", settings.query_address(environment)),
        *(("ENTITLE_HEALTH_ADDRESS", health) for health in health_addresses(environment).values()),
    ]
    with ExitStack() as until_checked:  # all at once, so that no two are the same address
        for name, address in listeners:
            until_checked.enter_context(closing(settings.listening(name, address)))
    return asked


def _prepare(environment: Environment, catalog: catalog_file.CatalogFile, say: Say) -> None:
    """Tables, topics, and the catalog as a revision if it is not the newest already."""
    schema = settings.schema(environment)
    on = engine(settings.database_url(environment), schema)
    try:
        migrate(on, schema)
        migrate(on, settings.settings_schema(environment), SETTINGS)
    finally:
        on.dispose()
    source = settings.kafka(environment)
    make_topics(source, settings.log_topics(environment), say)
    published = publish_catalog(
        source, catalog.document, applied_by="entitle up", in_force_from=None, at=datetime.now(UTC)
    )
    if published is not None:
        say(f"catalog {environment.get('ENTITLE_CATALOG')} published as revision {published.number}")


def _programs(environment: Environment, logs: Path, without: Collection[str]) -> list[Program]:
    entitle = [sys.executable, "-P", "-m", "ops"]  # -P: not the `ops` of whatever folder this is called from
    commands = {"ingest": ["ingest"], "consumers": ["consume", *CONSUMER_GROUPS]}
    commands |= {name: [name] for name in (*FEED, "query")}
    own = {name: {"ENTITLE_HEALTH_ADDRESS": str(each)} for name, each in health_addresses(environment).items()}
    return [
        Program(
            name=name,
            command=[*entitle, *command],
            environment=environment.with_values(own.get(name, {})).variables,
            log=logs / f"{name}.log",
        )
        for name, command in commands.items()
        if name not in without
    ]


def health_addresses(environment: Environment) -> dict[str, Address]:
    """Where each program without a listener of its own says how it is, if that is asked for: each at the next port."""
    first = settings.health_address(environment)
    if first is None:
        return {}
    return {name: Address(host=first.host, port=first.port + number) for number, name in enumerate(WITH_HEALTH)}


def _with_secrets(given: Environment, integrations: Mapping[str, Integration], folder: Path) -> Environment:
    """Signing secrets and tokens for trying out, where none are set; made once and kept for their owner's eyes."""
    names = {each.signing_secrets_env: "whsec_" for each in integrations.values()}
    names |= {"ENTITLE_QUERY_TOKENS": "gateway_", "ENTITLE_ADMIN_TOKENS": "admin_"}
    missing = {name: prefix for name, prefix in names.items() if given.get(name) is None}
    if not missing:
        return given
    path = folder / "secrets.json"
    try:
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise BadSetting(f"{path} is not JSON any more: remove it, and new secrets are made") from error
    made = {name: kept.get(name) or prefix + secrets.token_urlsafe(24) for name, prefix in missing.items()}
    folder.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(kept | made, indent=2) + "\n", encoding="utf-8")
    return given.with_values(made)
