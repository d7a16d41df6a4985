"""A difference on a terminal: the whole text, and what is left out of a long one."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from rich.console import Console, Group, RenderableType

from entitlements.domain.access import Scope, standing
from entitlements.domain.difference_ahead import next_terms
from entitlements.domain.difference_of_catalogs import catalogs_compared
from entitlements.domain.difference_totals import Totals
from entitlements.everyone import CustomerName
from ops import difference_excerpt, difference_shown
from ops.difference_document import of_catalogs, of_customer, of_totals
from ops.difference_excerpt import MOST_ROWS, Excerpt
from ops.difference_shown import MOST_LINES
from tests.differing import OF_GOLD, between, known
from tests.pure_core import INTEGRATION, catalog, plan, revisions
from tests.renewals import renewal
from tests.stripe_builders import Bill, Line, on, paid

WIDTH = 100
THEN = catalog({"enterprise": plan(calls=1000), "old": plan(prices=["price_old"])})
NOW = catalog(
    {
        "enterprise": plan(apis=["orders", "reports"], calls=500, renewal_leeway="2h"),
        "gold": plan(prices=["price_gold"], apis=["orders"]),
    }
)
BEFORE, AFTER = revisions(THEN), revisions(THEN, ("01-02", NOW))
CUSTOMERS: dict[str, tuple[Bill, ...]] = {
    "cus_1": (paid(), renewal(paid="02-01T01:05")),
    "cus_2": (paid(OF_GOLD),),
    "cus_3": (paid(Line(price="price_old")),),
}

GOLDEN = """
The catalog
  plan old: removed
  plan gold: added
  plan enterprise: apis − invoices + reports
  plan enterprise: quotas.calls 1000 requests per cycle, strict → 500 requests per cycle, strict
  plan enterprise: access.renewal_leeway 0s → 2h
  price price_gold: newly named, for plan gold
  price price_old: no longer named, was plan old

Access
  3 customers compared; the access of 2 changes
  marketplace API      closed opened changed
  acme        invoices 1
  acme        orders          2      1
  acme        reports         1
  1 of the 1 with anything open from now on would lose some of it (100.0%)
  1 billed line is newly of a plan

At the next cycle, if the subscription is renewed as it is
  1 customer: enterprise: no longer invoices; newly reports
  1 customer: no plan → gold: newly orders
  1 customer: old → no plan: no longer invoices and orders

Changes, closings first; every time is UTC
  customer     API                     when                      how                      because of
  cus_1 (main) invoices (acme) closed  1 Feb 2026 01:05 – 1 Mar  was paid enterprise      in_2
                                       2026 00:00                (calls 1000)
  cus_1 (main) orders (acme)   opened  1 Mar 2026 00:00 – 1 Mar  renewal_leeway           in_2
                                       2026 02:00                enterprise (calls 500)
  cus_1 (main) reports (acme)  opened  1 Feb 2026 01:05 – 1 Mar  paid enterprise (calls   in_2
                                       2026 02:00                500), renewal_leeway
                                                                 enterprise (calls 500)
  cus_2 (main) orders (acme)   opened  1 Jan – 1 Feb 2026        paid gold                in_1
  cus_1 (main) orders (acme)   changed 1 Feb 2026 01:05 – 1 Mar  paid enterprise (calls   in_2
                                       2026 00:00                1000) → paid enterprise
                                                                 (calls 500)

Lines of another plan
  customer     invoice line price      cycle              plan
  cus_2 (main) in_1    il_1 price_gold 1 Jan – 1 Feb 2026 none → gold
"""


def added_up() -> tuple[Totals, Excerpt, list[dict[str, object]]]:
    """All of `CUSTOMERS`: counted, chosen from, and as JSON."""
    counts, rows, documents = Totals(), Excerpt(), []
    for customer, bills in CUSTOMERS.items():
        name = CustomerName(integration=INTEGRATION, customer=customer)
        found = between(BEFORE, AFTER, *bills)
        before = standing(known(*bills), Scope(integration=INTEGRATION), BEFORE)
        ahead = next_terms(before, INTEGRATION, on("01-15"), BEFORE, AFTER)
        counts = counts.plus(found, ahead, on("02-10"))
        rows = rows.plus(name, found.access, found.lines)
        documents.append(of_customer(name, found, ahead))
    return counts, rows, documents


def page(parts: Iterable[RenderableType]) -> list[str]:
    """What is printed, without the blanks at the ends of lines."""
    console = Console(width=WIDTH, highlight=False)
    with console.capture() as captured:
        console.print(Group(*parts))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_the_page_is_this() -> None:
    """The catalogs' own words, the counts, what is ahead, the changes, the lines; no line is too long."""
    counts, rows, _ = added_up()
    documents = catalogs_compared(*(terms.revisions[-1].catalog for terms in (BEFORE, AFTER)))

    printed = [
        *page(difference_shown.catalogs(documents)),
        *page(difference_shown.totals(counts)),
        *page(difference_excerpt.shown(rows)),
    ]

    assert printed == GOLDEN.splitlines()
    assert max(len(line) for line in printed) <= WIDTH


