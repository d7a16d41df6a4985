"""The query process is gone, hangs or is slow: a gateway of the closed kind says 503, one of the open kind marks it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ops.settings import free_address
from tests.acceptance.gateways.passage import Passage
from tests.acceptance.gateways.recipes import Gateway, started
from tests.acceptance.gateways.seen import Told, ask, digest
from tests.acceptance.gateways.stand import Customer, Stand
from tests.acceptance.running import TOKEN

LONGEST_S = 2.0
"""What a request may cost where the recipes say a second; the machine is shared."""

PREFLIGHT = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "GET"}


@pytest.fixture
def customer(stand: Stand) -> Customer:
    """One who has paid."""
    stand.pay(made := stand.customer())
    stand.until_told(200, made)
    return made


@pytest.fixture
def mended(stand: Stand, customer: Customer) -> Iterator[None]:
    """Whatever a test does to the query process, all is as before after it, at every gateway, by itself."""
    yield
    stand.plant.wait_until_ready()
    stand.until(lambda: not any(map(failed, stand.everywhere(key=customer.key).values())), "all ask again")


def failed(told: Told) -> bool:
    return told.status == 503 or told.degraded


def check_that_it_fails_as_it_should(gateways: list[Gateway], customer: Customer) -> None:
    """Closed: 503 and the API is not reached. Open: it is, marked, whoever asks. Each within a second or so."""
    with ThreadPoolExecutor(2 * len(gateways)) as pool:
        posts = pool.map(lambda gateway: ask(gateway, key=customer.key, method="POST", body=b"ordered"), gateways)
        nobodys = pool.map(ask, gateways)
        told = [*zip(gateways, posts, strict=True), *zip(gateways, nobodys, strict=True)]
    for gateway, each in told:
        assert each.seconds < LONGEST_S, (str(gateway), each)
        if gateway.variant == "open":
            assert (each.status, each.degraded) == (200, True), (str(gateway), each)
            assert each.reached is not None
            assert each.reached.headers.get("entitlement-decision") is None, str(gateway)
            assert each.reached.body == digest(b"ordered" if each.reached.method == "POST" else b""), str(gateway)
        else:
            assert (each.status, each.reached) == (503, None), (str(gateway), each)


def both(stand: Stand, by: Passage | None = None) -> list[Gateway]:
    return [*stand.gateways("closed", by=by), *stand.gateways("open", by=by)]


@pytest.mark.usefixtures("mended")
def test_the_query_process_is_stopped(stand: Stand, customer: Customer) -> None:
    """After SIGTERM: 503, or through and marked; preflights go through as ever."""
    gateways = both(stand)
    stand.plant.end("query")
    try:
        check_that_it_fails_as_it_should(gateways, customer)
        preflights = {str(gateway): ask(gateway, method="OPTIONS", headers=PREFLIGHT) for gateway in gateways}
    finally:
        stand.plant.start("query")

    assert {(told.status, told.degraded) for told in preflights.values()} == {(200, False)}


@pytest.mark.usefixtures("mended")
def test_the_query_process_hangs(stand: Stand, customer: Customer) -> None:
    """After SIGSTOP it takes connections and never answers: 503, or through and marked, after a second."""
    gateways = both(stand)
    stand.plant.signal("query", signal.SIGSTOP)
    try:
        check_that_it_fails_as_it_should(gateways, customer)
    finally:
        stand.plant.signal("query", signal.SIGCONT)


def test_the_query_process_is_slow(stand: Stand, customer: Customer, passage: Passage) -> None:
    """An answer after 0.3 s is waited for; one that would take 3 s is not."""
    gateways = both(stand, passage)
    passage.delay_s = 0.3
    slow = {str(gateway): ask(gateway, key=customer.key) for gateway in gateways}
    passage.delay_s = 3.0
    check_that_it_fails_as_it_should(gateways, customer)
    passage.delay_s = 0.0

    assert {(told.status, told.degraded) for told in slow.values()} == {(200, False)}
    assert {told.seconds > 0.3 for told in slow.values()} == {True}


def test_connections_to_the_query_process_are_kept(stand: Stand, customer: Customer, passage: Passage) -> None:
    """Fifty requests one after the other are fifty questions on two or three connections."""
    for gateway in stand.gateways("closed", by=passage):
        ask(gateway, key=customer.key)
        connections, questions = passage.connections, passage.questions
        told = [ask(gateway, key=customer.key).status for _ in range(50)]

        assert told == [200] * 50, str(gateway)
        assert passage.questions - questions == 50, str(gateway)
        assert passage.connections - connections <= 3, str(gateway)


def test_an_api_that_is_away_is_not_taken_for_the_query_process(stand: Stand, customer: Customer) -> None:
    """Where the API itself does not answer a gateway says so, to preflights too, and tries nothing unchecked."""
    told = {}
    for name, variant in ((name, variant) for name in stand.names for variant in ("closed", "open")):
        with started(name, variant, query=stand.query, api=free_address(), token=TOKEN) as gateway:
            told[str(gateway)] = ask(gateway, key=customer.key)
            told[f"{gateway}, preflight"] = ask(gateway, method="OPTIONS", headers=PREFLIGHT)

    assert {each.status for each in told.values()} <= {502, 503, 504}
    assert [name for name, each in told.items() if b"ntitlement" in each.body] == []
