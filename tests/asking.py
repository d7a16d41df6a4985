"""The query API for tests: it listens on a real port, on a real database that knows the given facts."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from entitlements import ledger
from entitlements.api import snapshot_stream, snapshots
from entitlements.api.app import DEFAULT_LIMITS, DEFAULT_TRUST, query_app
from entitlements.api.credentials import Trust
from entitlements.api.memory import Limits
from entitlements.api.metrics import Metrics
from entitlements.api.tokens import parse_tokens
from entitlements.domain.facts import Fact
from entitlements.store import record
from ops import http_state
from ops.database import SETTINGS, migrate
from ops.database import engine as engine_on
from ops.serving import server as server_of

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
ANY = "any"
TOKENS = f"{ANY},of-acme@acme,of-globex@globex,of-nothing@gone"
ADMIN = "admin"
ADMIN_TOKENS = f"{ADMIN},admin-of-acme@acme,admin-of-nothing@gone"
SETTINGS_SCHEMA = "entitle_settings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer; *body* is its JSON."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """A query API that listens, and the engine on its database."""

    port: int
    engine: sa.Engine

    def ask(
        self,
        method: str,
        path: str,
        *,
        token: str | None = ANY,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request on a connection of its own."""
        authorization = {} if token is None else {"Authorization": f"Bearer {token}"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {**authorization, **(headers or {})})
            answer = connection.getresponse()
            text = answer.read()
            given = {name.lower(): value for name, value in answer.getheaders()}
            is_json = given.get("content-type", "") in ("application/json", "application/problem+json")
            return Answer(
                status=answer.status, headers=given, body=json.loads(text) if is_json and text else text.decode()
            )
        finally:
            connection.close()

    def evaluate(
        self,
        customer: str = "cus_paid",
        api: str = "orders",
        *,
        token: str = ANY,
        subject_type: str = "customer",
        marketplace: str | None = None,
        at: str | None = None,
    ) -> Answer:
        """An AuthZEN question."""
        properties = {} if marketplace is None else {"properties": {"marketplace": marketplace}}
        question = {
            "subject": {"type": subject_type, "id": customer, **properties},
            "action": {"name": "invoke"},
            "resource": {"type": "api", "id": api},
            **({} if at is None else {"context": {"time": at}}),
        }
        headers = {"Content-Type": "application/json"}
        return self.ask(
            "POST", "/access/v1/evaluation", token=token, body=json.dumps(question).encode(), headers=headers
        )

    def reason(self, customer: str = "cus_paid", api: str = "orders", **asked: Any) -> str:
        """The reason of an AuthZEN answer."""
        answer = self.evaluate(customer, api, **asked)
        assert answer.status == 200, answer
        reason: str = answer.body["context"]["reason"]
        return reason

    def comes_to(self, reason: str, customer: str = "cus_paid", api: str = "orders", **asked: Any) -> bool:
        """Whether an AuthZEN answer has this reason within the second in which what was committed must be seen."""
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            answer = self.evaluate(customer, api, **asked)
            if answer.status == 200 and answer.body["context"]["reason"] == reason:
                return True
            time.sleep(0.005)
        return False


@contextmanager
def listening(
    url: str,
    *facts: Fact,
    tables: bool = True,
    trust: Trust = DEFAULT_TRUST,
    known_as: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
    metrics: Metrics | None = None,
    http_limits: http_state.Limits | None = None,
) -> Iterator[Api]:
    """
    A query API on the database at *url*, which knows *facts*, believes at its mounts what *trust* says, and names
    itself *known_as*.
    """
    with on(url) as engine:
        if tables:
            migrate(engine, "public")
            migrate(engine, SETTINGS_SCHEMA, SETTINGS)
            write(engine, *facts)
        counting = metrics or Metrics(CollectorRegistry())
        app = query_app(
            engine,
            parse_tokens(TOKENS),
            clock=lambda: NOW,
            metrics=counting,
            admins=parse_tokens(ADMIN_TOKENS),
            monotonic=time.monotonic,
            limits=limits,
            trust=trust,
            known_as=known_as,
        )
        refused = counting.answered
        server = server_of(app.asgi, shutdown_seconds=5, limits=http_limits, refused=refused, at_once=app.at_once)
        listener = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the server did not start"
                thread.join(0.01)
            yield Api(port=listener.getsockname()[1], engine=engine)
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def on(url: str) -> Iterator[sa.Engine]:
    """An engine on the database, as the query process has it."""
    database = sa.make_url(url).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
    engine = engine_on(
        database,
        "public",
        settings_schema=SETTINGS_SCHEMA,
        connections=snapshots.DATABASE_THREADS + snapshot_stream.STREAMS + 1,
        statement_timeout_s=1,
    )
    try:
        yield engine
    finally:
        engine.dispose()


def write(engine: sa.Engine, *facts: Fact) -> None:
    """Record facts as a consumer would, and say whom they concern."""
    with engine.begin() as connection:
        record(connection, facts)
        concerned = {("tests", each.integration, each.customer, getattr(each, "payment", None)) for each in facts}
        ledger.write_changes(connection, concerned)
