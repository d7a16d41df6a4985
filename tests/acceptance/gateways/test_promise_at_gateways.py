"""What Stripe says opens and closes an API at every gateway, for whom it says so and for nobody else."""

from __future__ import annotations

import pytest

from entitlements.api.gateway_headers import NAMES
from tests.acceptance.gateways.seen import Told, digest
from tests.acceptance.gateways.stand import Stand

HEADERS = frozenset(f"entitlement-{name.lower()}" for name in NAMES)

PREFLIGHT = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "GET"}

PRETENDED = {
    **dict.fromkeys((f"Entitlement-{name}" for name in NAMES), "pretended"),
    "ENTITLEMENT-PLAN": "pretended",
    "Entitlement_Plan": "pretended",
    "entitlement-subject": "customer:cus_pretended",
    "Entitlement-Gateway-Token": "pretended",
    "x-envoy-auth-failure-mode-allowed": "true",  # becomes Entitlement-Degraded where Envoy itself says it
    "X-HTTP-Method-Override": "DELETE",
}
"""What clients send who would like to be somebody else."""

ELSEWHERE = {
    "X-Forwarded-Uri": "/orders/1",
    "X-Forwarded-Method": "GET",
    "X-Forwarded-Host": "elsewhere.example.com",
    "X-Forwarded-Path": "/orders/1",
    "X-Original-URI": "/orders/1",
    "X-Original-URL": "/orders/1",
    "X-Rewrite-URL": "/orders/1",
    "X-Envoy-Original-Path": "/orders/1",
    "X-HTTP-Method-Override": "GET",
}
"""What clients send who would like their request to be taken for another."""


def statuses(told: dict[str, Told]) -> dict[str, int]:
    return {gateway: each.status for gateway, each in told.items()}


def reached(told: dict[str, Told]) -> dict[str, bool]:
    return {gateway: each.reached is not None for gateway, each in told.items()}


def test_an_invoice_opens_and_closes_an_api(stand: Stand) -> None:
    """Finalized: 402 with where to pay; paid: the API is reached; refunded: 403. At every gateway, open or closed."""
    customer = stand.customer()
    stand.finalize(customer)
    stand.until_told(402, customer)
    unpaid = stand.everywhere(key=customer.key)

    stand.pay(customer)
    stand.until_told(200, customer)
    paid = stand.everywhere(key=customer.key)
    other_plan = stand.everywhere(path="/reports/1", key=customer.key)

    stand.refund(customer)
    stand.until_told(403, customer)
    refunded = stand.everywhere(key=customer.key)

    for told, status, reason in ((unpaid, 402, "payment_required"), (refunded, 403, "refunded")):
        assert statuses(told) == dict.fromkeys(told, status)
        assert {each.problem["reason"] for each in told.values()} == {reason}
        assert {each.headers.get("cache-control", "no-store") for each in told.values()} == {"no-store"}
        assert not any(reached(told).values())
    assert {each.problem["pay_at"] for each in unpaid.values()} == {f"https://invoice.example.com/{customer.invoice}"}
    assert statuses(paid) == dict.fromkeys(paid, 200)
    assert all(reached(paid).values())
    assert statuses(other_plan) == dict.fromkeys(other_plan, 403)


def test_who_is_unknown_is_told_how_to_be_known(stand: Stand) -> None:
    """Without a key, and with one that nobody holds: 401, `WWW-Authenticate` and the reason; the API is not reached."""
    stand.pay(customer := stand.customer())
    stand.until_told(200, customer)

    for key, reason in ((None, "no_credential"), ("entkey_nobodys", "unknown_credential")):
        told = stand.everywhere(key=key)
        assert statuses(told) == dict.fromkeys(told, 401)
        assert {each.headers.get("www-authenticate") for each in told.values()} == {'Bearer, ApiKey header="X-Api-Key"'}
        assert {each.problem["reason"] for each in told.values()} == {reason}
        assert not any(reached(told).values())


def test_the_api_gets_the_request_and_who_asks(stand: Stand) -> None:
    """A request arrives with method, path, query and body as sent, and with every header of the interface."""
    stand.pay(customer := stand.customer())
    stand.until_told(200, customer)

    told = stand.everywhere(path="/orders/a%20b?c=d%2Fe", method="POST", key=customer.key, body=b"x" * 100_000)

    for gateway, each in told.items():
        assert each.reached is not None, gateway
        assert (each.reached.method, each.reached.path) == ("POST", "/orders/a%20b?c=d%2Fe"), gateway
        assert each.reached.body == digest(b"x" * 100_000), gateway
        given = {name: value for name, value in each.reached.headers.items() if name.startswith("entitlement")}
        assert HEADERS == given.keys(), gateway
        assert (given["entitlement-decision"], given["entitlement-status"]) == ("allow", "200")
        assert (given["entitlement-customer"], given["entitlement-plan"]) == (customer.id, "strict")
        assert (given["entitlement-api"], given["entitlement-degraded"]) == ("orders", "none")


def test_a_bearer_token_is_a_key_too(stand: Stand) -> None:
    """A key in `Authorization` opens as well as in `X-Api-Key`, and HEAD as well as GET."""
    stand.pay(customer := stand.customer())
    stand.until_told(200, customer)

    told = stand.everywhere(method="HEAD", headers={"Authorization": f"Bearer {customer.key}"})

    assert statuses(told) == dict.fromkeys(told, 200)
    assert all(reached(told).values())


