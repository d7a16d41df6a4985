"""Explanations on a terminal: the whole text for a paid, an unpaid, a lapsed and an unknown customer."""

from __future__ import annotations

import pytest
from rich.console import Console

from ops.explained import shown
from tests.explaining import TERMINAL_WIDTH, document_of, text
from tests.pure_core import plan, plans
from tests.renewals import renewal
from tests.stripe_builders import Bill, Line, paid

LEEWAY = plans(enterprise=plan(renewal_leeway="2h"))

GOLDEN: dict[str, tuple[tuple[Bill, ...], str, str]] = {
    "paid": (
        (paid(),),
        "01-15",
        """
allow 200 paid: invoice in_1 for 1 Jan – 1 Feb 2026 is paid; open until 1 Feb 2026 02:00 UTC
customer cus_1, API orders, at 15 Jan 2026 00:00 UTC; every time is UTC

What would change it
  It ends at 1 Feb 2026 02:00 UTC, unless an invoice for a cycle that follows is paid by then.
  If nothing more becomes known, it turns to allow 200 renewal_leeway at 1 Feb 2026 00:00 UTC.

Grants of orders (▶ spoke)
    cycle              plan       invoice how it spoke
  ▶ 1 Jan – 1 Feb 2026 enterprise in_1    paid: open until 1 Feb 2026 00:00

Invoice in_1, 25.00 usd: finalized 1 Jan 2026 00:00, paid 1 Jan 2026 00:00
    created          Stripe event      id    billing.events.v1
    1 Jan 2026 00:00 invoice.finalized evt_0 0 @ 0
    1 Jan 2026 00:00 invoice.paid      evt_1 0 @ 1

Catalog
  revision 1, from the beginning on
""",
    ),
    "unpaid": (
        (paid(), renewal(uncollectible="02-11T10:15:30")),
        "02-12",
        """
deny 402 payment_required: invoice in_2 for 1 Feb – 1 Mar 2026 is uncollectible and not paid
customer cus_1, API orders, at 12 Feb 2026 00:00 UTC; every time is UTC
To be paid at https://invoice.example.com/in_2

What would change it
  Paying invoice in_2 (25.00 usd) opens it until 1 Mar 2026 02:00 UTC.
  If nothing more becomes known, it turns to deny 402 cycle_lapsed at 1 Mar 2026 00:00 UTC.

Grants of orders (▶ spoke)
    cycle              plan       invoice how it spoke
    1 Jan – 1 Feb 2026 enterprise in_1    paid; over since 1 Feb 2026 02:00
  ▶ 1 Feb – 1 Mar 2026 enterprise in_2    not paid: uncollectible since 11 Feb 2026 10:15:30

Revocations
    from                 what                 invoice how it spoke
    11 Feb 2026 10:15:30 marked uncollectible in_2    ended nothing

Invoice in_1, 25.00 usd: finalized 1 Jan 2026 00:00, paid 1 Jan 2026 00:00
    created          Stripe event      id    billing.events.v1
    1 Jan 2026 00:00 invoice.finalized evt_0 0 @ 0
    1 Jan 2026 00:00 invoice.paid      evt_1 0 @ 1

Invoice in_2, 25.00 usd: finalized 1 Feb 2026 01:00, uncollectible 11 Feb 2026 10:15:30
    created              Stripe event                 id    billing.events.v1
    1 Feb 2026 01:00     invoice.finalized            evt_2 0 @ 2
    11 Feb 2026 10:15:30 invoice.marked_uncollectible evt_3 0 @ 3

Catalog
  revision 1, from the beginning on
""",
    ),
    "lapsed": (
        (paid(), renewal(voided="02-03")),
        "02-04",
        """
deny 402 cycle_lapsed: invoice in_1 for 1 Jan – 1 Feb 2026 was paid and is over, and nothing paid
covers the moment
customer cus_1, API orders, at 4 Feb 2026 00:00 UTC; every time is UTC

What would change it
  A paid invoice for a cycle that covers the moment, of the plan enterprise, which opens orders.
  Time alone changes nothing.

Grants of orders (▶ spoke)
    cycle              plan       invoice how it spoke
  ▶ 1 Jan – 1 Feb 2026 enterprise in_1    paid; over since 1 Feb 2026 02:00
    1 Feb – 1 Mar 2026 enterprise in_2    void since 3 Feb 2026 00:00

Revocations
    from             what   invoice how it spoke
    3 Feb 2026 00:00 voided in_2    ended nothing

Invoice in_1, 25.00 usd: finalized 1 Jan 2026 00:00, paid 1 Jan 2026 00:00
    created          Stripe event      id    billing.events.v1
    1 Jan 2026 00:00 invoice.finalized evt_0 0 @ 0
    1 Jan 2026 00:00 invoice.paid      evt_1 0 @ 1

Invoice in_2, 25.00 usd: finalized 1 Feb 2026 01:00, voided 3 Feb 2026 00:00
    created          Stripe event      id    billing.events.v1
    1 Feb 2026 01:00 invoice.finalized evt_2 0 @ 2
    3 Feb 2026 00:00 invoice.voided    evt_3 0 @ 3

Catalog
  revision 1, from the beginning on
""",
    ),
    "unknown": (
        (),
        "02-03",
        """
deny 403 unknown_subject: customer cus_1 is not known here; Stripe has never named it
customer cus_1, API orders, at 3 Feb 2026 00:00 UTC; every time is UTC

What would change it
  An event in which Stripe names customer cus_1, and a paid invoice of the plan enterprise, which
  opens orders.
  Time alone changes nothing.

Catalog
  revision 1, from the beginning on
""",
    ),
}


