"""No answer contradicts the facts by more than a second, while they change and clients ask; ten seconds of it."""

from __future__ import annotations

from tests.acceptance.freshness import WORST_S, play, say


def test_no_answer_is_a_second_behind_the_facts(fresh_database: str) -> None:
    """A hundred customers are blocked and unblocked at random while thirty-two clients ask."""
    played = play(fresh_database, seconds=10, seed=7)
    say(played)

    assert played.commits > 100
    assert played.questions > 1000
    assert played.unanswered < played.questions / 100
    assert played.worst_s < WORST_S
