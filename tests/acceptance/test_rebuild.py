"""A misread invoice, start to end: rebuilt and swapped while gateways ask, then back and forth."""

from __future__ import annotations

from tests.acceptance.misread import A_SECOND, WRONG, play

EVENTS = 2_000
DEADLINE_MS = 2_000
"""Four times what a question may wait by default: other tests may have the processors. By hand it is the default."""


def test_what_a_version_misread_is_rebuilt_and_swapped_while_gateways_ask() -> None:
    """The comparison names who was misread; no wrong or failed answer; gateways told who changed; facts never wrong."""
    played = play(EVENTS, deadline_ms=DEADLINE_MS)

    assert played.faults() == []
    assert played.differ == set(WRONG)
    assert played.told == [set(WRONG)] * 3
    assert played.whole == [True]
    assert played.turned_away == []
    assert len(played.let_in) > 20
    assert len(played.asked) > A_SECOND * 3
