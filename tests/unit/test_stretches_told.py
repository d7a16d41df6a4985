"""A state says of each stretch all that an answer says, joins what follows on unchanged, and is news only if it is."""

from __future__ import annotations

from entitlements.domain.boundaries import next_boundary
from entitlements.domain.facts import CustomerFacts
from entitlements.domain.stretches import is_told_already
from schemas.access_change import AccessChange, QuotaGiven, Span, Stretch
from tests.differing import blocked, given_by_hand, known
from tests.pure_core import catalog, plan, revisions
from tests.stripe_builders import Bill, Line, on, paid, written
from tests.unit.test_stretches import state

JANUARY = Span(start=on("01-01"), end=on("02-01"))
ORDERS = catalog({"enterprise": plan(apis=["orders"])})
TWO_PLANS = catalog({"enterprise": plan(apis=["orders"]), "gold": plan(prices=["price_gold"], apis=["reports"])})
GOLD = Line(id="il_2", price="price_gold", item="si_2")


def stretches(told: AccessChange, api: str = "orders") -> list[str]:
    """The stretches about an API, whatever the marketplace: `"01-10.. paid"`, with the start and the reason."""
    group = next(each for each in told.access if api in each.apis)
    ends = [*(each.start for each in group.stretches[1:]), None]
    assert [each.end for each in group.stretches] == ends, "each ends where the next begins"
    return [f"{written(each.start)}.. {each.reason}" for each in group.stretches]


def test_a_stretch_says_all_that_an_answer_says() -> None:
    """Paid, then the leeway, then lapsed for ever: with plan, invoice, cycle, the end and the quotas of each."""
    calls = {"name": "calls", "limit": 10, "unit": "calls", "per": "month", "enforcement": "loose"}
    terms = catalog({"enterprise": plan(apis=["orders"], quotas=[calls], renewal_leeway="2h")})
    told = state(known(paid()), revisions(terms), on("01-10"))

    leeway_ends = on("02-01T02:00")
    quota = QuotaGiven(name="calls", limit=10, unit="calls", per="month", enforcement="loose")
    [group] = told.access
    assert (group.apis, group.marketplaces) == (("orders",), (None, "acme"))
    assert group.stretches == tuple(
        Stretch(plan="enterprise", invoice="in_1", cycle=JANUARY, start=start, end=end, reason=reason, **answer)
        for start, end, reason, answer in (
            (on("01-10"), on("02-01"), "paid", _opened(leeway_ends, quota)),
            (on("02-01"), leeway_ends, "renewal_leeway", _opened(leeway_ends, quota)),
            (leeway_ends, None, "cycle_lapsed", {"decision": False, "status": 402}),
        )
    )


def _opened(until: object, quota: QuotaGiven) -> dict[str, object]:
    return {"decision": True, "status": 200, "until": until, "quotas": (quota,)}


def test_catalogs_that_change_nothing_divide_no_stretch() -> None:
    """What follows on unchanged is one stretch, however many catalogs came into force meanwhile; the rest follows."""
    terms = revisions(ORDERS, ("01-15", ORDERS), ("01-20", ORDERS), ("01-25", ORDERS))

    assert stretches(state(known(paid()), terms, on("01-10"))) == ["01-10.. paid", "02-01.. cycle_lapsed"]


def test_what_never_ends_is_told_without_an_end() -> None:
    """A grant for good is one stretch for good; so is a block."""
    told = state(given_by_hand(apis=("labs",)), revisions(ORDERS), on("01-10"))
    shut = state(blocked(known(paid()), "01-05", None), revisions(ORDERS), on("01-10"))

    assert (stretches(told, "labs"), stretches(shut)) == (["01-10.. manual"], ["01-10.. blocked"])
    assert shut.blocked == (Span(start=on("01-05")),)


def test_a_cycle_paid_when_it_was_over_lapses_from_then_on() -> None:
    """Before it was paid, nothing was: the moment of a late payment changes the reason, and is told."""
    told = state(known(Bill(finalized="01-01", paid="02-10")), revisions(ORDERS), on("01-10"))

    assert stretches(told) == ["01-10.. payment_required", "02-01.. not_entitled", "02-10.. cycle_lapsed"]


