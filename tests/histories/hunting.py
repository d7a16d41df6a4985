"""Looks for a play that breaks a law, and shrinks the first that it finds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from unittest import mock

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.internal.conjecture import engine

from tests.histories.laws import Play, check_laws, plays
from tests.histories.program import Program, programs
from tests.servers import new_database

AT_A_TIME = 500
"""Histories of one hunt: hypothesis remembers all of a hunt, and so becomes slower."""

LONGEST_SHRINKING_S = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Prey:
    """A play that breaks a law: which, and how; found *after* so many histories."""

    play: Play
    how: str
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunt:
    """What came of it: how many histories were tried, in how many seconds, and what was found, if anything."""

    histories: int
    seconds: float
    prey: Prey | None


def hunt(program: Program, histories: int, number: int, *, shrink: bool = True) -> Hunt:
    """Try so many histories, the same for each *number*; of what is found the smallest play is kept."""
    found: list[Prey] = []
    tried = 0

    @seed(number)
    @settings(
        max_examples=histories,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(plays())
    def try_one(play: Play) -> None:
        nonlocal tried
        tried += 1
        try:
            check_laws(program, play)
        except AssertionError as error:
            found.append(Prey(play=play, how=str(error), after=found[0].after if found else tried))
            raise

    began = time.monotonic()
    # hypothesis would try five near copies of each history, and find less in the same time.
    with (
        suppress(AssertionError),
        mock.patch.object(engine.ConjectureRunner, "generate_mutations_from", return_value=None),
        mock.patch.object(engine, "MAX_SHRINKING_SECONDS", LONGEST_SHRINKING_S),
    ):
        try_one()
    return Hunt(histories=tried, seconds=time.monotonic() - began, prey=found[-1] if found else None)


def hunts(url: str, histories: int, number: int, workers: int) -> Iterator[Hunt]:
    """
    So many histories in several processes, each hunt as it ends; other ones for each *number*. Ends with the first that
    finds something.
    """
    sizes = [min(AT_A_TIME, histories - start) for start in range(0, histories, AT_A_TIME)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        all_hunts = [pool.submit(hunt_on, url, size, number * 1_000_000 + hunted) for hunted, size in enumerate(sizes)]
        for done in as_completed(all_hunts):
            found = done.result()
            yield found
            if found.prey is not None:
                pool.shutdown(wait=False, cancel_futures=True)
                return


def hunt_on(url: str, histories: int, number: int) -> Hunt:
    """One hunt, on a database of its own."""
    with on_database(url) as program:
        return hunt(program, histories, number)


@contextmanager
def on_database(url: str) -> Iterator[Program]:
    """The program on a database of the server at *url* that nobody else uses."""
    with new_database(url) as own, programs(own) as program:
        yield program
