"""Reading single fields of untrusted JSON, each with a refusal that names what was wrong with what. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

LARGEST_INTEGER = 2**63 - 1
"""What Postgres' bigint takes; Stripe's own numbers are far below."""

LAST_YEAR = 9000
"""Times beyond are refused, so that adding a cycle or a grace to one can't overflow."""

Json = Mapping[str, Any]


LONGEST_QUOTATION = 60
"""Characters of a wrong value that a refusal quotes: refusals are logged, and a value may be a megabyte."""


class InvalidMessage(Exception):
    """A record that no code can read: the text says what is wrong with it. It will never become readable by waiting."""


def quoted(value: Any) -> str:
    """A wrong value as a refusal shows it: a list or an object by its name alone, the rest cut where it gets long."""
    if isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "an object"
    whole = repr(value)
    return whole if len(whole) <= LONGEST_QUOTATION else f"{whole[:LONGEST_QUOTATION]}…"


def mapping(value: Any) -> Json:
    """*value* if it is an object, else an empty one: for reading on through what may be absent."""
    return value if isinstance(value, dict) else {}


def id_of(value: Any) -> str | None:
    """An id, whether it stands there itself or its object was expanded in its place."""
    if isinstance(value, dict):
        value = value.get("id")
    return value if isinstance(value, str) and value else None


def text(holder: Json, name: str, what: str) -> str:
    """A text that must be there and not empty."""
    value = holder.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidMessage(f"{what} has no {name}")
    return value


def optional_text(holder: Json, name: str) -> str | None:
    """A text, or None where there is none or an empty one."""
    value = holder.get(name)
    return value if isinstance(value, str) and value else None


def integer(holder: Json, name: str, what: str) -> int:
    """A whole number that fits 64 bits."""
    value = holder.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > LARGEST_INTEGER:
        raise InvalidMessage(f"{what}: {name} is {quoted(value)}, not a whole number")
    return value


def shown_integer(holder: Json, name: str) -> int | None:
    """A whole number that people are shown and nothing is decided by: None for whatever else stands there."""
    value = holder.get(name)
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_INTEGER
    return value if whole else None


def optional_integer(holder: Json, name: str, what: str) -> int | None:
    """A whole number that fits 64 bits, or None where there is none."""
    return None if holder.get(name) is None else integer(holder, name, what)


def moment(holder: Json, name: str, what: str) -> datetime:
    """A time given in Unix seconds."""
    seconds = integer(holder, name, what)
    try:
        found = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidMessage(f"{what}: {name} is {seconds}, not a time in Unix seconds") from error
    if found.year > LAST_YEAR:
        raise InvalidMessage(f"{what}: {name} is {seconds}, which is in the year {found.year}")
    return found


def optional_moment(holder: Json, name: str, what: str) -> datetime | None:
    """A time given in Unix seconds, or None where there is none."""
    return None if holder.get(name) is None else moment(holder, name, what)
