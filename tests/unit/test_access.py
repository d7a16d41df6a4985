"""
The decision: reasons and their order, until when, quotas, how long an answer may be kept, and its scope.

Long because every reason, every step of their order and every sentence on quotas is a test of its own.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from entitlements.domain.access import Scope, apis_of, decide, standing
from entitlements.domain.catalog import Enforcement, Revisions
from entitlements.domain.decision import ALLOWING, Decision, Reason
from entitlements.domain.facts import CustomerFacts
from entitlements.domain.quotas import QuotaAllowed
from tests.pure_core import INTEGRATION, ask, catalog, facts_of, plan, plans, record, revisions, stand
from tests.stripe_builders import Bill, Json, Line, Shape, event, events, on, one_off, paid, snapshot, written

JANUARY = paid()
FEBRUARY = Line(id="il_2", start="02-01", end="03-01")


def renewal(**changes: Any) -> Bill:
    defaults = {"id": "in_2", "reason": "subscription_cycle", "finalized": "02-01T01:00", "lines": (FEBRUARY,)}
    return Bill(**(defaults | changes))


def until(decision: Decision) -> str | None:
    return None if decision.until is None else written(decision.until)


# The statuses that gateways give


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_the_status_of_its_row(reason: Reason) -> None:
    """200 where access is allowed, 402 where paying would help, 403 for all other denials (contract, section 6)."""
    paying_helps = {Reason.PAYMENT_REQUIRED, Reason.CYCLE_LAPSED}

    assert reason.status == (200 if reason in ALLOWING else 402 if reason in paying_helps else 403)
    assert reason.allows == (reason.status == 200)


# Allowed


def test_a_paid_line_allows_its_plans_apis_with_its_invoice_and_cycle() -> None:
    """An allowed answer names the reason, the plan, the invoice, the cycle, and until when it holds."""
    answer = ask(JANUARY, at="01-15")

    assert (answer.allowed, answer.reason, answer.plan, answer.invoice) == (True, "paid", "enterprise", "in_1")
    assert answer.cycle is not None
    assert (answer.cycle.start, answer.cycle.end) == (on("01-01"), on("02-01"))
    assert (until(answer), answer.pay_at, answer.catalog_revision) == ("02-01", None, 1)


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        ("01-31T23:59:59", "paid"),
        ("02-01", "renewal_leeway"),
        ("02-01T00:59:59", "renewal_leeway"),
        ("02-01T01:00", "unpaid_terms"),
        ("02-03", "unpaid_terms"),
        ("02-03T12:00", "paid"),
    ],
)
@pytest.mark.parametrize("shape", list(Shape))
def test_the_reason_is_the_first_of_those_that_cover_the_moment(at: str, reason: str, shape: Shape) -> None:
    """Of several grants that cover the moment: paid before unpaid terms before leeway."""
    terms = plans(enterprise=plan(renewal_unpaid="3d", renewal_leeway="2h"))

    assert ask(JANUARY, renewal(paid="02-03T12:00"), at=at, terms=terms, shape=shape).reason == reason


def test_the_order_of_reasons_that_allow_is_the_contracts() -> None:
    """paid, manual, unpaid_terms, renewal_leeway."""
    assert [reason.value for reason in ALLOWING] == ["paid", "manual", "unpaid_terms", "renewal_leeway"]


def test_what_ends_last_is_shown_then_what_has_the_smallest_id() -> None:
    """Of several grants with the reason given, the invoice and cycle shown end last, then have the smallest id."""
    short = paid(one_off(id="il_a", end="01-20"), id="in_a")
    long = paid(one_off(id="il_c"), id="in_c")
    as_long = paid(one_off(id="il_b"), id="in_b")

    for bills in permutations([short, long, as_long]):
        assert ask(*bills, at="01-15").invoice == "in_b"
    assert ask(short, long, at="01-15").invoice == "in_c"


# Until


def test_until_chains_over_leeway_unpaid_terms_and_paid_cycles() -> None:
    """`until` is when the answer would turn to a denial: leeway, unpaid terms and a next paid cycle follow on."""
    with_leeway = plans(enterprise=plan(renewal_leeway="2h"))
    with_terms = plans(enterprise=plan(renewal_leeway="2h", renewal_unpaid="3d"))

    assert until(ask(JANUARY, at="01-15")) == "02-01"
    assert until(ask(JANUARY, at="01-15", terms=with_leeway)) == "02-01T02:00"
    assert until(ask(JANUARY, renewal(), at="01-15", terms=with_terms)) == "02-04"
    assert until(ask(JANUARY, renewal(paid="02-03"), at="01-15", terms=with_terms)) == "03-01T02:00"


def test_until_stops_at_the_first_gap() -> None:
    """What opens again after a gap does not count: the answer turns to a denial in between."""
    assert until(ask(JANUARY, renewal(paid="02-03"), at="01-15")) == "02-01"


def test_until_counts_grants_of_other_plans_of_the_api_and_no_others() -> None:
    """A grant of another plan that opens this API prolongs the answer; one that opens other APIs does not."""
    terms = plans(
        enterprise=plan(apis=["orders", "invoices"]),
        orders=plan(prices=["price_orders"], apis=["orders"]),
    )
    extra = paid(one_off(id="il_3", price="price_orders", start="01-20", end="02-20"), id="in_3", at="01-20")

    assert until(ask(JANUARY, extra, at="01-15", terms=terms)) == "02-20"
    assert until(ask(JANUARY, extra, at="01-15", terms=terms, api="invoices")) == "02-01"


def test_until_is_none_for_a_denial() -> None:
    """A denial holds until something becomes known, which has no date."""
    assert ask(JANUARY, at="03-15").until is None


# Denied


@pytest.mark.parametrize("bill", [Bill(finalized="01-01"), Bill(finalized="01-01", uncollectible="01-03")])
def test_payment_is_required_while_an_invoice_for_this_cycle_is_owed(bill: Bill) -> None:
    """Open or uncollectible, with a line that would grant this API if paid: 402, and the hosted page to pay it at."""
    answer = ask(bill, at="01-15")

    assert (answer.allowed, answer.reason, answer.reason.status) == (False, "payment_required", 402)
    assert (answer.invoice, answer.pay_at, answer.plan) == ("in_1", "https://invoice.example.com/in_1", "enterprise")


@pytest.mark.parametrize(
    ("bill", "at", "reason"),
    [
        (Bill(finalized="01-05"), "01-04", "not_entitled"),
        (Bill(finalized="01-05"), "01-05", "payment_required"),
        (Bill(finalized="01-05", paid="01-10"), "01-09", "payment_required"),
        (Bill(finalized="01-05", voided="01-10"), "01-09", "payment_required"),
        (Bill(finalized="01-05", voided="01-10"), "01-10", "not_entitled"),
        (Bill(finalized="01-05"), "02-01", "not_entitled"),
        (Bill(finalized="2025-12-20"), "2025-12-25", "not_entitled"),
    ],
    ids=["not finalized", "open", "paid later", "voided later", "void", "cycle over", "cycle yet to come"],
)
def test_payment_is_required_at_moments_at_which_it_was(bill: Bill, at: str, reason: str) -> None:
    """The invoice must be open or uncollectible at that moment and its cycle cover the moment."""
    assert ask(bill, at=at).reason == reason


@pytest.mark.parametrize(
    "line",
    [Line(quantity=0), Line(amount=-1), Line(usage_type="metered"), Line(price="price_nobody_lists")],
    ids=["quantity 0", "negative", "metered", "unmapped"],
)
def test_payment_is_not_required_for_what_would_grant_nothing(line: Line) -> None:
    """A line that grants nothing when paid is nothing to pay for."""
    assert ask(Bill(lines=(line,), finalized="01-01"), at="01-15").reason == "not_entitled"


def test_payment_is_not_required_for_what_a_credit_ended() -> None:
    """An unpaid line that a paid credit has ended would grant nothing more if paid."""
    credit = paid(Line(id="il_2", start="01-11", amount=-1700, proration=True), id="in_2", at="01-11")
    owed = Bill(finalized="01-01")

    assert ask(owed, credit, at="01-10T23:59").reason == "payment_required"
    assert ask(owed, credit, at="01-11").reason == "not_entitled"


def test_payment_is_not_required_for_another_api() -> None:
    """The owed line must be of a plan of the API in question."""
    terms = plans(enterprise=plan(), reports=plan(prices=["price_reports"], apis=["reports"]))

    assert ask(Bill(finalized="01-01"), at="01-15", api="reports", terms=terms).reason == "not_entitled"


def test_payment_is_required_for_an_upgrade_that_stays_unpaid() -> None:
    """An open upgrade's line would grant its plan's APIs if paid."""
    terms = plans(enterprise=plan(), big=plan(prices=["price_big"], apis=["orders", "reports"]))
    debit = Line(id="il_2", start="01-11", proration=True, price="price_big")
    upgrade = Bill(id="in_2", reason="subscription_update", lines=(debit,), finalized="01-11")

    assert ask(JANUARY, upgrade, at="01-15", api="reports", terms=terms).reason == "payment_required"
    assert ask(JANUARY, upgrade, at="01-15", api="orders", terms=terms).reason == "paid"


def test_of_several_owed_invoices_the_one_whose_cycle_ends_last_is_shown() -> None:
    """Ends last, then the smallest id: the same choice as for grants."""
    short = Bill(id="in_a", lines=(one_off(end="01-20"),), finalized="01-01")
    long = Bill(id="in_c", lines=(one_off(),), finalized="01-01")
    as_long = Bill(id="in_b", lines=(one_off(),), finalized="01-01")

    for bills in permutations([short, long, as_long]):
        assert ask(*bills, at="01-15").invoice == "in_b"


def test_the_page_to_pay_at_is_that_of_the_earliest_snapshot() -> None:
    """`pay_at` is joined like all that may change: the smallest `created`, then the smallest text."""
    bill = Bill(finalized="01-01")
    said = [
        event(
            "invoice.updated", snapshot(bill, "open", hosted_invoice_url=f"https://invoice.example.com/{page}"), at=at
        )
        for page, at in (("c", "01-01"), ("b", "01-01"), ("a", "01-02"))
    ]

    for order in permutations(said):
        assert stand(order).pay_at == {"in_1": "https://invoice.example.com/b"}


def test_a_paid_cycle_that_is_over_has_lapsed() -> None:
    """A paid grant of this API began before and nothing covers the moment: 402."""
    answer = ask(JANUARY, at="02-15")

    assert (answer.reason, answer.reason.status, answer.invoice) == ("cycle_lapsed", 402, "in_1")


@pytest.mark.parametrize(
    ("bills", "at", "reason"),
    [
        ([JANUARY, renewal()], "02-15", "payment_required"),
        ([JANUARY, renewal(voided="02-03")], "02-15", "cycle_lapsed"),
        ([JANUARY], "2025-12-15", "not_entitled"),
    ],
    ids=["owed before lapsed", "lapsed", "not begun"],
)
def test_payment_required_comes_before_lapsed_and_that_before_not_entitled(
    bills: list[Bill], at: str, reason: str
) -> None:
    """A denial's reason is the first that is true, in the contract's order."""
    assert ask(*bills, at=at).reason == reason


def test_of_several_lapsed_cycles_the_last_is_shown() -> None:
    """The cycle that ended last is what the customer would renew."""
    assert ask(JANUARY, renewal(paid="02-01T01:00"), at="03-15").invoice == "in_2"


def test_never_had_it_is_not_entitled() -> None:
    """A known API that no grant of a known customer ever opened: 403."""
    terms = plans(enterprise=plan(), reports=plan(prices=["price_reports"], apis=["reports"]))
    answer = ask(JANUARY, at="01-15", api="reports", terms=terms)

    assert (answer.reason, answer.reason.status, answer.invoice) == ("not_entitled", 403, None)


def test_nobody_of_that_name_is_an_unknown_subject() -> None:
    """A customer that Stripe never named: 403; one it only named is known, and not entitled."""
    named = event("customer.subscription.updated", {"id": "sub_9", "customer": "cus_9"}, at="01-01")
    terms, scope = revisions(catalog()), Scope(integration=INTEGRATION)

    for customer, reason in (("cus_9", "not_entitled"), ("cus_nobody", "unknown_subject")):
        known = stand([named], customer=customer)
        apis = apis_of(known, scope, terms, on("01-15"))
        assert decide(known, "orders", on("01-15"), known_apis=apis).reason == reason


def test_an_unknown_api_comes_before_all_other_denials() -> None:
    """An API that neither the current catalog nor a grant of this customer names, whoever asks."""
    assert ask(at="01-15", api="nonsense").reason == "unknown_api"
    assert ask(Bill(finalized="01-01"), at="01-15", api="nonsense").reason == "unknown_api"


def test_an_api_of_an_older_catalog_is_known_to_those_who_have_a_grant_of_it() -> None:
    """An API that the current catalog no longer names stays known, and open, to a customer whose grant names it."""
    before, after = catalog({"enterprise": plan(apis=["orders"])}), catalog({"enterprise": plan(apis=["reports"])})
    terms = revisions(before, ("01-10", after))

    assert ask(JANUARY, at="01-15", terms=terms).reason == "paid"
    assert ask(JANUARY, at="02-15", terms=terms).reason == "cycle_lapsed"
    assert ask(JANUARY, at="01-15", terms=terms, customer="cus_other").reason == "unknown_api"
    assert ask(at="01-15", terms=terms, now="01-09").reason == "unknown_subject"


def test_the_denials_stand_in_the_contracts_order() -> None:
    """unknown_api, blocked, payment_required, refunded, disputed, cycle_lapsed, unknown_subject, not_entitled."""
    denials = [reason.value for reason in Reason if not reason.allows]

    assert denials == [
        "unknown_api",
        "blocked",
        "payment_required",
        "refunded",
        "disputed",
        "cycle_lapsed",
        "unknown_subject",
        "not_entitled",
    ]


# R9: many sources


def test_entitlements_are_the_union_over_grants() -> None:
    """Two invoices for one API: it is open while either is, and ending one never ends the other."""
    one = paid(one_off(id="il_a", end="01-20"), id="in_a")
    other = paid(one_off(id="il_b", start="01-10"), id="in_b", at="01-10")
    voided = Bill(id="in_c", lines=(one_off(id="il_c"),), finalized="01-01", voided="01-12")

    assert [ask(one, other, voided, at=at).allowed for at in ("01-01", "01-15", "01-25", "02-01")] == [
        True,
        True,
        True,
        False,
    ]


def quota(limit: int, **changes: Any) -> QuotaAllowed:
    calls = QuotaAllowed(name="calls", unit="requests", limit=limit, per="cycle", enforcement=Enforcement.STRICT)
    return replace(calls, **changes)


SMALL_AND_BIG = plans(
    small=plan(prices=["price_small"], apis=["orders"], calls=100),
    big=plan(prices=["price_big"], apis=["orders"], calls=1000),
    endless=plan(prices=["price_endless"], apis=["orders"]),
    reports=plan(prices=["price_reports"], apis=["reports"], calls=7),
)


def small(**changes: Any) -> Line:
    return one_off(**({"id": "il_small", "price": "price_small"} | changes))


def big(**changes: Any) -> Line:
    return one_off(**({"id": "il_big", "price": "price_big"} | changes))


def limits(*lines: Line, at: str = "01-15", terms: Revisions = SMALL_AND_BIG) -> tuple[QuotaAllowed, ...]:
    return ask(paid(*lines), at=at, terms=terms).quotas


@pytest.mark.parametrize(("quantity", "limit"), [(None, 100), (1, 100), (3, 300), ("0.5", 50), ("2.50", 250)])
def test_a_quota_is_its_limit_times_quantity(quantity: int | str | None, limit: int) -> None:
    """The limit of a paid grant is multiplied by its line's quantity; null is 1."""
    assert limits(small(quantity=quantity)) == (quota(limit),)


