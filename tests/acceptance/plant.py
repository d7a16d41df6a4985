"""The program as processes of its own, on servers of its own, all of which a test may kill, stop and start. Edge."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from consumers.extent import ends_of
from consumers.log import Source
from ops.asking import Edge
from ops.settings import free_address
from schemas.topics import CONSUMER_GROUPS, EVENTS
from tests.acceptance.running import ADMIN_TOKEN, CATALOG, SECRET, TOKEN
from tests.ingesting import Ingest

PATIENCE_S = 150.0

ENTITLE = (sys.executable, "-P", "-m", "ops")
PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "ingest": ("ingest",),
    **{group: ("consume", group) for group in CONSUMER_GROUPS},
    "query": ("query",),
}
"""As docker-compose.yml runs them: a process for each consumer group."""

JOINT = "joint"
COMMANDS: Mapping[str, tuple[str, ...]] = {**PROGRAMS, JOINT: ("consume", *CONSUMER_GROUPS)}
LISTENERS = ("ingest", "query")
"""The processes that are asked for their health where they are asked everything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """
    The program's processes by name, each started by hand: nobody starts again what has ended.

    A second instance of a consumer is called `another grants`; `JOINT` is one for all groups, which does not run at
    first. What each has said is in *folder*.
    """

    folder: Path
    environment: Mapping[str, str]
    edge: Edge
    health: Mapping[str, str]
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def kafka(self) -> str:
        return self.environment["ENTITLE_KAFKA"]

    @property
    def ingest(self) -> Ingest:
        """Where webhooks come in."""
        return Ingest(port=int(self.edge.ingest.rpartition(":")[2]))

    def start(self, *names: str, **settings: str) -> None:
        """Start these processes; *settings* on top of the environment."""
        for name in names:
            health = {} if name in LISTENERS else {"ENTITLE_HEALTH_ADDRESS": self.health[name]}
            with (self.folder / f"{name}.log").open("ab") as log:
                self._running[name] = subprocess.Popen(
                    [*ENTITLE, *COMMANDS[name.removeprefix("another ")]],
                    env={**self.environment, **health, **settings},
                    stdout=log,
                    stderr=log,
                )

    def end(self, *names: str) -> None:
        """End these processes in order."""
        for name in names:
            self._running[name].terminate()
        for name in names:
            self._running.pop(name).wait(PATIENCE_S)

    def signal(self, name: str, number: signal.Signals) -> None:
        self._running[name].send_signal(number)

    def ended(self, name: str) -> int:
        """Wait until it has ended by itself; its exit code."""
        return self._running.pop(name).wait(PATIENCE_S)

    def kill(self) -> None:
        """SIGKILL to all of them."""
        for process in self._running.values():
            process.kill()
            process.wait()
        self._running.clear()

    def dead(self) -> list[str]:
        """Those that have ended though nobody ended them."""
        return [name for name, process in self._running.items() if process.poll() is not None]

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(encoding="utf-8")

    def entitle(self, *command: str) -> subprocess.CompletedProcess[str]:
        """One command of the program, run to its end."""
        environment = dict(self.environment)
        return subprocess.run(
            [*ENTITLE, *command], env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )

    def rows(self, query: str, **parameters: Any) -> list[Any]:
        """What its database says."""
        url = sa.make_url(self.environment["ENTITLE_DATABASE_URL"]).set(drivername="postgresql+psycopg2")
        path = {"options": f"-csearch_path={self.environment.get('ENTITLE_SCHEMA', 'entitlements')}"}
        engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args=path)
        with engine.connect() as connection:
            return list(connection.execute(sa.text(query), parameters).all())

    def behind(self) -> dict[str, int]:
        """How many records of Stripe's events each group has still to read, by group and partition; 0 left out."""
        return self._left(self.ends())

    def catch_up(self) -> None:
        """Wait until every group has read what is in the log now, whatever comes meanwhile."""
        ends = self.ends()
        wait_until(lambda: not any(left > 0 for left in self._left(ends).values()), "all is read", self._plight)

    def _plight(self) -> str:
        """What a person needs who has to find out why nothing goes on: who is behind, who is dead, their last words."""
        last = {name: self.said(name).splitlines()[-3:] for name in sorted(self._running)}
        return f"behind {self.behind()}, dead {self.dead()}, last words {last}"

    def ends(self) -> Mapping[int, int]:
        """The end of each partition of Stripe's events."""
        return {partition: end for (_, partition), end in ends_of(Source(bootstrap=self.kafka), [EVENTS]).items()}

    def _left(self, ends: Mapping[int, int]) -> dict[str, int]:
        places = 'SELECT consumer_group, "partition", next_offset FROM consumer_offsets WHERE topic = :topic'
        reached = {(group, partition): offset for group, partition, offset in self.rows(places, topic=EVENTS)}
        return {
            f"{group} {partition}": left
            for group in CONSUMER_GROUPS
            for partition, end in ends.items()
            if (left := end - reached.get((group, partition), 0))
        }

    def unready(self) -> dict[str, int | None]:
        """What `/readyz` of those that run answers where that is not 200; None where nobody listens."""
        found: dict[str, int | None] = {}
        for name in self._running:
            try:
                status = Ingest(port=int(self.health[name].rpartition(":")[2])).ask("GET", "/readyz").status
            except OSError:
                found[name] = None
            else:
                if status != 200:
                    found[name] = status
        return found

    def wait_until_ready(self) -> None:
        """Wait until all that run say that they are ready."""
        wait_until(lambda: not self.unready(), "all is ready", self.unready)

    def wait_until_unready(self, *names: str, perhaps: Collection[str] = ()) -> None:
        """Wait until these, and of all others *perhaps* those, say that they are not."""

        def are_unready() -> bool:
            found = self.unready()
            return {name: found.pop(name, 200) for name in names} == dict.fromkeys(names, 503) and found.keys() <= {
                *perhaps
            }

        wait_until(are_unready, f"{names} are not ready", self.unready)


@contextmanager
def planted(folder: Path, *, database: str, kafka: str) -> Iterator[Plant]:
    """The program on these servers, its tables and topics made and its catalog applied, ready; killed in the end."""
    names = [*COMMANDS, *(f"another {group}" for group in CONSUMER_GROUPS)]
    health = {name: str(free_address()) for name in names}
    edge = Edge(ingest=f"http://{health['ingest']}", query=f"http://{health['query']}", token=TOKEN)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ENTITLE_")},
        "ENTITLE_DATABASE_URL": database,
        "ENTITLE_KAFKA": kafka,
        "ENTITLE_CATALOG": str(CATALOG),
        "ENTITLE_INGEST_ADDRESS": health["ingest"],
        "ENTITLE_QUERY_ADDRESS": health["query"],
        "ENTITLE_QUERY_TOKENS": TOKEN,
        "ENTITLE_ADMIN_TOKENS": ADMIN_TOKEN,
        "TEST_SIGNING_SECRETS": SECRET,
    }
    made = Plant(folder=folder, environment=environment, edge=edge, health=health)
    for command in (("migrate",), ("catalog", "apply", str(CATALOG))):
        done = made.entitle(*command)
        assert done.returncode == 0, done.stderr
    try:
        made.start(*PROGRAMS)
        made.wait_until_ready()
        yield made
    finally:
        made.kill()


def wait_until(true: Callable[[], bool], what: str, instead: Callable[[], Any] = lambda: "") -> None:
    """Look again and again until it is so; a failure, with what is *instead*, after `PATIENCE_S`."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:.0f} s: {what}; {instead()}"
        time.sleep(0.1)
