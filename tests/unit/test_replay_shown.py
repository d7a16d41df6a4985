"""What a replay says, before and afterwards, and how far it is: the whole text as an operator sees it."""

from __future__ import annotations

from rich.console import Console

from entitlements.replays import Replay, Span, Tally
from ops import replay_shown
from ops.how_far import line
from ops.replay_plan import Plan
from tests.stripe_builders import on

REPLAY = Replay(
    id=3,
    facts_schema="entitlements",
    asked="--customer cus_1",
    groups=("grants", "revocations"),
    spans=(
        Span(topic="billing.events.v1", partition=0, start=0, end=1500),
        Span(topic="billing.operator-commands.v1", partition=0, start=4, end=5),
    ),
    letters=frozenset({7, 8, 9}),
    by="ann",
    begun_at=on("02-01T09:00"),
)


def tally(span: int, records: int, **changes: object) -> Tally:
    outcomes = {"recorded": 12, "duplicate": 2000, "dead_letter": 1}
    given: dict[str, object] = {
        "step": 4,
        "next_offset": 0,
        "outcomes": outcomes,
        "learnt": {"grants": 1012, "refunds": 1},
    }
    return Tally(**{**given, "span": span, "records": records, **changes})  # type: ignore[arg-type]


def seen(of: Tally, now: set[int]) -> str:
    console = Console(width=100, color_system=None)
    with console.capture() as captured:
        console.print(replay_shown.shown(REPLAY, of, replay_shown.letters(REPLAY.letters, now)))
    return "\n" + "\n".join(each.rstrip() for each in captured.get().splitlines()) + "\n"


def test_what_was_learnt_is_told() -> None:
    """Outcomes over all groups, facts by table, what became of dead letters."""
    assert (
        seen(tally(2, 1501), {9, 11})
        == """
Replay 3 (--customer cus_1), begun by ann at 1 Feb 2026 09:00 UTC: 1,501 records
  what they came to, over grants and revocations: 12 recorded, 2,000 known already and 1 set aside
  facts that are new, or known to be older now: 1,012 in grants and 1 in refunds
  open dead letters: 3 before, 2 of them read now; 1 new: `entitle dead-letters list`
"""
    )


def test_a_replay_that_found_nothing_new_says_so() -> None:
    """And one that is not at its end says how it goes on."""
    nothing = tally(1, 500, outcomes={"duplicate": 1000}, learnt={})

    assert (
        seen(nothing, {7, 8, 9})
        == """
Replay 3 (--customer cus_1), begun by ann at 1 Feb 2026 09:00 UTC: 500 records, of 1,501: go on with
`entitle replay --resume 3`
  what they came to, over grants and revocations: 1,000 known already
  no new fact: all of it was known
  open dead letters: 3 before, 0 of them read now
"""
    )


def test_what_is_going_to_be_read_is_said_beforehand() -> None:
    """How many, of what, through whom, how they were found, and what is left out and why."""
    plan = Plan(spans=REPLAY.spans, gone=10, unread=1)

    assert replay_shown.beforehand(plan, ["grants"], ", found by provenance") == (
        "1,501 records of billing.events.v1 and billing.operator-commands.v1 through grants, found by provenance; "
        "beside these, 10 are in Kafka no longer and 1 the groups have not read yet, and will"
    )
    assert replay_shown.beforehand(Plan(spans=(), gone=0, unread=0), ["grants", "invoices"], "") == (
        "0 records through grants and invoices"
    )


def test_how_far_it_is_has_rate_and_time_left() -> None:
    """The rate is that of this run: what was done before it counts for the share alone."""
    assert line("replaying", 1200, 5000, 200, 10.0) == "replaying: 1,200 of 5,000 (24 %), 100/s, 38 s left"
    assert line("replaying", 600_000, 36_000_000, 0, 600.0).endswith("1,000/s, 9 h left")
    assert line("replaying", 200, 5000, 200, 10.0) == "replaying: 200 of 5,000 (4 %)"
    assert line("looking", 0, 0, 0, 1.0) == "looking: 0 of 0 (100 %)"
