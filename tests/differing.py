"""One customer under two sets of terms, compared, and how tests write what differs. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from entitlements.domain.access import Scope, standing
from entitlements.domain.acts import Block, ManualGrant
from entitlements.domain.catalog import Revisions
from entitlements.domain.difference import Difference, Opening, compared
from entitlements.domain.difference_of_lines import LineChange
from entitlements.domain.difference_sources import Side, sold_by
from entitlements.domain.facts import CustomerFacts
from entitlements.domain.period import Period
from tests.pure_core import INTEGRATION, catalog, facts_of, plan, record, revisions
from tests.stripe_builders import Bill, Json, Line, events, on, written

GOLD = catalog({"enterprise": plan(), "gold": plan(prices=["price_gold"], apis=["orders", "reports"])})
WIDER = catalog({"enterprise": plan(apis=["orders", "invoices", "reports"])})
NARROWER = catalog({"enterprise": plan(apis=["orders"])})
NAMES_NOTHING = catalog({"enterprise": plan(prices=["price_other"])})
OF_GOLD = Line(price="price_gold")


def known(*bills: Bill, facts: CustomerFacts | None = None) -> CustomerFacts:
    """The facts of the customer, all of the invoices' events being known; *facts* are added to them."""
    billed = facts_of(record({}, events(*bills)))
    return billed if facts is None else replace(billed, manual_grants=facts.manual_grants, blocks=facts.blocks)


def between(before: Revisions, after: Revisions, *bills: Bill, facts: CustomerFacts | None = None) -> Difference:
    """What is otherwise under the revisions *after*."""
    told = known(*bills, facts=facts)
    return compared(side(told, before), side(told, after))


def side(facts: CustomerFacts, terms: Revisions) -> Side:
    """The customer under these terms."""
    there = standing(facts, Scope(integration=INTEGRATION), terms)
    return Side(standing=there, sold=sold_by(INTEGRATION, terms))


def applied(
    then: Json, now: Json, *bills: Bill, since: str = "02-10", facts: CustomerFacts | None = None
) -> Difference:
    """What is otherwise once the catalog *now* follows the one that was first, in force from *since* on."""
    return between(revisions(then), revisions(then, (since, now)), *bills, facts=facts)


def changes(found: Difference) -> list[str]:
    """`"closed acme/orders 01-11..02-01 in_1"`, in the order told."""
    return [
        f"{each.change} {each.marketplace}/{each.api} {span(each.period)} {' '.join((*each.invoices, *each.manual))}"
        for each in found.access
    ]


def lines(found: Iterable[LineChange]) -> list[str]:
    """`"il_1 mapped to gold"`."""
    return [f"{each.line.id} {each.naming}: {each.before} to {each.after}" for each in found]


def span(period: Period) -> str:
    return f"{written(period.start)}..{written(period.end)}"


def how(openings: Iterable[Opening]) -> list[str]:
    """`"paid enterprise calls 1000"`."""
    return [" ".join([each.reason, str(each.plan), *(f"{q.name} {q.limit}" for q in each.quotas)]) for each in openings]


def given_by_hand(*, plan_name: str | None = None, apis: tuple[str, ...] = (), end: str | None = None) -> CustomerFacts:
    """An operator gave the customer a plan, or APIs, on the 1st of January."""
    start = on("01-01")
    grant = ManualGrant(
        integration=INTEGRATION,
        customer="cus_1",
        id="grant-1",
        plan=plan_name,
        apis=apis,
        start=start,
        end=None if end is None else on(end),
        at=start,
        by="ann",
        reason="trial",
    )
    return CustomerFacts(named=True, manual_grants=(grant,))


def blocked(facts: CustomerFacts, start: str, end: str | None) -> CustomerFacts:
    """The same customer, whom an operator blocked for a time."""
    block = Block(
        integration=INTEGRATION,
        customer="cus_1",
        id="block-1",
        start=on(start),
        end=None if end is None else on(end),
        at=on(start),
        by="ann",
        reason="abuse",
    )
    return replace(facts, blocks=(block,))
