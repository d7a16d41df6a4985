"""
The invoice as a lattice: statuses, the times of its transitions, and what is joined of its snapshots.

Long because everything that snapshots may contradict each other in is tested in every order.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from entitlements.domain.invoice import RANK, InvoiceHistory
from schemas.stripe_event import InvoiceStatus
from tests.pure_core import facts_of, history, record
from tests.stripe_builders import Bill, Line, Shape, event, events, on, one_off, seconds, snapshot, written


def when(invoice: InvoiceHistory) -> dict[str, str]:
    """The statuses of an invoice and their moments, as tests write them."""
    return {status.value: written(at) for status, at in invoice.moments.items()}


def silent(**given: str) -> dict[str, int | None]:
    """`status_transitions` that give no time but *given*."""
    names = ("finalized_at", "paid_at", "voided_at", "marked_uncollectible_at")
    return {name: seconds(on(given[name])) if name in given else None for name in names}


def test_every_status_has_a_rank() -> None:
    """draft < open < uncollectible < void, paid; and should both of these be seen, paid counts."""
    assert sorted(RANK, key=RANK.__getitem__) == ["draft", "open", "uncollectible", "void", "paid"]
    assert set(InvoiceStatus) == set(RANK)


@pytest.mark.parametrize(
    ("at", "status"),
    [
        ("2025-12-31", "draft"),
        ("01-01", "open"),
        ("01-04T23:59:59", "open"),
        ("01-05", "uncollectible"),
        ("01-09", "paid"),
        ("03-01", "paid"),
    ],
)
def test_the_status_at_a_moment_is_the_highest_reached_by_then(at: str, status: str) -> None:
    """An invoice's status at a moment is the highest-ranked one whose time is not after it."""
    bill = Bill(finalized="01-01", uncollectible="01-05", paid="01-09")

    assert history(*events(bill)).status_at(on(at)) == status


def test_a_transition_time_is_the_smallest_that_any_snapshot_gives() -> None:
    """Of differing times that snapshots give for one transition, the smallest counts, not the first seen."""
    bill = Bill(finalized="01-01", paid="01-05")
    later = snapshot(bill, "paid", status_transitions=silent(finalized_at="01-01", paid_at="01-06"))
    said = [event("invoice.paid", later, at="01-05"), event("invoice.updated", snapshot(bill, "paid"), at="01-08")]

    for order in permutations(said):
        assert when(history(*order)) == {"open": "01-01", "paid": "01-05"}


@pytest.mark.parametrize(
    ("kind", "status", "transition"),
    [
        ("invoice.finalized", "open", "finalized_at"),
        ("invoice.paid", "paid", "paid_at"),
        ("invoice.voided", "void", "voided_at"),
        ("invoice.marked_uncollectible", "uncollectible", "marked_uncollectible_at"),
    ],
)
def test_without_a_transition_time_the_smallest_created_counts(kind: str, status: str, transition: str) -> None:
    """If no snapshot gives a transition's time, it is the smallest `created` of the events that show that status."""
    mute = snapshot(Bill(), status, status_transitions=silent())
    said = [event("invoice.updated", mute, at="01-07"), event(kind, mute, at="01-06"), event(kind, mute, at="01-08")]

    for order in permutations(said):
        assert when(history(*order)) == {status: "01-06"}

    tells = snapshot(Bill(), status, status_transitions=silent(**{transition: "01-09"}))
    assert when(history(*said, event(kind, tells, at="01-10"))) == {status: "01-09"}


def test_a_snapshot_without_any_transitions_is_read() -> None:
    """`status_transitions` may be missing altogether: the events' `created` then tell all."""
    mute = snapshot(Bill(), "paid")
    del mute["status_transitions"]

    assert when(history(event("invoice.paid", mute, at="01-06"))) == {"paid": "01-06"}


