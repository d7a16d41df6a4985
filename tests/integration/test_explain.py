"""
`GET /v1/explain` and what it rests on, on a real PostgreSQL: the whole chain from the answer to the log.

Long because the whole answer is written out.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from entitlements.domain.facts import CatalogRevision
from entitlements.domain.identity import canonical_json
from tests.asking import ANY, Api, listening
from tests.pure_core import catalog
from tests.recording import read
from tests.remembering import statements
from tests.renewals import renewal
from tests.servers import new_database
from tests.stated import STORY, line
from tests.stated import catalog as stated_catalog
from tests.stripe_builders import Line, event, events, paid, snapshot

CATALOG = CatalogRevision(number=1, in_force_from=None, applied_by="ann", document=canonical_json(catalog()))
LEFT_OPEN = renewal()


def why(there: Api, customer: str = "cus_1", /, *, token: str = ANY, **asked: str) -> Any:
    """The answer's body; about the API `orders` in the middle of February unless *asked* says otherwise."""
    question = {"customer": customer, "api": "orders", "at": "2026-02-14T00:00:00Z"} | asked
    answer = there.ask("GET", f"/v1/explain?{urlencode(question)}", token=token)
    assert answer.status == 200, answer
    return answer.body


def test_the_answer_leads_to_the_log(fresh_database: str) -> None:
    """From the decision over grants and invoices to topic, partition and offset; long because it is every key."""
    finalized = event("invoice.finalized", snapshot(LEFT_OPEN, "open"), at="02-01T01:00", id="evt_1")
    failed = event("invoice.payment_failed", snapshot(LEFT_OPEN, "open"), at="02-01T01:05", id="evt_2")
    with listening(fresh_database, CATALOG) as api:
        read(api.engine, [finalized, failed], partition=3)
        body = why(api)

    cycle = {"start": "2026-02-01T00:00:00Z", "end": "2026-03-01T00:00:00Z"}
    record = {"topic": "billing.events.v1", "partition": 3, "appended_at": "2026-05-28T20:26:40Z"}
    pay_at = "https://invoice.example.com/in_2"
    assert body == {
        "customer": "cus_1",
        "api": "orders",
        "at": "2026-02-14T00:00:00Z",
        "answer": "deny 402 payment_required: invoice in_2 for 1 Feb – 1 Mar 2026 is open and not paid",
        "decision": False,
        "context": {
            "reason": "payment_required",
            "status": 402,
            "plan": "enterprise",
            "invoice": "in_2",
            "cycle": cycle,
            "pay_at": pay_at,
            "max_age": 2,
        },
        "would_change": [
            "Paying invoice in_2 (25.00 usd) by then would have opened it until 1 Mar 2026 00:00 UTC.",
            "If nothing more becomes known, it turns to deny 403 not_entitled at 1 Mar 2026 00:00 UTC.",
        ],
        "next_change": {"at": "2026-03-01T00:00:00Z", "decision": False, "reason": "not_entitled"},
        "grants": [
            {
                "spoke": True,
                "how": "open",
                "says": "not paid: its terms open nothing unpaid",
                "plan": "enterprise",
                "invoice": "in_2",
                "line": "il_2",
                "price": "price_enterprise",
                "cycle": cycle,
                "opens": [],
                "because_of": [],
                "withheld": None,
                "catalog_revision": 1,
            }
        ],
        "manual_grants": [],
        "revocations": [],
        "invoices": {
            "in_2": {
                "id": "in_2",
                "number": "ACME-in_2",
                "status": "open",
                "currency": "usd",
                "total": 2500,
                "amount_due": 2500,
                "amount_paid": 0,
                "amount_remaining": 2500,
                "created": "2026-02-01T01:00:00Z",
                "transitions": {"finalized_at": "2026-02-01T01:00:00Z"},
                "cycles": [{"plan": "enterprise", "line": "il_2", **cycle}],
                "pay_at": pay_at,
                "lines_complete": True,
                "contradictory": False,
                "given_back": 0,
                "disputed": False,
                "events": [
                    {
                        "id": "evt_1",
                        "type": "invoice.finalized",
                        "about": "in_2",
                        "created": "2026-02-01T01:00:00Z",
                        **record,
                        "offset": 0,
                        "twin_of": None,
                    },
                    {
                        "id": "evt_2",
                        "type": "invoice.payment_failed",
                        "about": "in_2",
                        "created": "2026-02-01T01:05:00Z",
                        **record,
                        "offset": 1,
                        "twin_of": "evt_1",
                    },
                ],
            }
        },
        "other_events": [],
        "catalog": [{"number": 1, "in_force_from": None, "applied_by": "ann", "records": []}],
        "needs_an_eye": [],
    }


