"""Dead letters on a terminal: the whole text of each command's output, as an operator sees it."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console, RenderableType

from entitlements.ledger import Outcome
from entitlements.letters import Act, Content, Done, Letter, State, Summary
from ops import letters_shown
from ops.redrive import Redriven
from tests.stripe_builders import on

NO_PERIOD = "line il_1 of invoice in_1 has no period"


def letter(number: int = 17, **changes: object) -> Letter:
    given: dict[str, object] = {
        "id": number,
        "group": "grants",
        "topic": "billing.events.v1",
        "partition": 3,
        "offset": 41,
        "cluster_id": "c",
        "topic_id": "t",
        "state": State.OPEN,
        "reason": NO_PERIOD,
        "appended_at": on("02-01T01:00:05"),
        "set_aside_at": on("02-01T01:00:06"),
        "event": "evt_1",
        "event_type": "invoice.paid",
    }
    return Letter(**{**given, **changes})  # type: ignore[arg-type]


def summary(**changes: object) -> Summary:
    given: dict[str, object] = {
        "group": "grants",
        "reason": NO_PERIOD,
        "state": State.OPEN,
        "count": 1204,
        "first_id": 17,
        "last_id": 1220,
        "oldest": on("02-01T01:00"),
        "newest": on("02-01T09:30"),
    }
    return Summary(**{**given, **changes})  # type: ignore[arg-type]


def seen(what: RenderableType) -> str:
    console = Console(width=100, color_system=None)
    with console.capture() as captured:
        console.print(what)
    return "\n" + "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def test_a_list_has_a_line_for_each_reason() -> None:
    """How many, whose, from when to when, why, and what can be done."""
    few = summary(
        group="invoices", reason="the value is not JSON", count=1, first_id=9, last_id=9, oldest=None, newest=None
    )
    given_up = summary(count=2, first_id=1, last_id=5, state=State.DISCARDED)

    assert (
        seen(letters_shown.listed([summary(), given_up, few]))
        == """
Dead letters: 2 discarded, 1,205 open; every time is UTC
  letters group    ids     oldest           newest           reason
  1,204   grants   17–1220 1 Feb 2026 01:00 1 Feb 2026 09:30 line il_1 of invoice in_1 has no period
  2       grants   1–5     1 Feb 2026 01:00 1 Feb 2026 09:30 line il_1 of invoice in_1 has no period
                                                             (discarded)
  1       invoices 9                                         the value is not JSON
One of them whole: `entitle dead-letters show ID`. Read again by this version: `redrive`. Given up:
`discard`.
"""
    )
    assert seen(letters_shown.listed([])) == "\nno dead letters\n"


def test_each_letter_has_its_address_and_its_event() -> None:
    """Two lines: where and what it is, and why; what was left out is said."""
    some = [letter(), letter(18, offset=44, event=None, event_type=None, state=State.READ, reason="not JSON\x1b[2J")]

    assert (
        seen(letters_shown.each_shown(some, 60))
        == """
Dead letters, by id, the first 2 of 60: --json has all; every time is UTC
  17 grants: billing.events.v1-3 offset 41, 1 Feb 2026 01:00:05, evt_1 (invoice.paid)
    line il_1 of invoice in_1 has no period
  18 grants, read: billing.events.v1-3 offset 44, 1 Feb 2026 01:00:05
    not JSON\\x1b[2J
"""
    )


def test_a_letter_is_shown_whole() -> None:
    """Address, reason, what was done, headers, payload, traceback, all escaped. Long because it is all that is seen."""
    content = Content(
        key=b"cus_1",
        value=b'{"id": "evt_1", "data": {"object": {"id": "in_1", "name": "\x1b"}}}'.replace(b"\x1b", b"\\u001b"),
        headers=(("ce_id", b"evt_1"), ("ce_type", b"invoice.paid"), ("odd", b"\xff\x1b")),
        detail="Traceback (most recent call last):\n  File …\nInvalidMessage: no period\n",
    )
    done = [
        Done(act=Act.REDRIVEN, came_to=Outcome.DEAD_LETTER, reason=NO_PERIOD, by="ann", at=on("02-01T09:00")),
        Done(act=Act.DISCARDED, came_to=None, reason="a load test", by="bob", at=on("02-02")),
    ]

    assert (
        seen(letters_shown.whole_shown(letter(state=State.DISCARDED), content, done))
        == """
Dead letter 17 of grants, discarded, evt_1 (invoice.paid)
billing.events.v1-3 offset 41, appended 1 Feb 2026 01:00:05, set aside 1 Feb 2026 01:00:06; every
time is UTC
  line il_1 of invoice in_1 has no period
  redriven by ann at 1 Feb 2026 09:00, came to dead_letter: line il_1 of invoice in_1 has no period
  discarded by bob at 2 Feb 2026 00:00: a load test

Headers
  ce_id: evt_1
  ce_type: invoice.paid
  odd: \\\\xff\\x1b
  key: cus_1

Value
  {
    "id": "evt_1",
    "data": {
      "object": {
        "id": "in_1",
        "name": "\\u001b"
      }
    }
  }

Why
  Traceback (most recent call last):
    File …
  InvalidMessage: no period
"""
    )


def test_what_became_of_a_redrive_is_counted_and_what_failed_is_told_by_reason() -> None:
    """How many came to what, why the others did not, and whether it was only tried."""
    done = [
        Redriven(letter=letter(1), outcome=Outcome.RECORDED, reason=None),
        Redriven(letter=letter(2), outcome=Outcome.DUPLICATE, reason=None),
        Redriven(letter=letter(3), outcome=Outcome.RECORDED, reason=None),
        Redriven(letter=letter(4), outcome=Outcome.DEAD_LETTER, reason="the value is not JSON"),
    ]

    assert (
        seen(letters_shown.redriven_shown(done, passed_over=1, dry_run=True))
        == """
4 letters: 2 recorded and 1 duplicate, 1 can't be read yet; 1 letter somebody else has seen to
meanwhile
  1 of grants: the value is not JSON
A dry run: all of it was taken back. Without --dry-run it is done.
"""
    )


def test_times_are_those_of_the_log() -> None:
    """For programs: RFC 3339, and null where it is not known."""
    of = letter(appended_at=None, set_aside_at=datetime(2026, 2, 1, tzinfo=UTC))

    assert letters_shown.letter(of)["appended_at"] is None
    assert letters_shown.letter(of)["set_aside_at"] == "2026-02-01T00:00:00Z"
