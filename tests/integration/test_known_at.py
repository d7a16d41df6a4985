"""What was answered as the log stood at a moment, on a real PostgreSQL: exactly what was answered at that moment."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from entitlements.api import explain, explain_then
from entitlements.api.authzen import Evaluation
from entitlements.api.snapshots import CannotDecide, CatalogMemory, Snapshot
from entitlements.api.subjects import Subject, SubjectType
from entitlements.orgs import set_org
from ops.inspect_commands import OPERATOR
from schemas.codec import CatalogApplied
from tests import acts
from tests.asking import ANY, NOW, Api, listening
from tests.pure_core import catalog, plan
from tests.recording import APPENDED_MS, read
from tests.renewals import renewal
from tests.stripe_builders import Line, event, events, on, paid, snapshot
from tests.taking_back import (
    charge,
    credit_note,
    customer_deleted,
    dispute,
    invoice_payment,
    refund,
    subscription_deleted,
)

FIRST = CatalogApplied(number=1, in_force_from=None, applied_by="ann", document=catalog())
SECOND = CatalogApplied(
    number=2,
    in_force_from=on("01-20"),
    applied_by="bob",
    document=catalog(
        {"enterprise": plan(renewal_leeway="2h", renewal_unpaid="3d"), "extra": plan(prices=["p"], apis=["x"])}
    ),
)
SAME_NUMBER = CatalogApplied(
    number=2, in_force_from=on("01-20"), applied_by="eve", document=catalog({"enterprise": plan(apis=["orders"])})
)
BARE = snapshot(paid(id="in_7", customer="cus_2"), "paid", status_transitions={})
HISTORY: tuple[Any, ...] = (
    FIRST,
    SECOND,
    SAME_NUMBER,
    event("customer.subscription.created", {"id": "sub_9", "object": "subscription", "customer": "cus_1"}, at="01-01"),
    event("invoice.created", snapshot(paid(), "draft"), at="01-01"),
    *events(paid(), renewal(uncollectible="02-11"), paid(Line(id="il_9", price="p"), id="in_9")),
    # The same snapshots, told by events with other times: which of them counts changes as they come.
    event("invoice.updated", snapshot(renewal(), "open"), at="02-03"),
    event("invoice.updated", snapshot(renewal(), "open"), at="02-01T00:30"),
    event("invoice.updated", snapshot(renewal(), "open", due_date=None), at="02-02"),
    # Nothing but the events says when this was paid: the earlier one must not count before it is there.
    event("invoice.paid", BARE, at="01-25"),
    event("invoice.paid", BARE, at="01-18"),
    charge(at="01-01"),
    charge(refunded=2500, at="01-12"),
    invoice_payment(at="01-01"),
    refund("succeeded", at="01-12"),
    refund("failed", at="01-14"),
    dispute("needs_response", at="01-20"),
    dispute("won", at="02-20"),
    credit_note(at="01-25", amount=500),
    subscription_deleted(at="02-25"),
    customer_deleted(at="03-05"),
    acts.grant("03-01", "04-01", at="02-20"),
    acts.revocation("03-20", at="03-19"),
    acts.block("01-08", "01-09", at="01-08"),
    acts.unblock("01-08T12:00", at="01-08T12:00"),
)
ASKED = [
    Evaluation(subject=Subject(type=SubjectType.CUSTOMER, id=customer), api=api, at=on(at))
    for customer, api, at in (
        ("cus_1", "orders", "01-10"),
        ("cus_1", "orders", "02-02"),
        ("cus_1", "orders", "03-10"),
        ("cus_1", "invoices", "01-08T13:00"),
        ("cus_2", "orders", "01-21"),
    )
]


def moment(number: int) -> datetime:
    """When the broker had the record of that number, in the order of the log."""
    return datetime.fromtimestamp(APPENDED_MS / 1000, UTC) + timedelta(seconds=number)


def put(engine: sa.Engine, number: int, what: Any) -> None:
    """The next record of the log, which every consumer reads at once."""
    read(engine, [what], first=number, appended_ms=APPENDED_MS + 1000 * number)


def answers(engine: sa.Engine, at: datetime) -> list[Any]:
    """What is explained now, *at* being now; None where nothing can be decided."""
    found: list[Any] = []
    for asked in ASKED:
        with engine.connect() as connection:
            try:
                found.append(
                    explain.answer(Snapshot(connection=connection, now=at, catalogs=CatalogMemory()), OPERATOR, asked)
                )
            except CannotDecide:
                found.append(None)
    return found


def answers_then(engine: sa.Engine, at: datetime) -> list[dict[str, Any]]:
    """What is explained with `known_at`."""
    found = []
    for asked in ASKED:
        with engine.connect() as connection:
            now = Snapshot(connection=connection, now=NOW, catalogs=CatalogMemory())
            found.append(explain_then.answer(now, OPERATOR, asked, at))
    return found


@pytest.mark.parametrize("seed", range(2))
def test_what_was_known_then_is_what_was_answered_then(fresh_database: str, seed: int) -> None:
    """
    In any order of the log: whatever came later, the whole explanation as of each moment is the one of that moment.
    """
    order: Sequence[Any] = [*HISTORY]
    if seed:
        order = random.Random(seed).sample(HISTORY, len(HISTORY))
    with listening(fresh_database) as api:
        at_the_time = []
        for number, what in enumerate(order):
            put(api.engine, number, what)
            at_the_time.append(answers(api.engine, moment(number)))
        before = answers_then(api.engine, moment(-1))
        for number, answered in enumerate(at_the_time):
            for told, then in zip(answered, answers_then(api.engine, moment(number)), strict=True):
                assert (number, then["then"] if told else then["then"]["decision"]) == (number, told)

    assert all(each["then"]["decision"] is None for each in before)
    assert len({str(each) for each in at_the_time}) > len(HISTORY) / 2


def test_what_was_learnt_between_is_named_with_its_address(fresh_database: str) -> None:
    """Over HTTP: both answers, the events that made the difference, in words; nothing where nothing came."""
    with listening(fresh_database) as api:
        for number, what in enumerate((FIRST, *events(paid()))):
            put(api.engine, number, what)
        denied = asked(api, "cus_1", moment(1))
        same = asked(api, "cus_1", moment(2))

    assert (denied["differs"], denied["then"]["context"]["reason"], denied["now"]["context"]["reason"]) == (
        True,
        "payment_required",
        "paid",
    )
    [learnt] = denied["learnt"]
    assert (learnt["type"], learnt["offset"], learnt["appended_at"]) == ("invoice.paid", 2, "2026-05-28T20:26:42Z")
    assert learnt["says"] == [
        "line il_1 of in_1, price_enterprise, for 1 Jan – 1 Feb 2026: paid",
        "invoice in_1 is paid, 25.00 usd, 0.00 usd to be paid",
    ]
    assert [each["offset"] for each in denied["then"]["invoices"]["in_1"]["events"]] == [1]
    assert (same["differs"], same["learnt"], same["undated"]) == (False, [], [])


def test_a_catalog_and_an_org_are_those_of_then(fresh_database: str) -> None:
    """A catalog applied later is learnt, and an org that was set later was nobody."""
    with listening(fresh_database) as api:
        for number, what in enumerate((FIRST, *events(paid()), SECOND)):
            put(api.engine, number, what)
        with api.engine.begin() as connection:
            set_org(connection, integration="main", org="initech", customer="cus_1", set_by="ann")
        before = asked(api, "cus_1", moment(2))
        org = asked(api, "initech", moment(2), kind="org")

    assert [each["says"] for each in before["learnt"]] == [["catalog revision 2, applied by bob"]]
    assert [each["number"] for each in before["then"]["catalog"]] == [1]
    assert [each["number"] for each in before["now"]["catalog"]] == [1, 2]
    assert (org["then"]["customer"], org["now"]["customer"]) == (None, "cus_1")


def test_what_nobody_can_date_is_said(fresh_database: str) -> None:
    """A fact of which provenance has no record is left out of then, and named."""
    with listening(fresh_database) as api:
        for number, what in enumerate((FIRST, *events(paid()))):
            put(api.engine, number, what)
        with api.engine.begin() as connection:
            connection.execute(sa.text('DELETE FROM provenance WHERE "offset" = 2'))
        found = asked(api, "cus_1", moment(9))

    assert found["then"]["context"]["reason"] == "payment_required"
    assert "line il_1 of in_1, price_enterprise, for 1 Jan – 1 Feb 2026: paid" in found["undated"]


def test_a_token_of_one_marketplace_learns_of_its_own(fresh_database: str) -> None:
    """Lines of another marketplace's plans that came later are not told to it."""
    elsewhere = {"gold": plan(prices=["gold"], apis=["gold"])}
    terms = CatalogApplied(number=1, in_force_from=None, applied_by="ann", document=catalog(elsewhere=elsewhere))
    other = paid(Line(id="il_2", price="gold"), id="in_2")
    with listening(fresh_database) as api:
        for number, what in enumerate((terms, *events(paid()), *events(other))):
            put(api.engine, number, what)
        of_acme = asked(api, "cus_1", moment(0), token="of-acme")
        everything = asked(api, "cus_1", moment(0))

    assert {each["about"] for each in of_acme["learnt"]} == {"in_1"}
    assert {each["about"] for each in everything["learnt"]} == {"in_1", "in_2"}


def test_a_moment_without_its_zone_is_refused(fresh_database: str) -> None:
    """400, as for `at`."""
    with listening(fresh_database) as api:
        answer = api.ask("GET", "/v1/explain?customer=cus_1&api=orders&known_at=2026-01-01T00:00:00")

    assert (answer.status, "known_at must be a time" in answer.body["detail"]) == (400, True)


def asked(api: Api, name: str, known_at: datetime, *, kind: str = "customer", token: str = ANY) -> dict[str, Any]:
    """`GET /v1/explain?known_at=` about the middle of January."""
    when = known_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    path = f"/v1/explain?{kind}={name}&api=orders&at=2026-01-15T00:00:00Z&known_at={when}"
    answer = api.ask("GET", path, token=token)
    assert answer.status == 200, answer
    body: dict[str, Any] = answer.body
    return body