def test_an_event_that_came_twice_is_no_twin_of_itself(fresh_database: str) -> None:
    """The same event at two offsets is listed twice; a twin has another id, and says nothing more and nothing less."""
    again = event("invoice.paid", snapshot(paid(), "paid"), at="01-01", id="evt_paid")
    other = event("invoice.payment_succeeded", snapshot(paid(), "paid"), at="01-01", id="evt_other")
    different = event("invoice.updated", snapshot(paid(), "paid", number="B-2"), at="01-02", id="evt_b")
    with listening(fresh_database, CATALOG) as api:
        read(api.engine, [again, again, other, different])
        found = why(api, at="2026-01-15T00:00:00Z")["invoices"]["in_1"]["events"]

    assert [(each["id"], each["offset"], each["twin_of"]) for each in found] == [
        ("evt_paid", 0, None),
        ("evt_paid", 1, None),
        ("evt_other", 2, "evt_paid"),
        ("evt_b", 3, None),
    ]


def test_revocations_name_what_they_ended_and_a_groups_delay_hides_no_twin(fresh_database: str) -> None:
    """A voided invoice is told with its event, and a record that one group has read is compared in that group."""
    voided = renewal(voided="02-05")
    twin = event("invoice.updated", snapshot(voided, "void"), at="02-05", id="evt_twin")
    with listening(fresh_database, CATALOG) as api:
        read(api.engine, events(paid(), voided))
        read(api.engine, [twin], partition=1, groups=["revocations"])
        body = why(api)

    [revocation] = body["revocations"]
    last, twin_of_it = body["invoices"]["in_2"]["events"][-2:]
    assert (revocation["kind"], revocation["invoice"], revocation["at"]) == ("voided", "in_2", "2026-02-05T00:00:00Z")
    assert (revocation["says"], revocation["spoke"], revocation["ended"]) == ("ended nothing", False, [])
    assert (last["type"], twin_of_it["twin_of"]) == ("invoice.voided", last["id"])


def test_another_integrations_events_are_no_evidence(fresh_database: str) -> None:
    """An invoice of the same id in another Stripe account has no part in it."""
    with listening(fresh_database, CATALOG) as api:
        read(api.engine, events(paid()))
        read(api.engine, events(paid()), integration="elsewhere", partition=1)
        body = why(api, at="2026-01-15T00:00:00Z")

    assert {each["partition"] for each in body["invoices"]["in_1"]["events"]} == {0}


def test_an_event_that_was_set_aside_needs_an_eye(fresh_database: str) -> None:
    """Where a group could not read an event about the invoice, the explanation says so, and why."""
    with listening(fresh_database, CATALOG) as api:
        read(api.engine, events(LEFT_OPEN))
        late = event("invoice.paid", snapshot(LEFT_OPEN, "paid"), at="02-10", id="evt_paid")
        read(api.engine, [late], partition=1, groups=["grants"], set_aside="line il_2 has no period")
        body = why(api)

    assert body["context"]["reason"] == "payment_required"
    assert body["needs_an_eye"] == ["Event evt_paid about in_2 was set aside by grants: line il_2 has no period"]


def test_an_invoice_of_which_every_event_was_set_aside_needs_an_eye(fresh_database: str) -> None:
    """Where nothing but the invoice's number and amounts is known, what was set aside is told all the same."""
    with listening(fresh_database, CATALOG) as api:
        read(api.engine, events(LEFT_OPEN)[:1], groups=["invoices"])
        read(api.engine, events(LEFT_OPEN)[:1], partition=1, groups=["grants"], set_aside="line il_2 has no period")
        body = why(api)

    assert (body["context"]["reason"], body["invoices"]) == ("not_entitled", {})
    assert [each.partition(" was ")[2] for each in body["needs_an_eye"]] == [
        "set aside by grants: line il_2 has no period"
    ]


def test_the_number_of_queries_does_not_grow(fresh_database: str) -> None:
    """Twenty invoices more are explained with as many statements as one."""
    months = [paid(Line(id=f"il_{n}"), id=f"in_m{n}") for n in range(20)]
    with listening(fresh_database, CATALOG) as api:
        counted = statements(api.engine)
        read(api.engine, events(paid()))
        why(api)  # reads the catalog, which is then remembered
        counted.clear()
        why(api)
        with_one = len(counted)
        read(api.engine, events(*months), partition=1)
        counted.clear()
        listed = why(api)["invoices"]

        assert (len(listed), len(counted)) == (21, with_one)


@pytest.fixture(scope="module")
def api(database_url: str) -> Any:
    """An API for questions only: all tests below share its facts."""
    with new_database(database_url) as url, listening(url, *STORY) as started:
        yield started