def test_quotas_of_one_name_add_up_over_the_paid_grants_of_the_moment() -> None:
    """Grants of this API that cover the moment count, each times its quantity; others don't."""
    over = small(id="il_over", quantity=9, end="01-10")
    elsewhere = one_off(id="il_reports", price="price_reports", quantity=9)

    assert limits(small(quantity=2), big(quantity=3), over, elsewhere) == (quota(3200),)


def test_a_paid_plan_without_the_quota_lifts_it() -> None:
    """One paid plan of the API that does not count calls: calls are not limited."""
    assert limits(small(), one_off(id="il_endless", price="price_endless")) == ()


def test_a_plan_of_another_api_lifts_nothing() -> None:
    """Only plans of the API asked about count, in adding up and in lifting."""
    terms = plans(
        small=plan(prices=["price_small"], apis=["orders"], calls=100), free=plan(prices=["p"], apis=["free"])
    )

    assert limits(small(), one_off(id="il_free", price="p"), terms=terms) == (quota(100),)


def test_quotas_of_different_names_stand_side_by_side() -> None:
    """Each name is a quota of its own, sorted by name; a plan that lacks one lifts that one alone."""
    storage = {"name": "storage", "unit": "bytes", "limit": 5, "per": "day", "enforcement": "loose"}
    terms = plans(
        small=plan(prices=["price_small"], apis=["orders"], calls=100, quotas=[storage]),
        big=plan(prices=["price_big"], apis=["orders"], calls=1000),
    )
    stored = quota(5, name="storage", unit="bytes", per="day", enforcement=Enforcement.LOOSE)

    assert limits(small(), terms=terms) == (quota(100), stored)
    assert limits(small(), big(), terms=terms) == (quota(1100),)


