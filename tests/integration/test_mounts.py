"""The gateways' mounts over HTTP on a real PostgreSQL."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entitlements.api.credentials import Trust, parse_credentials
from tests.asking import Api, listening
from tests.asking_gateways import check, make, reason
from tests.servers import new_database
from tests.stated import STORY, catalog, line, named

TWO = (
    catalog(integrations=("main", "other")),
    line("cus_paid"),
    named("cus_paid"),
    line("cus_other", integration="other", price="price_reporting"),
)
"""Two integrations; acme is of main, globex of the other."""


@pytest.fixture(scope="module")
def api(database_url: str) -> Iterator[Api]:
    """An API whose facts all tests of this module share; keys are each test's own."""
    with new_database(database_url) as url, listening(url, *STORY) as started:
        yield started


def test_a_key_opens_what_its_holder_has_paid(api: Api) -> None:
    """An org's and a customer's, at every mount; and what its plan lacks stays closed."""
    of_org = make(api, "orgs/initech", {"label": "build server"})
    of_customer = make(api, "customers/cus_open")
    key = of_org.body["key"]
    paid = check(api, key)

    assert (of_org.status, of_org.headers["cache-control"]) == (201, "no-store")
    assert of_org.body.keys() == {"key", "id", "org", "integration", "label", "is_valid", "set_by", "set_at"}
    assert reason(paid) == (200, "paid")
    assert {name: paid.headers[f"entitlement-{name}"] for name in ("org", "customer", "api", "plan", "expires")} == {
        "org": "initech",
        "customer": "cus_paid",
        "api": "orders",
        "plan": "enterprise",
        "expires": "2026-07-01T02:00:00Z",
    }
    assert paid.body == ""
    assert reason(check(api, key, "/reports")) == (403, "not_entitled")
    assert reason(check(api, key, "/nothing")) == (403, "unknown_api")
    assert reason(check(api, of_customer.body["key"])) == (402, "payment_required")
    assert reason(check(api, of_customer.body["key"], mount="/v1/check-403")) == (403, "payment_required")
    assert reason(check(api, None)) == (401, "no_credential")
    assert reason(check(api, None, more={"Authorization": f"Bearer {key}"})) == (200, "paid")
    assert reason(check(api, key, gateway="wrong")) == (401, "unknown_gateway")
    enveloped = {"Host": "api.example.com"}
    assert reason(check(api, key, mount="/v1/ext-authz/orders/7?x=/reports", more=enveloped)) == (200, "paid")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_whatever_the_gateways_own_method_is(api: Api, method: str) -> None:
    """HEAD has no body, and the connection goes on as it should."""
    answer = check(api, None, method=method)

    assert reason(answer) == (401, "no_credential")
    assert (answer.body == "") == (method == "HEAD")


def test_keys_are_of_an_integration_and_may_be_of_a_marketplace(fresh_database: str) -> None:
    """A key says where its holder is known, whatever the gateway's token leaves open; outside it is nobody's."""
    with listening(fresh_database, *TWO) as api:
        unclear = make(api, "customers/cus_paid")
        of_main = make(api, "customers/cus_paid", {"integration": "main"}).body["key"]
        of_globex = make(api, "customers/cus_other", {"marketplace": "globex"}).body["key"]
        of_acme = make(api, "customers/cus_paid", token="admin-of-acme").body

        assert (unclear.status, "several integrations" in unclear.body["detail"]) == (400, True)
        assert of_acme["marketplace"] == "acme"
        assert reason(check(api, of_main)) == (200, "paid")
        assert reason(check(api, of_main, gateway="of-acme")) == (200, "paid")
        assert reason(check(api, of_main, gateway="of-globex")) == (401, "unknown_credential")
        assert reason(check(api, of_main, gateway="of-nothing")) == (401, "unknown_credential")
        assert reason(check(api, of_globex, "/reports")) == (200, "paid")
        assert reason(check(api, of_globex)) == (403, "unknown_api")
        assert reason(check(api, of_globex, "/reports", gateway="of-acme")) == (401, "unknown_credential")
        assert reason(check(api, of_acme["key"])) == (200, "paid")
        subject = {"ENTITLEMENT-SUBJECT": "customer:cus_paid"}
        assert reason(check(api, None, more=subject)) == (401, "no_credential")


def test_whom_a_trusted_gateway_names_is_of_its_tokens_marketplace(fresh_database: str) -> None:
    """With several integrations a name alone says too little: 503 that says what to do, and never somebody else."""
    trust = Trust(sources=parse_credentials("subject:Entitlement-Subject"))
    with listening(fresh_database, *TWO, trust=trust) as api:
        named_by_gateway = {"Entitlement-Subject": "customer:cus_paid"}
        unclear = check(api, None, more=named_by_gateway)

        assert reason(unclear) == (503, "cannot_decide")
        assert "token of one marketplace" in unclear.body["detail"]
        assert reason(check(api, None, gateway="of-acme", more=named_by_gateway)) == (200, "paid")
        assert reason(check(api, None, "/reports", gateway="of-globex", more=named_by_gateway))[1] == "unknown_subject"


def test_a_database_that_is_away_is_503_and_no_denial(fresh_database: str) -> None:
    """With every header; and it is never kept."""
    with listening(fresh_database, *STORY) as api:
        key = make(api, "orgs/initech").body["key"]
        with api.engine.begin() as connection:
            connection.execute(sa.text("LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE"))
            away = check(api, key)
        assert reason(away) == (503, "cannot_decide")
        assert (away.headers["cache-control"], away.headers["retry-after"]) == ("no-store", "1")
        assert reason(check(api, key)) == (200, "paid")


LINES = st.binary(max_size=60) | st.sampled_from(
    [b"GET /v1/check HTTP/1.1", b"GET /v1/ext-authz/orders/7 HTTP/1.1", b"Entitlement-Gateway-Token: any", b"Host: x"]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINES, max_size=6))
def test_no_bytes_on_the_wire_are_let_in(api: Api, lines: list[bytes]) -> None:
    """Whatever a line says, without a credential the answer is none or no 200; and the server lives on."""
    with socket.create_connection(("127.0.0.1", api.port), timeout=5) as connection:
        connection.sendall(b"\r\n".join([*lines, b"Connection: close", b"", b""]))
        connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").read(4096)

    assert not answer.startswith(b"HTTP/1.1 200") or b"/livez" in b"".join(lines)
    assert api.ask("GET", "/livez", token=None).status == 200