@pytest.mark.parametrize(
    ("customer", "asked", "answer", "first"),
    [
        ("cus_nobody", {}, "customer cus_nobody is not known here", "An event in which Stripe names customer"),
        ("cus_paid", {"api": "nothing"}, "the catalog has no API nothing", "A catalog that names the API nothing"),
        ("cus_both", {"token": "of-globex"}, "the catalog has no API orders", "A catalog that names the API orders"),
        ("cus_paid", {"token": "of-acme", "marketplace": "globex"}, "customer cus_paid is not known here", "An event"),
        ("cus_paid", {"token": "of-nothing"}, "the catalog has no API orders", "A catalog that names the API orders"),
    ],
)
def test_whoever_does_not_exist_is_explained_too(
    api: Api, customer: str, asked: dict[str, str], answer: str, first: str
) -> None:
    """A name that nobody ever heard of, and one outside the token's marketplace, have the same explanation."""
    body = why(api, customer, **asked)

    assert answer in body["answer"]
    assert body["would_change"][0].startswith(first)
    assert (body["grants"], body["revocations"], body["invoices"]) == ([], [], {})


def test_a_token_of_one_marketplace_is_told_of_its_own(api: Api) -> None:
    """Of a customer of two marketplaces, each token is shown the grants, plans and invoices of its own."""
    bodies = {
        token: why(api, "cus_both", token=token, api=name, at="2026-06-15T00:00:00Z")
        for token, name in (("of-acme", "orders"), ("of-globex", "reports"))
    }

    assert list(bodies["of-acme"]["invoices"]) == ["in_second"]
    assert list(bodies["of-globex"]["invoices"]) == ["in_cus_both"]


def test_an_org_is_its_customer(api: Api) -> None:
    """An org is explained by its name; one that is nobody is told what would make it somebody."""
    known, unknown = (
        api.ask("GET", f"/v1/explain?org={org}&api=orders&at=2026-06-15T00:00:00Z").body for org in ("initech", "acme")
    )

    assert (known["org"], known["customer"], known["context"]["reason"]) == ("initech", "cus_paid", "paid")
    assert (unknown["org"], unknown["customer"], unknown["context"]["reason"]) == ("acme", None, "unknown_subject")
    assert unknown["would_change"][0].startswith("An org of this name")


def test_an_org_whose_customer_stripe_has_not_named_yet(api: Api) -> None:
    """Stripe never names an org: what would change it is an event that names its customer."""
    ghost = api.ask("GET", "/v1/explain?org=ghost&api=orders").body

    assert (ghost["customer"], ghost["context"]["reason"]) == ("cus_ghost", "unknown_subject")
    assert ghost["would_change"][0].startswith("An event in which Stripe names customer cus_ghost, and")


def test_an_org_of_the_catalog_is_nobody_to_another_integrations_token(fresh_database: str) -> None:
    """A name of the catalog counts everywhere; whose customer it is shows only where that is a customer."""
    with listening(fresh_database, stated_catalog(integrations=("main", "other")), line("cus_paid")) as there:
        own, other = (
            there.ask("GET", "/v1/explain?org=initech&api=orders", token=token).body
            for token in ("of-acme", "of-globex")
        )

    assert (own["customer"], other["customer"]) == ("cus_paid", None)
    assert "cus_paid" not in str(other)


def test_lines_of_no_plan_and_contradictions_need_an_eye(api: Api) -> None:
    """What may hide a grant is said, and what Stripe says can't be."""
    assert why(api, "cus_odd", at="2026-06-15T00:00:00Z")["needs_an_eye"] == [
        "Invoice in_cus_odd: line il_unmapped (price_nobody_named, 1 Jun – 1 Jul 2026) is of no plan.",
        "Invoice in_cus_odd: seen both paid and void; paid counts.",
    ]


@pytest.mark.parametrize(
    ("query", "token", "status", "detail"),
    [
        ("api=orders", "any", 400, "one of: customer, org"),
        ("customer=cus_1&org=initech&api=orders", "any", 400, "one of: customer, org"),
        ("customer=cus_1", "any", 400, "api must be a text"),
        ("customer=&api=orders", "any", 400, "customer must be a text"),
        ("customer=cus_1&api=orders&at=yesterday", "any", 400, "at must be a time"),
        ("customer=cus_1&api=orders&when=now", "any", 400, "'when'"),
        ("customer=cus_1&api=orders&marketplace=gone", "any", 400, "'gone'"),
        ("customer=cus_1&api=orders", None, 401, "ENTITLE_QUERY_TOKENS"),
        ("customer=cus_1&api=orders", "admin", 401, "ENTITLE_QUERY_TOKENS"),
    ],
)
def test_refusals(api: Api, query: str, token: str | None, status: int, detail: str) -> None:
    """A question that can't be understood, or that nobody may ask, is refused with what to write instead."""
    answer = api.ask("GET", f"/v1/explain?{query}", token=token)

    assert (answer.status, detail in answer.body["detail"]) == (status, True)
