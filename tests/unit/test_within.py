"""What a customer has in one marketplace is the same, worked out from its facts or from all that it has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from entitlements.domain.access import Scope, standing, within
from tests.differing import given_by_hand, known
from tests.pure_core import INTEGRATION, catalog, plan, revisions
from tests.stripe_builders import Bill, Line, paid

TERMS = revisions(
    catalog({"enterprise": plan(apis=["orders"])}, elsewhere={"gold": plan(prices=["price_gold"], apis=["reports"])})
)
SOLD_ELSEWHERE = Line(id="il_2", price="price_gold", item="si_2")


@pytest.mark.parametrize("marketplace", ["acme", "other", "nobody's"])
def test_one_marketplace_is_what_its_own_facts_give(marketplace: str) -> None:
    """Its cycles, spans and contradictory invoices, no unmapped lines, of grants by hand its own plans and APIs."""
    facts = known(
        Bill(finalized="01-01", paid="01-02", voided="01-05"),
        Bill(id="in_2", lines=(SOLD_ELSEWHERE,), finalized="01-01", paid="01-02", voided="01-05"),
        paid(Line(id="il_3", price="price_of_nobody"), id="in_3"),
    )
    by_hand = given_by_hand(apis=("orders", "reports", "labs")).manual_grants
    facts = replace(facts, manual_grants=(*by_hand, *given_by_hand(plan_name="gold").manual_grants))
    everywhere = standing(facts, Scope(integration=INTEGRATION), TERMS)
    scope = Scope(integration=INTEGRATION, marketplace=marketplace)

    seen = within(scope, everywhere, facts, TERMS)

    assert seen == standing(facts, scope, TERMS)
    assert seen.contradictory == {"acme": ("in_1",), "other": ("in_2",)}.get(marketplace, ())
    assert [each.apis for each in seen.manual] == {
        "acme": [{"orders"}],
        "other": [{"reports"}, {"reports"}],
    }.get(marketplace, [frozenset()])