def test_a_quota_that_one_plan_enforces_loosely_is_loose() -> None:
    """Where plans enforce one quota differently, the sum is loose: one of them lets the customer go beyond."""
    loose = {"name": "calls", "limit": 10, "enforcement": "loose"}
    terms = plans(
        small=plan(prices=["price_small"], apis=["orders"], calls=100),
        big=plan(prices=["price_big"], apis=["orders"], quotas=[loose]),
    )

    assert limits(small(), big(), terms=terms) == (quota(110, enforcement=Enforcement.LOOSE),)


def test_only_paid_grants_add_up_while_there_is_one() -> None:
    """Unpaid terms and leeway add nothing to the quotas of a paid grant."""
    terms = plans(
        small=plan(prices=["price_small"], apis=["orders"], calls=100),
        big=plan(prices=["price_big"], apis=["orders"], calls=1000, first_unpaid="10d"),
    )
    unpaid = Bill(id="in_2", lines=(big(),), finalized="01-10")

    assert ask(paid(small()), unpaid, at="01-15", terms=terms).quotas == (quota(100),)


def test_without_a_paid_grant_quotas_are_those_of_the_reason_given() -> None:
    """On unpaid terms their quotas hold, and in the leeway those of the cycle before."""
    terms = plans(
        enterprise=plan(calls=1000, renewal_leeway="3d"),
        big=plan(prices=["price_big"], calls=10, first_unpaid="10d"),
    )
    unpaid = Bill(id="in_2", lines=(big(start="02-01", end="03-01"),), finalized="02-02")

    assert ask(JANUARY, unpaid, at="02-01T12:00", terms=terms).quotas == (quota(1000),)
    assert ask(JANUARY, unpaid, at="02-03", terms=terms).quotas == (quota(10),)


