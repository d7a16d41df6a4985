"""The real stripe library, asking a stand-in of Stripe's API: what it sends, and what its failures are told as."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import stripe

from ingest.questions import Question
from ingest.stripe_api import NEWEST_VERSION, NotFetched, Outcome, StripeApi
from tests.stripe_api import HANGING, KEY, Reply, StripeStandIn, refusal, stripe_stood_in

INVOICE = Question(path="/v1/invoices/in_1")


@pytest.fixture
def stripes() -> Iterator[StripeStandIn]:
    with stripe_stood_in() as found:
        found.objects["/v1/invoices/in_1"] = {"id": "in_1", "object": "invoice", "quantity_decimal": "1.50"}
        yield found


def get(address: str, question: Question = INVOICE, *, key: str = KEY, version: str | None = None, **more: Any) -> Any:
    api = StripeApi({"main": key}, {"main": version}, address=address)
    try:
        return asyncio.run(api.get("main", question, **more))
    finally:
        api.close()


def test_an_object_comes_as_stripe_rendered_it(stripes: StripeStandIn) -> None:
    """Plain JSON values of plain types: redaction looks into `dict` alone, and decimals stay texts."""
    found = get(stripes.address)

    assert found == {"id": "in_1", "object": "invoice", "quantity_decimal": "1.50"}
    assert (type(found), type(found["quantity_decimal"])) == (dict, str)


def test_what_is_sent(stripes: StripeStandIn) -> None:
    """The key, and the version pinned: the question's, else the integration's, else the library's own."""
    for question, version in (
        (Question(path=INVOICE.path, version="2022-11-15"), "2025-03-31.basil"),
        (INVOICE, "2025-03-31.basil"),
        (INVOICE, None),
    ):
        get(stripes.address, question, version=version, limit=100, starting_after="il_1")

    assert [asked.headers["stripe-version"] for asked in stripes.asked] == [
        "2022-11-15",
        "2025-03-31.basil",
        NEWEST_VERSION,
    ]
    assert {asked.headers["authorization"] for asked in stripes.asked} == {f"Bearer {KEY}"}
    assert stripes.asked[0].parameters == {"limit": "100", "starting_after": "il_1"}
    assert not {"stripe-account", "stripe-context"} & stripes.asked[0].headers.keys()


def test_whose_object_it_is(stripes: StripeStandIn) -> None:
    """A Connect account's by `Stripe-Account`, an organization's by `Stripe-Context`."""
    get(stripes.address, Question(path=INVOICE.path, account="acct_1"))
    get(stripes.address, Question(path=INVOICE.path, context="org_1/acct_1"))

    account, context = (asked.headers for asked in stripes.asked)
    assert (account["stripe-account"], account.get("stripe-context")) == ("acct_1", None)
    assert (context["stripe-context"], context.get("stripe-account")) == ("org_1/acct_1", None)


def test_stripe_is_told_nothing_about_the_machine(stripes: StripeStandIn) -> None:
    """No telemetry: no id of the machine, no platform, no times of earlier requests."""
    get(stripes.address)
    get(stripes.address)

    assert stripe.enable_telemetry is False
    sent = stripes.asked[1].headers
    assert "x-stripe-client-telemetry" not in sent
    assert "telemetry_id" not in sent["x-stripe-client-user-agent"]
    assert "platform" not in sent["x-stripe-client-user-agent"]


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (refusal(400), Outcome.REFUSED),
        (refusal(401), Outcome.REFUSED),
        (refusal(403), Outcome.REFUSED),
        (refusal(404), Outcome.MISSING),
        (refusal(429), Outcome.LIMITED),
        (refusal(500), Outcome.FAILED),
        (refusal(503), Outcome.FAILED),
        (Reply(status=502, body=b"<html>"), Outcome.FAILED),
        (Reply(body=b"<html>"), Outcome.MALFORMED),
        (Reply(body=b'{"id": "\xff"}'), Outcome.MALFORMED),
        (Reply(body=b'{"id": ' + b"[" * 100_000), Outcome.MALFORMED),
        (Reply(body=b'{"a":' * 5_000 + b"1" + b"}" * 5_000), Outcome.MALFORMED),
        (Reply(body=[]), Outcome.MALFORMED),
        (Reply(body=None), Outcome.MALFORMED),
    ],
    ids=range(14),
)
def test_what_a_failure_is_told_as(
    stripes: StripeStandIn, caplog: pytest.LogCaptureFixture, reply: Reply, outcome: Outcome
) -> None:
    """Each has its name, and neither its text nor the log repeats what Stripe said: that may quote the key."""
    caplog.set_level(logging.DEBUG)
    stripes.always.append(reply)

    with pytest.raises(NotFetched) as failed:
        get(stripes.address)

    assert failed.value.outcome is outcome
    for text in (str(failed.value), caplog.text):
        assert KEY[:8] not in text
    assert failed.value.__cause__ is None


def test_a_hiccup_is_tried_again(stripes: StripeStandIn) -> None:
    """One 5xx costs half a second and no webhook, which would come again after minutes."""
    stripes.replies.append(refusal(500))

    assert get(stripes.address)["id"] == "in_1"
    assert len(stripes.asked) == 2


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that nobody listens on, and one that takes connections and is silent: both end by themselves."""
    monkeypatch.setattr("ingest.stripe_api.READ_SECONDS", 0.2)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(NotFetched) as refused:
            get(address)
    with stripe_stood_in(always=[HANGING]) as silent, pytest.raises(NotFetched) as hanging:
        get(silent.address)

    assert {refused.value.outcome, hanging.value.outcome} == {Outcome.UNREACHABLE}


def test_without_a_key_nothing_is_asked(stripes: StripeStandIn) -> None:
    """The refusal says which integration lacks a key, and where one is named."""
    api = StripeApi({}, {"main": None}, address=stripes.address)

    with pytest.raises(NotFetched, match=r"main has no key.*api_key_env") as failed:
        asyncio.run(api.get("main", INVOICE))

    assert (failed.value.outcome, api.has_key("main"), stripes.asked) == (Outcome.NO_KEY, False, [])


@pytest.mark.parametrize(
    "path", ["@evil.example/v1/invoices/in_1", "//evil.example/v1", "/v1/invoices/../x", "/v1/a b"]
)
def test_the_key_goes_nowhere_else(stripes: StripeStandIn, path: str) -> None:
    """A path that is not one of Stripe's API is not appended to its address."""
    with pytest.raises(NotFetched) as failed:
        get(stripes.address, Question(path=path))

    assert (failed.value.outcome, stripes.asked) == (Outcome.MALFORMED, [])
