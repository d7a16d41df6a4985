"""A portal's invoices over HTTP on a real PostgreSQL: what stands on them, and whose they are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from schemas.stripe_event import InvoiceStatus
from tests.asking import Api, listening
from tests.servers import new_database
from tests.stated import JUNE, MONTH, PAY_AT, STORY, catalog, line, named, snapshot

ACME, GLOBEX = "https://billing.example.com/acme", "https://billing.example.com/globex"
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def api(database_url: str) -> Iterator[Api]:
    """An API for questions only: all tests of this module share its facts."""
    months = [
        line("cus_many", invoice=f"in_{number}", line=f"il_{number}", invoice_created=JUNE + number * DAY)
        for number in range(5)
    ]
    portals = catalog(number=2, portals={"acme": ACME})
    paid = snapshot(
        "cus_paid",
        status=InvoiceStatus.PAID,
        amount_paid=2500,
        amount_remaining=0,
        due_date=JUNE + DAY,
        stated_at=JUNE + DAY,
    )
    with new_database(database_url) as url, listening(url, *STORY, *months, portals, paid) as started:
        yield started


def ids(api: Api, path: str, **asked: Any) -> list[str]:
    """The ids of the invoices in an answer, in order."""
    answer = api.ask("GET", path, **asked)
    assert answer.status == 200, answer
    return [each["id"] for each in answer.body["invoices"]]


def test_an_open_invoice_is_shown_with_where_to_pay_it(api: Api) -> None:
    """The whole answer for a customer who owes one, amounts in cents."""
    answer = api.ask("GET", "/v1/customers/cus_open/invoices")

    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    assert answer.body == {
        "customer": "cus_open",
        "at": "2026-06-15T12:00:00Z",
        "customer_portal": ACME,
        "invoices": [
            {
                "id": "in_cus_open",
                "number": "A-1",
                "status": "open",
                "currency": "usd",
                "total": 2500,
                "amount_due": 2500,
                "amount_paid": 0,
                "amount_remaining": 2500,
                "created": "2026-06-01T00:00:00Z",
                "transitions": {"finalized_at": "2026-06-01T00:00:00Z"},
                "cycles": [{"plan": "enterprise", "line": "il_cus_open", **MONTH}],
                "pay_at": PAY_AT,
                "lines_complete": True,
                "contradictory": False,
                "given_back": 0,
                "disputed": False,
            }
        ],
        "has_more": False,
    }


def test_a_paid_invoice_has_no_page_to_pay_it(api: Api) -> None:
    """By its org: status, what was paid and when; asked about the moment before, it was open."""
    now = api.ask("GET", "/v1/orgs/initech/invoices", token="of-acme")
    before = api.ask("GET", "/v1/orgs/initech/invoices?at=2026-06-01T00:01:00Z", token="of-acme")

    (invoice,), (then,) = now.body["invoices"], before.body["invoices"]
    assert (now.body["org"], now.body["customer"]) == ("initech", "cus_paid")
    assert (invoice["status"], invoice["amount_paid"], invoice["amount_remaining"]) == ("paid", 2500, 0)
    assert invoice["transitions"] == {"finalized_at": "2026-06-01T00:00:00Z", "paid_at": "2026-06-01T00:05:00Z"}
    assert "pay_at" not in invoice
    assert (then["status"], then["pay_at"]) == ("open", PAY_AT)
    assert api.ask("GET", "/v1/orgs/initech/invoices?at=2026-05-31T00:00:00Z").body["invoices"] == []


def test_lines_of_no_plan_are_cycles_of_no_plan(api: Api) -> None:
    """Null for the plan, for tokens without a marketplace alone; the invoice seen both paid and void says so."""
    answer = api.ask("GET", "/v1/customers/cus_odd/invoices")
    of_acme = api.ask("GET", "/v1/customers/cus_odd/invoices", token="of-acme")

    ((everything,), (sold,)) = answer.body["invoices"], of_acme.body["invoices"]
    assert [each["plan"] for each in everything["cycles"]] == ["enterprise", None]
    assert [each["plan"] for each in sold["cycles"]] == ["enterprise"]
    assert (everything["status"], everything["contradictory"]) == ("paid", True)


@pytest.mark.parametrize(
    ("query", "token", "seen"),
    [
        ("", "any", ["in_second", "in_cus_both"]),
        ("?marketplace=globex", "any", ["in_cus_both"]),
        ("", "of-acme", ["in_second"]),
        ("", "of-globex", ["in_cus_both"]),
    ],
)
def test_a_scope_sees_its_own_invoices(api: Api, query: str, token: str, seen: list[str]) -> None:
    """Of a customer who is billed by two marketplaces, each sees the invoices with lines of its plans."""
    assert ids(api, f"/v1/customers/cus_both/invoices{query}", token=token) == seen


@pytest.mark.parametrize(
    ("path", "token"),
    [
        ("/v1/customers/cus_nobody/invoices", "any"),
        ("/v1/customers/cus_elsewhere/invoices", "any"),
        ("/v1/orgs/nobody/invoices", "any"),
        ("/v1/customers/cus_paid/invoices", "of-nothing"),
        ("/v1/customers/cus_paid/invoices?marketplace=globex", "of-acme"),
    ],
)
def test_nobody_of_that_name(api: Api, path: str, token: str) -> None:
    """404, the same for who does not exist and for who is outside the token's scope."""
    assert api.ask("GET", path, token=token).status == 404


def test_pages_are_of_a_bounded_size(api: Api) -> None:
    """Newest first, and each page begins behind the last invoice of the one before."""
    path = "/v1/customers/cus_many/invoices?limit=2"
    first, second = api.ask("GET", path), api.ask("GET", f"{path}&starting_after=in_3")

    assert ids(api, "/v1/customers/cus_many/invoices") == ["in_4", "in_3", "in_2", "in_1", "in_0"]
    assert [each["id"] for each in first.body["invoices"]] == ["in_4", "in_3"]
    assert [each["id"] for each in second.body["invoices"]] == ["in_2", "in_1"]
    assert (first.body["has_more"], second.body["has_more"]) == (True, True)
    last = api.ask("GET", f"{path}&starting_after=in_1").body
    assert ([each["id"] for each in last["invoices"]], last["has_more"]) == (["in_0"], False)


@pytest.mark.parametrize(
    ("portals", "asked", "told"),
    [
        ({}, {}, {}),
        ({"globex": GLOBEX}, {}, {"customer_portal": GLOBEX}),
        ({"acme": ACME, "globex": GLOBEX}, {}, {"customer_portals": {"acme": ACME, "globex": GLOBEX}}),
        ({"acme": ACME, "globex": ACME}, {}, {"customer_portal": ACME}),
        ({"acme": ACME, "globex": GLOBEX}, {"query": "?marketplace=acme"}, {"customer_portal": ACME}),
        ({"acme": ACME, "globex": GLOBEX}, {"token": "of-acme"}, {"customer_portal": ACME}),
        ({"globex": GLOBEX}, {"token": "of-acme"}, {}),
    ],
)
def test_the_portal_is_the_marketplace_s(
    fresh_database: str, portals: dict[str, str], asked: dict[str, str], told: dict[str, Any]
) -> None:
    """The one that is asked about, or the only one; where there are several and none is named, all by name."""
    with listening(fresh_database, catalog(portals=portals), line(), named("cus_paid")) as api:
        query, token = asked.get("query", ""), asked.get("token", "any")
        answer = api.ask("GET", f"/v1/customers/cus_paid/invoices{query}", token=token)

    assert {name: value for name, value in answer.body.items() if name.startswith("customer_portal")} == told
