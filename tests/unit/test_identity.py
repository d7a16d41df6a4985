"""A fact's digest is made of all that it says and of nothing else, and is the same for ever: rows are kept under it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from entitlements.domain.identity import digest_of, memo, remembered
from tests.stripe_builders import on


def a_fact() -> type:
    """A kind of fact, made anew: what is worked out of a kind is worked out when its first fact is asked."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Said:
        invoice: str
        quantity: Decimal | None
        at: datetime
        stated_at: datetime
        lines: tuple[str, ...] = ()
        _digest: bytes | None = memo()

    return Said


FIRST = {"invoice": "in_1", "quantity": Decimal("1E+1"), "at": on("01-02"), "stated_at": on("01-03")}


def test_the_text_that_is_digested_is_written_down() -> None:
    """The kind, then each column in order: numbers without an exponent, moments in UTC, never *stated_at*."""
    text = b'["Said","in_1","10","2026-01-02T00:00:00+00:00",["il_1"]]'
    known = a_fact()(**FIRST, lines=("il_1",))

    assert digest_of(known) == hashlib.sha256(text).digest()
    nothing = b'["Said","in_1",null,"2026-01-02T00:00:00+00:00",[]]'
    assert digest_of(replace(known, quantity=None, lines=())) == hashlib.sha256(nothing).digest()


def test_one_fact_however_it_is_written_and_whenever_it_was_stated() -> None:
    """Another zone and another *stated_at* say the same; each other column tells facts apart."""
    kind = a_fact()
    known = kind(**FIRST)
    tokyo = timezone(timedelta(hours=9))
    again = kind(**FIRST | {"at": on("01-02").astimezone(tokyo), "stated_at": on("02-01"), "quantity": Decimal(10)})
    others = [
        replace(known, **change)
        for change in ({"invoice": "in_2"}, {"quantity": Decimal(11)}, {"at": on("01-03")}, {"lines": ("il_1",)})
    ]

    assert digest_of(again) == digest_of(known)
    assert len({digest_of(each) for each in (known, *others)}) == 5


def test_a_digest_is_worked_out_once_and_says_nothing() -> None:
    """One that was asked for is not worked out again, nor compared, nor shown, nor taken along into a changed copy."""
    kind = a_fact()
    asked, unasked = kind(**FIRST), kind(**FIRST)

    digest = remembered(asked)

    assert (digest, remembered(asked) is digest) == (digest_of(unasked), True)
    assert asked._digest is digest
    assert asked == unasked
    assert repr(asked) == repr(unasked)
    assert "digest" not in repr(asked)
    assert replace(asked, invoice="in_2")._digest is None
