"""
A query process that stood still (SIGSTOP, as of a frozen container) and goes on: what it answers then is true.

Long because it plays a gateway with many connections against a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from entitlements.domain.acts import Block
from entitlements.keys import add_key, end_key, key_of_digest
from ops.database import SETTINGS, migrate
from ops.settings import free_address
from tests.asking import SETTINGS_SCHEMA, on, write
from tests.remembering import allow_connections
from tests.stated import catalog, line

TOKEN, KEY = "gateway", "entkey_" + "x" * 43
DIGEST = hashlib.sha256(KEY.encode()).digest()
CONNECTIONS, PIPELINED = 16, 3
PATIENCE_S = 30.0

EVALUATION = json.dumps(
    {
        "subject": {"type": "customer", "id": "cus_paid"},
        "action": {"name": "invoke"},
        "resource": {"type": "api", "id": "orders"},
    }
)
QUESTIONS = {
    "evaluation": f"POST /access/v1/evaluation HTTP/1.1\r\nHost: query\r\nAuthorization: Bearer {TOKEN}\r\n"
    f"Content-Type: application/json\r\nContent-Length: {len(EVALUATION)}\r\n\r\n{EVALUATION}",
    "key": f"GET /v1/check HTTP/1.1\r\nHost: query\r\nEntitlement-Gateway-Token: {TOKEN}\r\nX-Api-Key: {KEY}\r\n"
    "X-Forwarded-Method: GET\r\nX-Forwarded-Host: api.example.com\r\nX-Forwarded-Uri: /orders/1\r\n\r\n",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query process, its port, and the engine on its database."""

    process: subprocess.Popen[bytes]
    port: int
    engine: sa.Engine

    def ask(self, question: str) -> str:
        """`200 true`, or the status alone, on a connection of its own."""
        try:
            with socket.create_connection(("127.0.0.1", self.port)) as connection:
                connection.sendall(QUESTIONS[question].encode())
                return answers(connection, 1)[0]
        except (ConnectionRefusedError, ConnectionResetError):
            return "not there yet"

    def comes_to(self, told: str, question: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while (found := self.ask(question)) != told:
            assert time.monotonic() < deadline, (found, self.process.poll())
            time.sleep(0.02)

    @contextmanager
    def stopped(self, seconds: float) -> Iterator[None]:
        """Stopped, so long at least, while the body runs."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)
        until = time.monotonic() + seconds
        try:
            yield
            time.sleep(max(0.0, until - time.monotonic()))
        finally:
            self.process.send_signal(signal.SIGCONT)


def answers(connection: socket.socket, count: int) -> list[str]:
    """So many answers off a connection: statuses, and decisions where there are any."""
    connection.settimeout(PATIENCE_S)
    stream = connection.makefile("rb")
    found = []
    for _ in range(count):
        status = stream.readline().split()[1].decode()
        length = 0
        while (header := stream.readline().strip().lower()) != b"":
            if header.startswith(b"content-length:"):
                length = int(header.split(b":")[1])
        body = stream.read(length)
        decision = json.loads(body).get("decision") if body.startswith(b'{"decision"') else None
        found.append(status if decision is None else f"{status} {str(decision).lower()}")
    return found


@pytest.fixture
def query(fresh_database: str, request: pytest.FixtureRequest) -> Iterator[Query]:
    """
    `entitle query` on a database in which somebody has paid, and holds a key; it has answered both questions. A test's
    parameter is how long a question waits there, in milliseconds.
    """
    now = datetime.now(UTC)
    then = now - timedelta(days=1)
    paid = line(period_start=then, period_end=now + timedelta(days=1), paid_at=then, finalized_at=then)
    with on(fresh_database) as engine:
        migrate(engine, "public")
        migrate(engine, SETTINGS_SCHEMA, SETTINGS)
        write(engine, catalog(), paid)
        with engine.begin() as connection:
            add_key(
                connection,
                key="key_1",
                digest=DIGEST,
                integration="main",
                marketplace=None,
                kind="customer",
                holder="cus_paid",
                label=None,
                set_by="test",
            )
        address = free_address()
        environment = os.environ | {
            "ENTITLE_DATABASE_URL": fresh_database,
            "ENTITLE_SCHEMA": "public",
            "ENTITLE_QUERY_ADDRESS": f"{address.host}:{address.port}",
            "ENTITLE_QUERY_TOKENS": TOKEN,
            "ENTITLE_MISS_DEADLINE_MS": str(getattr(request, "param", 500)),
        }
        process = subprocess.Popen([sys.executable, "-m", "ops", "query"], env=environment)
        found = Query(process=process, port=address.port, engine=engine)
        try:
            found.comes_to("200 true", "evaluation")
            found.comes_to("200", "key")
            yield found
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def made_known(connection: socket.socket, question: str) -> None:
    """The question is answered there; a busy machine may need more than one try."""
    deadline = time.monotonic() + PATIENCE_S
    connection.sendall(QUESTIONS[question].encode())
    while not (found := answers(connection, 1)[0]).startswith("200"):
        assert time.monotonic() < deadline, found
        connection.sendall(QUESTIONS[question].encode())


def asked_while_stopped(query: Query, seconds: float, meanwhile: Callable[[], None], each: int) -> dict[str, set[str]]:
    """
    What was told, by question, to who asked *each* times on each of some connections while it was stopped, and so at
    once when it went on; the rest of the stop is the time after *meanwhile*.
    """
    with ExitStack() as stack:
        connections = [
            (question, stack.enter_context(socket.create_connection(("127.0.0.1", query.port))))
            for question in QUESTIONS
            for _ in range(CONNECTIONS)
        ]
        for question, connection in connections:  # known, and answered from memory
            made_known(connection, question)
        with query.stopped(seconds):
            meanwhile()
            for question, connection in connections:
                connection.sendall(QUESTIONS[question].encode() * each)
        found: dict[str, set[str]] = {question: set() for question in QUESTIONS}
        for question, connection in connections:
            found[question] |= {*answers(connection, each)}
        return found


@pytest.mark.parametrize("seconds", [1.3, 4.0])
def test_what_was_taken_back_meanwhile_opens_nothing(query: Query, seconds: float) -> None:
    """A customer is blocked while it is stopped: nobody is let in who asks at once when it goes on."""
    now = datetime.now(UTC)
    block = Block(
        integration="main", customer="cus_paid", id="1", by="test", reason="test", start=now, end=None, at=now
    )

    told = asked_while_stopped(query, seconds, lambda: write(query.engine, block), PIPELINED)

    assert told["evaluation"] <= {"200 false", "503"}
    assert told["key"] <= {"403", "503"}
    query.comes_to("200 false", "evaluation")


def test_a_key_that_was_revoked_meanwhile_is_nobodys(query: Query) -> None:
    """Whose a key is, is remembered too: the mount asks for a credential, and lets nobody in."""

    def revoke() -> None:
        with query.engine.begin() as connection:
            known = key_of_digest(connection, DIGEST)
            assert known is not None
            end_key(connection, known, valid_until=datetime.now(UTC), set_by="test")

    told = asked_while_stopped(query, 2.0, revoke, PIPELINED)

    assert told["key"] <= {"401", "503"}
    query.comes_to("401", "key")


@pytest.mark.parametrize("query", [10_000], indirect=True)  # a look takes its time on a busy machine
def test_a_hit_that_waited_for_the_process_is_answered_all_the_same(query: Query) -> None:
    """Stopped for a second, and nothing has changed: late answers are as true as any, and no 503."""
    told = asked_while_stopped(query, 1.0, lambda: None, PIPELINED)

    assert told == {"evaluation": {"200 true"}, "key": {"200"}}


@pytest.mark.parametrize("query", [200], indirect=True)  # well before 0.8 s of turns have told that it is silent
def test_a_database_that_went_away_meanwhile_is_waited_for_first(
    query: Query, fresh_database: str, database_url: str
) -> None:
    """Whoever asks at once gets 503, since nobody knows what was committed; then what was known counts, marked."""
    try:
        told = asked_while_stopped(query, 2.0, lambda: allow_connections(fresh_database, database_url, False), 1)

        assert told == {"evaluation": {"503"}, "key": {"503"}}
        query.comes_to("200 true", "evaluation")
    finally:
        allow_connections(fresh_database, database_url, True)