def test_a_denial_has_no_quotas() -> None:
    """Nothing is counted where nothing is allowed."""
    assert ask(paid(small()), at="02-15", terms=SMALL_AND_BIG).quotas == ()


# How long an answer may be kept


@pytest.mark.parametrize(
    ("at", "kept"),
    [
        ("01-15", timedelta(seconds=10)),
        ("01-31T23:59:50", timedelta(seconds=10)),
        ("01-31T23:59:57", timedelta(seconds=3)),
        ("02-01", timedelta(seconds=2)),
        ("2025-12-31T23:59:59", timedelta(seconds=1)),
        ("2025-12-31T23:00", timedelta(seconds=2)),
    ],
    ids=["allowed", "ends in time", "ends sooner", "denied", "opens sooner", "opens later"],
)
def test_an_answer_may_be_kept_until_it_would_change(at: str, kept: timedelta) -> None:
    """Ten seconds for an allowed answer and two for a denial, or until time alone would change it, if sooner."""
    assert ask(JANUARY, at=at).max_age == kept


@pytest.mark.parametrize(
    ("at", "opens"), [("2025-12-01", "2026-01-01T00:00:00+00:00"), ("01-15", None), ("02-01", None)]
)
def test_a_denial_says_when_time_alone_may_end_it(at: str, opens: str | None) -> None:
    """A cycle that is paid ahead opens at its start; an allowance says nothing of it, nor does what is over."""
    found = ask(JANUARY, at=at).opens
    assert (found and found.isoformat()) == opens


