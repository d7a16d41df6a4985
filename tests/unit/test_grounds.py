"""What acceptance tests share is whole for each of them, whatever the one before left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.acceptance.grounds import Grounds


def test_it_stands_until_a_test_fails() -> None:
    """The same for tests that pass; after a failure the old one is taken down before a new one is put up."""
    told: list[str] = []
    numbers = iter("abc")

    @contextmanager
    def make() -> Iterator[str]:
        name = next(numbers)
        told.append(f"{name} up")
        yield name
        told.append(f"{name} down")

    grounds = Grounds(make)

    assert [grounds.whole(failures) for failures in (0, 0, 1, 1, 3)] == ["a", "a", "b", "b", "c"]
    grounds.clear()
    assert told == ["a up", "a down", "b up", "b down", "c up", "c down"]


def test_what_could_not_be_put_up_is_tried_again() -> None:
    """A server that did not start once is no reason for the tests after that one to fail."""
    numbers = iter((1, 2))

    @contextmanager
    def make() -> Iterator[int]:
        number = next(numbers)
        if number == 1:
            raise OSError("it did not start")
        yield number

    grounds = Grounds(make)
    with pytest.raises(OSError, match="did not start"):
        grounds.whole(0)

    assert grounds.whole(1) == 2
