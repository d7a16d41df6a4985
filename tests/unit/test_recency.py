"""Whose fault it is that the last look is old: the database's, or that of a process that stood still."""

from __future__ import annotations

from entitlements.api.recency import Recency

FRESH_S = 1.0


class Process:
    """A process whose loop comes round by a clock that the test moves; it has just looked."""

    def __init__(self) -> None:
        self.now = 100.0
        self.recency = Recency(lambda: self.now, FRESH_S)
        self.recency.looked(self.now)

    def runs(self, seconds: float) -> None:
        """The loop comes round as it should."""
        for _ in range(round(seconds / self.recency.turn_s)):
            self.now += self.recency.turn_s
            self.recency.turn()

    def stands(self, seconds: float) -> None:
        """It does not; afterwards it may be asked before it comes round."""
        self.now += seconds

    def is_what(self) -> str:
        silent = "silent" if self.recency.is_silent() else "in doubt"
        return "fresh" if self.recency.is_fresh() else silent


def test_a_process_that_runs_and_gets_no_look_finds_the_database_silent() -> None:
    """There is no moment in between at which it would not know what to answer."""
    process = Process()
    process.runs(0.9)
    assert process.is_what() == "fresh"
    process.runs(0.2)
    assert process.is_what() == "silent"
    process.recency.looked(process.now)
    assert process.is_what() == "fresh"


def test_a_process_that_stood_still_is_in_doubt() -> None:
    """At the first moment, after its first turn, and until it has waited for a look itself."""
    process = Process()
    process.runs(0.9)
    process.stands(5)
    assert process.is_what() == "in doubt"
    process.recency.turn()
    assert process.is_what() == "in doubt"
    process.runs(0.7)
    assert process.is_what() == "in doubt"
    process.runs(0.2)
    assert process.is_what() == "silent"


def test_a_look_from_before_it_stood_still_says_nothing() -> None:
    """What was on its way when the process was stopped arrives first, and is as old as the stop."""
    process = Process()
    process.runs(0.5)
    began = process.now
    process.stands(5)
    process.recency.looked(began)
    assert process.is_what() == "in doubt"


def test_one_that_stood_still_while_the_database_was_silent_waits_anew() -> None:
    """The database may be there again: what was so before the stop is not gone by after it."""
    process = Process()
    process.runs(3)
    assert process.is_what() == "silent"
    process.stands(5)
    assert process.is_what() == "in doubt"


def test_a_database_whose_looks_take_too_long_is_silent() -> None:
    """Looks that are old when they come are no reason to hold anybody up."""
    process = Process()
    for _ in range(3):
        began = process.now
        process.runs(1.5)
        process.recency.looked(began)
        assert process.is_what() == "silent"


def test_before_the_first_look_nothing_is_fresh() -> None:
    """And its age has no end."""
    recency = Recency(lambda: 7.0, FRESH_S)
    assert (recency.is_fresh(), recency.ago()) == (False, float("inf"))
