"""
A hundred customers changed at random while clients ask: for how long an answer was other than the facts.

    python -m tests.acceptance.freshness --seconds 300

A program of its own: the query process with its memory, a real PostgreSQL, and a writer that commits what a consumer
would. It prints the worst, and ends with 1 where that is over a second. `test_freshness.py` plays ten seconds of it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from entitlements.domain.acts import Block, Unblock
from ops import stack
from tests.asking import ANY, NOW, listening, write
from tests.servers import new_database
from tests.stated import catalog, line

CUSTOMERS = 100
CLIENTS = 32
WORST_S = 1.0
PAUSE_S = 0.005
"""Between two commits: 200 a second at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What came of it: how often was changed and asked, how often otherwise than the facts, and at worst how long."""

    commits: int
    questions: int
    behind: int
    unanswered: int
    worst_s: float


class Facts:
    """
    Whether each customer may call, as committed, and since when. A commit lies between two readings of the clock: until
    the second both answers are right.
    """

    def __init__(self) -> None:
        self._history: list[list[tuple[float, bool]]] = [[(0.0, True)] for _ in range(CUSTOMERS)]

    def committed(self, customer: int, allowed: bool, at: float) -> None:
        self._history[customer].append((at, allowed))

    def is_open(self, customer: int) -> bool:
        return self._history[customer][-1][1]

    def contradicted_for(self, customer: int, allowed: bool, asked_at: float) -> float:
        """For how many seconds the facts had not been so any more when the question was asked; 0: they are."""
        history = tuple(self._history[customer])
        changed_at = 0.0
        for at, state in reversed(history):
            if state == allowed:
                return max(0.0, asked_at - changed_at) if changed_at else 0.0
            changed_at = at
        return asked_at - changed_at


def play(url: str, *, seconds: float, seed: int) -> Played:
    """Change and ask for so many seconds; the database at *url* is empty."""
    facts, ending = Facts(), time.monotonic() + seconds
    found: list[tuple[int, int, int, float]] = []
    everybody = [line(name(number)) for number in range(CUSTOMERS)]
    with listening(url, catalog(), *everybody) as api:
        clients = [
            threading.Thread(target=lambda each=each: found.append(ask(api.port, facts, ending, random.Random(each))))
            for each in range(seed, seed + CLIENTS)
        ]
        for client in clients:
            client.start()
        commits = change(api.engine, facts, ending, random.Random(seed))
        for client in clients:
            client.join()
    questions, behind, unanswered, worst = zip(*found, strict=True)
    return Played(
        commits=commits,
        questions=sum(questions),
        behind=sum(behind),
        unanswered=sum(unanswered),
        worst_s=max(worst),
    )


def change(engine: sa.Engine, facts: Facts, ending: float, chance: random.Random) -> int:
    """Block and unblock customers at random until *ending*; how often."""
    for number in count(1):
        if time.monotonic() > ending:
            return number - 1
        customer = chance.randrange(CUSTOMERS)
        moment = NOW - timedelta(hours=1) + timedelta(milliseconds=number)
        said: dict[str, Any] = {
            "integration": "main",
            "customer": name(customer),
            "id": f"{number}",
            "by": "test",
            "reason": "test",
        }
        if facts.is_open(customer):
            write(engine, Block(**said, start=moment, end=None, at=moment))
        else:
            write(engine, Unblock(**said, since=moment, at=moment))
        facts.committed(customer, not facts.is_open(customer), time.monotonic())
        time.sleep(PAUSE_S * chance.random() * 2)
    raise AssertionError("counting does not end")


def ask(port: int, facts: Facts, ending: float, chance: random.Random) -> tuple[int, int, int, float]:
    """Ask about customers at random until *ending*: how often, how often behind the facts or unanswered, how long."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    questions, behind, unanswered, worst = 0, 0, 0, 0.0
    while time.monotonic() < ending:
        customer = chance.randrange(CUSTOMERS)
        body = {
            "subject": {"type": "customer", "id": name(customer)},
            "action": {"name": "invoke"},
            "resource": {"type": "api", "id": "orders"},
        }
        headers = {"Authorization": f"Bearer {ANY}", "Content-Type": "application/json"}
        asked_at = time.monotonic()
        connection.request("POST", "/access/v1/evaluation", json.dumps(body), headers)
        answer = connection.getresponse()
        told = json.loads(answer.read())
        questions += 1
        if answer.status != 200:
            unanswered += 1
            continue
        late = facts.contradicted_for(customer, told["decision"], asked_at)
        behind += late > 0
        worst = max(worst, late)
    connection.close()
    return questions, behind, unanswered, worst


def name(customer: int) -> str:
    return f"cus_{customer}"


def say(played: Played) -> None:
    """Print it, in one line."""
    print(
        f"{played.commits} commits, {played.questions} questions ({played.unanswered} not answered in time): "
        f"{played.behind} answers behind the facts, the worst by {played.worst_s * 1000:.1f} ms"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, and print the worst."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.freshness")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory() as folder,
        stack.running(Path(folder), kafka=False, say=lambda _: None) as servers,
    ):
        if servers.database is None:
            raise ValueError("there is no PostgreSQL")
        with new_database(servers.database.address) as url:
            played = play(url, seconds=options.seconds, seed=options.seed)
    say(played)
    return 0 if played.worst_s < WORST_S else 1


if __name__ == "__main__":
    sys.exit(main())
