"""Which of several statements counts, whatever the order they came in (contract, section 5). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from entitlements.domain.identity import canonical_json

Value = TypeVar("Value", bound=str | int | bool | datetime | Decimal | None)


def first_stated(said: Iterable[tuple[datetime, Value]]) -> Value | None:
    """
    Of what may change later, the value of the snapshot with the smallest `created`; within one second the value with
    the smallest canonical JSON (contract, section 5).
    """
    all_said = list(said)
    if not all_said:
        return None
    first = min(stated_at for stated_at, _ in all_said)
    at_first = [value for stated_at, value in all_said if stated_at == first]
    return at_first[0] if len(at_first) == 1 else min(at_first, key=_canonical)


def first_known(said: Iterable[tuple[datetime, Value]]) -> Value | None:
    """The same for what never changes but is not carried by every shape: what is absent says nothing."""
    return first_stated((stated_at, value) for stated_at, value in said if value is not None)


def _canonical(value: str | int | bool | datetime | Decimal | None) -> str:
    match value:
        case datetime():
            return canonical_json(int(value.timestamp()))
        case Decimal():
            return canonical_json(str(value))
        case _:
            return canonical_json(value)