def test_programs_are_told_every_change() -> None:
    """With its interval, what it was and becomes, and the invoices behind it."""
    _, _, customers = added_up()
    calls = {"name": "calls", "limit": 1000, "enforcement": "strict", "unit": "requests", "per": "cycle"}

    assert customers[0]["access"][0] == {  # type: ignore[index]
        "change": "closed",
        "marketplace": "acme",
        "api": "invoices",
        "start": "2026-02-01T01:05:00Z",
        "end": "2026-03-01T00:00:00Z",
        "before": [{"reason": "paid", "plan": "enterprise", "quotas": [calls]}],
        "after": [],
        "invoices": ["in_2"],
        "manual_grants": [],
    }
    assert customers[1]["lines"] == [
        {
            "change": "mapped",
            "invoice": "in_1",
            "line": "il_1",
            "price": "price_gold",
            "start": "2026-01-01T00:00:00Z",
            "end": "2026-02-01T00:00:00Z",
            "before": None,
            "after": "gold",
        }
    ]
    assert customers[2]["next_cycles"] == [
        {
            "line": "il_1",
            "invoice": "in_1",
            "price": "price_old",
            "from": "2026-02-01T00:00:00Z",
            "before": "old",
            "after": None,
            "lost": ["invoices", "orders"],
            "gained": [],
        }
    ]


def test_programs_are_told_the_counts() -> None:
    """The same as people are."""
    told = of_totals(added_up()[0])

    assert {name: told[name] for name in ("compared", "open", "losing", "losing_share", "closed", "opened")} == {
        "compared": 3,
        "open": 1,
        "losing": 1,
        "losing_share": 1.0,
        "closed": 1,
        "opened": 2,
    }
    assert told["by_api"][0] == {"marketplace": "acme", "api": "invoices", "closed": 1, "opened": 0, "changed": 0}
    assert told["lines"] == {"mapped": 1, "unmapped": 0, "moved": 0}


def test_programs_are_told_what_the_catalog_says_otherwise() -> None:
    """Entries that come, go and change, prices of another plan, and routes."""
    told = of_catalogs(catalogs_compared(*(terms.revisions[-1].catalog for terms in (BEFORE, AFTER))))

    assert (told["plans"]["added"], told["plans"]["removed"]) == (["gold"], ["old"])
    assert told["plans"]["changed"]["enterprise"][0] == {
        "field": "apis",
        "before": ["invoices", "orders"],
        "after": ["orders", "reports"],
    }
    assert told["prices"] == {
        "price_gold": {"before": None, "after": "gold"},
        "price_old": {"before": "old", "after": None},
    }
    assert told["routes"] is None


def test_what_is_left_out_is_counted() -> None:
    """However many customers there are, people see the worst rows, and how many more there are."""
    rows = Excerpt()
    opening, closing = (
        between(revisions(catalog()), AFTER, *CUSTOMERS["cus_2"]),
        between(BEFORE, AFTER, *CUSTOMERS["cus_1"]),
    )
    for number in range(100):
        name = CustomerName(integration=INTEGRATION, customer=f"cus_{number:03}")
        found = closing if number == 99 else opening
        rows = rows.plus(name, found.access, found.lines)

    printed = page(difference_excerpt.shown(rows))

    assert (len(rows.access), len(rows.lines)) == (MOST_ROWS, MOST_ROWS)
    assert rows.access[0][0].customer == "cus_099"
    assert [line for line in printed if "more" in line] == [
        f"  and {99 + len(closing.access) - MOST_ROWS} more: --json has all",
        f"  and {99 - MOST_ROWS} more: --json has all",
    ]


def test_of_many_invoices_the_first_are_named() -> None:
    """A change may rest on years of invoices: three of them, and how many more."""
    months = [f"{month:02}-01" for month in range(1, 8)]
    bills = [
        paid(Line(id=f"il_{start}", start=start, end=end), id=f"in_{start}", at=start)
        for start, end in pairwise(months)
    ]
    found = between(BEFORE, revisions(THEN, ("2025-01-01", NOW)), *bills)
    name = CustomerName(integration=INTEGRATION, customer="cus_1")

    printed = page(difference_excerpt.shown(Excerpt().plus(name, found.access[:1], ())))

    assert [line.split("  ")[-1].strip() for line in printed[-2:]] == ["in_01-01, in_02-01,", "in_03-01 and 3 more"]


def test_a_long_catalog_is_told_in_part() -> None:
    """What more it says otherwise is counted too."""
    many = catalog({f"plan-{number}": plan(prices=[]) for number in range(MOST_LINES + 5)})
    documents = catalogs_compared(BEFORE.revisions[0].catalog, revisions(many).revisions[0].catalog)

    printed = page(difference_shown.catalogs(documents))

    assert len(printed) == MOST_LINES + 3
    assert printed[-1] == f"  and {2 + 5 + 2} more: --json has all"