def test_what_clients_pretend_never_reaches_the_api(stand: Stand) -> None:
    """Of `Entitlement-*` headers that a client sends none arrives, whether the request was checked or not."""
    stand.pay(customer := stand.customer())
    stand.until_told(200, customer)

    allowed = stand.everywhere(key=customer.key, headers=PRETENDED)
    preflights = stand.everywhere(method="OPTIONS", headers={**PRETENDED, **PREFLIGHT})

    for gateway, each in {**allowed, **{f"{name}, preflight": told for name, told in preflights.items()}}.items():
        assert each.reached is not None, gateway
        pretended = {name: value for name, value in each.reached.headers.items() if "pretended" in value}
        assert pretended == {}, gateway
        assert not each.degraded, gateway
        assert "x-http-method-override" not in each.reached.headers, gateway


def test_no_client_has_headers_dropped_by_calling_them_its_connection_s(stand: Stand) -> None:
    """Named in `Connection`, as what ends at the next hop is, our headers reach the API all the same, and none else."""
    stand.pay(customer := stand.customer())
    stand.until_told(200, customer)
    ours = [f"Entitlement-{name}" for name in NAMES]
    named, *halves = (", ".join(("keep-alive", *names)) for names in (ours, ours[:6], ours[6:]))
    # Envoy takes nine names there at most, and no upgrade that it was not told of: it answers such requests itself.
    refused_by_envoy = {named: 400, f"Upgrade, {named}": 403}

    for connection in (*halves, *refused_by_envoy):
        upgrade = {"Upgrade": "example/1"} if connection.startswith("Upgrade") else {}
        told = stand.everywhere(key=customer.key, headers={**PRETENDED, "Connection": connection, **upgrade})
        for gateway, each in told.items():
            if gateway.startswith("envoy") and connection in refused_by_envoy:
                assert (each.reached, each.status) == (None, refused_by_envoy[connection]), gateway
                continue
            assert each.reached is not None, (gateway, each)
            given = {name: value for name, value in each.reached.headers.items() if name.startswith("entitlement")}
            assert HEADERS == given.keys(), gateway
            assert (given["entitlement-decision"], given["entitlement-customer"]) == ("allow", customer.id), gateway
            assert not [name for name, value in given.items() if "pretended" in value], gateway


def test_nobody_is_somebody_by_saying_so(stand: Stand) -> None:
    """Headers by which the gateway itself says who asks, and which gateway it is, open nothing for a client."""
    stand.pay(customer := stand.customer())
    stand.until_told(200, customer)
    named = {"Entitlement-Subject": f"customer:{customer.id}", "Entitlement-Customer": customer.id}
    named |= {"Entitlement-Decision": "allow", "Entitlement-Status": "200", "Entitlement-Degraded": "1"}

    told = stand.everywhere(headers=named)

    assert statuses(told) == dict.fromkeys(told, 401)
    assert not any(reached(told).values())


@pytest.mark.parametrize("headers", [ELSEWHERE, {name.upper(): value for name, value in ELSEWHERE.items()}])
def test_a_request_is_what_it_is(stand: Stand, headers: dict[str, str]) -> None:
    """Headers that say it was another request do not open an API that is not paid."""
    stand.pay(customer := stand.customer())
    stand.until_told(200, customer)

    told = stand.everywhere(path="/reports/1", key=customer.key, headers=headers)

    assert statuses(told) == dict.fromkeys(told, 403)
    assert not any(reached(told).values())


@pytest.mark.parametrize(
    "path",
    [
        "/orders/../reports/1",
        "/orders/%2e%2e/reports/1",
        "/orders/%252e%252e/reports/1",
        "/orders/..%2freports/1",
        "/orders/x/../../reports/1",
        "/orders/..;/reports/1",
        "//reports/1",
        "/reports/1?/../orders/1",
        "/reports/1#/orders/1",
        "/reports%2f1",
        "/orders/.%2e/reports/1",
        "/orders/..\\reports/1",
    ],
)
def test_no_path_leads_to_an_api_that_is_not_paid(stand: Stand, path: str) -> None:
    """Where a path can be read in two ways, or leads elsewhere once it is cleaned, the API is not reached."""
    stand.pay(customer := stand.customer())
    stand.until_told(200, customer)

    told = stand.everywhere(path=path, key=customer.key)

    arrived = {gateway: each.reached.path for gateway, each in told.items() if each.reached is not None}
    assert arrived == {}


def test_a_preflight_needs_no_key(stand: Stand) -> None:
    """A browser's CORS preflight reaches the API, bare; any other OPTIONS is checked like the rest."""
    preflights = stand.everywhere(method="OPTIONS", headers=PREFLIGHT)
    others = stand.everywhere(method="OPTIONS", headers={"Origin": "https://app.example.com"})
    not_options = stand.everywhere(method="GET", headers=PREFLIGHT)

    assert all(reached(preflights).values())
    for gateway, each in preflights.items():
        assert each.reached is not None
        assert not [name for name in each.reached.headers if name.startswith("entitlement")], gateway
    assert statuses(others) == dict.fromkeys(others, 401)
    assert statuses(not_options) == dict.fromkeys(not_options, 401)


def test_what_the_api_answers_is_passed_on(stand: Stand) -> None:
    """The API's own 401, 402, 403, 429, 500 and 503 are its own, and one request reaches it once."""
    stand.pay(customer := stand.customer())
    stand.until_told(200, customer)

    for status in (401, 402, 403, 429, 500, 503):
        before = len(stand.api.requests)
        told = stand.everywhere(key=customer.key, headers={"X-Answer-With": str(status)})
        assert statuses(told) == dict.fromkeys(told, status)
        assert len(stand.api.requests) - before == len(told)
