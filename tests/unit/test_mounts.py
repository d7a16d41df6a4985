"""The gateways' mounts: which status, which headers, and that nothing odd is ever let through."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements.api.gateway_headers import NAMES
from entitlements.api.snapshots import CannotDecide
from entitlements.api.tokens import UnclearScope
from entitlements.domain.decision import Decision, Reason
from tests.mounting import KEY, OTHER_KEY, OWED, Known, Response, ask, forwarded, mounted

LAPSED = Decision(api="orders", reason=Reason.CYCLE_LAPSED, max_age=timedelta(seconds=1, milliseconds=900))


def entitlements(response: Response) -> dict[str, str]:
    """Its `Entitlement-*` headers by what comes behind the hyphen; each must be there once."""
    return {name: response[f"Entitlement-{name}"] for name in NAMES}


def check(
    answering: Known, headers: list[tuple[bytes, bytes]], path: bytes = b"/v1/check", method: str = "GET"
) -> Response:
    """One question at a mount."""
    return ask(mounted(answering), method, path, headers)


def test_an_allowance_is_200_with_an_empty_body_and_says_everything() -> None:
    """All headers, byte for byte as docs/gateways.md has them."""
    answer = check(Known(), forwarded(more={"X-Request-Id": "4bf9"}))

    assert (answer.status, answer.body) == (200, b"")
    assert dict(answer.headers) == {
        b"entitlement-decision": b"allow",
        b"entitlement-status": b"200",
        b"entitlement-reason": b"paid",
        b"entitlement-org": b"initech",
        b"entitlement-customer": b"cus_1",
        b"entitlement-api": b"orders",
        b"entitlement-plan": b"enterprise",
        b"entitlement-invoice": b"in_1",
        b"entitlement-expires": b"2026-07-01T02:00:00Z",
        b"entitlement-pay-at": b"none",
        b"entitlement-degraded": b"none",
        b"cache-control": b"max-age=10, stale-if-error=300",
        b"vary": b"X-Api-Key, Authorization, X-Forwarded-Method, X-Forwarded-Host, X-Forwarded-Uri",
        b"content-length": b"0",
        b"ratelimit-policy": b'"calls";q=1000',
        b"x-request-id": b"4bf9",
    }


def test_a_denial_is_a_problem_that_says_where_to_pay() -> None:
    """402, and what a client can do about it."""
    answer = check(Known(decisions={"orders": OWED}), forwarded())

    assert answer.status == 402
    assert answer.problem == {
        "type": "about:blank",
        "title": "Payment Required",
        "status": 402,
        "detail": "An invoice for the current billing cycle is not paid.",
        "reason": "payment_required",
        "api": "orders",
        "org": "initech",
        "customer": "cus_1",
        "plan": "enterprise",
        "invoice": "in_2",
        "pay_at": "https://invoice.example.com/i/open",
    }
    assert answer["Entitlement-Pay-At"] == "https://invoice.example.com/i/open"
    assert answer["Cache-Control"] == "max-age=2, stale-if-error=300"
    assert answer["Content-Length"] == str(len(answer.body))


@pytest.mark.parametrize(
    ("answering", "headers", "status", "reason", "cache"),
    [
        (Known(), forwarded(key=None), 401, "no_credential", "max-age=5"),
        (Known(), forwarded(key=""), 401, "no_credential", "max-age=5"),
        (Known(), forwarded(key=OTHER_KEY), 401, "unknown_credential", "max-age=5"),
        (Known(), forwarded(key="sk_live_1"), 401, "unknown_credential", "max-age=5"),
        (Known(), [*forwarded(), (b"X-Api-Key", KEY.encode())], 401, "unknown_credential", "max-age=5"),
        (Known(), forwarded(token=None), 401, "unknown_gateway", "no-store"),
        (Known(), forwarded(token="wrong"), 401, "unknown_gateway", "no-store"),
        (Known(), [*forwarded(), (b"Entitlement-Gateway-Token", b"gateway")], 401, "unknown_gateway", "no-store"),
        (Known(), forwarded("/nothing"), 403, "unknown_api", "max-age=2"),
        (Known(), forwarded(method=""), 403, "unknown_api", "max-age=2"),
        (Known(), forwarded(method="get"), 403, "unknown_api", "max-age=2"),
        (Known(), forwarded("/reports/7", method="get"), 403, "unknown_api", "max-age=2"),
        (Known(), forwarded(host=""), 403, "unknown_api", "max-age=2"),
        (Known(), [*forwarded(), (b"X-Forwarded-Uri", b"/orders/7")], 403, "unknown_api", "max-age=2"),
        (Known(), [*forwarded(), (b"X-Forwarded-Method", b"GET")], 403, "unknown_api", "max-age=2"),
        (Known(), forwarded("/reports/7"), 403, "not_entitled", "max-age=2, stale-if-error=300"),
        (Known(decisions={"orders": LAPSED}), forwarded(), 402, "cycle_lapsed", "max-age=1, stale-if-error=300"),
        (Known(failure=CannotDecide("The database can't be reached.")), forwarded(), 503, "cannot_decide", "no-store"),
        (Known(failure=UnclearScope("Say which.")), forwarded(), 503, "cannot_decide", "no-store"),
    ],
)
def test_every_other_answer(
    answering: Known, headers: list[tuple[bytes, bytes]], status: int, reason: str, cache: str
) -> None:
    """Its status, reason and how long it may be kept; every header is there, and `none` where it has nothing to say."""
    answer = check(answering, headers)
    said = entitlements(answer)

    assert (answer.status, said["Status"], said["Reason"]) == (status, str(status), reason)
    assert said["Decision"] == ("none" if status == 503 else "deny")
    assert answer["Cache-Control"] == cache
    assert (answer.problem["status"], answer.problem["reason"]) == (status, reason)
    assert (b"www-authenticate" in dict(answer.headers)) == (status == 401)
    assert (b"retry-after" in dict(answer.headers)) == (status == 503)


def test_a_401_says_how_to_authenticate() -> None:
    """For each way that the settings have."""
    assert check(Known(), forwarded(key=None))["WWW-Authenticate"] == 'Bearer, ApiKey header="X-Api-Key"'


def test_a_fault_of_ours_is_503_with_every_header_and_is_raised_for_the_log() -> None:
    """Never a denial, and never silent."""
    sent = []

    async def send(message: object) -> None:
        sent.append(message)

    headers = [(name.lower(), value) for name, value in forwarded()]
    scope = {"type": "http", "method": "GET", "path": "/v1/check", "raw_path": b"/v1/check", "headers": headers}
    with pytest.raises(ZeroDivisionError):
        asyncio.run(mounted(Known(failure=ZeroDivisionError()))(scope, None, send))  # type: ignore[arg-type]

    [start, _] = sent
    assert start["status"] == 503  # type: ignore[index]
    assert {f"entitlement-{name.lower()}".encode() for name in NAMES} <= dict(start["headers"]).keys()  # type: ignore[index]


@pytest.mark.parametrize(("path", "status"), [(b"/v1/check-403", 403), (b"/v1/ext-authz-403/orders/7", 403)])
def test_the_403_mounts_fold_and_keep_the_real_status_in_a_header(path: bytes, status: int) -> None:
    """402 becomes 403; all else stays what it is."""
    headers = forwarded(more={"Host": "api.example.com"})
    answer = check(Known(decisions={"orders": OWED}), headers, path)

    assert (answer.status, answer["Entitlement-Status"], answer.problem["status"]) == (status, "402", 403)
    assert check(Known(), headers, path).status == 200
    assert check(Known(), forwarded(key=None), path).status == 401


def test_the_original_request_may_be_in_the_request_line() -> None:
    """As Envoy sends it: its method, its path behind the mount with the query, its host; nothing else is read."""
    headers = [*forwarded("/nothing", host="x", method="X"), (b"host", b"api.example.com")]
    told = {
        (method, path): ask(mounted(Known()), method, path, headers)
        for method in ("GET", "OPTIONS")
        for path in (
            b"/v1/ext-authz/orders/7?api=reports",
            b"/v1/ext-authz//x/../orders",
            b"/v1/ext-authz/",
            b"/v1/ext-authz",
        )
    }

    assert {asked: answer.status for asked, answer in told.items()} == {
        ("GET", b"/v1/ext-authz/orders/7?api=reports"): 200,
        ("GET", b"/v1/ext-authz//x/../orders"): 403,
        ("GET", b"/v1/ext-authz/"): 403,
        ("GET", b"/v1/ext-authz"): 404,
        ("OPTIONS", b"/v1/ext-authz/orders/7?api=reports"): 403,
        ("OPTIONS", b"/v1/ext-authz//x/../orders"): 403,
        ("OPTIONS", b"/v1/ext-authz/"): 403,
        ("OPTIONS", b"/v1/ext-authz"): 404,
    }
    assert told["GET", b"/v1/ext-authz/orders/7?api=reports"]["Vary"] == "X-Api-Key, Authorization"


def test_any_method_asks_and_head_has_no_body() -> None:
    """What HEAD is told has the headers of what GET is told."""
    answering = Known(decisions={"orders": OWED})
    got = {
        method: check(answering, forwarded(), method=method) for method in ("GET", "HEAD", "POST", "OPTIONS", "PURGE")
    }

    assert {answer.status for answer in got.values()} == {402}
    assert {name: name != "HEAD" for name in got} == {name: bool(answer.body) for name, answer in got.items()}
    assert got["HEAD"].headers == got["GET"].headers


def test_query_strings_are_never_read() -> None:
    """Neither ours nor the original one."""
    assert check(Known(), forwarded("/orders/7?api=x&/../"), b"/v1/check?api=reports&key=1").status == 200
    assert check(Known(), forwarded("/nothing?/orders/7"), b"/v1/check?uri=/orders/7").status == 403


def test_a_degraded_answer_is_marked() -> None:
    """The database is away, and this was known before."""
    assert check(Known(degraded=True), forwarded())["Entitlement-Degraded"] == "1"


def test_other_pages_are_passed_on() -> None:
    """Also what only begins like a mount."""
    for path in (b"/v1/checks", b"/v1/check/", b"/v1/ext-authz-40/orders", b"/v1/ext%2Dauthz/orders/7", b"/livez"):
        assert ask(mounted(Known()), "GET", path, forwarded()).status == 404


NAMES_ON_THE_WIRE = st.sampled_from(
    b"x-api-key authorization entitlement-gateway-token x-forwarded-method x-forwarded-host x-forwarded-uri host "
    b"x-request-id entitlement-subject entitlement-api cookie".split()
)
NEARLY = st.sampled_from(
    [KEY.encode(), b"Bearer " + KEY.encode(), b"gateway", b"GET", b"api.example.com", b"/orders/7", b"org:initech", b""]
)
VALUES = st.binary(max_size=40) | NEARLY | st.builds(lambda a, b: a + b, NEARLY, st.binary(max_size=3))
GARBAGE = st.lists(st.tuples(NAMES_ON_THE_WIRE, VALUES), max_size=9)
PATHS = st.sampled_from([b"/v1/check", b"/v1/check-403", b"/v1/ext-authz/", b"/v1/ext-authz-403/"])


@given(st.booleans(), PATHS, st.binary(max_size=30), GARBAGE, st.sampled_from(["GET", "HEAD", "\x00", "G T", "get"]))
def test_whatever_comes_is_answered_in_full_and_let_in_only_if_it_is_exact(
    begins_well: bool, mount: bytes, rest: bytes, garbage: list[tuple[bytes, bytes]], method: str
) -> None:
    """Every answer has every header; 200 takes one token, one key and one way to say what for, each as it is."""
    headers = ([(name.lower(), value) for name, value in forwarded()] if begins_well else []) + garbage
    answer = ask(mounted(Known()), method, mount + rest if mount.endswith(b"/") else mount, headers)

    said = entitlements(answer)
    assert all(value for value in said.values())
    assert said["Status"] == str(answer.status) or (answer.status, said["Status"]) == (403, "402")
    if answer.status == 200:
        given = {name: [value for each, value in headers if each == name] for name, _ in headers}
        assert given[b"entitlement-gateway-token"] == [b"gateway"]
        assert given.get(b"x-api-key") == [KEY.encode()] or given[b"authorization"][0].endswith(KEY.encode())
        if mount.endswith(b"/"):
            assert given[b"host"] == [b"api.example.com"]
        else:
            assert given[b"x-forwarded-uri"][0].startswith(b"/orders")
            assert [len(given[f"x-forwarded-{name}".encode()]) for name in ("uri", "host", "method")] == [1, 1, 1]
