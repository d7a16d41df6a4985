"""R10: whose an operator's act is, on which terms and in which marketplaces it holds."""

from __future__ import annotations

from itertools import permutations

import pytest

from entitlements.domain.access import Scope
from entitlements.domain.decision import Decision
from schemas.operator_acts import OperatorAct
from tests.acts import EVERYWHERE, ask, block, grant, revocation, stand, unblock
from tests.pure_core import INTEGRATION, catalog, plan, revisions
from tests.stripe_builders import paid

JANUARY = paid()


def limits(answer: Decision) -> list[int]:
    return [quota.limit for quota in answer.quotas]


def test_an_act_is_of_one_customer_of_one_integration() -> None:
    """The same customer of another Stripe account, and any other customer, are not concerned."""
    elsewhere = {"integration": "elsewhere"}

    assert ask(JANUARY, block("01-10", customer="cus_2"), block("01-10", **elsewhere), at="01-15").reason == "paid"
    assert ask(grant(customer="cus_2"), grant(id="grant_2", **elsewhere), at="01-15").reason == "unknown_subject"
    assert ask(grant(), revocation("01-10", **elsewhere), at="01-15").reason == "manual"


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (grant("01-01", "01-02"), "not_entitled"),
        (block("01-01", "01-02"), "not_entitled"),
        (revocation("01-01"), "unknown_subject"),
        (unblock("01-01", at="01-01"), "unknown_subject"),
    ],
    ids=["granted", "blocked", "revoked", "unblocked"],
)
def test_an_operator_may_be_the_first_to_name_a_customer(act: OperatorAct, reason: str) -> None:
    """A grant or a block makes it known; what would only undo one does not."""
    assert ask(act, at="01-15").reason == reason
    assert ask(at="01-15").reason == "unknown_subject"


def test_the_terms_are_those_in_force_when_it_was_granted() -> None:
    """Neither when it begins, nor when it is asked about: a later catalog changes no grant that was made."""
    terms = revisions(
        catalog({"enterprise": plan(calls=10)}), ("01-10", catalog({"enterprise": plan(apis=["orders"], calls=20)}))
    )

    before = ask(grant("01-15", at="01-09T23:59:59"), at="01-20", terms=terms)
    after = ask(grant("01-05", at="01-10"), at="01-07", terms=terms)
    assert [(each.catalog_revision, limits(each)) for each in (before, after)] == [(1, [10]), (2, [20])]
    assert ask(grant("01-15", at="01-09"), at="01-20", api="invoices", terms=terms).reason == "manual"
    assert ask(grant("01-15", at="01-10"), at="01-20", api="invoices", terms=terms).reason == "unknown_api"


def test_a_plan_that_only_a_later_revision_names_is_granted_by_that() -> None:
    """The first later one that has it; of a plan that none has nothing is opened, and the customer is known."""
    late = plan(prices=["price_late"], apis=["late"])
    terms = revisions(catalog(), ("01-10", catalog({"late": late})), ("01-20", catalog({"late": plan()})))
    given = grant("01-01", plan="late", at="01-01")

    assert ask(given, at="01-05", api="late", terms=terms).catalog_revision == 2
    assert ask(given, at="01-05", api="late").reason == "unknown_api"
    assert ask(given, at="01-05").reason == "not_entitled"
    assert stand(given).manual == ()


def test_a_plan_of_another_integration_is_not_granted() -> None:
    """An integration grants only plans of its own marketplaces, by hand as by invoice."""
    document = catalog(elsewhere={"theirs": plan(prices=["price_theirs"], apis=["reports"])})
    document["integrations"]["second"] = document["integrations"][INTEGRATION]
    document["marketplaces"]["other"] = {"integration": "second"}

    assert ask(grant(plan="theirs"), at="01-15", terms=revisions(document)).reason == "not_entitled"
    assert ask(grant(plan="theirs"), at="01-15", api="reports", terms=revisions(document)).reason == "unknown_api"


ACME, OTHER = (Scope(integration=INTEGRATION, marketplace=name) for name in ("acme", "other"))
TWO_MARKETPLACES = revisions(catalog(elsewhere={"theirs": plan(prices=["price_theirs"], apis=["reports", "orders"])}))


def test_a_marketplace_sees_grants_of_its_own_plans() -> None:
    """A plan that another one sells opens nothing here, even where both name the API."""
    given = grant(plan="theirs")

    assert ask(given, at="01-15", scope=OTHER, terms=TWO_MARKETPLACES).reason == "manual"
    assert ask(given, at="01-15", scope=ACME, terms=TWO_MARKETPLACES).reason == "not_entitled"


def test_a_marketplace_sees_of_granted_apis_those_that_it_sells() -> None:
    """An API that none of its plans ever named does not exist there."""
    given = grant(plan=None, apis=("orders", "reports", "beta"))

    def reasons(scope: Scope) -> list[str]:
        apis = ("orders", "reports", "beta")
        return [ask(given, at="01-15", api=api, scope=scope, terms=TWO_MARKETPLACES).reason for api in apis]

    assert reasons(ACME) == ["manual", "unknown_api", "unknown_api"]
    assert reasons(OTHER) == ["manual", "manual", "unknown_api"]
    assert reasons(EVERYWHERE) == ["manual", "manual", "manual"]


def test_manual_grants_stand_in_order_of_their_start() -> None:
    """Then of their ids, whatever the order in which they were read."""
    starts = (
        ("01-03", "grant_a"),
        ("01-01", "grant_e"),
        ("01-01", "grant_c"),
        ("01-01", "grant_d"),
        ("01-02", "grant_b"),
    )
    for order in permutations([grant(start, id=name) for start, name in starts]):
        found = stand(*order).manual

        assert [each.grant.id for each in found] == ["grant_c", "grant_d", "grant_e", "grant_b", "grant_a"]
