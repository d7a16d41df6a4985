"""The whole program as a user starts it, `entitle up`, and what tests do to it from outside. Edge: processes, HTTP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ops.asking import Edge, NoAnswer, Told
from ops.settings import free_address
from schemas.topics import CONSUMER_GROUPS
from tests.processes import children_with

SECRET, TOKEN, ADMIN_TOKEN = "whsec_tests", "gateway_tests", "admin_tests"
CATALOG = Path(__file__).with_name("catalog.yaml")
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An `entitle up` that is ready: its process, its environment, its listeners, the folder of its logs."""

    process: subprocess.Popen[str]
    environment: Mapping[str, str]
    edge: Edge
    folder: Path

    def send(self, event: Mapping[str, Any], *, integration: str = "main") -> Told:
        """Deliver one event, signed now, again and again while the answer is 503 or a listener is being restarted."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                told = self.edge.deliver(event, integration=integration, secret=SECRET, at=datetime.now(UTC))
                if told.status != 503 or time.monotonic() > deadline:
                    return told
            except NoAnswer:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def send_all(self, events: Iterable[Mapping[str, Any]]) -> dict[str, int]:
        """Deliver events, each of which must be published; the last offset of each `topic-partition`."""
        last: dict[str, int] = {}
        for event in events:
            told = self.send(event)
            assert (told.status, told.body.get("status")) == (200, "published"), (event["type"], told)
            place = f"{told.body['topic']}-{told.body['partition']}"
            last[place] = max(last.get(place, -1), told.body["offset"])
        return last

    def catch_up(self, last: Mapping[str, int], groups: Sequence[str] = tuple(CONSUMER_GROUPS)) -> None:
        """Wait until every consumer group has passed the records."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            reached = self.edge.next_offsets()
            behind = {
                (group, place): reached.get(group, {}).get(place)
                for group in groups
                for place, offset in last.items()
                if reached.get(group, {}).get(place, 0) <= offset
            }
            if not behind:
                return
            assert time.monotonic() < deadline, f"not reached within {PATIENCE_S:.0f} s: {behind}, wanted {last}"
            time.sleep(0.05)

    def answer(self, customer: str, api: str, at: datetime) -> dict[str, Any]:
        """The context that a gateway is given, with the decision in it."""
        told = self.edge.evaluate(customer=customer, api=api, at=at)
        assert told.status == 200, told
        return {"decision": told.body["decision"], **told.body["context"]}

    def pid_of(self, *command: str) -> int:
        """The process id of the child that runs `entitle` with these arguments."""
        running = children_with(self.process.pid, "\0".join(("-m", "ops", *command, "")).encode())
        assert running, f"{' '.join(command)} is not running"
        return running[0]

    @contextmanager
    def another(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """One more process of the program, in the same environment, ended when the context ends."""
        log = self.folder / f"another-{'-'.join(command)}.log"
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ops", *command], env=dict(self.environment), stdout=file, stderr=file
            )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def up(folder: Path, settings: Mapping[str, str], *, catalog: Path | None = CATALOG) -> Iterator[Running]:
    """`entitle up` in *folder*, on free addresses, until the context ends; fails with what it said if it can't."""
    edge = Edge(ingest=f"http://{free_address()}", query=f"http://{free_address()}", token=TOKEN)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ENTITLE_")},
        **({} if catalog is None else {"ENTITLE_CATALOG": str(catalog)}),
        "ENTITLE_INGEST_ADDRESS": edge.ingest.removeprefix("http://"),
        "ENTITLE_QUERY_ADDRESS": edge.query.removeprefix("http://"),
        "ENTITLE_QUERY_TOKENS": TOKEN,
        "TEST_SIGNING_SECRETS": SECRET,
        **settings,
    }
    said = folder / "said.txt"
    with said.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ops", "up"],
            cwd=folder,
            env=environment,
            text=True,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while process.poll() is None and "Ctrl-C stops" not in said.read_text(encoding="utf-8"):
            assert time.monotonic() < deadline, said.read_text(encoding="utf-8")
            time.sleep(0.1)
        assert process.poll() is None, said.read_text(encoding="utf-8")
        yield Running(process=process, environment=environment, edge=edge, folder=folder)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(40)
