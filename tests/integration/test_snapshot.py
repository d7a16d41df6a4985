"""`/v1/snapshot` over HTTP on a real PostgreSQL: all states of one moment, whatever happens meanwhile."""

from __future__ import annotations

import gc
import gzip
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
import sqlalchemy as sa

from entitlements import feed
from entitlements.api import snapshot_stream
from tests.asking import ANY, NOW, Api
from tests.feeding import changes, lines, news, telling


@pytest.fixture
def api(fresh_database: str) -> Iterator[Api]:
    """An API on a database of the test's own, whose feed holds the customers of the story."""
    with telling(fresh_database) as started:
        yield started


def test_a_snapshot_is_every_state_and_says_where_to_go_on(api: Api) -> None:
    """One JSON document a line, the same as the changes tell; gzip where that is taken; 304 to who has it."""
    plain = api.ask("GET", "/v1/snapshot")
    told = changes(api, 0).body

    assert plain.headers["content-type"] == "application/x-ndjson"
    assert sorted(lines(plain), key=lambda each: each["seq"]) == told["changes"]
    assert plain.headers["entitlement-seq"] == str(told["head"])
    assert (etag := plain.headers["etag"]) == f'"{told["head"]}"'
    assert api.ask("GET", "/v1/snapshot", headers={"If-None-Match": etag}).status == 304
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)
    connection.request("GET", "/v1/snapshot", headers={"Authorization": f"Bearer {ANY}", "Accept-Encoding": "gzip"})
    packed = connection.getresponse()
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.read()).decode() == plain.body
    connection.close()
    news(api, "cus_paid")
    assert api.ask("GET", "/v1/snapshot", headers={"If-None-Match": etag}).status == 200


def test_a_snapshot_is_of_one_moment(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes while it is sent is not in it: it is told behind its number, whatever was sent by then."""
    monkeypatch.setattr(snapshot_stream, "STATES_AT_ONCE", 1)
    begun, go_on = threading.Event(), threading.Event()
    lines_of = snapshot_stream._lines

    def held_up(*given: Any) -> Iterator[bytes]:
        for number, each in enumerate(lines_of(*given)):
            yield each
            if number == 0:
                begun.set()
                assert go_on.wait(8)

    monkeypatch.setattr(snapshot_stream, "_lines", held_up)
    before = changes(api, 0).body
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(api.ask, "GET", "/v1/snapshot")
        assert begun.wait(5)
        news(api, "cus_paid")
        news(api, "cus_another")
        go_on.set()
        answer = sent.result(10)

    assert sorted(lines(answer), key=lambda each: each["seq"]) == before["changes"]
    later = changes(api, int(answer.headers["entitlement-seq"])).body["changes"]
    assert [each["customer"] for each in later] == ["cus_paid", "cus_another"]


def many(api: Api) -> None:
    """So much in the feed that it does not fit what lies between two sockets."""
    with api.engine.begin() as connection:
        state = connection.execute(sa.select(feed.feed.c.state).limit(1)).scalar_one()
        connection.execute(
            sa.insert(feed.feed),
            [
                {
                    "integration": "main",
                    "customer": f"cus_many_{number}",
                    "seq": 1000 + number,
                    "changed_at": NOW,
                    "state": state | {"orgs": ["o" * 2000]},
                }
                for number in range(5000)
            ],
        )


def test_who_reads_too_slowly_gives_the_session_back(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As many as there are sessions read no more; once their time is over, which is said, the next one is answered."""
    monkeypatch.setattr(snapshot_stream, "LONGEST_S", 0.5)
    many(api)
    gc.disable()
    try:
        with ExitStack() as connections:
            for _ in range(snapshot_stream.STREAMS):
                slow = connections.enter_context(socket.create_connection(("127.0.0.1", api.port)))
                slow.sendall(f"GET /v1/snapshot HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ANY}\r\n\r\n".encode())
                assert slow.recv(100).startswith(b"HTTP/1.1 200")
            time.sleep(1)
            monkeypatch.setattr(snapshot_stream, "LONGEST_S", 60)
            assert api.ask("GET", "/v1/snapshot").status == 200
    finally:
        gc.enable()

    assert caplog.messages.count("a snapshot was not read within 0.5 s, and is broken off") == snapshot_stream.STREAMS


def test_a_reader_who_goes_away_gives_the_session_back(api: Api) -> None:
    """More readers than there are sessions begin and hang up; the next one is answered."""
    many(api)
    for _ in range(2 * snapshot_stream.STREAMS):
        deadline = time.monotonic() + 10
        while True:
            with socket.create_connection(("127.0.0.1", api.port)) as gone:
                gone.sendall(f"GET /v1/snapshot HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ANY}\r\n\r\n".encode())
                if gone.recv(100).startswith(b"HTTP/1.1 200"):
                    break
            assert time.monotonic() < deadline
            time.sleep(0.05)

    deadline = time.monotonic() + 10
    while api.ask("GET", "/v1/snapshot").status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
