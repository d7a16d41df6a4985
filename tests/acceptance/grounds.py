"""What tests share since it is dear to make, until one fails: nobody knows how it left it. Edge: what is made."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Generic, TypeVar

T = TypeVar("T")


class Grounds(Generic[T]):
    """Where what *make* puts up stands from test to test, until one fails; one thing at a time."""

    def __init__(self, make: Callable[[], AbstractContextManager[T]]) -> None:
        self._make = make
        self._standing: T | None = None
        self._until_end = ExitStack()
        self._failures = 0

    def whole(self, failures: int) -> T:
        """What stands there; a new one where a test has failed (*failures* have) since it was asked for last."""
        if failures != self._failures:
            self.clear()
        if self._standing is None:
            self._standing = self._until_end.enter_context(self._make())
        self._failures = failures
        return self._standing

    def clear(self) -> None:
        """Take down what stands there."""
        self._standing = None
        self._until_end.close()
