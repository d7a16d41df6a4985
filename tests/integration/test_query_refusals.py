"""The query API over HTTP: what it refuses, and how it says so."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from entitlements.api.metrics import Metrics
from ops.http_state import Limits
from tests.asking import ADMIN, Api, listening
from tests.servers import new_database
from tests.stated import STORY, catalog, line


@pytest.fixture(scope="module")
def api(database_url: str) -> Iterator[Api]:
    """An API for questions only: all tests of this module share its facts."""
    with new_database(database_url) as url, listening(url, *STORY) as started:
        yield started


PAGES = [
    ("POST", "/access/v1/evaluation"),
    ("POST", "/access/v1/evaluations"),
    ("GET", "/.well-known/authzen-configuration"),
    ("GET", "/v1/customers/cus_paid/entitlements"),
    ("GET", "/v1/orgs/initech/entitlements"),
    ("GET", "/v1/customers/cus_paid/invoices"),
    ("GET", "/v1/orgs/initech/invoices"),
    ("PUT", "/v1/orgs/initech"),
    ("GET", "/v1/orgs/initech/keys"),
    ("POST", "/v1/customers/cus_paid/keys"),
    ("DELETE", "/v1/keys/key_1"),
    ("POST", "/v1/keys/key_1/rotate"),
    ("GET", "/v1/explain?customer=cus_paid&api=orders"),
    ("GET", "/v1/progress"),
]


@pytest.mark.parametrize("token", [None, "wrong", "any@acme", "an"])
@pytest.mark.parametrize(("method", "path"), PAGES)
def test_nothing_is_told_without_a_token(api: Api, method: str, path: str, token: str | None) -> None:
    """401 and how to authenticate, whatever else may be wrong with the request."""
    answer = api.ask(method, path, token=token, body=b"nonsense")

    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", None])
def test_another_content_type_is_400(api: Api, content_type: str | None) -> None:
    """AuthZEN's certification wants 400, not 415."""
    headers = {} if content_type is None else {"Content-Type": content_type}

    assert api.ask("POST", "/access/v1/evaluation", body=b"{}", headers=headers).status == 400


def test_a_charset_does_not_matter(api: Api) -> None:
    """`application/json; charset=utf-8` is JSON."""
    question = {
        "subject": {"type": "customer", "id": "cus_paid"},
        "action": {"name": "GET"},
        "resource": {"type": "api", "id": "orders"},
        "future": {"nested": True},
    }
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    answer = api.ask("POST", "/access/v1/evaluation", body=json.dumps(question).encode(), headers=headers)

    assert (answer.status, answer.body["decision"]) == (200, True)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"subject": {"type": "customer", "id": "a\\u0000"}}'])
