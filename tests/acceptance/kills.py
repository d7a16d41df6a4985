"""Kills the processes of running programs in turn, and tells how long each was missed. Edge: processes, the clock."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from schemas.topics import CONSUMER_GROUPS
from tests.acceptance.relay import Exchange
from tests.acceptance.running import Running
from tests.processes import children_with

KAFKA, POSTGRES, BACKEND, CONSUMERS = "Kafka", "PostgreSQL", "a backend of PostgreSQL", "consume"
SERVERS = {KAFKA: b"\0kafka.Kafka\0", POSTGRES: b"/postgres\0-D\0"}
"""What stands in their command lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A process that is killed in its turn; *runs* is the listener, the server or the kind of process missed then."""

    name: str
    runs: str
    pid: Callable[[], int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """A process that was killed, in seconds since 1970."""

    target: Target
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Kills:
    """What was killed so far, and how often a process was not there when it was its turn."""

    done: list[Kill] = field(default_factory=list)
    absent: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A record that a group has read: when the broker had it, and when the group's transaction began (since 1970)."""

    group: str
    place: str
    appended_at: float
    recorded_at: float


@contextmanager
def killing(targets: Sequence[Target], every_s: float) -> Iterator[Kills]:
    """SIGKILL one of *targets* in turn, every *every_s* seconds, until the context ends; who is away is passed over."""
    kills, over = Kills(), threading.Event()

    def kill_in_turn() -> None:
        for target in itertools.cycle(targets):
            if over.wait(every_s):
                return
            pid = target.pid()
            if pid is None:
                kills.absent[target.name] += 1
                continue
            kills.done.append(Kill(target=target, at=time.time()))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill_in_turn)
    thread.start()
    try:
        yield kills
    finally:
        over.set()
        thread.join()


def targets(programs: Sequence[Running]) -> list[Target]:
    """Every process of *programs*, the first of which runs the servers, in an order that keeps the servers apart."""
    ingest, query = (_each(programs, name) for name in ("ingest", "query"))
    consumers = _each(programs, "consume", *CONSUMER_GROUPS)
    relays, boundaries = (_each(programs, name) for name in ("relay", "boundaries"))
    servers = programs[0].process.pid

    def backend() -> int | None:
        postmaster = _first(children_with(servers, SERVERS[POSTGRES]))
        clients = [] if postmaster is None else children_with(postmaster, b" 127.0.0.1(")
        return random.choice(clients) if clients else None

    kafka = Target(name=KAFKA, runs=KAFKA, pid=lambda: _first(children_with(servers, SERVERS[KAFKA])))
    postgres = Target(name=POSTGRES, runs=POSTGRES, pid=lambda: _first(children_with(servers, SERVERS[POSTGRES])))
    one_of_its = Target(name=BACKEND, runs=POSTGRES, pid=backend)
    return [*ingest, kafka, *consumers, *relays, postgres, *query, *boundaries, one_of_its]


def _each(programs: Sequence[Running], *command: str) -> list[Target]:
    words = "\0".join(("-m", "ops", *command, "")).encode()

    def target(program: Running, number: int) -> Target:
        listeners = {"ingest": program.edge.ingest, "query": program.edge.query}
        return Target(
            name=f"{command[0]} {number}",
            runs=listeners.get(command[0], command[0]).removeprefix("http://"),
            pid=lambda: _first(children_with(program.process.pid, words)),
        )

    return [target(program, number) for number, program in enumerate(programs, start=1)]


def absences(kills: Kills, exchanges: Sequence[Exchange], reads: Sequence[Read]) -> Mapping[str, list[float]]:
    """
    For each kind of process, how many seconds after each kill it was used again; kills it was not used after are none.

    Of a listener: its first answer to what was asked after the kill. Of Kafka: the first record appended. Of
    PostgreSQL: the first transaction that was committed. Of consumers: until the other instance, or the one started
    again, has recorded something of every partition in every group.
    """
    found: dict[str, list[float]] = {}
    for kill in kills.done:
        match kill.target.runs:
            case name if name == KAFKA:
                used = _earliest(read.appended_at for read in reads if read.appended_at > kill.at)
            case name if name == POSTGRES:
                used = _earliest(read.recorded_at for read in reads if read.recorded_at > kill.at)
            case name if name == CONSUMERS:
                used = _everywhere(reads, kill.at)
            case listener:
                mine = (each for each in exchanges if each.listener == listener and each.asked_at > kill.at)
                used = _earliest(each.answered_at for each in mine)
        if used is not None:
            found.setdefault(kill.target.name, []).append(used - kill.at)
    return found


def _everywhere(reads: Sequence[Read], after: float) -> float | None:
    first: dict[tuple[str, str], float] = {}
    for read in reads:
        if read.recorded_at > after:
            place = read.group, read.place
            first[place] = min(read.recorded_at, first.get(place, read.recorded_at))
    return max(first.values(), default=None)


def _earliest(moments: Iterator[float]) -> float | None:
    return min(moments, default=None)


def _first(pids: Sequence[int]) -> int | None:
    return pids[0] if pids else None
