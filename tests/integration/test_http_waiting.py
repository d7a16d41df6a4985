"""The HTTP server on real sockets: slow clients, large bodies, large answers, clients that go away."""

from __future__ import annotations

import logging
import time

import pytest

from ops.http_state import Limits
from tests.echoing import MUCH, Echo
from tests.ingest_in_memory import PATH, InMemory, app
from tests.serving import PATIENCE_S, Client, request, serving, wait_until
from tests.webhooks import body_of, event, signature

QUICK = Limits(head_seconds=0.15, body_seconds=0.3, keep_alive_seconds=0.3, linger_seconds=0.3, tick_seconds=0.02)


def test_slow_clients_are_let_go() -> None:
    """A head that does not end is 408; an idle connection is closed; so is one whose unread body does not come."""
    with serving(Echo(), limits=QUICK) as served:
        slow = served.exchange(b"GET / HTTP/1.1\r\nX: y")
        silent = served.exchange(b"")
        began = time.monotonic()
        idle = served.exchange(request())
        kept = time.monotonic() - began
        unread = served.exchange(request("/unread", "Content-Length: 5", method="POST"))

    assert slow.startswith(b"HTTP/1.1 408 ")
    assert silent == b""
    assert idle.startswith(b"HTTP/1.1 200 ")
    assert kept > QUICK.keep_alive_seconds / 2
    assert unread.startswith(b"HTTP/1.1 403 ")


def test_what_drips_does_not_hold_a_head_open() -> None:
    """The time counts from the first byte of the request, however often another one comes."""
    with serving(Echo(), limits=QUICK) as served, served.connected() as client:
        client.socket.settimeout(0.02)
        client.send(b"GET / HTTP/1.1\r\nX: y")
        received, began = b"", time.monotonic()
        while not received and time.monotonic() - began < PATIENCE_S:
            try:
                received = client.socket.recv(65536)
            except TimeoutError:
                client.send(b"y")

    assert received.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("length", [b"Content-Length: 50", b"Transfer-Encoding: chunked"])
def test_a_body_that_does_not_end_is_refused(length: bytes) -> None:
    """408, as long after the head as is set, however often another byte comes; the application hears of it."""
    app = Echo()
    with serving(app, limits=QUICK) as served, served.connected() as client:
        client.socket.settimeout(0.02)
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + length + b"\r\n\r\n")
        received, began = b"", time.monotonic()
        while not received and time.monotonic() - began < PATIENCE_S / 4:
            try:
                received = client.socket.recv(65536)
            except TimeoutError:
                client.send(b"1\r\ny\r\n" if b"chunked" in length else b"y")
        took = time.monotonic() - began
        assert app.hears.wait(PATIENCE_S)

    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"The body was not whole" in received
    assert took > QUICK.body_seconds / 2


def test_a_delivery_that_does_not_end_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """Half a webhook is answered with 408 and is not published; ingest has no longer to do with it."""
    publisher, body = InMemory(), body_of(event())
    signed = f"Stripe-Signature: {signature(body).decode()}"
    whole = request(PATH, "Content-Type: application/json", signed, method="POST", body=body)
    with serving(app(publisher), limits=QUICK) as served, served.connected() as client, caplog.at_level(logging.INFO):
        client.send(whole[:-50])
        given_up = client.answer()
        wait_until(lambda: any(record.name == "ingest.app" for record in caplog.records))
        published = served.ask(whole).status, len(publisher.records)

    assert (given_up.status, published) == (408, (200, 1))


def test_the_time_of_the_application_is_not_its_client_s(caplog: pytest.LogCaptureFixture) -> None:
    """A body that nobody asks for may take as long as it likes, and so may the answer to one that was whole."""
    app = Echo()
    with serving(app, limits=QUICK) as served:
        with served.connected() as client:
            client.send(request("/held", "Content-Length: 50", method="POST"))
            time.sleep(3 * QUICK.body_seconds)
            app.goes_on.set()
            unasked = client.answer()
        app.goes_on.clear()
        with served.connected() as client:
            client.send(request("/held", "Content-Length: 2", method="POST") + b"ab")
            time.sleep(3 * QUICK.body_seconds)
            app.goes_on.set()
            asked = client.answer()

    assert (unasked.status, asked.status) == (200, 200)
    assert "408" not in caplog.text


def test_a_large_body_waits_until_the_application_reads() -> None:
    """Of 64 MiB a server whose application is busy takes no more than its bound and the system's buffers."""
    app = Echo()
    with serving(app) as served, served.connected() as client:
        client.send(request("/held", "Content-Length: 67108864", method="POST"))
        app.hears.wait(PATIENCE_S)
        client.socket.settimeout(0.5)
        sent = sent_until_nobody_takes_more(client)
        app.goes_on.set()
        client.socket.settimeout(PATIENCE_S)
        told = client.answer()

    assert sent < 32 * 1024 * 1024
    assert told.body == b"held"


def test_a_large_answer_waits_until_the_client_reads() -> None:
    """Of eight pieces of 4 MiB the application sends no more than the client reads; then all arrive."""
    app = Echo()
    with serving(app) as served, served.connected() as client:
        client.send(request("/much", "Connection: close"))
        time.sleep(0.3)
        sent_ahead = app.life.count("sent much")
        received = client.rest()

    assert sent_ahead <= 2
    assert len(received) > 8 * len(MUCH)


def test_a_client_that_does_not_read_is_let_go(caplog: pytest.LogCaptureFixture) -> None:
    """The application that answers it is told, and goes on."""
    app = Echo()
    with serving(app, limits=QUICK) as served, served.connected() as client:
        client.send(request("/much"))
        wait_until(lambda: app.life.count("sent much") == 8)

    assert "a fault" not in caplog.text


def test_the_application_hears_that_its_client_went_away(caplog: pytest.LogCaptureFixture) -> None:
    """While it waits for more, and half of a body is no body; what it answers then goes nowhere."""
    for sent in (request("/leave"), request("/", "Content-Length: 5", method="POST") + b"hell"):
        app = Echo()
        with serving(app) as served:
            with served.connected() as client:
                client.send(sent)
            assert app.hears.wait(PATIENCE_S)

    assert caplog.text == ""


def sent_until_nobody_takes_more(client: Client) -> int:
    sent = 0
    while True:
        try:
            sent += client.socket.send(MUCH)
        except TimeoutError:
            return sent
