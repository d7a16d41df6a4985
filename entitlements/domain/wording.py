"""
Moments, periods, amounts and lists as people write them. Pure.

Times are UTC, to the second where there are seconds: `1 Feb 2026 01:00 UTC`, `1 Feb – 1 Mar 2026`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time
from decimal import Decimal

from entitlements.domain.period import Period

NO_DECIMALS = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"]
)
THREE_DECIMALS = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
"""Currencies whose smallest unit, in which Stripe counts, is no hundredth (Stripe's "Supported currencies")."""


def moment(at: datetime) -> str:
    """`1 Feb 2026 01:00 UTC`."""
    utc = at.astimezone(UTC)
    return f"{_day(utc)} {utc.year} {_hour(utc)} UTC"


def period(between: Period) -> str:
    """`1 Feb – 1 Mar 2026`; with the hour where it is not midnight, and once where both have the same."""
    start, end = between.start.astimezone(UTC), between.end.astimezone(UTC)
    if start.time() != end.time():
        return f"{moment(start).removesuffix(' UTC')} – {moment(end)}"
    year = "" if start.year == end.year else f" {start.year}"
    hour = "" if start.time() == time.min else f", {_hour(start)} UTC"
    return f"{_day(start)}{year} – {_day(end)} {end.year}{hour}"


def money(amount: int | None, currency: str | None) -> str:
    """`25.00 usd`, from an amount in the currency's smallest unit; nothing where either is not known."""
    if amount is None or currency is None:
        return ""
    decimals = 0 if currency in NO_DECIMALS else 3 if currency in THREE_DECIMALS else 2
    return f"{Decimal(amount).scaleb(-decimals):f} {currency}"


def listed(names: Sequence[str], conjunction: str) -> str:
    """`a, b and c`; nothing where there is none."""
    return f" {conjunction} ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def visible(text: str) -> str:
    """The text, with what a terminal would obey instead of show (escape sequences, line breaks) written out."""
    return text if text.isprintable() else repr(text)[1:-1]


def _day(at: datetime) -> str:
    return f"{at.day} {at:%b}"


def _hour(at: datetime) -> str:
    return f"{at:%H:%M:%S}" if at.second else f"{at:%H:%M}"
