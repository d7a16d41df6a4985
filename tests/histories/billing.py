"""Draws what a customer is billed: subscriptions with cycles, upgrades, metered items; and one-off invoices. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tests.histories.chance import DAY, HOUR, YEAR_BEGINS, Chance
from tests.histories.invoicing import invoice
from tests.histories.model import End, Invoice, Line

PRICES = ("price_basic", "price_pro", "price_basic", "price_pro", "price_late", "price_nobody_lists")
AMOUNTS = {"price_basic": 1000, "price_pro": 3000, "price_late": 2000, "price_nobody_lists": 500}


def subscription(chance: Chance, name: str, shapes: tuple[str, ...]) -> tuple[list[Invoice], list[End]]:
    """
    A subscription's invoices, and when it ended. Its cycles follow one another; what changes in one of them is billed
    at once or with the next renewal. Invoice items, which name no subscription item, come only after an invoice that
    was more than a draft: no event would name the item otherwise.
    """
    cycle = _first_cycle(chance, name)
    length = cycle.end - cycle.start
    second = chance.one(None, None, None, "licensed", "metered")
    as_invoice_item = second is None and chance.one(False, True)
    invoices: list[Invoice] = []
    pending: list[Line] = []
    on: str | None
    for number in chance.times(1, 2, 3, 3):
        if number:
            cycle = replace(cycle, id=chance.name("il"), start=cycle.end, end=cycle.end + length)
        lines = [*pending, cycle]
        if second is not None:
            lines.append(_second(chance, cycle, second))
        if chance.rarely(12):  # several cycles on one invoice
            cycle = replace(cycle, id=chance.name("il"), start=cycle.end, end=cycle.end + length)
            lines.append(cycle)
        reason = "subscription_cycle" if number else "subscription_create"
        base = lines[0].start if not pending else cycle.start
        invoices.append(billed := _with_pending_item(chance, lines, cycle, base, reason, shapes))
        if billed.void_at is not None and chance.one(False, True):
            anew = [replace(line, id=chance.name("il")) for line in lines]
            invoices.append(invoice(chance, anew, billed.void_at, reason, shapes))
        pending, on = [], billed.id
        for _ in chance.times(0, 0, 1, 2):
            is_named = as_invoice_item and any(each.open_at is not None for each in invoices)
            cycle, changes = _changed(chance, cycle, on, as_invoice_item=is_named)
            pending += changes
            at_once = chance.one(True, False)
            if at_once:
                reason = chance.one("subscription_update", "manual")
                invoices.append(invoice(chance, pending, changes[0].start, reason, shapes))
                pending = []
            if cycle in changes:
                on = invoices[-1].id if at_once else None
        if chance.rarely(8):
            cycle = replace(cycle, quantity=0)
    ended_at = cycle.start + chance.one(3 * DAY, 0, length, length + HOUR, HOUR)
    ends = [End(subscription=name, at=ended_at, lag=chance.one(0, 7))]
    return invoices, ends if chance.rarely(3) else []


def _first_cycle(chance: Chance, subscription: str) -> Line:
    start = YEAR_BEGINS + chance.one(0, 10 * DAY)
    price = chance.one(*PRICES)
    return Line(
        id=chance.name("il"),
        amount=AMOUNTS[price],
        start=start,
        end=start + chance.one(10 * DAY, 30 * DAY),
        quantity=chance.one(1, 1, 2, None, "1.5"),
        subscription=subscription,
        item=chance.name("si"),
        price=price,
        plan=chance.one(None, None, None, None, "extra", "no such plan"),
        price_plan=chance.one(None, None, None, None, "basic"),
    )


def _with_pending_item(
    chance: Chance, lines: list[Line], cycle: Line, base: int, reason: str, shapes: tuple[str, ...]
) -> Invoice:
    """
    An invoice for *lines* and, rarely, an item of no subscription that was waiting for the next one, whatever it is;
    the metadata then names a plan.
    """
    plan = None
    if chance.rarely(6):
        item = Line(id=chance.name("il"), amount=700, start=cycle.start, end=cycle.end, price="price_nobody_lists")
        lines.insert(chance.one(len(lines), 0), item)
        plan = chance.one("extra", None)
    return replace(invoice(chance, lines, base, reason, shapes), plan=plan)


def _second(chance: Chance, cycle: Line, usage: str) -> Line:
    """A line of the subscription's other item; one metered is about the cycle before."""
    second = replace(
        cycle,
        id=chance.name("il"),
        item=f"{cycle.item}_{usage}",
        price="price_pro",
        amount=3000,
        quantity=1,
        plan=None,
        price_plan=None,
    )
    if usage == "licensed":
        return second
    return replace(second, metered=True, quantity=7, start=cycle.start - (cycle.end - cycle.start), end=cycle.start)


