"""The query API over HTTP on a real PostgreSQL: who gets which answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from entitlements import ledger
from tests.asking import Api, listening
from tests.servers import new_database
from tests.stated import MONTH, PAY_AT, STORY, catalog, line, named


@pytest.fixture(scope="module")
def api(database_url: str) -> Iterator[Api]:
    """An API for questions only: all tests of this module share its facts."""
    with new_database(database_url) as url, listening(url, *STORY) as started:
        yield started


def test_a_paid_cycle_is_allowed(api: Api) -> None:
    """The whole answer to a gateway, byte for byte what the contract says."""
    answer = api.evaluate()

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.body == {
        "decision": True,
        "context": {
            "reason": "paid",
            "status": 200,
            "plan": "enterprise",
            "invoice": "in_cus_paid",
            "cycle": MONTH,
            "until": "2026-07-01T02:00:00Z",
            "quotas": [{"name": "calls", "limit": 1000, "enforcement": "strict", "unit": "requests", "per": "cycle"}],
            "max_age": 10,
        },
    }


def test_an_open_invoice_says_where_to_pay(api: Api) -> None:
    """402 in the context, with the invoice's hosted page; the HTTP status stays 200."""
    answer = api.evaluate("cus_open")

    assert answer.status == 200
    assert answer.body == {
        "decision": False,
        "context": {
            "reason": "payment_required",
            "status": 402,
            "plan": "enterprise",
            "invoice": "in_cus_open",
            "cycle": MONTH,
            "pay_at": PAY_AT,
            "max_age": 2,
        },
    }


@pytest.mark.parametrize(
    ("customer", "asked_api", "asked", "reason"),
    [
        ("cus_paid", "reports", {}, "not_entitled"),
        ("cus_paid", "nothing", {}, "unknown_api"),
        ("cus_paid", "orders", {"at": "2026-07-01T01:00:00Z"}, "renewal_leeway"),
        ("cus_paid", "orders", {"at": "2026-07-01T04:30:00+02:00"}, "cycle_lapsed"),
        ("cus_paid", "orders", {"at": "2026-05-01T00:00-07:00"}, "not_entitled"),
        ("cus_nobody", "orders", {}, "unknown_subject"),
        ("cus_nobody", "nothing", {}, "unknown_api"),
        ("cus_elsewhere", "orders", {}, "unknown_subject"),
        ("initech", "orders", {"subject_type": "org"}, "paid"),
        ("ghost", "orders", {"subject_type": "org"}, "unknown_subject"),
        ("nobody", "orders", {"subject_type": "org"}, "unknown_subject"),
        ("initech", "orders", {}, "unknown_subject"),
        ("cus_paid", "orders", {"subject_type": "org"}, "unknown_subject"),
    ],
)
def test_reasons(api: Api, customer: str, asked_api: str, asked: dict[str, Any], reason: str) -> None:
    """Each question has its reason, by customer or by org, at the moment asked about."""
    assert api.reason(customer, asked_api, **asked) == reason


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"token": "of-acme"}, "paid"),
        ({"token": "of-acme", "marketplace": "acme"}, "paid"),
        ({"token": "of-acme", "api": "reports"}, "unknown_api"),
        ({"token": "of-acme", "marketplace": "globex"}, "unknown_subject"),
        ({"token": "of-acme", "marketplace": "globex", "api": "reports"}, "unknown_api"),
        ({"token": "of-acme", "marketplace": "gone"}, "unknown_subject"),
        ({"token": "of-globex", "api": "reports"}, "paid"),
        ({"token": "of-globex"}, "unknown_api"),
        ({"token": "of-nothing"}, "unknown_api"),
        ({"token": "of-nothing", "marketplace": "acme"}, "unknown_api"),
        ({"marketplace": "globex", "api": "reports"}, "paid"),
        ({"marketplace": "globex"}, "unknown_api"),
    ],
)
def test_what_is_outside_the_scope_does_not_exist(api: Api, asked: dict[str, Any], reason: str) -> None:
    """Of a customer who has paid both marketplaces' APIs, each scope sees its own alone."""
    assert api.reason("cus_both", **asked) == reason


def test_two_integrations_never_meet(fresh_database: str) -> None:
    """The same customer id and price in another integration is somebody else, who has not paid."""
    facts = (catalog(integrations=("main", "other")), line("cus_paid"), named("cus_paid"))
    with listening(fresh_database, *facts) as api:
        unclear = api.evaluate()
        listed = api.ask("GET", "/v1/customers/cus_paid/entitlements?marketplace=acme")

        assert (unclear.status, "several integrations" in unclear.body["detail"]) == (400, True)
        assert api.ask("GET", "/v1/customers/cus_paid/entitlements").status == 400
        assert api.reason(marketplace="acme") == "paid"
        assert api.reason(token="of-acme") == "paid"
        assert api.reason(api="reports", marketplace="globex") == "unknown_subject"
        assert api.reason(api="reports", token="of-globex") == "unknown_subject"
        assert [each["api"] for each in listed.body["entitlements"]] == ["invoices", "orders"]
        assert api.ask("GET", "/v1/customers/cus_paid/entitlements", token="of-globex").status == 404


