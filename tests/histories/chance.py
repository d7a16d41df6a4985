"""What a history is drawn by: few words for hypothesis, whose draws are the dearest part of drawing. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import Any, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")

HOUR, DAY = 3_600, 86_400
YEAR_BEGINS = 1_767_225_600
"""2026-01-01, UTC."""


@cache
def _index(options: int) -> st.SearchStrategy[int]:
    return st.integers(0, options - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """Draws; everything shrinks to the first option, and to what is not there. *numbers* give names their numbers."""

    draw: Callable[[st.SearchStrategy[Any]], Any]
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def one(self, *options: T) -> T:
        """One of the options."""
        number: int = self.draw(_index(len(options)))
        return options[number]

    def rarely(self, one_in: int) -> bool:
        """Whether something out of the ordinary happens: it does about once in so many times."""
        return bool(self.draw(_index(one_in)) == one_in - 1)

    def times(self, *numbers: int) -> range:
        """So many rounds."""
        return range(self.one(*numbers))

    def name(self, prefix: str) -> str:
        """A name that nothing else has."""
        return f"{prefix}_{next(self.numbers)}"