def _changed(chance: Chance, cycle: Line, on: str | None, *, as_invoice_item: bool) -> tuple[Line, list[Line]]:
    """
    The cycle as it goes on, and what is billed for a change: what is left of the old price is credited, and billed of
    the new, or a whole cycle that begins then; or a part is merely taken off.
    """
    length = cycle.end - cycle.start
    at = cycle.start + chance.one(3 * DAY, 0, HOUR, 5 * DAY, length - 2 * DAY)
    old = replace(cycle, id=chance.name("il"), amount=-cycle.amount // 2, start=at, proration=True)
    if chance.rarely(8):
        return cycle, [replace(old, proration=False)]
    old = replace(old, as_invoice_item=as_invoice_item)
    if chance.one(False, True):
        old = replace(old, credited=(cycle.id,), credited_invoice=on)
    price = chance.one(*PRICES)
    new = replace(cycle, id=chance.name("il"), amount=AMOUNTS[price], price=price, start=at)
    if chance.rarely(4):
        new = replace(new, end=at + length)
        return new, [old, new]
    return replace(cycle, price=price, amount=AMOUNTS[price]), [
        old,
        replace(new, proration=True, as_invoice_item=as_invoice_item),
    ]


def one_offs(chance: Chance, shapes: tuple[str, ...]) -> Iterator[Invoice]:
    """Invoices of no subscription, one cycle after another; their lines' plans are named by metadata or by a price."""
    start = YEAR_BEGINS + chance.one(0, 10 * DAY, 30 * DAY)
    named = chance.one("by line", "by price", "by invoice", "by price's metadata")
    earlier: tuple[Invoice, Line] | None = None
    for _ in chance.times(0, 0, 1, 2, 3):
        line = Line(
            id=chance.name("il"),
            amount=chance.one(1000, 0),
            start=start,
            end=start + chance.one(10 * DAY, 0, 20 * DAY),
            quantity=chance.one(1, None, 3),
            price={"by price": "price_basic", "by price's metadata": "price_nobody_lists"}.get(named),
            plan="extra" if named == "by line" else None,
            price_plan="extra" if named == "by price's metadata" else None,
        )
        lines = [line]
        if chance.rarely(3):
            lines.append(replace(line, id=chance.name("il"), end=line.end + chance.one(0, DAY)))
        if earlier is not None and chance.rarely(4):
            credit = replace(line, id=chance.name("il"), amount=-300, proration=chance.one(True, False))
            on, credited = earlier
            credit = replace(credit, credited=(credited.id,), credited_invoice=on.id)
            lines.insert(chance.one(len(lines), 0), credit)  # the first line alone may be told at first
        made = replace(
            invoice(chance, lines, start, "manual", shapes),
            plan=chance.one("extra", "basic") if named == "by invoice" else None,
            subscription="sub_of_no_line" if chance.rarely(8) else None,
        )
        yield made
        earlier = made, chance.one(*(each for each in lines if each.amount >= 0))
        start = line.end + chance.one(0, 12 * HOUR, DAY, DAY + 1, -5 * DAY)