def test_an_unknown_marketplace_is_the_askers_mistake(api: Api) -> None:
    """Without a scope of the token, a marketplace that is not in the catalog is 400 and named."""
    answer = api.evaluate(marketplace="gone")

    assert answer.status == 400
    assert "'gone'" in answer.body["detail"]


def test_entitlements_of_a_customer(api: Api) -> None:
    """Every API of the catalog with its decision, those that are closed too."""
    answer = api.ask("GET", "/v1/customers/cus_open/entitlements")

    owed = {
        "decision": False,
        "reason": "payment_required",
        "status": 402,
        "plan": "enterprise",
        "invoice": "in_cus_open",
        "cycle": MONTH,
        "pay_at": PAY_AT,
        "max_age": 2,
    }
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.body == {
        "customer": "cus_open",
        "at": "2026-06-15T12:00:00Z",
        "entitlements": [
            {"api": "invoices", **owed},
            {"api": "orders", **owed},
            {"api": "reports", "decision": False, "reason": "not_entitled", "status": 403, "max_age": 2},
        ],
        "unmapped": [],
        "contradictory": [],
    }


def test_entitlements_of_an_org_at_another_moment(api: Api) -> None:
    """An org is its customer, and `at` is any moment."""
    answer = api.ask("GET", "/v1/orgs/initech/entitlements?at=2026-07-01T03:30:00%2B02:00", token="of-acme")

    assert (answer.body["org"], answer.body["customer"]) == ("initech", "cus_paid")
    assert answer.body["at"] == "2026-07-01T01:30:00Z"
    assert [(each["api"], each["reason"]) for each in answer.body["entitlements"]] == [
        ("invoices", "renewal_leeway"),
        ("orders", "renewal_leeway"),
    ]


def test_entitlements_show_what_needs_a_persons_eye(api: Api) -> None:
    """Billed lines of no plan, and invoices that were seen both paid and void."""
    answer = api.ask("GET", "/v1/customers/cus_odd/entitlements")

    line_of_no_plan = {"invoice": "in_cus_odd", "line": "il_unmapped", "price": "price_nobody_named", "cycle": MONTH}
    assert answer.body["unmapped"] == [line_of_no_plan]
    assert answer.body["contradictory"] == ["in_cus_odd"]


@pytest.mark.parametrize(
    ("path", "token"),
    [
        ("/v1/customers/cus_nobody/entitlements", "any"),
        ("/v1/customers/cus_elsewhere/entitlements", "any"),
        ("/v1/orgs/nobody/entitlements", "any"),
        ("/v1/orgs/ghost/entitlements", "any"),
        ("/v1/customers/cus_paid/entitlements", "of-nothing"),
        ("/v1/customers/cus_paid/entitlements?marketplace=globex", "of-acme"),
        ("/v1/customers/cus_paid/entitlements?marketplace=gone", "of-acme"),
    ],
)
def test_nobody_of_that_name(api: Api, path: str, token: str) -> None:
    """404, the same for who does not exist and for who is outside the token's scope."""
    answer = api.ask("GET", path, token=token)

    assert answer.status == 404
    assert answer.body["detail"].endswith("of this name is known here.")


def test_progress_lists_what_each_group_reads(fresh_database: str) -> None:
    """Next offsets by group and partition; topics and groups that are not ours are left out."""
    rows = [
        ("grants", "billing.events.v1", 0, 7),
        ("grants", "billing.operator-commands.v1", 0, 1),
        ("revocations", "billing.operator-commands.v1", 0, 1),
        ("invoices", "billing.events.v1", 3, 1235),
        ("invoices", "billing.operator-commands.v1", 0, 1),
        ("somebody", "billing.events.v1", 0, 9),
    ]
    with listening(fresh_database) as api:
        with api.engine.begin() as connection:
            starts = [
                ledger.Position(
                    group=group, topic=topic, partition=partition, next_offset=offset, cluster_id="c", topic_id="t"
                )
                for group, topic, partition, offset in rows
            ]
            ledger.begin(connection, starts)

        assert api.ask("GET", "/v1/progress", token="of-acme").body == {
            "groups": {
                "grants": {"billing.events.v1-0": 7, "billing.operator-commands.v1-0": 1},
                "revocations": {"billing.operator-commands.v1-0": 1},
                "invoices": {"billing.events.v1-3": 1235},
            },
            "incomplete": {"invoices": 0},
        }
