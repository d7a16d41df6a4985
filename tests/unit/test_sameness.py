"""
R11: whatever the order, the duplicates, the twins, the shapes and the batches: the same facts, the same answers.

Long because the stories that the laws are tried on are drawn here too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import permutations, product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from entitlements.domain.access import Scope, apis_of, decide, standing
from entitlements.domain.decision import Decision
from entitlements.domain.facts import Fact
from schemas.codec import Message, StripeMessage
from tests.pure_core import DECIDERS, INTEGRATION, Memory, facts_of, plan, plans, record, remember
from tests.stripe_builders import Bill, Json, Line, Shape, event, events, on, paid, snapshot, written

SCOPE = Scope(integration=INTEGRATION)
TERMS = plans(
    enterprise=plan(calls=1000, first_unpaid="5d", renewal_unpaid="until_due", renewal_leeway="2h"),
    big=plan(prices=["price_big"], apis=["orders", "reports"], calls=50, renewal_unpaid="3d"),
    gold=plan(prices=[], apis=["reports"]),
)
APIS = ("orders", "reports", "nonsense")
MOMENTS = ("2025-12-31", "01-01", "01-05", "01-11T00:00:01", "01-20", "02-01", "02-01T01:30", "02-04", "02-20", "03-01")


def answers(memory: Memory) -> list[Decision]:
    """The whole of what a gateway could be told: each API at each of the moments."""
    customer = standing(facts_of(memory), SCOPE, TERMS)
    known = apis_of(customer, SCOPE, TERMS, on("03-01"))
    return [decide(customer, api, on(at), known_apis=known) for api, at in product(APIS, MOMENTS)]


def columns(memory: Memory) -> dict[bytes, str]:
    """The facts, written out: equal values that are written differently are not the same bytes."""
    return {digest: repr(fact) for digest, fact in memory.items()}


# Stories: a few invoices, their lines and what became of them. Amounts, plans and periods need not make sense together.

CREATED = "01-01"
NAMES = st.sampled_from([{}, {}, {"entitlement_plan": "gold"}, {"entitlement_plan": "no such plan"}])
TIMES = st.sampled_from([None, None, "01-01", "01-01T00:00:01", "01-03", "01-11", "02-01T01:00", "02-03"])


def lines(number: int) -> st.SearchStrategy[Line]:
    periods = [("01-01", "02-01"), ("01-11", "02-01"), ("02-01", "03-01"), ("01-31", "01-31"), ("2025-12-01", CREATED)]
    origins = [("sub_1", "si_1"), ("sub_1", "si_2"), ("sub_1", None), (None, None)]

    def line(period: tuple[str, str], origin: tuple[str | None, str | None], *, proration: bool, **drawn: Any) -> Line:
        # What was over when it was billed is metered: the new shape can't tell it from a licensed line billed too late.
        over = period[1] == CREATED and not proration
        usage_type = "metered" if over else "licensed"
        subscription, item = origin
        return Line(
            start=period[0],
            end=period[1],
            subscription=subscription,
            item=item,
            proration=proration,
            usage_type=usage_type,
            **drawn,
        )

    return st.builds(
        line,
        id=st.just(f"il_{number}"),
        period=st.sampled_from(periods),
        origin=st.sampled_from(origins),
        price=st.sampled_from(["price_enterprise", "price_big", "price_nobody_lists", None]),
        amount=st.sampled_from([2500, 2500, 0, -1700]),
        quantity=st.sampled_from([1, 2, None, 0, "1.5"]),
        proration=st.booleans(),
        metadata=NAMES,
        credited=st.sampled_from([None, None, ("in_1", ("il_10",))]),
    )


def bills(number: int) -> st.SearchStrategy[Bill]:
    return st.builds(
        Bill,
        id=st.just(f"in_{number}"),
        lines=st.tuples(lines(number * 10)) | st.tuples(lines(number * 10), lines(number * 10 + 1)),
        reason=st.sampled_from(["subscription_create", "subscription_cycle", "subscription_update", "manual"]),
        created=st.just(CREATED),
        due=st.sampled_from([None, "01-15", "02-10"]),
        metadata=NAMES,
        finalized=TIMES,
        uncollectible=TIMES,
        paid=TIMES,
        voided=TIMES,
    )


STORIES = st.tuples(bills(1), bills(2), bills(3))


@st.composite
def tellings(draw: st.DrawFn, story: tuple[Bill, ...]) -> list[Json]:
    """A story's events, each in some shapes, among them snapshots that say otherwise or tell no times."""
    said: list[Json] = []
    for bill in story:
        for shape in draw(st.lists(st.sampled_from(Shape), min_size=1, max_size=3, unique=True)):
            said += events(bill, shape=shape)
        changed = replace(bill, due=draw(st.sampled_from([None, "02-05"])), metadata=draw(NAMES))
        at = draw(st.sampled_from(["01-01", "01-02", "02-01T01:00"]))
        otherwise = snapshot(changed, draw(st.sampled_from(["draft", "open", "paid"])))
        if draw(st.booleans()):
            del otherwise["status_transitions"]
        said.append(event("invoice.updated", otherwise, at=at))
    return said


TOLD = STORIES.flatmap(tellings)


@given(TOLD, st.data())
@settings(max_examples=30, deadline=None)
def test_any_order_and_any_duplication_leave_the_same_facts_and_answers(told: list[Json], data: st.DataObject) -> None:
    """Events shuffled and delivered several times: the same digests, columns and `stated_at`, the same answers."""
    again = data.draw(st.permutations(told + data.draw(st.lists(st.sampled_from(told), max_size=6))))
    once, shuffled = record({}, told), record({}, again)

    assert columns(shuffled) == columns(once)
    assert answers(shuffled) == answers(once)


