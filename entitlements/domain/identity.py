"""What makes two facts one: the digest of what they say. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import field, fields
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec


def memo() -> Any:
    """A digest, once it has been asked for; says nothing, so it is neither compared nor copied."""
    return field(default=None, init=False, repr=False, compare=False)


def digest_of(fact: object) -> bytes:
    """SHA-256 over the kind and every column of a fact but *stated_at*: its identity, 32 bytes."""
    kind = type(fact)
    what_it_says = _WHAT_IT_SAYS.get(kind) or _WHAT_IT_SAYS.setdefault(kind, _what_it_says(kind))
    content = [kind.__name__, *what_it_says(fact)]
    for place, value in enumerate(content):
        if value.__class__ is datetime:
            content[place] = _in_utc(value)
        elif value.__class__ is Decimal:
            content[place] = format(value, "f")
    return hashlib.sha256(msgspec.json.encode(content)).digest()


@lru_cache(4096)
def _in_utc(moment: datetime) -> str:
    """
    As digests have it. Most moments come again: in an event's other facts, and in its invoice's other events. None is
    of a zone that sets its clocks back, in which two would be taken for one.
    """
    return moment.astimezone(UTC).isoformat()


def remembered(fact: Any) -> bytes:
    """A fact is frozen, so its digest is worked out once; and only if asked for, which those read back seldom are."""
    known: bytes | None = fact._digest
    if known is None:
        known = digest_of(fact)
        object.__setattr__(fact, "_digest", known)
    return known


def canonical_json(document: Any) -> str:
    """The one JSON text of *document*: sorted keys, no white space."""
    return msgspec.json.encode(document, order="deterministic").decode()


_WHAT_IT_SAYS: dict[type, Callable[[Any], tuple[Any, ...]]] = {}


def _what_it_says(kind: type) -> Callable[[Any], tuple[Any, ...]]:
    """All columns of a kind that its identity is made of, in their order; there are two of them at least."""
    return attrgetter(*(each.name for each in fields(kind) if each.name not in ("stated_at", "_digest")))
