"""
What happens to customers in the acceptance tests, and what a gateway must then be told; told in every shape and order.

A tale is its invoices and its expectations. A telling gives it ids of its own, so that many can be told side by side.
Long because the tales stand in it whole, as one table.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tests.stripe_builders import Bill, Line, Shape, events, on, one_off

SHAPES: dict[str, tuple[Shape, ...]] = {
    "old": (Shape.OLD,),
    "new": (Shape.NEW,),
    "mixed": (Shape.MIXED,),
    "both": (Shape.OLD, Shape.NEW),
}
ORDERS = ("in order", "backwards", "shuffled with duplicates and twins")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What is answered for *api* at a moment, written as `tests.stripe_builders.on` reads it."""

    at: str
    api: str
    reason: str
    until: str | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tale:
    """A customer's invoices, and what is answered once all of it is known."""

    name: str
    bills: tuple[Bill, ...]
    expected: tuple[Expected, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """A tale told to one customer: its events in order of delivery."""

    tale: Tale
    label: str
    customer: str
    events: tuple[dict[str, Any], ...]


def tellings(run: str, *, orders: tuple[str, ...] = ORDERS) -> list[Telling]:
    """Every tale in every shape and every order, each to a customer of its own."""
    return [
        _telling(tale, shape, order, f"{run}{number}")
        for number, (tale, shape, order) in enumerate(
            (tale, shape, order) for tale in TALES for shape in SHAPES for order in orders
        )
    ]


def interleaved(told: list[Telling], seed: int) -> Iterator[dict[str, Any]]:
    """The events of all tellings, each telling's in its own order, mixed at random."""
    queues = [list(telling.events) for telling in told]
    turns = [number for number, queue in enumerate(queues) for _ in queue]
    random.Random(seed).shuffle(turns)
    for number in turns:
        yield queues[number].pop(0)


def faults(answer: Callable[[str, str, datetime], Mapping[str, Any]], told: Iterable[Telling]) -> list[str]:
    """What is wrong with the answers that a gateway is given about (customer, api, moment), in words."""
    found = []
    for telling in told:
        for expected in telling.tale.expected:
            context = answer(telling.customer, expected.api, on(expected.at))
            given = {
                "reason": context["reason"],
                "until": context.get("until") if expected.until else None,
                "limit": [quota["limit"] for quota in context.get("quotas", [])] if expected.limit else None,
            }
            wanted = {
                "reason": expected.reason,
                "until": on(expected.until).isoformat().replace("+00:00", "Z") if expected.until else None,
                "limit": [expected.limit] if expected.limit else None,
            }
            if given != wanted:
                found.append(f"{telling.label}, {expected.api} at {expected.at}: {given}, wanted {wanted}")
    return found


def _telling(tale: Tale, shape: str, order: str, tag: str) -> Telling:
    customer = f"cus_{tag}"
    bills = [_renamed(bill, customer, tag) for bill in tale.bills]
    told = [
        event | {"id": f"evt_{tag}_{number}"}  # one happening in two shapes is one event seen through two endpoints
        for shape_of in SHAPES[shape]
        for number, event in enumerate(events(*bills, shape=shape_of))
    ]
    if order == "backwards":
        told.reverse()
    elif order != "in order":
        told += told + [event | {"id": f"{event['id']}_twin"} for event in told]
        random.Random(tag).shuffle(told)
    return Telling(tale=tale, label=f"{tale.name} ({shape}, {order})", customer=customer, events=tuple(told))


def _renamed(bill: Bill, customer: str, tag: str) -> Bill:
    lines = tuple(
        replace(
            line,
            id=f"{line.id}_{bill.id}_{tag}",
            subscription=line.subscription and f"{line.subscription}_{tag}",
            item=line.item and f"{line.item}_{tag}",
        )
        for line in bill.lines
    )
    return replace(bill, id=f"{bill.id}_{tag}", customer=customer, lines=lines)


def _january(price: str, **changes: Any) -> Bill:
    return replace(Bill(lines=(Line(price=price),), finalized="01-01T00:00:01"), **changes)


def _february(price: str, **changes: Any) -> Bill:
    lines = (Line(id="il_2", price=price, start="02-01", end="03-01"),)
    return replace(Bill(id="in_2", reason="subscription_cycle", lines=lines, finalized="02-01T01:00"), **changes)


TALES = (
    Tale(
        name="pay, renew, uncollectible, pay after all, void (R1, R3, R4)",
        bills=(
            _january("price_strict", paid="01-01T01:00"),
            _february("price_strict", uncollectible="02-11", paid="02-16"),
            Bill(
                id="in_3",
                reason="subscription_cycle",
                lines=(Line(id="il_3", price="price_strict", start="03-01", end="04-01"),),
                finalized="03-01T01:00",
                voided="03-03",
            ),
        ),
        expected=(
            Expected(at="01-01T00:30", api="orders", reason="payment_required"),
            Expected(at="01-01T01:00", api="orders", reason="paid", until="02-01", limit=1000),
            Expected(at="01-10", api="reports", reason="not_entitled"),
            Expected(at="01-10", api="nothing", reason="unknown_api"),
            Expected(at="02-01", api="orders", reason="cycle_lapsed"),
            Expected(at="02-12", api="orders", reason="payment_required"),
            Expected(at="02-16", api="invoices", reason="paid", until="03-01"),
            Expected(at="03-02", api="orders", reason="payment_required"),
            Expected(at="03-04", api="orders", reason="cycle_lapsed"),
        ),
    ),
    Tale(
        name="a renewal's leeway, until the next cycle is paid (R3)",
        bills=(
            _january("price_leeway", paid="01-01T00:00:03"),
            _february("price_leeway", finalized="02-01T01:01", paid="02-01T01:05"),
        ),
        expected=(
            Expected(at="02-01T00:30", api="orders", reason="renewal_leeway", until="03-01T02:00"),
            Expected(at="02-01T01:05", api="orders", reason="paid", until="03-01T02:00"),
            Expected(at="03-01T01:59:59", api="orders", reason="renewal_leeway", until="03-01T02:00"),
            Expected(at="03-01T02:00", api="orders", reason="cycle_lapsed"),
        ),
    ),
    Tale(
        name="a voided renewal ends the leeway before it, and nothing else (R4)",
        bills=(
            _january("price_leeway", paid="01-01T00:00:03"),
            _february("price_leeway", finalized="02-01T00:30", voided="02-01T01:00"),
        ),
        expected=(
            Expected(at="01-31T23:59:59", api="orders", reason="paid", until="02-01T01:00"),
            Expected(at="02-01T00:59:59", api="orders", reason="renewal_leeway", until="02-01T01:00"),
            Expected(at="02-01T01:00", api="orders", reason="cycle_lapsed"),
        ),
    ),
    Tale(
        name="three days of grace for a renewal, none for the first invoice (R2)",
        bills=(_january("price_grace", paid="01-01T00:00:03"), _february("price_grace")),
        expected=(
            Expected(at="01-01T00:00:02", api="orders", reason="payment_required"),
            Expected(at="02-01T12:00", api="orders", reason="unpaid_terms", until="02-04"),
            Expected(at="02-04", api="orders", reason="payment_required"),
        ),
    ),
    Tale(
        name="terms until the due date, and none again while an older invoice is overdue (R2)",
        bills=(
            _january("price_terms", finalized="01-01T01:00", due="01-15", paid="02-20"),
            _february("price_terms", due="02-25"),
        ),
        expected=(
            Expected(at="01-02", api="orders", reason="unpaid_terms", until="01-15"),
            Expected(at="01-15", api="orders", reason="payment_required"),
            Expected(at="02-03", api="orders", reason="payment_required"),
            Expected(at="02-21", api="orders", reason="unpaid_terms", until="02-25"),
        ),
    ),
    Tale(
        name="two plans on one invoice, then one of them unpaid (R8, R9)",
        bills=(
            Bill(
                lines=(
                    Line(price="price_strict", quantity=2),
                    Line(id="il_r", price="price_reports", item="si_r", amount=1000),
                ),
                finalized="01-01",
                paid="01-01T00:00:09",
            ),
            _february("price_strict", paid="02-01T01:00:04"),
            Bill(
                id="in_r",
                reason="subscription_cycle",
                lines=(Line(id="il_r2", price="price_reports", item="si_r", start="02-01", end="03-01"),),
                finalized="02-01T01:00",
            ),
        ),
        expected=(
            Expected(at="01-02", api="orders", reason="paid", limit=2000),
            Expected(at="01-02", api="reports", reason="paid"),
            Expected(at="02-02", api="orders", reason="paid", until="03-01", limit=1000),
            Expected(at="02-02", api="reports", reason="payment_required"),
        ),
    ),
    Tale(
        name="an upgrade billed at once takes effect when it is paid (R8)",
        bills=(
            _january("price_strict", paid="01-01T00:00:03"),
            Bill(
                id="in_up",
                reason="subscription_update",
                lines=(
                    Line(id="il_minus", price="price_strict", start="01-11", amount=-1700, proration=True),
                    Line(id="il_plus", price="price_reports", start="01-11", amount=3400, proration=True),
                ),
                finalized="01-11",
                paid="01-12",
            ),
        ),
        expected=(
            Expected(at="01-11T12:00", api="orders", reason="paid", until="01-12"),
            Expected(at="01-11T12:00", api="reports", reason="payment_required"),
            Expected(at="01-12", api="orders", reason="cycle_lapsed"),
            Expected(at="01-12", api="reports", reason="paid", until="02-01"),
        ),
    ),
    Tale(
        name="a corrected invoice: the old one is voided, the new one paid, its plan named by metadata (R4, R9)",
        bills=(
            Bill(
                reason="manual",
                lines=(one_off(price=None, metadata={"entitlement_plan": "strict"}),),
                finalized="01-01T00:00:01",
                voided="01-01T02:00:01",
            ),
            Bill(
                id="in_new",
                reason="manual",
                lines=(one_off(id="il_new", price=None),),
                metadata={"entitlement_plan": "strict"},
                finalized="01-01T02:00",
                paid="01-01T03:00",
            ),
        ),
        expected=(
            Expected(at="01-01T01:00", api="orders", reason="payment_required"),
            Expected(at="01-01T04:00", api="orders", reason="paid", until="02-01"),
        ),
    ),
)