def test_a_later_snapshot_tells_of_transitions_that_no_event_showed() -> None:
    """A paid snapshot alone tells when the invoice was finalized and marked uncollectible."""
    bill = Bill(finalized="01-01", uncollectible="01-05", paid="01-09")
    paid = event("invoice.paid", snapshot(bill, "paid"), at="01-09")

    assert when(history(paid)) == {"open": "01-01", "uncollectible": "01-05", "paid": "01-09"}


def test_a_void_snapshot_tells_of_being_uncollectible_before() -> None:
    """Uncollectible then void: the void snapshot alone gives both times."""
    bill = Bill(finalized="01-01", uncollectible="01-05", voided="01-09")
    void = event("invoice.voided", snapshot(bill, "void"), at="01-09")

    assert when(history(void)) == {"open": "01-01", "uncollectible": "01-05", "void": "01-09"}


def test_a_zero_amount_invoice_is_paid_without_ever_being_open() -> None:
    """Zero amounts go from draft straight to paid; `invoice.finalized` may then say paid already."""
    bill = Bill(lines=(Line(amount=0),), paid="01-01T00:00:03")
    paid = history(event("invoice.finalized", snapshot(bill, "paid"), at="01-01T00:00:03"))

    assert when(paid) == {"paid": "01-01T00:00:03"}
    assert paid.finalized_at == on("01-01T00:00:03")


def test_the_status_comes_from_the_object_and_never_from_the_type() -> None:
    """An event whose type contradicts its object's status is no transition: the object counts."""
    still_open = snapshot(Bill(finalized="01-01"), "open")

    for kind in ("invoice.paid", "invoice.payment_succeeded", "invoice.voided", "invoice.marked_uncollectible"):
        assert when(history(event(kind, still_open, at="01-02"))) == {"open": "01-01"}


def test_a_draft_template_of_any_type_says_nothing() -> None:
    """The dashboard's templates send `invoice.payment_succeeded` of a draft: no line is read of it."""
    draft = snapshot(Bill(finalized="01-01", paid="01-01"), "draft")

    for kind in ("invoice.payment_succeeded", "invoice.marked_uncollectible", "invoice.created"):
        facts = facts_of(record({}, [event(kind, draft, at="01-02")]))
        assert (facts.grants, facts.revocations, facts.invoices) == ((), (), ())


def test_times_beyond_the_status_shown_are_not_believed() -> None:
    """A snapshot that says open but carries the time of a payment does not make the invoice paid."""
    odd = snapshot(
        Bill(finalized="01-01"),
        "open",
        status_transitions=silent(finalized_at="01-01", paid_at="01-02", voided_at="01-03"),
    )

    assert when(history(event("invoice.updated", odd, at="01-02"))) == {"open": "01-01"}


@pytest.mark.parametrize(("paid_at", "voided_at"), [("01-05", "01-09"), ("01-09", "01-05")])
def test_paid_counts_where_both_paid_and_void_were_seen(paid_at: str, voided_at: str) -> None:
    """Should both paid and void ever be seen, paid counts, void never was, and the contradiction can be reported."""
    invoice = history(*events(Bill(finalized="01-01", paid=paid_at, voided=voided_at)))

    assert invoice.status_at(on("01-10")) == "paid"
    assert invoice.is_contradictory
    assert (invoice.open_for.end, invoice.owed_for.end) == (on(paid_at), on(paid_at))


@pytest.mark.parametrize(
    ("bill", "open_until", "owed_until"),
    [
        (Bill(finalized="01-01", paid="01-05"), "01-05", "01-05"),
        (Bill(finalized="01-01", voided="01-05"), "01-05", "01-05"),
        (Bill(finalized="01-01", uncollectible="01-05", paid="01-09"), "01-05", "01-09"),
        (Bill(finalized="01-01", uncollectible="01-05", voided="01-09"), "01-05", "01-09"),
    ],
)
def test_it_is_owed_while_open_or_uncollectible(bill: Bill, open_until: str, owed_until: str) -> None:
    """Uncollectible ends being open, not being owed; paid and void end both."""
    invoice = history(*events(bill))

    assert (invoice.open_for.start, invoice.open_for.end) == (on("01-01"), on(open_until))
    assert (invoice.owed_for.start, invoice.owed_for.end) == (on("01-01"), on(owed_until))


