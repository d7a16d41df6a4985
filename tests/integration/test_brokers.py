"""How brokers are looked for: some that can't be had hold up neither the event loop nor the others."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from ingest.brokers import Brokers
from tests.ingesting import new_topic

pytestmark = pytest.mark.usefixtures("nothing_unheard")


def test_a_name_server_that_is_silent_does_not_stop_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses are asked for aside: what else the loop has to do goes on, and closing waits for nobody."""

    asked: list[str] = []

    def silent(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        time.sleep(1)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", silent)

    async def longest_pause() -> float:
        brokers, pauses = Brokers(["kafka.example:9092"], "events", {}), []
        try:
            for _ in range(50):
                began = time.monotonic()
                await asyncio.sleep(0.01)
                pauses.append(time.monotonic() - began)
        finally:
            brokers.close()
        return max(pauses)

    assert asyncio.run(longest_pause()) < 0.5
    assert "kafka.example" in asked


@contextmanager
def hanging() -> Iterator[str]:
    """An address at which connections neither come about nor fail, as of a host that has vanished."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as waiting:
        for _ in range(4):  # more than it has room for, so that the kernel answers nobody else
            caller = waiting.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(server.getsockname())
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("kind", ["has no name", "hangs"])
def test_a_bootstrap_server_that_is_none_holds_up_no_other(
    kafka: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose name can't be looked up at all, or that hangs, is passed over when it was tried first."""
    topic, port, picks = new_topic(kafka), int(kafka.rpartition(":")[2]), iter([min])

    def picked(brokers: Sequence[Any]) -> Any:
        return next(picks, max)(brokers, key=lambda broker: broker.port == port)

    monkeypatch.setattr(random, "choice", picked)

    async def looked_for(other: str) -> float:
        began, brokers = time.monotonic(), Brokers([other, kafka], topic, {})
        try:
            async with asyncio.timeout(20):
                while not brokers.have_topic():
                    await asyncio.sleep(0.01)
            return time.monotonic() - began
        finally:
            brokers.close()

    with hanging() as vanished:
        took = asyncio.run(looked_for({"has no name": "kafka..svc:9092", "hangs": vanished}[kind]))

    assert next(picks, None) is None, "the other one was not tried"
    assert took < 5