# Scope


ELSEWHERE: Json = catalog(
    {"enterprise": plan(apis=["orders"])}, elsewhere={"foreign": plan(prices=["price_foreign"], apis=["foreign"])}
)


@pytest.mark.parametrize(
    ("marketplace", "orders", "foreign"),
    [
        (None, "paid", "paid"),
        ("acme", "paid", "unknown_api"),
        ("other", "unknown_api", "paid"),
    ],
)
def test_outside_a_marketplaces_scope_apis_and_grants_do_not_exist(
    marketplace: str | None, orders: str, foreign: str
) -> None:
    """A question scoped to a marketplace sees its plans alone; unscoped, all of the integration's."""
    bill = paid(Line(), Line(id="il_2", price="price_foreign", item="si_2"))
    scope = Scope(integration=INTEGRATION, marketplace=marketplace)
    terms = revisions(ELSEWHERE)

    assert ask(bill, at="01-15", api="orders", terms=terms, scope=scope).reason == orders
    assert ask(bill, at="01-15", api="foreign", terms=terms, scope=scope).reason == foreign


def test_an_integration_grants_only_plans_of_its_own_marketplaces() -> None:
    """Another integration's plan opens nothing, even where its name or its price stands on the line."""
    both = catalog({"enterprise": plan()})
    both["integrations"]["second"] = {"mode": "test", "signing_secrets_env": "OTHER_SECRETS"}
    memory = record({}, events(paid(Line(metadata={"entitlement_plan": "enterprise"}))), integration="second")
    facts = facts_of(memory, integration="second")
    customer = standing(facts, Scope(integration="second"), revisions(both))

    assert (customer.billed.cycles, [line.id for line in customer.unmapped]) == ((), ["il_1"])