def updated(at: str, bill: Bill, shape: Shape = Shape.OLD, **changes: Any) -> dict[str, Any]:
    return event("invoice.updated", snapshot(bill, "open", shape=shape, **changes), at=at)


def due(text: str) -> Bill:
    return Bill(finalized="01-01", due=text)


def named(text: str | None) -> Bill:
    metadata = {} if text is None else {"entitlement_plan": text}
    return Bill(finalized="01-01", metadata=metadata, lines=(one_off(metadata=metadata),))


@pytest.mark.parametrize(("first", "then"), [("01-15", "01-20"), ("01-20", "01-15")])
def test_the_due_date_is_that_of_the_smallest_created(first: str, then: str) -> None:
    """Of what may still change later, the snapshot with the smallest `created` counts, whichever is read first."""
    for order in permutations([updated("01-02", due(first)), updated("01-03", due(then))]):
        assert history(*order).due_date == on(first)


def test_a_due_date_that_is_given_later_does_not_count() -> None:
    """If the earliest snapshot has no due date, there is none: a later one is a change."""
    said = [updated("01-02", Bill(finalized="01-01")), updated("01-03", due("01-15"))]

    for order in permutations(said):
        assert history(*order).due_date is None


def test_within_one_second_the_smallest_canonical_json_counts() -> None:
    """Within one second the value with the smallest canonical JSON counts: `1000000000` < `999999999` < `null`."""
    nothing, sooner, later = (
        updated("01-02", Bill(finalized="01-01"), due_date=due_date) for due_date in (None, 999_999_999, 1_000_000_000)
    )

    for order in permutations([nothing, sooner, later]):
        assert seconds(history(*order).due_date) == 1_000_000_000
    for order in permutations([nothing, sooner]):
        assert seconds(history(*order).due_date) == 999_999_999


def test_metadata_is_that_of_the_smallest_created() -> None:
    """A plan that metadata named first stays the line's plan, though the metadata changes later."""
    for order in permutations([updated("01-03", named("gold")), updated("01-02", named("silver"))]):
        (line,) = history(*order).lines
        assert (line.line_plan, line.invoice_plan) == ("silver", "silver")


def test_metadata_that_is_added_later_does_not_count() -> None:
    """If the earliest snapshot's metadata names no plan, none is named."""
    for order in permutations([updated("01-03", named("gold")), updated("01-02", named(None))]):
        (line,) = history(*order).lines
        assert (line.line_plan, line.invoice_plan) == (None, None)


def test_metadata_within_one_second_is_the_smallest_canonical_json() -> None:
    """Within one second `"gold"` comes before `"silver"`, and a name before none."""
    for order in permutations([updated("01-02", named("silver")), updated("01-02", named("gold"))]):
        (line,) = history(*order).lines
        assert (line.line_plan, line.invoice_plan) == ("gold", "gold")
    for order in permutations([updated("01-02", named(None)), updated("01-02", named("gold"))]):
        (line,) = history(*order).lines
        assert (line.line_plan, line.invoice_plan) == ("gold", "gold")


def test_the_invoices_metadata_is_one_for_all_its_lines() -> None:
    """A line that only a later snapshot shows has the invoice's earliest metadata, as its other lines have."""
    first = named("gold")
    second = Bill(finalized="01-01", metadata={"entitlement_plan": "silver"}, lines=(one_off(), one_off(id="il_2")))

    for order in permutations([updated("01-02", first), updated("01-03", second)]):
        assert [line.invoice_plan for line in history(*order).lines] == ["gold", "gold"]


def test_lines_are_joined_by_id() -> None:
    """Lines that different snapshots show are all the invoice's; one that both show is one line."""
    one, other = Line(id="il_1"), Line(id="il_2")
    said = [updated("01-02", Bill(finalized="01-01", lines=(one,))), updated("01-03", Bill(lines=(one, other)))]

    for order in permutations(said):
        assert [line.id for line in history(*order).lines] == ["il_1", "il_2"]


