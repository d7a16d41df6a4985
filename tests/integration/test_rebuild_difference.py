"""
`entitle rebuild --diff` on a real PostgreSQL: two schemas of the same events, one by a version that was wrong.

Long because the whole page stands in it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
import sqlalchemy as sa

from entitlements.domain.brake import Brake
from entitlements.domain.facts import Fact, Grant
from entitlements.domain.reversals import RefundStated
from entitlements.store import record
from ops.brake import Braked
from ops.comparing import AT_ONCE
from ops.database import engine, migrate
from ops.rebuild_difference import Agreed, differing_customers, side_by_side
from ops.rebuild_difference_told import Compared, compare
from schemas.codec import CatalogApplied
from tests.asking import SETTINGS_SCHEMA
from tests.pure_core import catalog, plan
from tests.recording import reached, read
from tests.stated import JUNE, line
from tests.stated import catalog as first
from tests.stripe_builders import Line, events, on, paid
from tests.taking_back import charge, refund

LIVE, REBUILD = "entitlements", "entitlements_rebuild"
NOW = on("01-20")
FIRST = CatalogApplied(number=1, in_force_from=None, applied_by="ann", document=catalog())
CUSTOMERS = 12
PAID_BACK = "cus_5"
EVENTS: tuple[Any, ...] = (
    *events(
        *(
            paid(
                Line(id=f"il_{each}", item=f"si_{each}", subscription=f"sub_{each}"),
                id=f"in_{each}",
                customer=f"cus_{each}",
            )
            for each in range(CUSTOMERS)
        )
    ),
    charge(at="01-01", invoice="in_5", customer=PAID_BACK),
    charge(at="01-01", invoice="in_6", customer="cus_6", id="ch_6", payment_intent="pi_6"),
    refund("failed", at="01-14"),
    refund("succeeded", at="01-15", id="re_6", charge="ch_6", payment_intent="pi_6"),
)
HISTORY: tuple[Any, ...] = (FIRST, *EVENTS)
ONE_PERCENT = Brake(share=Fraction(1, 100))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """What serves and what was rebuilt, each with an engine on it; *url* is the database's."""

    url: str
    live: sa.Engine
    rebuilt: sa.Engine

    def names(self) -> set[str]:
        """Whose access differs."""
        with side_by_side(self.live, LIVE, REBUILD) as both:
            return {each.customer for each in differing_customers(both)}


@contextmanager
def sides(url: str) -> Iterator[Sides]:
    """Two migrated schemas in which nothing is recorded."""
    made = sa.make_url(url).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
    live, rebuilt = (engine(made, schema) for schema in (LIVE, REBUILD))
    try:
        migrate(live, LIVE)
        migrate(rebuilt, REBUILD)
        yield Sides(url=url, live=live, rebuilt=rebuilt)
    finally:
        live.dispose()
        rebuilt.dispose()


def misread(fact: Fact) -> Fact:
    """Cycles of two customers are taken for ten days, and a refund that failed for one that succeeded."""
    match fact:
        case Grant(customer="cus_3" | "cus_7", status="paid"):
            return replace(fact, period_end=on("01-11"))
        case RefundStated(status="failed"):
            return replace(fact, status="succeeded")
        case _:
            return fact


@pytest.fixture
def wrong(fresh_database: str) -> Iterator[Sides]:
    """A version that misread some serves; the rebuild is right."""
    with sides(fresh_database) as found:
        read(found.live, HISTORY, misread=misread)
        read(found.rebuilt, HISTORY)
        for side in (found.live, found.rebuilt):
            reached(side, next_offset=len(EVENTS))
        yield found


