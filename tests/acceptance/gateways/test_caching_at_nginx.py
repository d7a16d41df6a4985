"""With answers kept nginx is faster, and never wrong for longer than the answer itself says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.acceptance.gateways.passage import Passage
from tests.acceptance.gateways.recipes import Gateway, missing, started
from tests.acceptance.gateways.seen import Told, ask
from tests.acceptance.gateways.stand import Customer, Stand
from tests.acceptance.running import TOKEN

ALLOWED_S, DENIED_S = 10, 2
"""For how long an answer may be kept (contract, section 6)."""

NGINX_S = 1
"""nginx counts whole seconds."""


@pytest.fixture
def nginx(stand: Stand, passage: Passage) -> Iterator[Gateway]:
    """An nginx that keeps answers and has none yet."""
    if absent := missing(["nginx"]):
        pytest.fail(absent, pytrace=False)
    with started("nginx", "cached", query=passage.address, api=stand.api.address, token=TOKEN) as gateway:
        yield gateway


def customer_of(told: Told) -> str:
    return "" if told.reached is None else told.reached.headers["entitlement-customer"]


def test_tenants_never_share_an_answer(stand: Stand, nginx: Gateway, passage: Passage) -> None:
    """Side by side at the same address each is told what holds for it; and nginx asked but once for each."""
    paying = [stand.customer() for _ in range(3)]
    others = [stand.customer() for _ in range(2)]
    stand.pay(*paying)
    for each in others:
        stand.finalize(each)
    stand.until_told(200, paying[-1])
    stand.until_told(402, others[-1])
    stand.plant.catch_up()

    begun, before = time.monotonic(), passage.questions
    for _ in range(20):
        assert [customer_of(ask(nginx, key=each.key)) for each in paying] == [each.id for each in paying]
        assert [ask(nginx, key=each.key).status for each in others] == [402, 402]
        assert customer_of(ask(nginx, headers={"Authorization": f"Bearer {paying[0].key}"})) == paying[0].id
        assert ask(nginx).status == 401
        assert ask(nginx, "/reports/1", key=paying[0].key).status == 403

    kept = len(paying) + len(others) + 3
    expired = (time.monotonic() - begun) / DENIED_S
    assert kept <= passage.questions - before <= kept * (1 + expired)


def test_vary_keeps_tenants_apart_where_the_key_of_the_cache_does_not(stand: Stand, passage: Passage) -> None:
    """With a cache key that forgot who asks, `Vary` alone sees to it that nobody gets another's answer."""
    stand.pay(paying := stand.customer())
    stand.finalize(other := stand.customer())
    stand.until_told(200, paying)
    stand.until_told(402, other)
    forgetful = {"proxy_cache_key": "proxy_cache_key everybody;"}
    with started(
        "nginx", "cached", query=passage.address, api=stand.api.address, token=TOKEN, instead=forgetful
    ) as gateway:
        told = [(ask(gateway, key=paying.key).status, ask(gateway, key=other.key).status) for _ in range(5)]

    assert told == [(200, 402)] * 5


def test_a_kept_allowance_ends_with_the_cycle(stand: Stand, nginx: Gateway) -> None:
    """Asked all the time, a customer whose cycle ends in some seconds is let in before and never after."""
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=6)
    stand.pay(customer := stand.customer(until=ends))
    stand.until_told(200, customer)

    told = asked_until(ends + timedelta(seconds=2), nginx, customer)

    before = [status for at, status in told if at < ends - timedelta(seconds=0.2)]
    after = [status for at, status in told if at >= ends]
    assert set(before) == {200}
    assert set(after) == {402}


def test_a_kept_allowance_ends_with_the_cycle_when_nobody_answers(stand: Stand, nginx: Gateway) -> None:
    """While the query process is away the last answer holds, a denial too, but none past its cycle: then 503."""
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=ALLOWED_S + 4)
    stand.pay(customer := stand.customer(until=ends), longer := stand.customer())
    stand.until_told(200, customer)
    stand.until_told(200, longer)
    stand.finalize(owing := stand.customer())
    stand.until_told(402, owing)
    denied = [ask(nginx, key=owing.key).status]
    told = [(ask(nginx, key=customer.key).status, ask(nginx, key=longer.key).status)]
    stand.plant.end("query")
    try:
        while datetime.now(UTC) < ends:
            told.append((ask(nginx, key=customer.key).status, ask(nginx, key=longer.key).status))
            denied.append(ask(nginx, key=owing.key).status)
            time.sleep(0.1)
        after = [ask(nginx, key=each.key).status for each in (customer, longer)]
        stranger = ask(nginx, key="entkey_strangers").status
    finally:
        stand.plant.start("query")
        stand.plant.wait_until_ready()

    assert set(denied) == {402}
    assert {(200, 200), (503, 200)} == set(told)
    assert sorted(told) == told
    assert (after, stranger) == ([503, 200], 503)


def test_a_refund_closes_what_is_kept(stand: Stand, nginx: Gateway) -> None:
    """A kept allowance lives for ten seconds at most: then the refund is known, and no stale answer is used instead."""
    stand.pay(customer := stand.customer())
    stand.until_told(200, customer)
    assert ask(nginx, key=customer.key).status == 200
    stand.refund(customer)
    stand.until_told(403, customer)

    waited = stand.until(lambda: ask(nginx, key=customer.key).status == 403, "nginx closes")

    assert waited < ALLOWED_S + NGINX_S + 1


def test_a_payment_opens_what_is_kept(stand: Stand, nginx: Gateway) -> None:
    """A kept denial lives for two seconds at most."""
    stand.finalize(customer := stand.customer())
    stand.until_told(402, customer)
    assert ask(nginx, key=customer.key).status == 402
    stand.pay(customer)
    stand.until_told(200, customer)

    waited = stand.until(lambda: ask(nginx, key=customer.key).status == 200, "nginx opens")

    assert waited < DENIED_S + NGINX_S + 1


def asked_until(end: datetime, gateway: Gateway, customer: Customer) -> list[tuple[datetime, int]]:
    """When it was asked and what it answered, again and again, until *end*."""
    told = []
    while (now := datetime.now(UTC)) < end:
        told.append((now, ask(gateway, key=customer.key).status))
        time.sleep(0.05)
    return told
