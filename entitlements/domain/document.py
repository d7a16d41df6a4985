"""
Reading a plain document (what YAML or JSON holds) strictly, noting every mistake and where it stands. Pure.

Reading goes on after a mistake with a stand-in value, so that one reading finds everything; whoever reads throws the
result away if a mistake was noted. Nothing here depends on the order of keys: a document comes back from jsonb.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TypeVar

Path = tuple[str | int, ...]
"""Where something stands in a document: the keys and list positions that lead to it."""

_Choice = TypeVar("_Choice", bound=StrEnum)

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_LONGEST = timedelta(days=3_660)  # far inside datetime's range, so that no sum of a moment and a duration overflows
_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")
_LARGEST_NUMBER = 2**53 - 1  # the largest whole number that every JSON reader keeps exact


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """Something wrong with a document. *path* ends with the key at fault, or with the one that is missing."""

    path: Path
    text: str

    @property
    def where(self) -> str:
        """The path as people write it, empty for the whole document."""
        return dotted(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    A value and where it stands. Each reader returns what is there, or its default (None, where it has none) both if
    nothing is written and after noting a mistake in the list that all places of a document share.
    """

    value: object
    path: Path = ()
    mistakes: list[Mistake] = field(default_factory=list)

    @property
    def where(self) -> str:
        """The path as people write it, empty for the whole document."""
        return dotted(self.path)

    def wrong(self, text: str) -> None:
        self.mistakes.append(Mistake(path=self.path, text=text))

    def inner(self, step: str | int, value: object) -> Place:
        return Place(value=value, path=(*self.path, step), mistakes=self.mistakes)

    def members(self) -> dict[str, Place]:
        """What stands in a mapping, by key; keys are names."""
        if self.value is None:
            return {}
        if not isinstance(self.value, Mapping):
            self.wrong(f"must be a mapping, not {shown(self.value)}")
            return {}
        members = {}
        for key, value in self.value.items():
            place = self.inner(key if isinstance(key, str) else shown(key), value)
            if not isinstance(key, str):
                place.wrong("this key is not text: put it in quotes")
            elif flaw := _flaw(key):
                place.wrong(f"this key {flaw}")
            members[str(place.path[-1])] = place
        return members

    def fields(self, *, required: Mapping[str, str], optional: Iterable[str]) -> dict[str, Place]:
        """The places of all these keys, written or not; *required* says of each what to write."""
        known = (*required, *optional)
        members = self.members()
        for name, place in members.items():
            if name not in known:
                place.wrong(f"unknown key `{printable(name)}`{_did_you_mean(name, known)}")
        fields = {name: members.get(name) or self.inner(name, None) for name in known}
        if self.value is None or isinstance(self.value, Mapping):
            for name, what in required.items():
                if fields[name].value is None:
                    fields[name].wrong(f"is missing: {what}")
        return fields

    def items(self) -> tuple[Place, ...]:
        """What stands in a list."""
        if self.value is None:
            return ()
        if not isinstance(self.value, list | tuple):
            self.wrong(f"must be a list, not {shown(self.value)}")
            return ()
        return tuple(self.inner(index, value) for index, value in enumerate(self.value))

    def text(self) -> str | None:
        """Text that can be shown, sent and stored: not empty, no blanks around it, no control characters."""
        if self.value is None:
            return None
        if not isinstance(self.value, str):
            hint = "" if isinstance(self.value, Mapping | list | tuple) else ": put it in quotes"
            self.wrong(f"must be text, not {shown(self.value)}{hint}")
            return None
        if flaw := _flaw(self.value):
            self.wrong(flaw)
            return None
        return self.value

    def text_like(self, pattern: re.Pattern[str], what: str) -> str | None:
        """Text that is *what*, as *pattern* knows it."""
        text = self.text()
        if text is not None and pattern.fullmatch(text) is None:
            self.wrong(f"must be {what}, not {shown(text)}")
            return None
        return text

    def distinct(self, pattern: re.Pattern[str] | None = None, what: str = "") -> dict[str, Place]:
        """A list of texts, each of which may stand there once."""
        seen: dict[str, Place] = {}
        for place in self.items():
            text = place.text() if pattern is None else place.text_like(pattern, what)
            if place.value is None:
                place.wrong("is empty")
            elif text in seen:
                place.wrong(f"{shown(text)} is listed twice")
            elif text is not None:
                seen[text] = place
        return seen

    def choice(self, default: _Choice) -> _Choice:
        """A member of the default's own kind."""
        if self.value is None:
            return default
        allowed = {member.value: member for member in type(default)}
        if not isinstance(self.value, str) or self.value not in allowed:
            *names, last = (f"`{value}`" for value in allowed)
            self.wrong(f"must be {', '.join(names)} or {last}, not {shown(self.value)}")
            return default
        return allowed[self.value]

    def duration(self, default: timedelta, *, instead: str = "") -> timedelta:
        """A whole number and one of s, m, h, d, w; *instead* says what else the caller takes."""
        if self.value is None:
            return default
        match = _DURATION.fullmatch(self.value) if isinstance(self.value, str) else None
        if match is None:
            self.wrong(f"must be {instead}a duration such as 0s, 90s, 15m, 2h, 3d or 2w, not {shown(self.value)}")
            return default
        # Compared before it is made: a timedelta holds 10^9 days at most.
        seconds = int(match[1]) * _SECONDS[match[2]]
        if seconds > _LONGEST.total_seconds():
            self.wrong(f"must be a duration of at most {_LONGEST.days}d, not {shown(self.value)}")
            return default
        return timedelta(seconds=seconds)

    def whole_number(self) -> int | None:
        """From zero on. A boolean is none, though Python counts it among the numbers."""
        if self.value is None:
            return None
        if type(self.value) is not int or not 0 <= self.value <= _LARGEST_NUMBER:
            self.wrong(f"must be a whole number from 0 to {_LARGEST_NUMBER}, not {shown(self.value)}")
            return None
        return self.value

    def one_of(self, known: Iterable[str], otherwise: str) -> str:
        """A name that stands elsewhere in the document; *otherwise* begins the sentence about one that does not."""
        name = self.text()
        names = tuple(known)
        if name is not None and name not in names:
            self.wrong(f"{otherwise} {shown(name)}{_did_you_mean(name, names)}")
        return name or ""


def dotted(path: Path) -> str:
    """A path as people write it: `products.x.plans.y.apis`, `routes[0].api`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{printable(step)}" for step in path)
    return "".join(steps).removeprefix(".")


def _flaw(text: str) -> str | None:
    """What makes a text unfit to be shown, sent and stored: jsonb takes no NUL, UTF-8 no half of a surrogate pair."""
    if not text.strip():
        return "must not be empty"
    if text != text.strip():
        return "must not begin or end with a blank"
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        return "must not contain control characters"
    return None


def printable(text: str) -> str:
    """The text on one line and in characters that a terminal can show, cut where it becomes long."""
    line = text if text.isprintable() else repr(text)[1:-1]
    return line if len(line) <= 80 else f"{line[:79]}…"


def shown(value: object) -> str:
    """A value as a message quotes it: text and numbers themselves, of the rest only the kind."""
    match value:
        case None:
            return "nothing"
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float() if -(2**63) < value < 2**63:
            return f"{value}"
        case int() | float():
            return "a number out of range"
        case str():
            return f"`{printable(value)}`"
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            return f"a {type(value).__name__}"


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean `{printable(near[0])}`?" if near else ""