def test_a_malformed_question_is_400(api: Api, body: bytes) -> None:
    """Never 422 and never 500, and the problem says what is wrong."""
    answer = api.ask("POST", "/access/v1/evaluation", body=body, headers={"Content-Type": "application/json"})

    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.body["detail"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_is_413(api: Api, *, chunked: bool) -> None:
    """A body of 64 KiB is read, one byte more is not, however it comes."""

    def post(size: int) -> int:
        body = b'{"padding": "' + b"x" * (size - 15) + b'"}'
        headers = {"Content-Type": "application/json", **({"Transfer-Encoding": "chunked"} if chunked else {})}
        sent = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body
        return api.ask("POST", "/access/v1/evaluation", body=sent, headers=headers).status

    assert [post(64 * 1024), post(64 * 1024 + 1)] == [400, 413]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/access/v1/evaluation", 405),
        ("PUT", "/access/v1/evaluation", 405),
        ("POST", "/v1/progress", 405),
        ("GET", "/", 404),
        ("GET", "/v1/progress/", 404),
        ("POST", "/access/v1/search/subject", 404),
        ("PUT", "/access/v1/evaluations", 405),
        ("GET", "/v1/customers//entitlements", 404),
        ("GET", "/v1/customers/a%2Fb/entitlements", 404),
        ("GET", "/v1/customers/cus%00/entitlements", 400),
        ("GET", "/v1/customers/cus%0A/entitlements", 400),
        ("GET", "/v1/customers/%ED%A0%80/entitlements", 404),
        ("GET", f"/v1/customers/{'c' * 256}/entitlements", 400),
        ("GET", "/v1/customers/cus_paid/entitlements?at=yesterday", 400),
        ("GET", "/v1/customers/cus_paid/entitlements?at=", 400),
        ("GET", "/v1/customers/cus_paid/entitlements?at=2026-06-15T14:00:00+02:00", 400),
        ("GET", "/v1/customers/cus_paid/entitlements?att=2026-06-15T12:00:00Z", 400),
        ("GET", "/v1/customers/cus_paid/entitlements?marketplace=gone", 400),
        ("GET", f"/v1/customers/cus_paid/entitlements?at={'1' * 5_000}", 414),
        ("GET", "/v1/customers/cus_paid/invoices?limit=0", 400),
        ("GET", "/v1/customers/cus_paid/invoices?limit=101", 400),
        ("GET", "/v1/customers/cus_paid/invoices?limit=ten", 400),
        ("GET", "/v1/customers/cus_paid/invoices?starting_after=in_elsewhere", 400),
        ("GET", "/v1/customers/cus_paid/invoices?page=2", 400),
        ("POST", "/v1/orgs/initech", 405),
    ],
)
def test_every_refusal_is_a_problem(api: Api, method: str, path: str, status: int) -> None:
    """Wrong pages, methods, ids and parameters are told as problems of RFC 9457."""
    answer = api.ask(method, path)

    assert (answer.status, answer.body["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "detail"} <= answer.body.keys()


def test_a_setting_that_says_in_its_query_where_it_is_meant_is_400(api: Api) -> None:
    """It is the body that says so; nothing is stored elsewhere than was meant."""
    headers, body = {"Content-Type": "application/json"}, b'{"customer": "cus_paid"}'
    answer = api.ask("PUT", "/v1/orgs/hooli?integration=other", token=ADMIN, body=body, headers=headers)

    assert (answer.status, "'integration'" in answer.body["detail"]) == (400, True)
    assert api.ask("GET", "/v1/orgs/hooli", token=ADMIN).status == 404


def test_the_request_id_comes_back(api: Api) -> None:
    """On answers and on refusals, exactly as sent; none is made up."""
    sent = {"X-Request-ID": "bfe9eb29-ab87-4ca3-be83-a1d5d8305716"}
    answers = [api.ask("GET", path, token=token, headers=sent) for path in ("/livez", "/x") for token in ("any", None)]

    assert [answer.headers["x-request-id"] for answer in answers] == [sent["X-Request-ID"]] * 4
    assert "x-request-id" not in api.evaluate().headers


def test_a_fault_of_ours_is_logged_and_not_told(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 without a word of what went wrong, which is in the log: it is no denial either."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a fault in the rules")

    monkeypatch.setattr("entitlements.api.memory.lasting", broken)
    with listening(fresh_database, catalog(), line()) as api:
        answer = api.evaluate()

    assert (answer.status, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "a fault in the rules" not in answer.body["detail"]
    assert "a fault in the rules" in caplog.text  # the server logs it once the answer is out


@pytest.mark.parametrize("client", ["waits", "goes"])
def test_a_body_that_does_not_end_is_counted_as_what_was_answered(fresh_database: str, client: str) -> None:
    """408, which the server says, and not the 400 that nobody is told; who has gone is told nothing."""
    registry = CollectorRegistry()
    quick = Limits(body_seconds=0.3, tick_seconds=0.05)
    head = b"POST /access/v1/evaluation HTTP/1.1\r\nHost: query\r\nAuthorization: Bearer any\r\n"
    with listening(fresh_database, catalog(), metrics=Metrics(registry), http_limits=quick) as started:
        with socket.create_connection(("127.0.0.1", started.port), timeout=10) as connection:
            connection.sendall(head + b"Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{")
            if client == "waits":
                assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")
        assert started.evaluate().status == 200
        time.sleep(0.1)
        counted = {
            sample.labels["status"]: sample.value
            for metric in registry.collect()
            for sample in metric.samples
            if sample.name == "entitle_query_answers_total"
        }

    assert counted == ({"200": 1, "408": 1} if client == "waits" else {"200": 1})