@pytest.mark.parametrize(("bills", "at", "wanted"), list(GOLDEN.values()), ids=list(GOLDEN))
def test_an_explanation_is_shown_as_a_person_reads_it(bills: tuple[Bill, ...], at: str, wanted: str) -> None:
    """The answer first, then what would change it, then grants, revocations, invoices with their events, catalog."""
    assert wanted.strip("\n") == text(*bills, at=at, terms=LEEWAY)


def test_of_a_long_history_people_are_shown_what_is_near() -> None:
    """Twelve grants and three invoices around those that spoke; how many more there are is said."""
    years = [Line(id=f"il_{year}", start=f"{year}-01-01", end=f"{year + 1}-01-01") for year in range(2000, 2030)]
    lines = text(*(paid(each, id=f"in_{each.id}", at=each.start) for each in years), at="2015-06-01").splitlines()

    told = [line.split("1 Jan ")[1][:4] for line in lines if line.startswith("  ") and " enterprise in_il_" in line]
    assert told == [str(year) for year in range(2009, 2021)]
    assert [line.split()[1].rstrip(",") for line in lines if line.startswith("Invoice ")] == [
        "in_il_2014",
        "in_il_2015",
        "in_il_2016",
    ]
    assert "27 more invoices: --json has all" in lines


def test_real_ids_fit_the_width() -> None:
    """With ids as long as Stripe's, and times with seconds, no id and no address is broken over two lines."""
    long = "in_1MtHbELkdIwHu7ixl4OzzPMv"
    found = document_of(paid(Line(id="il_1"), id=long, at="01-01T10:11:12"), at="01-15")
    found["invoices"][long]["events"] = [
        {
            "id": "evt_1NG8Du2eZvKYlo2CUI79vXWy",
            "type": "invoice.marked_uncollectible",
            "created": "2026-01-11T10:15:07Z",
            "topic": "billing.events.v1",
            "partition": 11,
            "offset": 12_345_678,
            "appended_at": None,
            "twin_of": "evt_2",
        }
    ]
    console = Console(width=TERMINAL_WIDTH, color_system=None)
    with console.capture() as captured:
        console.print(shown(found))

    assert (
        "  = 11 Jan 2026 10:15:07 invoice.marked_uncollectible evt_1NG8Du2eZvKYlo2CUI79vXWy 11 @ 12345678"
    ) in captured.get()
    assert max(len(line) for line in captured.get().splitlines()) <= TERMINAL_WIDTH


def test_nothing_in_an_id_is_obeyed_by_the_terminal() -> None:
    """Escape sequences and markup are shown as they are written."""
    odd = paid(Line(id="il_1"), id="in_[red]\x1b[2J", at="01-01")
    found = document_of(odd, at="01-15")
    console = Console(width=TERMINAL_WIDTH, color_system=None)
    with console.capture() as captured:
        console.print(shown(found))

    assert "\x1b" not in captured.get()
    assert captured.get().count(r"in_[red]\x1b[2J") == 3
