"""
Finds the servers that integration tests use. An edge: environment, Docker, processes.

First what ENTITLE_DATABASE_URL and ENTITLE_KAFKA name; else Testcontainers, where a Docker engine answers and has, or
can pull, the images; else the embedded stack, in a temporary folder. Each server is started when the first test needs
it. None to be had is a failure, never a skip.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa

from ops import kafka_jars, kafka_server
from ops.stack import PORTS, is_free, running

POSTGRES_IMAGE = "postgres:18"
KAFKA_IMAGE = f"apache/kafka:{kafka_jars.VERSION}"

PULL_SECONDS = 180
"""How long Docker may take to have the images before the embedded stack is used."""

# In a process of its own: Docker's library has no bound for a pull, and leaks a socket where no engine answers,
# which pytest would report as a failure of whichever test runs next.
PULL = """
import sys, docker
client = docker.from_env(timeout=30)
for image in sys.argv[1:]:
    try:
        client.images.get(image)
    except docker.errors.ImageNotFound:
        client.images.pull(image)
"""


@dataclass(slots=True, kw_only=True)
class Servers:
    """The servers of one test session; *say* is told once which they are, *until_end* ends what was started."""

    say: Callable[[str], None]
    until_end: ExitStack
    _found: dict[str, str] = field(default_factory=dict)

    def database_url(self) -> str:
        """The URL of a PostgreSQL in which databases may be created."""
        return self._once("PostgreSQL", "ENTITLE_DATABASE_URL", container=postgres_container, embedded=self._postgres)

    def kafka(self) -> str:
        """The bootstrap servers of a Kafka in which topics may be created."""
        return self._once("Kafka", "ENTITLE_KAFKA", container=kafka_container, embedded=self._kafka)

    def _once(
        self,
        name: str,
        variable: str,
        *,
        container: Callable[[ExitStack], str],
        embedded: Callable[[Path], str],
    ) -> str:
        if name not in self._found:
            if address := os.environ.get(variable):
                self.say(f"tests use the {name} that {variable} names")
            elif docker_has_images():
                self.say(f"tests use {name} in a container")
                address = container(self.until_end)
            else:
                self.say(f"tests use the embedded {name}")
                address = embedded(Path(self.until_end.enter_context(TemporaryDirectory())))
            self._found[name] = address
        return self._found[name]

    def _postgres(self, folder: Path) -> str:
        stack = self.until_end.enter_context(running(folder, kafka=False, say=self.say))
        assert stack.database is not None
        return stack.database.address

    def _kafka(self, folder: Path) -> str:
        stack = self.until_end.enter_context(running(folder, database=False, say=self.say))
        assert stack.kafka is not None
        return stack.kafka.address


@cache
def docker_has_images() -> bool:
    """
    Whether a Docker engine answers and has, or pulled in time, all that Testcontainers needs.

    No, if we are in a container ourselves: there the address that Kafka must advertise is not known before it runs.
    """
    from testcontainers.core.config import ConnectionMode, testcontainers_config
    from testcontainers.core.docker_client import DockerClient

    images = [POSTGRES_IMAGE, KAFKA_IMAGE]
    if not testcontainers_config.ryuk_disabled:
        images.append(testcontainers_config.ryuk_image)
    try:
        pull = subprocess.run(
            [sys.executable, "-c", PULL, *images], capture_output=True, check=False, timeout=PULL_SECONDS
        )
    except subprocess.TimeoutExpired:
        return False
    return pull.returncode == 0 and DockerClient().get_connection_mode() is ConnectionMode.docker_host


def postgres_container(until_end: ExitStack) -> str:
    """Start PostgreSQL in a container; its URL."""
    from testcontainers.community.postgres import PostgresContainer

    container = PostgresContainer(POSTGRES_IMAGE, username="entitle", password="entitle", dbname="entitle", driver=None)
    container.with_command(["postgres", "-c", "max_connections=200", "-c", "timezone=UTC"])
    until_end.enter_context(container)
    return str(container.get_connection_url())


def kafka_container(until_end: ExitStack) -> str:
    """
    Start Kafka in a container, with the settings of the embedded one; its bootstrap servers.

    The port is the same inside and outside, so that the one advertised address is right for clients and for the
    broker itself, which connects to it to end transactions.
    """
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    port = next(port for port in iter(lambda: random.choice(PORTS), None) if is_free(port))
    container = DockerContainer(KAFKA_IMAGE).with_bind_ports(port, port)
    host = container.get_container_host_ip()
    settings = {
        **kafka_server.settings(port=port, controller_port=9093, data=Path("/tmp/kafka-logs")),  # noqa: S108
        "listeners": f"PLAINTEXT://0.0.0.0:{port},CONTROLLER://127.0.0.1:9093",
        "advertised.listeners": f"PLAINTEXT://{host}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    }
    for name, value in settings.items():
        container.with_env("KAFKA_" + name.upper().replace(".", "_"), value)
    container.waiting_for(LogMessageWaitStrategy("Kafka Server started"))
    until_end.enter_context(container)
    return f"{host}:{port}"


@contextmanager
def new_database(server: str, *, template: str = "template1") -> Iterator[str]:
    """A database that nobody else uses, copied from *template*; its URL. Dropped afterwards, connections or not."""
    name = f"test_{uuid.uuid4().hex}"
    url = sa.make_url(server)
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg2"), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(sa.text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(sa.text(f'DROP DATABASE "{name}" WITH (FORCE)'))
