"""What is remembered, bounded by its size: what was not used for longest goes first. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """
    Something worth remembering. *size* is in bytes, about; *used* is set by whoever uses it, which costs a hit nothing
    but that.
    """

    size: int
    used: bool


V = TypeVar("V", bound=Sized)


class Remembered(Generic[V]):
    """
    By name, up to *most* bytes.

    As a clock has it, and not as a list that is moved about on every hit: what comes to the front of the queue and was
    used since it last stood there goes to its end once more. *gone* is called with what is let go, for whatever reason.
    """

    __slots__ = ("_entries", "_gone", "_most", "crowded_out", "size")

    def __init__(self, most: int, gone: Callable[[V], None]) -> None:
        self._entries: OrderedDict[Hashable, V] = OrderedDict()
        self._most = most
        self._gone = gone
        self.size = 0
        self.crowded_out = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: Hashable) -> V | None:
        """What is remembered under *name*; it counts as used."""
        found = self._entries.get(name)
        if found is not None:
            found.used = True
        return found

    def put(self, name: Hashable, value: V) -> None:
        """Remember *value*, which may crowd out others, or itself where it is larger than all that there may be."""
        self.drop(name)
        self._entries[name] = value
        self.size += value.size
        self._make_room()

    def grow(self, value: V, by: int) -> None:
        """A value that is remembered weighs so much more from now on."""
        value.size += by
        self.size += by
        self._make_room()

    def drop(self, name: Hashable) -> bool:
        """Forget *name*; whether there was anything."""
        found = self._entries.pop(name, None)
        if found is None:
            return False
        self.size -= found.size
        self._gone(found)
        return True

    def clear(self) -> int:
        """Forget everything; how much there was."""
        entries, self._entries, self.size = self._entries, OrderedDict(), 0
        for value in entries.values():
            self._gone(value)
        return len(entries)

    def _make_room(self) -> None:
        while self.size > self._most:
            name, value = self._entries.popitem(last=False)
            if value.used:
                value.used = False
                self._entries[name] = value
                continue
            self.size -= value.size
            self.crowded_out += 1
            self._gone(value)