def test_exactly_those_who_were_misread_are_told(wrong: Sides) -> None:
    """Of twelve customers the three whom the rule concerned, with the API, the time, the invoice and the facts."""
    done = diff(wrong.url, "--json")
    told = json.loads(done.stdout)

    assert (done.returncode, done.stderr) == (1, "")
    assert [
        (
            each["customer"],
            {(it["change"], it["api"], it["start"], it["end"], *it["invoices"]) for it in each["access"]},
        )
        for each in told["customers"]
    ] == [
        (
            name,
            {("opened", api, start, "2026-02-01T00:00:00Z", invoice) for api in ("orders", "invoices")},
        )
        for name, start, invoice in (
            ("cus_3", "2026-01-11T00:00:00Z", "in_3"),
            ("cus_5", "2026-01-14T00:00:00Z", "in_5"),
            ("cus_7", "2026-01-11T00:00:00Z", "in_7"),
        )
    ]
    assert [
        [(it["table"], it["had_by"], it["invoices"], [each["field"] for each in it["fields"]]) for it in of["facts"]]
        for of in told["customers"]
    ] == [
        [("grants", "both", ["in_3"], ["period_end"])],
        [("refunds", "both", ["in_5"], ["status"])],
        [("grants", "both", ["in_7"], ["period_end"])],
    ]
    assert told["counts"]["customers"] == CUSTOMERS
    assert (told["counts"]["facts_differ"], told["counts"]["differing"], told["counts"]["opened"]) == (3, 3, 3)
    assert told["facts"] == {
        "grants": {"before": 2, "after": 2, "stated": 0},
        "refunds": {"before": 1, "after": 1, "stated": 0},
    }
    assert wrong.names() == {"cus_3", "cus_5", "cus_7"}


GOLDEN = """\
entitlements, which serves, beside entitlements_rebuild, which was rebuilt
  both have read the log equally far

Facts
  table   only live only rebuilt stated at another time
  grants  2         2
  refunds 1         1

Access
  of 12 customers the facts of 3 differ, the access of 3 changes
  marketplace API      closed opened changed
  acme        invoices        3
  acme        orders          3
  nobody would lose anything that is open now or later

Changes, closings first; every time is UTC
  customer     API                    when                how             because of
  cus_3 (main) invoices (acme) opened 11 Jan – 1 Feb 2026 paid enterprise in_3
  cus_3 (main) orders (acme)   opened 11 Jan – 1 Feb 2026 paid enterprise in_3
  cus_5 (main) invoices (acme) opened 14 Jan – 1 Feb 2026 paid enterprise in_5
  cus_5 (main) orders (acme)   opened 14 Jan – 1 Feb 2026 paid enterprise in_5
  cus_7 (main) invoices (acme) opened 11 Jan – 1 Feb 2026 paid enterprise in_7
  cus_7 (main) orders (acme)   opened 11 Jan – 1 Feb 2026 paid enterprise in_7

Why: the facts that the two do not share
  cus_3 (main)
    invoice in_3
      otherwise: line il_3 of in_3, price_enterprise, for 1 Jan – 11 Jan 2026: paid
        period_end: live 11 Jan 2026 00:00 UTC, rebuilt 1 Feb 2026 00:00 UTC
  cus_5 (main)
    invoice in_5
      otherwise: refund re_1 of pi_1 and ch_1, 2500 (smallest unit): succeeded
        status: live succeeded, rebuilt failed
  cus_7 (main)
    invoice in_7
      otherwise: line il_7 of in_7, price_enterprise, for 1 Jan – 11 Jan 2026: paid
        period_end: live 11 Jan 2026 00:00 UTC, rebuilt 1 Feb 2026 00:00 UTC
"""


