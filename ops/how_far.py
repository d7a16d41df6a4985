"""How far something long is: a bar with rate and time left on a terminal, else a line now and then. Edge: stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SAY_EVERY_S = 5.0
"""Between plain lines: a log should not fill with them."""


@contextmanager
def how_far(what: str, total: int, *, already: int = 0) -> Iterator[Callable[[int], None]]:
    """
    Give what is to be called with how many of *total* are done, *already* done ones included, and show that.

    Rate and time left are those of this run.
    """
    if sys.stderr.isatty():
        with _bar(what, total, already) as advance:
            yield advance
    else:
        yield _lines(what, total, already)


@contextmanager
def _bar(what: str, total: int, already: int) -> Iterator[Callable[[int], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    started = time.monotonic()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total, completed=already, rate="")

        def advance(done: int) -> None:
            progress.update(task, completed=done, rate=_rate(done - already, time.monotonic() - started))

        yield advance


def _lines(what: str, total: int, already: int) -> Callable[[int], None]:
    started = time.monotonic()
    said = started

    def advance(done: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= SAY_EVERY_S:
            said = now
            click.echo(line(what, done, total, already, now - started), err=True)

    return advance


def line(what: str, done: int, total: int, already: int, seconds: float) -> str:
    """`replaying: 1,200 of 5,000 (24 %), 310/s, 12 s left`; *seconds* is how long this run took so far."""
    told = f"{what}: {done:,} of {total:,} ({100 * done // total if total else 100} %)"
    if done <= already or seconds <= 0:
        return told
    left = (total - done) * seconds / (done - already)
    return f"{told}, {_rate(done - already, seconds)}, {_duration(left)} left"


def _rate(done: int, seconds: float) -> str:
    return f"{done / seconds:,.0f}/s" if done > 0 and seconds > 0 else ""


def _duration(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h"
