"""Which of several statements counts, whatever the order they came in (contract, section 5). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from entitlements.domain.facts import canonical_json

Value = TypeVar("Value", bound=str | int | bool | datetime | Decimal | None)


def first_stated(said: Iterable[tuple[datetime, Value]]) -> Value | None:
    """
    Of what may change later, the value of the snapshot with the smallest `created`; within one second the value with
    the smallest canonical JSON (contract, section 5).
    """
    ranked = [(stated_at, canonical_json(_comparable(value)), value) for stated_at, value in said]
    return min(ranked, key=lambda each: each[:2])[2] if ranked else None


def first_known(said: Iterable[tuple[datetime, Value]]) -> Value | None:
    """The same for what never changes but is not carried by every shape: what is absent says nothing."""
    return first_stated((stated_at, value) for stated_at, value in said if value is not None)


def _comparable(value: str | int | bool | datetime | Decimal | None) -> str | int | bool | None:
    match value:
        case datetime():
            return int(value.timestamp())
        case Decimal():
            return str(value)
        case _:
            return value
