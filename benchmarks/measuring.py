"""
One contender measured: accepted a second, CPU by process, time from webhook to answer. Edge: processes, clock.

Rates are taken with a closed loop; CPU from its first request until every consumer has recorded all that was accepted.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import msgspec

from benchmarks.contenders import Contender
from benchmarks.cpu import seconds_of
from benchmarks.load import Job, Sent

WARM_UP = 6_000
LOOK_S = 0.2
CATCH_UP_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """
    A closed loop: accepted a second, recorded a second (until everybody was done), milliseconds to the answer (p50,
    p99), CPU milliseconds an event by process.
    """

    connections: int
    accepted: float
    recorded: float
    answered: tuple[float, float]
    cpu: Mapping[str, float]
    load_cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """
    An open loop at *rate* a second: milliseconds (p50, p99) to the webhook's answer, and until a question shows it.
    """

    rate: float
    answered: tuple[float, float]
    seen: tuple[float, float]
    probes: int


def warm_up(contender: Contender, count: int = WARM_UP) -> None:
    """What interpreters, Java and caches need before a measurement means something."""
    _send(contender, _job(contender, connections=16, count=count))


def throughput(contender: Contender, *, connections: int, count: int) -> Throughput:
    """The highest rate on so many connections."""
    before = seconds_of(contender.processes)
    sent, seconds = _send(contender, _job(contender, connections=connections, count=count))
    after = seconds_of(contender.processes)
    return Throughput(
        connections=connections,
        accepted=sent.count / sent.seconds,
        recorded=sent.count / seconds,
        answered=sent.answered,
        cpu={name: (after[name] - before[name]) / sent.count * 1000 for name in before},
        load_cpu=sent.cpu_seconds / sent.count * 1000,
    )


def latency(contender: Contender, *, rate: float, seconds: float) -> Latency:
    """How long it takes at a given rate."""
    sent, _ = _send(contender, _job(contender, connections=32, count=int(rate * seconds), rate=rate))
    return Latency(
        rate=rate,
        answered=sent.answered,
        seen=sent.seen,
        probes=sent.probes,
    )


def _send(contender: Contender, job: Job) -> tuple[Sent, float]:
    """Have the job done by a process of its own; with what it says, the seconds until everything was recorded."""
    at_first = contender.recorded() if contender.recorded else 0
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise ValueError("the load generator has no pipes")
        process.stdin.write(json.dumps(asdict(job)) + "\n")
        process.stdin.flush()
        process.stdout.readline()
        started = time.monotonic()
        process.stdin.write("go\n")
        process.stdin.flush()
        answer = process.stdout.readline()
    if not answer:
        raise ValueError(f"the load generator failed against {contender.name}")
    sent = msgspec.json.decode(answer, type=Sent)
    while contender.recorded and contender.recorded() < at_first + sent.count:
        if time.monotonic() - started > CATCH_UP_S:
            raise TimeoutError("the consumers did not catch up")
        time.sleep(LOOK_S)
    return sent, time.monotonic() - started


def _job(of: Contender, *, connections: int, count: int, rate: float | None = None) -> Job:
    return Job(
        host="127.0.0.1",
        port=of.port,
        path=of.path,
        accepted=of.accepted,
        connections=connections,
        count=count,
        run=secrets.token_hex(4),  # ids that no job before it used
        rate=rate,
        query_port=of.query_port,
        question=of.question,
        allowed=of.allowed,
    )