@pytest.mark.parametrize("orders", [(Shape.OLD, Shape.NEW), (Shape.NEW, Shape.OLD)])
def test_what_one_shape_does_not_carry_the_other_tells(orders: tuple[Shape, Shape]) -> None:
    """The price's metadata and usage type, which the new shape lacks, are known once any snapshot shows them."""
    bill = Bill(
        finalized="01-01", lines=(Line(usage_type="metered", price_metadata={"entitlement_plan": "gold"}, quantity=3),)
    )
    said = [updated(at, bill, shape) for at, shape in zip(("01-02", "01-03"), orders, strict=True)]

    for order in permutations(said):
        (line,) = history(*order).lines
        assert (line.usage_type, line.price_plan, line.quantity) == ("metered", "gold", Decimal(3))


def test_an_invoice_of_credit_lines_alone_has_a_history() -> None:
    """A paid invoice without a single line that could grant still has its moments and its credits."""
    bill = Bill(finalized="01-10", paid="01-11", lines=(Line(amount=-1700, proration=True, start="01-10"),))
    invoice = history(*events(bill))

    assert when(invoice) == {"open": "01-10", "paid": "01-11"}
    assert (invoice.lines, [credit.line for credit in invoice.credits]) == ((), ["il_1"])


@pytest.mark.parametrize(
    ("bill", "bare", "expected"),
    [
        (Bill(finalized="01-02", paid="01-03"), "paid", {"open": "01-02", "paid": "01-03"}),
        (Bill(finalized="01-02", voided="01-04"), "void", {"open": "01-02", "void": "01-04"}),
        (
            Bill(finalized="01-02", uncollectible="01-04"),
            "uncollectible",
            {"open": "01-02", "uncollectible": "01-04"},
        ),
    ],
)
def test_a_snapshot_that_shows_no_line_tells_when_it_came_to_what(
    bill: Bill, bare: str, expected: dict[str, str]
) -> None:
    """Its status counts though no other snapshot is as far, and so do the times that it gives."""
    whole = event("invoice.finalized", snapshot(bill, "open", status_transitions={}), at="01-05")
    told = event(f"invoice.{bare}", snapshot(bill, bare, lines={"data": [], "has_more": True}), at="01-06")

    for order in permutations([whole, told]):
        assert when(history(*order)) == expected


def test_a_snapshot_that_shows_no_line_still_shows_its_status() -> None:
    """Stripe may leave out all lines that grant something; since when the invoice was open is known all the same."""
    bill = Bill(finalized="01-02")
    no_lines = {"data": [], "has_more": True}
    bare = event("invoice.finalized", snapshot(bill, "open", status_transitions={}, lines=no_lines), at="01-02")
    whole = event("invoice.updated", snapshot(bill, "open", status_transitions={}), at="01-05")

    assert history(whole, bare).finalized_at == on("01-02")


@pytest.mark.parametrize(
    "shown",
    [
        (Line(amount=-1700, proration=True, subscription=None, item=None),),
        (Line(amount=-1700, subscription=None, item=None),),
        (),
    ],
    ids=["credit lines alone", "a discount alone", "no line"],
)
def test_metadata_is_the_first_snapshots_whichever_lines_it_shows(shown: tuple[Line, ...]) -> None:
    """Stripe may leave out all lines that grant something; what the metadata said first counts all the same."""
    whole = Bill(finalized="01-01", lines=(*shown, one_off(id="il_2")), metadata={"entitlement_plan": "silver"})
    few = replace(whole, lines=shown, metadata={"entitlement_plan": "gold"})

    for order in permutations([updated("01-02", few), updated("01-03", whole)]):
        assert [line.invoice_plan for line in history(*order).lines] == ["gold"]
    for order in permutations([updated("01-02", replace(few, metadata={})), updated("01-03", whole)]):
        assert [line.invoice_plan for line in history(*order).lines] == [None]
