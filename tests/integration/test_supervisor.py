"""The supervisor with real processes: started, restarted, stopped in order, killed where they don't end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ops import supervisor
from ops.server import Recipe, Run, Server, Steps
from ops.stack import running
from ops.supervisor import RESTARTS, Program, Supervisor
from tests.processes import alive

SLEEPS = "import time; time.sleep(600)"
DIES = "raise SystemExit(3)"
COUNTS = f"import os; print(os.environ[{RESTARTS!r}]); raise SystemExit(3)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
OBEYS = """
import signal, sys, time
def end(*_):
    print('ended in order', flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print('ready', flush=True)
time.sleep(600)
"""
PARENT = """
import os, sys, time
from pathlib import Path
from ops.supervisor import Program, Supervisor
program = Program(name="child", command=[sys.executable, "-c", sys.argv[1]], environment=dict(os.environ))
supervised = Supervisor([program], print)
supervised.start()
print(*supervised.pids().values(), flush=True)
time.sleep(600)
"""


def nothing(_: Run) -> Steps:
    """Preparing a server that needs none."""
    yield


def program(name: str, code: str, folder: Path) -> Program:
    """A program of one line of Python, whose log is in *folder*."""
    return Program(
        name=name,
        command=[sys.executable, "-u", "-c", code],
        environment=dict(os.environ),
        log=folder / f"{name}.log",
    )


def test_a_program_that_dies_again_and_again_is_given_longer_pauses(tmp_path: Path) -> None:
    """Each death is said with its exit code, and the pause before the next start doubles."""
    said: list[str] = []
    supervised = Supervisor([program("dying", DIES, tmp_path)], said.append)
    supervised.start()
    until(lambda: len(said) >= 3, supervised.look_after)
    supervised.stop()

    assert all("dying ended with exit code 3" in line for line in said)
    assert ["0.1 s", "0.2 s", "0.4 s"] == [line.split("again in ")[1][:5] for line in said[:3]]


def test_the_pause_begins_anew_once_a_program_has_lived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After having lived for the given time, a death counts as the first."""
    monkeypatch.setattr(supervisor, "ALIVE_AGAIN_S", 0.0)
    said: list[str] = []
    supervised = Supervisor([program("dying", DIES, tmp_path)], said.append)
    supervised.start()
    until(lambda: len(said) >= 3, supervised.look_after)
    supervised.stop()

    assert ["0.1 s"] * 3 == [line.split("again in ")[1][:5] for line in said[:3]]


def test_a_program_is_told_how_often_it_was_started_again(tmp_path: Path) -> None:
    """The count goes on through deaths in a row, for the program's own metrics."""
    said: list[str] = []
    supervised = Supervisor([program("dying", COUNTS, tmp_path)], said.append)
    supervised.start()
    until(lambda: len(said) >= 3, supervised.look_after)
    supervised.stop()

    assert ["0", "1", "2"] == (tmp_path / "dying.log").read_text().split()[:3]


def test_stopping_lets_a_program_end_in_order(tmp_path: Path) -> None:
    """The program gets SIGTERM and the time to finish."""
    supervised = Supervisor([program("obeying", OBEYS, tmp_path)], lambda _: None)
    supervised.start()
    until(lambda: "ready" in (tmp_path / "obeying.log").read_text(), supervised.look_after)
    supervised.stop()

    assert "ended in order" in (tmp_path / "obeying.log").read_text()
    assert {} == supervised.pids()


def test_a_program_that_does_not_end_is_killed_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is deaf to SIGTERM is killed after its time, so that stopping has an end."""
    monkeypatch.setattr(supervisor, "STOP_S", 0.5)
    said: list[str] = []
    supervised = Supervisor([program("deaf", DEAF, tmp_path)], said.append)
    supervised.start()
    until(lambda: "deaf" in (tmp_path / "deaf.log").read_text(), supervised.look_after)
    (pid,) = supervised.pids().values()
    supervised.stop()

    assert ["killed"] == [line.rpartition(" ")[2] for line in said]
    assert not alive(pid)


def test_no_program_outlives_a_killed_supervisor() -> None:
    """When the supervisor is killed with -9, its programs get SIGTERM from the system."""
    with subprocess.Popen([sys.executable, "-c", PARENT, SLEEPS], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()

    until(lambda: not alive(child), lambda: None)
    assert not alive(child)


def test_a_server_that_dies_is_started_again_and_that_is_said(stack_folder: Path) -> None:
    """PostgreSQL killed with -9 is back at the same address, on the same data."""
    said: list[str] = []
    with running(stack_folder, kafka=False, say=lambda _: None) as stack:
        assert stack.database is not None
        before = stack.database.pid
        assert before is not None
        supervised = Supervisor([], said.append, servers=[stack.database])
        os.kill(before, signal.SIGKILL)
        until(lambda: stack.database is not None and stack.database.pid not in (None, before), supervised.look_after)

        assert stack.database.pid not in (None, before)
    assert said[0].startswith("PostgreSQL ended after ")


def test_a_server_that_takes_long_to_start_holds_up_no_program(tmp_path: Path) -> None:
    """What dies while a server has not answered yet is started again meanwhile."""
    said: list[str] = []
    recipe = Recipe(
        name="slow",
        address="nowhere",
        log=tmp_path / "slow.log",
        prepare=nothing,
        command=lambda: [sys.executable, "-c", SLEEPS],
        answers=lambda: False,
        stop_signal=signal.SIGTERM,
        stop_seconds=5,
        orphan_signal=signal.SIGKILL,
    )
    slow = Server(recipe)
    supervised = Supervisor([program("dying", DIES, tmp_path)], said.append, servers=[slow])
    supervised.start()
    until(lambda: len(said) >= 4 and slow.pid is not None, supervised.look_after)
    supervised.stop()
    slow.kill()

    assert ["slow", "dying", "dying", "dying"] == sorted((line.split()[0] for line in said[:4]), reverse=True)


def until(reached: Callable[[], bool], between: Callable[[], None]) -> None:
    """Wait for something, at most half a minute."""
    deadline = time.monotonic() + 30
    while not reached() and time.monotonic() < deadline:
        between()
        time.sleep(0.02)
