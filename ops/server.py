"""
A server as our child process: started, waited for until it answers, stopped, killed. An edge: the operating system.

Knows neither PostgreSQL nor Kafka: a `Recipe` says how one is prepared, run, asked and ended.

Starting and stopping are generators that yield while there is nothing to do but wait, so that one thread can start
several servers at once with `together`. One thread it must be: Linux sends the signal that ties a child to its parent
when the *thread* that started it ends. Start servers from a thread that lives as long as they should.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

HOST = "127.0.0.1"

Steps = Generator[None, None, None]

START_SECONDS = 90.0
"""How long a server may take until it answers; measured on two idle cores: PostgreSQL 1 s, Kafka 4 s, first start."""

POLL_SECONDS = 0.02
LOG_BYTES = 5 * 1024 * 1024
"""A log file larger than this is set aside (one generation) at the next start."""

INHERITED = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")
"""All that a server sees of our environment: it needs none of our secrets."""


class StackUnavailable(Exception):
    """What the embedded servers need is not on this machine: the text says what to install."""


class StackBusy(Exception):
    """Another process has these servers running already: the text names the folder and the process id."""


class ServerFailed(Exception):
    """A server was there but did not start: the text ends with the last lines of its log, and names the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """
    How one kind of server is run.

    *prepare* makes the data folder where there is none yet, through the `Run` that it is given; *command* is the
    server itself; *answers* asks it a real question and must return within seconds; *stop_signal* asks for an orderly
    end, for which it has *stop_seconds*; *orphan_signal* is what it gets when our process dies without a word.
    """

    name: str
    address: str
    log: Path
    prepare: Callable[[Run], Steps]
    command: Callable[[], Sequence[str]]
    answers: Callable[[], bool]
    stop_signal: signal.Signals
    stop_seconds: float
    orphan_signal: signal.Signals
    user: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """
    The right to run one server's programs on its data: a file lock that every process started here inherits.

    So whoever holds it knows that no process of an earlier run, orphaned or slow to end, is left on the data.
    """

    recipe: Recipe
    lock: int

    def spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start *command* as our child, tied to our life, in a session of its own (Ctrl-C is ours to pass on)."""
        recipe = self.recipe
        with recipe.log.open("ab") as log:
            return subprocess.Popen(
                tied(command, recipe.orphan_signal, user=recipe.user),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={name: os.environ[name] for name in INHERITED if name in os.environ},
                start_new_session=True,
                pass_fds=(self.lock,),
            )

    def finishing(self, command: Sequence[str]) -> Steps:
        """Run *command* to its end; `ServerFailed` unless it exits with 0."""
        process = self.spawn(command)
        try:
            while process.poll() is None:
                yield
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode != 0:
            raise _failure(self.recipe, f"{command[0]} ended with {_ending(process.returncode)}")


class Server:
    """One server, started and stopped as often as needed, always at the same address and on the same data."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return self._recipe.name

    @property
    def address(self) -> str:
        """What a client is given: a database URL, or Kafka's bootstrap servers."""
        return self._recipe.address

    @property
    def log(self) -> Path:
        return self._recipe.log

    @property
    def pid(self) -> int | None:
        """The server's own process id, while it runs."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    def start(self) -> None:
        """Start, and return once it answers; nothing when it runs already. `ServerFailed` if it does not."""
        together(self.starting())

    def starting(self) -> Steps:
        if self.pid is not None:
            return
        recipe = self._recipe
        deadline = time.monotonic() + START_SECONDS
        with recipe.log.with_suffix(".lock").open("a") as lock:
            yield from _locking(recipe, lock, deadline)
            set_aside(recipe.log, LOG_BYTES)
            run = Run(recipe=recipe, lock=lock.fileno())
            yield from recipe.prepare(run)
            process = self._process = run.spawn(recipe.command())
        while not recipe.answers():
            if process.poll() is not None:
                raise _failure(recipe, f"it ended with {_ending(process.returncode)}")
            if time.monotonic() > deadline:
                self.kill()
                raise _failure(recipe, f"it gave no answer within {START_SECONDS:.0f} s")
            yield

    def stop(self) -> None:
        """Ask for an orderly end and wait for it; kill what has not ended after its bound."""
        together(self.stopping())

    def stopping(self) -> Steps:
        process = self._process
        if process is None or process.poll() is not None:
            return
        deadline = time.monotonic() + self._recipe.stop_seconds
        process.send_signal(self._recipe.stop_signal)
        process.send_signal(signal.SIGCONT)  # one that was stopped by SIGSTOP could not obey
        while process.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
                return
            yield

    def kill(self) -> None:
        """SIGKILL, as a crash would have it; returns once the process is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def together(*several: Steps) -> None:
    """Drive several starts or stops side by side; the first to fail ends the others where they are."""
    waiting = list(several)
    try:
        while waiting:
            for steps in tuple(waiting):
                try:
                    next(steps)
                except StopIteration:
                    waiting.remove(steps)
            if waiting:
                time.sleep(POLL_SECONDS)
    finally:
        for steps in waiting:
            steps.close()


def port_answers(port: int) -> bool:
    """Whether anything accepts connections on *port* of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


def _locking(recipe: Recipe, lock: IO[str], deadline: float) -> Steps:
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if time.monotonic() > deadline:
            raise ServerFailed(
                f"{recipe.name} did not start: processes of an earlier run still hold {lock.name}; end them first"
            )
        yield


def _failure(recipe: Recipe, what: str) -> ServerFailed:
    """The error for a person: what happened, the end of the log, and where the rest is."""
    try:
        tail = recipe.log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
    except OSError:
        tail = []
    lines = "".join(f"\n  {line}" for line in tail)
    return ServerFailed(f"{recipe.name} did not start: {what}. The end of its log, {recipe.log}:{lines}")


def _ending(returncode: int) -> str:
    return f"exit code {returncode}" if returncode >= 0 else signal.Signals(-returncode).name


def tied(command: Sequence[str], orphan_signal: signal.Signals, *, user: int | None = None) -> list[str]:
    """*command* such that it gets *orphan_signal* when this process dies; run as *user*, a numeric id, if given."""
    tether = [sys.executable, "-I", "-S", str(Path(__file__).with_name("tether.py"))]
    return [*tether, str(int(orphan_signal)), str(os.getpid()), "-" if user is None else str(user), *command]


def set_aside(log: Path, at_most: int) -> None:
    """Rename a log that has grown over *at_most* bytes; one generation is kept."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > at_most:
            log.replace(log.with_suffix(".log.1"))
