"""Draws whole histories: a catalog and its revisions, customers with all that they are billed, and operators' acts."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from tests.histories.billing import one_offs, subscription
from tests.histories.chance import DAY, HOUR, YEAR_BEGINS, Chance
from tests.histories.invoicing import SHAPES
from tests.histories.model import (
    UNTIL_DUE,
    Block,
    Catalog,
    Customer,
    End,
    History,
    Invoice,
    ManualGrant,
    ManualRevocation,
    Plan,
    Unblock,
)

APIS = ("orders", "reports", "beta", "private", "nothing")
"""What is asked about; nobody ever names the last."""

FIRST_UNPAID: tuple[int | str, ...] = (0, 5 * DAY, UNTIL_DUE)
RENEWAL_UNPAID: tuple[int | str, ...] = (0, 3 * DAY, UNTIL_DUE)

CUSTOMERS = ("cus_1", "cus_2", "cus_nobody")
"""Who is asked about; nothing ever happened to the last."""


@st.composite
def histories(draw: st.DrawFn) -> History:
    """A history of one or two customers."""
    chance = Chance(draw=draw)
    return History(
        customers=tuple(_customer(chance, CUSTOMERS[number]) for number in chance.times(1, 1, 1, 2)),
        catalogs=tuple(_catalogs(chance)),
    )


def _catalogs(chance: Chance) -> list[Catalog]:
    basic = Plan(name="basic", apis=("orders",), prices=("price_basic",), quotas=(("calls", 1000),))
    pro = Plan(name="pro", apis=("orders", "reports"), prices=("price_pro",), quotas=(("calls", 200), ("exports", 10)))
    extra = Plan(name="extra", apis=("reports",), every=chance.one("month", "week"))
    plans = {plan.name: plan for plan in (_with_terms(chance, basic), _with_terms(chance, pro), extra)}
    if chance.one(False, True):
        plans["extra"] = _with_terms(chance, extra)
    catalogs = [Catalog(number=1, since=chance.one(None, None, YEAR_BEGINS + 5 * DAY), plans=tuple(plans.values()))]
    for number in chance.times(0, 0, 1, 2):
        name = chance.one("basic", "pro")
        match chance.one("terms", "price", "apis", "less", "quotas"):
            case "terms":
                plans[name] = _with_terms(chance, plans[name])
            case "price":
                for plan in plans.values():
                    prices = {"price_late"} if plan.name == name else set()
                    kept = [price for price in plan.prices if price != "price_late"]
                    plans[plan.name] = replace(plan, prices=(*kept, *prices))
            case "apis":
                plans[name] = replace(
                    plans[name], apis=("beta", *plans[name].apis[-1:]) if "beta" not in plans[name].apis else ("beta",)
                )
            case "quotas":
                plans[name] = replace(plans[name], quotas=(("calls", 40),))
            case "less":
                plans.pop("extra", None)
        since = YEAR_BEGINS + chance.one(40 * DAY, 0, HOUR, 10 * DAY, -DAY)
        catalogs.append(Catalog(number=number + 2, since=since, plans=tuple(plans.values())))
    return catalogs


def _with_terms(chance: Chance, plan: Plan) -> Plan:
    return replace(
        plan,
        first_unpaid=chance.one(*FIRST_UNPAID),
        renewal_unpaid=chance.one(*RENEWAL_UNPAID),
        leeway=chance.one(2 * HOUR, 0, DAY),
        on_refund=chance.one("revoke", "revoke", "keep"),
        on_dispute=chance.one("suspend", "suspend", "keep"),
        on_cancel=chance.one("cycle_end", "immediately"),
    )


def _customer(chance: Chance, name: str) -> Customer:
    shapes = chance.one(*SHAPES)
    invoices: list[Invoice] = []
    ends: list[End] = []
    for number in chance.times(0, 1, 1, 1, 2):
        billed, ended = subscription(chance, f"sub_{name}_{number}", shapes)
        invoices += billed
        ends += ended
    invoices += one_offs(chance, shapes)
    noise = ((YEAR_BEGINS, "active"), (YEAR_BEGINS + 5 * DAY, chance.one("active", "unpaid", "canceled")))
    grants = tuple(_manual_grant(chance) for _ in chance.times(0, 0, 0, 1, 2))
    blocks = tuple(_block(chance) for _ in chance.times(0, 0, 0, 0, 0, 1, 2))
    return Customer(
        id=name,
        invoices=tuple(invoices),
        ends=tuple(ends),
        deleted_at=YEAR_BEGINS + chance.one(30 * DAY, 5 * DAY, 10 * DAY + HOUR) if chance.rarely(8) else None,
        noise=chance.one(noise[:0], noise),
        manual_grants=grants,
        manual_revocations=tuple(_manual_revocation(chance, grant) for grant in grants if chance.one(False, True)),
        blocks=blocks,
        unblocks=tuple(_unblock(chance, block) for block in blocks if chance.one(False, True)),
    )


def _manual_grant(chance: Chance) -> ManualGrant:
    start = YEAR_BEGINS + chance.one(5 * DAY, 0, 10 * DAY, 25 * DAY)
    plan = chance.one("extra", "pro", "basic", "no such plan", None)
    return ManualGrant(
        id=chance.name("grant"),
        plan=plan,
        apis=() if plan else chance.one(("reports",), ("orders", "private")),
        start=start,
        end=start + chance.one(10 * DAY, DAY) if chance.one(True, False) else None,
        at=start + chance.one(0, -10 * DAY, DAY),
    )


def _manual_revocation(chance: Chance, grant: ManualGrant) -> ManualRevocation:
    since = grant.start + chance.one(3 * DAY, 0, -DAY, 20 * DAY)
    return ManualRevocation(id=chance.name("revocation"), grant=grant.id, since=since, at=since + chance.one(0, HOUR))


def _block(chance: Chance) -> Block:
    start = YEAR_BEGINS + chance.one(6 * DAY, 0, 10 * DAY, 20 * DAY)
    end = chance.one(None, start + 4 * DAY)
    return Block(id=chance.name("block"), start=start, end=end, at=start + chance.one(0, -HOUR, DAY))


def _unblock(chance: Chance, block: Block) -> Unblock:
    at = block.at + chance.one(DAY, 0, -1, 7 * DAY)
    return Unblock(id=chance.name("unblock"), since=at + chance.one(0, 0, HOUR, -HOUR), at=at)
