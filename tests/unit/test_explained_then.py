"""What was known then beside what is known now, on a terminal: the whole text."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from ops.explained_then import MOST_LEARNT, shown
from tests.explaining import TERMINAL_WIDTH, document_of
from tests.renewals import renewal
from tests.stripe_builders import paid

PAID = {
    "id": "evt_9",
    "type": "invoice.paid",
    "about": "in_2",
    "created": "2026-02-03T00:00:00Z",
    "topic": "billing.events.v1",
    "partition": 3,
    "offset": 41,
    "appended_at": "2026-02-06T07:00:01Z",
    "says": ["line il_2 of in_2, price_enterprise, for 1 Feb – 1 Mar 2026: paid"],
}
BLOCKED = {
    "id": "block_1",
    "type": "entitle.customer.blocked.v1",
    "about": None,
    "created": None,
    "topic": "billing.operator-commands.v1",
    "partition": 0,
    "offset": 7,
    "appended_at": "2026-02-07T00:00:00Z",
    "says": ["customer cus_1 is blocked"],
}
GOLDEN = """
API orders, at 5 Feb 2026 00:00 UTC; every time is UTC.
As known at 4 Feb 2026 00:00                       As known now
deny 402 payment_required: invoice in_2 for 1      allow 200 paid: invoice in_2 for 1 Feb – 1 Mar
Feb – 1 Mar 2026 is open and not paid              2026 is paid; open until 1 Mar 2026 00:00 UTC
To be paid at https://invoice.example.com/in_2     - It ends at 1 Mar 2026 00:00 UTC, unless an
- Paying invoice in_2 (25.00 usd) opens it until   invoice for a cycle that follows is paid by
1 Mar 2026 00:00 UTC.                              then.
- If nothing more becomes known, it turns to       - If nothing more becomes known, it turns to
deny 402 cycle_lapsed at 1 Mar 2026 00:00 UTC.     deny 402 cycle_lapsed at 1 Mar 2026 00:00 UTC.

Learnt since
  6 Feb 2026 07:00:01 invoice.paid evt_9, created 3 Feb 2026 00:00: billing.events.v1-3 offset 41
    line il_2 of in_2, price_enterprise, for 1 Feb – 1 Mar 2026: paid
  7 Feb 2026 00:00 customer.blocked block_1: billing.operator-commands.v1-0 offset 7
    customer cus_1 is blocked

When this came is not known, so it is left out of what was known then: replay the log
  Stripe names customer cus_1

In full, as known at 4 Feb 2026 00:00 UTC
deny 402 payment_required: invoice in_2 for 1 Feb – 1 Mar 2026 is open and not paid
customer cus_1, API orders, at 5 Feb 2026 00:00 UTC; every time is UTC
To be paid at https://invoice.example.com/in_2

What would change it
  Paying invoice in_2 (25.00 usd) opens it until 1 Mar 2026 00:00 UTC.
  If nothing more becomes known, it turns to deny 402 cycle_lapsed at 1 Mar 2026 00:00 UTC.

Grants of orders (▶ spoke)
    cycle              plan       invoice how it spoke
    1 Jan – 1 Feb 2026 enterprise in_1    paid; over since 1 Feb 2026 00:00
  ▶ 1 Feb – 1 Mar 2026 enterprise in_2    not paid: its terms open nothing unpaid

Invoice in_1, 25.00 usd: finalized 1 Jan 2026 00:00, paid 1 Jan 2026 00:00
    created          Stripe event      id    billing.events.v1
    1 Jan 2026 00:00 invoice.finalized evt_0 0 @ 0
    1 Jan 2026 00:00 invoice.paid      evt_1 0 @ 1

Invoice in_2, 25.00 usd: finalized 1 Feb 2026 01:00
    created          Stripe event      id    billing.events.v1
    1 Feb 2026 01:00 invoice.finalized evt_2 0 @ 2

Catalog
  revision 1, from the beginning on
"""


def document(**changes: Any) -> dict[str, Any]:
    then = document_of(paid(), renewal(), at="02-05")
    now = document_of(paid(), renewal(paid="02-03"), at="02-05")
    return {
        "known_at": "2026-02-04T00:00:00Z",
        "at": then["at"],
        "api": "orders",
        "differs": True,
        "then": then,
        "now": now,
        "learnt": [PAID, BLOCKED],
        "undated": ["Stripe names customer cus_1"],
        **changes,
    }


def text(of: dict[str, Any]) -> str:
    console = Console(width=TERMINAL_WIDTH, color_system=None)
    with console.capture() as captured:
        console.print(shown(of))
    return "\n" + "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def test_both_answers_stand_side_by_side_and_what_was_learnt_below() -> None:
    """In words, with the addresses of what came later; then all that was known, as `entitle explain` shows it."""
    assert text(document()) == GOLDEN


def test_where_nothing_was_learnt_that_is_said() -> None:
    """Both answers are the same, and no event is named."""
    seen = text(document(differs=False, learnt=[], undated=[]))

    assert "Both answers are the same." in seen
    assert "Learnt since\n  nothing about this customer\n\nIn full" in seen


def test_where_nothing_could_be_decided_that_is_the_answer() -> None:
    """No catalog by then: there is no explanation of it either; of much that was learnt the first are shown."""
    undecided: dict[str, Any] = {
        "decision": None,
        "answer": "503 nothing could be decided: none",
        "context": {},
        "would_change": [],
    }
    seen = text(document(then=undecided, learnt=[PAID] * (MOST_LEARNT + 3), undated=[]))

    assert "503 nothing could be decided: none" in seen
    assert "3 more: --json has all" in seen
    assert "In full" not in seen
