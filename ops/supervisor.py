"""
One supervisor over several programs of ours: passes signals on, restarts what died, says so. Edge: child processes.

A child that dies is started again after a pause that grows from 0.1 s, doubling, to at most 5 s, and that begins anew
once a child has lived for 10 s.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
ALIVE_AGAIN_S = 10.0
STOP_S = 20.0
LOOK_S = 0.05
LOG_BYTES = 20 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A command line to be kept running; what it writes goes to *log*, or where ours goes if that is None."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path | None = None


@dataclass(slots=True, kw_only=True)
class _Child:
    """A program and the process that runs it at the moment, if one does."""

    program: Program
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    deaths: int = field(default=0)


def pause_after(deaths: int) -> float:
    """Seconds to wait before the next start, after so many deaths (from 1 on) in a row."""
    return float(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(deaths - 1, 10)))


class Supervisor:
    """Keeps *programs* running from `start` to `stop`."""

    def __init__(self, programs: Sequence[Program], say: Callable[[str], None]) -> None:
        self._children = [_Child(program=program) for program in programs]
        self._say = say

    def start(self) -> None:
        """Start every program."""
        for child in self._children:
            self._run(child)

    def look_after(self) -> None:
        """Start again what has died, once its pause is over; to be called often."""
        now = time.monotonic()
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                self._buried(child, child.process.returncode, now)
            if child.process is None and now >= child.start_at:
                self._run(child)

    def run(self, until: Callable[[], bool]) -> None:
        """Look after the programs until *until* says so."""
        while not until():
            self.look_after()
            time.sleep(LOOK_S)

    def pids(self) -> dict[str, int]:
        """The process id of each program that runs at the moment."""
        return {child.program.name: child.process.pid for child in self._children if child.process is not None}

    def stop(self) -> None:
        """Ask every program to end and wait for it; what has not ended after 20 s is killed, and that is said."""
        running = [(child, child.process) for child in self._children if child.process is not None]
        for _, process in running:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
                process.send_signal(signal.SIGCONT)
        deadline = time.monotonic() + STOP_S
        for child, process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._say(f"{child.program.name} (process {process.pid}) did not end within {STOP_S:.0f} s: killed")
                process.kill()
                process.wait()
            child.process = None

    def _run(self, child: _Child) -> None:
        program = child.program
        tether = [sys.executable, "-I", "-S", str(Path(__file__).with_name("tether.py"))]
        tie = [str(int(signal.SIGTERM)), str(os.getpid()), "-"]
        with _opened(program.log) as log:
            child.process = subprocess.Popen(
                [*tether, *tie, *program.command],
                env=dict(program.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is ours to pass on, so that all ends in order
            )
        child.started_at = time.monotonic()

    def _buried(self, child: _Child, returncode: int, now: float) -> None:
        lived = now - child.started_at
        child.deaths = 1 if lived >= ALIVE_AGAIN_S else child.deaths + 1
        pause = pause_after(child.deaths)
        child.process, child.start_at = None, now + pause
        ending = f"exit code {returncode}" if returncode >= 0 else signal.Signals(-returncode).name
        self._say(
            f"{child.program.name} ended with {ending} after {lived:.1f} s; started again in {pause:.1f} s"
            + (f" (its log: {child.program.log})" if child.program.log else "")
        )


@contextlib.contextmanager
def _opened(log: Path | None) -> Iterator[IO[bytes] | None]:
    """The log file to append to; one that has grown large is set aside first (one generation)."""
    if log is None:
        yield None
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
    with log.open("ab") as file:
        yield file


@contextlib.contextmanager
def stopping_on_signals() -> Iterator[Callable[[], bool]]:
    """Within it SIGINT and SIGTERM only raise a flag; what is given says whether it is up."""
    asked: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        asked.append(number)

    before = {each: signal.signal(each, note) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