def test_the_page_is_this(wrong: Sides, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole text: how far, the facts, the access, the changes, and why."""
    code = compare(wrong.live, wanted(), as_json=False)

    assert code == 1
    assert page(capsys) == GOLDEN.splitlines()


def test_one_customer_is_told_with_all_of_its_facts(wrong: Sides, capsys: pytest.CaptureFixture[str]) -> None:
    """--customer: nobody else, and nothing of the brake, which is about all; of one who does not differ, nothing."""
    codes = [compare(wrong.live, wanted(customer), as_json=False) for customer in ("cus_7", "cus_1")]
    told = page(capsys)

    assert codes == [1, 0]
    assert [each for each in told if "cus_" in each or "of 12" in each] == [
        "  of 12 customers the facts of 1 differ, the access of 1 changes",
        *(each for each in GOLDEN.splitlines() if "cus_7" in each),
        "  of 12 customers the facts of 0 differ, the access of 0 changes",
    ]


def test_the_other_way_round_it_closes_and_a_swap_has_to_be_told_how_many(wrong: Sides) -> None:
    """Swapped back, three of twelve lose what they have: refused, with two agreed to refused, with three done."""
    agreed = [Agreed(brake=ONE_PERCENT, yes_close=each) for each in (None, 2, 3)]
    command = "entitle rebuild --swap-back"
    said = []
    for each in agreed[:2]:
        with pytest.raises(Braked) as stopped:
            each.news(wrong.live, REBUILD, LIVE, NOW, command=command)
        said.append(str(stopped.value).splitlines())
    news = agreed[2].news(wrong.live, REBUILD, LIVE, NOW, command=command)

    assert [lines[0] for lines in said] == [
        "Nothing is swapped: it would close access for 3 of at most 12 customers with anything open, which is 25.0% or "
        f"more; without asking it may be 1%{fewer}"
        for fewer in ("", "; --yes-close 2 is fewer")
    ]
    assert said[0][1:] == [
        "  3 lose what is open now or later",
        "  cus_3 (main): invoices (acme) 11 Jan – 1 Feb 2026, was paid enterprise, because of in_3; and 1 more",
        "  cus_5 (main): invoices (acme) 14 Jan – 1 Feb 2026, was paid enterprise, because of in_5; and 1 more",
        "  cus_7 (main): invoices (acme) 11 Jan – 1 Feb 2026, was paid enterprise, because of in_7; and 1 more",
        "If that is meant: entitle rebuild --swap-back --yes-close 3",
    ]
    assert {each.customer for each in news} == {"cus_3", "cus_5", "cus_7"}


def test_a_swap_that_closes_few_enough_is_not_asked_about(wrong: Sides) -> None:
    """Three of the eleven with anything open are 27.3 %: a share of 28 % lets it pass, one of 27 % does not."""
    few, many = (Agreed(brake=Brake(share=Fraction(each, 100)), yes_close=None) for each in (28, 27))

    assert len(few.news(wrong.live, REBUILD, LIVE, NOW, command="x")) == 3
    with pytest.raises(Braked):
        many.news(wrong.live, REBUILD, LIVE, NOW, command="x")


def test_who_has_anything_open_is_counted_as_far_as_it_takes(fresh_database: str) -> None:
    """All, or enough, a batch at a time; of those who may have anything, one has a line of no plan."""
    everybody = [line(f"cus_{number:03}") for number in range(2 * AT_ONCE + 5)]
    ended = replace(line("cus_ended"), period_end=JUNE + timedelta(days=1))
    with sides(fresh_database) as found:
        with found.live.begin() as connection:
            record(connection, (first(), *everybody, ended, line("cus_odd", price="price_nobody_named")))
        with side_by_side(found.live, LIVE, REBUILD) as both:
            counted = [both.count_open(JUNE + timedelta(days=9), enough=each) for each in (None, 1, AT_ONCE + 1)]
            most = both.most_open(JUNE + timedelta(days=9))

    assert (counted, most) == ([len(everybody), AT_ONCE, 2 * AT_ONCE], len(everybody) + 1)


def test_what_is_over_closes_nothing(wrong: Sides) -> None:
    """In February the same difference is of the past: told, and no reason to stop."""
    agreed = Agreed(brake=Brake(share=Fraction(0)), yes_close=None)

    assert len(agreed.news(wrong.live, REBUILD, LIVE, on("02-02"), command="x")) == 3


def test_whom_records_concern_that_one_side_has_yet_to_read_is_marked(
    fresh_database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rebuild that is three records behind: how far both are, and no conclusion about those in between."""
    with sides(fresh_database) as found:
        read(found.live, HISTORY)
        read(found.rebuilt, (FIRST, *EVENTS[:-3], EVENTS[-2]))
        reached(found.live, next_offset=len(EVENTS))
        reached(found.rebuilt, next_offset=len(EVENTS) - 3)
        compare(found.live, wanted(), as_json=False)
        people = page(capsys)
        compare(found.live, wanted(), as_json=True)
        told = json.loads(capsys.readouterr().out)

    assert [each for each in people if "billing" in each or "yet to read" in each] == [
        *(f"  {group:11} billing.events.v1-0 28   25      -3" for group in ("grants", "invoices", "revocations")),
        "  records that one side has yet to read concern 1 customer here, marked *",
    ]
    assert [each for each in people if each.endswith((" *, which change no access", "(main) *"))] == [
        "  cus_6 (main) *"
    ]
    assert [(each["customer"], each["read_between"]) for each in told["customers"]] == [("cus_6", True)]
    assert {(each["before"], each["after"]) for each in told["next_offsets"]} == {(28, 25)}


def test_a_catalog_that_one_side_alone_has_concerns_everybody(fresh_database: str) -> None:
    """Each side decides by its own revisions, so no facts of a customer need differ."""
    second = CatalogApplied(
        number=2,
        in_force_from=on("2025-12-01"),
        applied_by="bob",
        document=catalog({"enterprise": plan(apis=["orders"])}),
    )
    with sides(fresh_database) as found:
        read(found.live, HISTORY)
        read(found.rebuilt, (FIRST, second, *EVENTS))
        with side_by_side(found.live, LIVE, REBUILD) as both:
            told = [(each.name.customer, len(each.facts)) for each in both.compared(both.names())]

        assert found.names() == {f"cus_{each}" for each in range(CUSTOMERS)}
        assert sorted(told) == sorted((f"cus_{each}", 0) for each in range(CUSTOMERS))


def test_a_payment_that_one_side_alone_can_link_leads_to_its_customer(fresh_database: str) -> None:
    """A refund names nobody: the link of either side says whose it is; one that nothing links is counted."""
    stray = refund("succeeded", at="01-15", id="re_9", charge="ch_9", payment_intent="pi_9")
    with sides(fresh_database) as found:
        read(found.live, (FIRST, *EVENTS[:-4], *EVENTS[-2:]))
        read(found.rebuilt, (*HISTORY, stray))
        with side_by_side(found.live, LIVE, REBUILD) as both:
            differing = both.differing

    assert {each.customer for each in differing.names} == {"cus_5", "cus_6"}
    assert (differing.unlinked, differing.counts["refunds"].after) == (1, 1)


def test_two_of_the_same_history_do_not_differ_whatever_the_order(fresh_database: str) -> None:
    """Read backwards, and some twice: no fact, no access, exit code 0."""
    with sides(fresh_database) as found:
        read(found.live, HISTORY)
        read(found.rebuilt, (*reversed(HISTORY), *EVENTS[:5]))
        done = diff(fresh_database)

    assert (done.returncode, done.stderr) == (0, "")
    assert "  both sides have the same" in done.stdout.splitlines()
    assert "  of 12 customers the facts of 0 differ, the access of 0 changes" in done.stdout.splitlines()


def test_where_there_is_no_rebuild_it_says_what_makes_one(fresh_database: str) -> None:
    """Exit code 2, never the one that means a difference."""
    with sides(fresh_database) as found, found.live.begin() as connection:
        connection.exec_driver_sql(f"DROP SCHEMA {REBUILD} CASCADE")
    done = diff(fresh_database)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "entitle: there is no schema entitlements_rebuild to compare: `entitle rebuild` makes one\n"


def wanted(customer: str | None = None) -> Compared:
    """All of it, or one customer."""
    return Compared(before=LIVE, after=REBUILD, now=NOW, customer=customer, brake=ONE_PERCENT)


def page(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was printed, without the blanks at the ends of lines."""
    return [each.rstrip() for each in capsys.readouterr().out.splitlines()]


def diff(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`entitle rebuild --diff` on the database at *url*; it asks no Kafka."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ENTITLE_")}
    environment |= {
        "ENTITLE_DATABASE_URL": url,
        "ENTITLE_SCHEMA": LIVE,
        "ENTITLE_SETTINGS_SCHEMA": SETTINGS_SCHEMA,
        "ENTITLE_KAFKA": "127.0.0.1:1",
    }
    return subprocess.run(
        [sys.executable, "-m", "ops", "rebuild", "--diff", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