def test_two_integrations_never_meet() -> None:
    """The same ids in another Stripe account are another customer's facts."""
    memory = record(record({}, events(JANUARY), integration="second"), events(Bill(finalized="01-01")))

    assert len(facts_of(memory, integration="second").grants) == 2
    assert len(facts_of(memory).grants) == 1
    assert facts_of(memory, customer="cus_nobody") == CustomerFacts(named=False)


def test_invoices_both_paid_and_void_are_reported() -> None:
    """Stripe says it can't be: paid counts, and the standing names the invoice."""
    contradictory = Bill(finalized="01-01", paid="01-02", voided="01-05")

    assert stand(events(contradictory)).contradictory == ("in_1",)
    assert ask(contradictory, at="01-15").reason == "paid"


@pytest.mark.parametrize(("marketplace", "shown"), [(None, True), ("acme", True), ("other", False)])
def test_what_one_marketplace_sold_is_not_reported_to_another(marketplace: str | None, shown: bool) -> None:
    """Outside a token's marketplace nothing exists: neither its contradictory invoices nor lines of no plan."""
    contradictory = Bill(finalized="01-01", paid="01-02", voided="01-05")
    strange = paid(Line(id="il_2", price="price_of_nobody"), id="in_2")
    terms = revisions(catalog(elsewhere={"foreign": plan(prices=["price_foreign"], apis=["foreign"])}))

    seen = stand(events(contradictory, strange), terms=terms, scope=Scope(integration="main", marketplace=marketplace))

    assert seen.contradictory == (("in_1",) if shown else ())
    assert [line.id for line in seen.unmapped] == (["il_2"] if marketplace is None else [])