@given(TOLD, st.data())
@settings(max_examples=30, deadline=None)
def test_any_batching_and_any_interleaving_of_consumers_leave_the_same_facts(
    told: list[Json], data: st.DataObject
) -> None:
    """Each consumer in its own order, in batches of its own, some of them done twice after a crash: the same facts."""
    work: list[tuple[Callable[[Message], tuple[Fact, ...]], list[Json]]] = []
    for decider in DECIDERS:
        order = data.draw(st.permutations(told))
        size = data.draw(st.integers(1, len(order)))
        work += [(decider, order[start : start + size]) for start in range(0, len(order), size)]
    memory: Memory = {}
    for decider, batch in data.draw(st.permutations(work + work[:2])):
        found: Memory = {}
        for each in batch:
            remember(found, decider(StripeMessage(integration=INTEGRATION, event=each)))
        remember(memory, found.values())

    assert columns(memory) == columns(record({}, told))


@given(TOLD, st.data())
@settings(max_examples=30, deadline=None)
def test_twins_state_the_same_facts(told: list[Json], data: st.DataObject) -> None:
    """The same object under another event id, created in the same second or later, of whatever type: nothing new."""
    later = data.draw(st.integers(0, 1))
    twins = [
        event(
            data.draw(st.sampled_from(["invoice.updated", "invoice.payment_succeeded"])),
            each["data"]["object"],
            at="01-01",
        )
        | {"created": each["created"] + later}
        for each in data.draw(st.lists(st.sampled_from(told), max_size=5))
    ]
    memory = record({}, data.draw(st.permutations(told + twins)))

    assert columns(memory) == columns(record({}, told))


@given(STORIES, NAMES)
@settings(max_examples=30, deadline=None)
def test_every_shape_gives_the_same_answers(story: tuple[Bill, ...], names: dict[str, str]) -> None:
    """All old, all new, all mixed, or old and new through two endpoints: whatever the shape, the same answers."""
    told = {shape: events(*story, shape=shape) for shape in Shape}
    for shape in Shape:
        told[shape] += [
            event("invoice.updated", snapshot(replace(story[0], metadata=names), "open", shape=shape), at="01-01")
        ]
    expected = answers(record({}, told[Shape.OLD]))

    assert answers(record({}, told[Shape.NEW])) == expected
    assert answers(record({}, told[Shape.MIXED])) == expected
    assert answers(record({}, told[Shape.NEW] + told[Shape.OLD])) == expected


@given(STORIES, NAMES, st.sampled_from(["licensed", "metered"]))
@settings(max_examples=30, deadline=None)
def test_what_only_one_shape_tells_counts_whichever_comes_first(
    story: tuple[Bill, ...], names: dict[str, str], usage_type: str
) -> None:
    """A price's metadata and usage type, which only the old shape carries, count once it was seen, before or after."""
    story = tuple(
        replace(bill, lines=tuple(replace(line, price_metadata=names, usage_type=usage_type) for line in bill.lines))
        for bill in story
    )
    old, new = events(*story, shape=Shape.OLD), events(*story, shape=Shape.NEW)

    assert answers(record({}, old + new)) == answers(record({}, new + old)) == answers(record({}, old))


@given(STORIES)
@settings(max_examples=30, deadline=None)
def test_until_is_when_the_answer_turns_to_a_denial(story: tuple[Bill, ...]) -> None:
    """If nothing more becomes known, an allowed answer stays one up to `until`, and is none at it."""
    customer = standing(facts_of(record({}, events(*story))), SCOPE, TERMS)
    for api, at in product(APIS, MOMENTS):
        answer = decide(customer, api, on(at), known_apis=APIS)
        if answer.until is None:
            continue
        assert answer.until > on(at)
        assert not decide(customer, api, answer.until, known_apis=APIS).allowed
        assert decide(customer, api, answer.until - timedelta(microseconds=1), known_apis=APIS).allowed
        changes = {boundary for span in customer.billed.spans for boundary in (span.period.start, span.period.end)}
        for between in sorted(changes):
            if on(at) < between < answer.until:
                assert decide(customer, api, between, known_apis=APIS).allowed, written(between)


def test_all_orders_of_a_renewals_story_are_one() -> None:
    """Finalized, failed, uncollectible, updated, paid, and the cycle before: all 720 orders, one set of facts."""
    bill = Bill(
        id="in_2",
        reason="subscription_cycle",
        lines=(Line(id="il_2", start="02-01", end="03-01"),),
        finalized="02-01T01:00",
        uncollectible="02-03",
        paid="02-03",
    )
    failed = event("invoice.payment_failed", snapshot(bill, "open", attempt_count=1), at="02-01T01:00")
    updated = event("invoice.updated", snapshot(bill, "paid", shape=Shape.NEW), at="02-03")
    told = [*events(paid())[1:], *events(bill), failed, updated]
    expected = record({}, told)

    assert len(told) == 6
    for order in permutations(told):
        assert record({}, order) == expected
    assert [answer.reason for answer in answers(expected)][:10] == [
        "not_entitled",
        "paid",
        "paid",
        "paid",
        "paid",
        "renewal_leeway",
        "renewal_leeway",
        "paid",
        "paid",
        "renewal_leeway",
    ]
