"""
One supervisor over our programs and servers: passes signals on, restarts what died, says so. Edge: child processes.

What dies is started again after a pause that grows from 0.1 s, doubling, to at most 5 s, and that begins anew once it
has lived for 10 s. A server that takes long to start holds up nobody else.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from ops.server import Server, ServerFailed, Steps, set_aside, tied

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
ALIVE_AGAIN_S = 10.0
STOP_S = 20.0
LOOK_S = 0.05
LOG_BYTES = 20 * 1024 * 1024

RESTARTS = "ENTITLE_RESTARTS"
"""Not a setting: in this variable a program finds how often it has been started again, for its metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A command line to be kept running; what it writes goes to *log*, or where ours goes if that is None."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path | None = None


@dataclass(slots=True, kw_only=True)
class _Child:
    """
    A program, or a server, and how it has fared; *process* is what runs the program at the moment, if it runs,
    *starting* what is left to do until the server answers, if it is being started.
    """

    runs: Program | Server
    process: subprocess.Popen[bytes] | None = None
    starting: Steps | None = None
    started_at: float = 0.0
    start_at: float | None = None
    deaths: int = 0
    restarts: int = 0


def pause_after(deaths: int) -> float:
    """Seconds to wait before the next start, after so many deaths (from 1 on) in a row."""
    return float(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(deaths - 1, 10)))


class Supervisor:
    """
    Keeps *programs* running from `start` to `stop`, and *servers*, which run already and are stopped by whoever
    started them, from `start` on.
    """

    def __init__(
        self, programs: Sequence[Program], say: Callable[[str], None], *, servers: Sequence[Server] = ()
    ) -> None:
        self._servers = [_Child(runs=server, started_at=time.monotonic()) for server in servers]
        self._programs = [_Child(runs=program) for program in programs]
        self._say = say

    def start(self) -> None:
        """Start every program."""
        for child in self._programs:
            self._run(child)

    def look_after(self) -> None:
        """Start again what has died, once its pause is over; to be called often."""
        now = time.monotonic()
        for child in (*self._servers, *self._programs):
            if child.starting is not None:
                self._go_on_starting(child, child.starting)
                continue
            ending = _ending(child)
            if ending is not None and child.start_at is None:
                self._buried(child, ending, now)
            if child.start_at is not None and now >= child.start_at:
                self._run(child)

    def run(self, until: Callable[[], bool]) -> None:
        """Look after them until *until* says so."""
        while not until():
            self.look_after()
            time.sleep(LOOK_S)

    def pids(self) -> dict[str, int]:
        """The process id of each program that runs at the moment."""
        return {child.runs.name: child.process.pid for child in self._programs if child.process is not None}

    def stop(self) -> None:
        """Ask every program to end and wait for it; what has not ended after 20 s is killed, and that is said."""
        for child in self._servers:
            if child.starting is not None:
                child.starting.close()
        running = [(child, child.process) for child in self._programs if child.process is not None]
        for _, process in running:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
                process.send_signal(signal.SIGCONT)
        deadline = time.monotonic() + STOP_S
        for child, process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._say(f"{child.runs.name} (process {process.pid}) did not end within {STOP_S:.0f} s: killed")
                process.kill()
                process.wait()
            child.process = None

    def _run(self, child: _Child) -> None:
        child.start_at = None
        match child.runs:
            case Server() as server:
                child.starting = server.starting()
            case Program() as program:
                with _opened(program.log) as log:
                    child.process = subprocess.Popen(
                        tied(program.command, signal.SIGTERM),
                        env={**program.environment, RESTARTS: str(child.restarts)},
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,  # Ctrl-C is ours to pass on, so that all ends in order
                    )
        child.started_at = time.monotonic()

    def _go_on_starting(self, child: _Child, steps: Steps) -> None:
        """A step further, without waiting: programs that died meanwhile need not wait for a server."""
        try:
            next(steps)
            return
        except StopIteration:
            pass
        except ServerFailed as error:
            self._say(str(error))
        child.starting, child.started_at = None, time.monotonic()

    def _buried(self, child: _Child, ending: str, now: float) -> None:
        lived = now - child.started_at
        child.deaths = 1 if lived >= ALIVE_AGAIN_S else child.deaths + 1
        child.restarts += 1
        pause = pause_after(child.deaths)
        child.process, child.start_at = None, now + pause
        log = f" (its log: {child.runs.log})" if child.runs.log else ""
        self._say(f"{child.runs.name} {ending} after {lived:.1f} s; started again in {pause:.1f} s{log}")


def _ending(child: _Child) -> str | None:
    """How it ended, in words; None while it runs, or while it waits to be started."""
    if isinstance(child.runs, Server):
        return "ended" if child.runs.pid is None else None
    if child.process is None or child.process.poll() is None:
        return None
    code = child.process.returncode
    return f"ended with {f'exit code {code}' if code >= 0 else signal.Signals(-code).name}"


@contextlib.contextmanager
def _opened(log: Path | None) -> Iterator[IO[bytes] | None]:
    """The log file to append to; one that has grown large is set aside first (one generation)."""
    if log is None:
        yield None
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    set_aside(log, LOG_BYTES)
    with log.open("ab") as file:
        yield file


@contextlib.contextmanager
def interrupted_once() -> Iterator[None]:
    """
    Within it the first SIGINT or SIGTERM raises KeyboardInterrupt, whatever is being done, and further ones nothing:
    what is being stopped then is stopped in order.
    """
    asked: list[int] = []

    def interrupt(number: int, _: FrameType | None) -> None:
        asked.append(number)
        if len(asked) == 1:
            raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