def test_what_is_over_at_the_moment_of_a_state_is_not_in_it() -> None:
    """A block that ends at that very moment is left out, and the stretches begin at it."""
    told = state(blocked(known(paid()), "01-05", "01-20"), revisions(ORDERS), on("01-20"))

    assert told.blocked == ()
    assert stretches(told) == ["01-20.. paid", "02-01.. cycle_lapsed"]


def test_time_alone_is_no_news() -> None:
    """What a state said of later moments is not news then: in a stretch, at its end, in a block, when that is over."""
    terms = revisions(TWO_PLANS)
    customer = blocked(known(Bill(lines=(Line(), GOLD), finalized="01-01", paid="01-01")), "01-05", "01-20")
    told = state(customer, terms, on("01-02"))

    for later in ("01-02", "01-04", "01-05", "01-10", "01-20", "01-25", "02-01", "03-01"):
        assert is_told_already(told, state(customer, terms, on(later))), later
    endless = blocked(customer, "01-05", None)
    assert is_told_already(state(endless, terms, on("01-02")), state(endless, terms, on("01-10")))


def test_an_api_that_is_unknown_for_ever_is_no_news() -> None:
    """Of an API that a catalog dropped nothing is said any more, and that was told; one that is known again is news."""
    dropped = revisions(TWO_PLANS, ("01-15", ORDERS))
    told = state(CustomerFacts(named=True), dropped, on("01-10"))
    after = state(CustomerFacts(named=True), dropped, on("01-20"))

    assert stretches(told, "reports") == ["01-10.. not_entitled", "01-15.. unknown_api"]
    assert [each.apis for each in after.access] == [("orders",)]
    assert is_told_already(told, after)
    assert not is_told_already(after, state(CustomerFacts(named=True), revisions(TWO_PLANS), on("01-20")))


def test_news_of_any_api_and_any_block_are_told() -> None:
    """Of several groups each is compared, each with all of its stretches; blocks by their start and their end."""
    terms = revisions(TWO_PLANS)
    nothing, orders, reports = (state(known(*bills), terms, on("01-10")) for bills in ((), (paid(),), (paid(GOLD),)))
    assert not is_told_already(nothing, orders)
    assert not is_told_already(nothing, reports)
    longer = state(known(paid(), paid(Line(start="02-01", end="03-01"), id="in_2", at="01-09")), terms, on("01-10"))
    assert not is_told_already(orders, longer)
    apis, gold = (given_by_hand(**given, end="01-15") for given in ({"apis": ("reports",)}, {"plan_name": "gold"}))
    by_apis, by_plan = (state(each, terms, on("2025-12-30")) for each in (apis, gold))
    assert stretches(by_apis, "reports") == stretches(by_plan, "reports")
    assert not is_told_already(by_apis, by_plan), "the plan of the second stretch alone is another"

    def shut(start: str, end: str | None) -> AccessChange:
        """One whom nothing is open to anyway, so that the block alone differs."""
        return state(blocked(CustomerFacts(named=True), start, end), revisions(catalog({})), on("01-10"))

    assert not is_told_already(shut("01-05", "01-20"), shut("01-05", "01-21"))
    assert not is_told_already(shut("01-15", "01-20"), shut("01-16", "01-20"))
    assert not is_told_already(shut("01-05", "01-20"), shut("01-05", None))
    assert is_told_already(shut("01-05", "01-20"), shut("01-06", "01-20"))


def test_the_next_boundary_is_the_first_behind_a_moment() -> None:
    """Not the one at the moment itself, and none where nothing changes any more."""
    told = state(
        known(paid()), revisions(catalog({"enterprise": plan(apis=["orders"], renewal_leeway="2h")})), on("01-10")
    )

    moments = ("01-10", "01-31T23:59", "02-01", "02-01T02:00")
    assert [next_boundary(told, on(each)) for each in moments] == [
        on("02-01"),
        on("02-01"),
        on("02-01T02:00"),
        None,
    ]
