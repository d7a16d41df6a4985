"""`/v1/changes` and `/v1/snapshot` over HTTP on a real PostgreSQL: together they miss nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from entitlements import feed
from entitlements.api import snapshot_stream, snapshots
from entitlements.api.memory import Limits
from tests.asking import NOW, Api, listening
from tests.feeding import changes, learnt, lines, news, settled, telling
from tests.remembering import statements
from tests.stated import line


@pytest.fixture
def api(fresh_database: str) -> Iterator[Api]:
    """An API on a database of the test's own, whose feed holds the customers of the story."""
    with telling(fresh_database) as started:
        yield started


def test_the_first_page_tells_each_customer_once(api: Api) -> None:
    """Everyone who has a state, in the order of their numbers, and where to go on."""
    answer = changes(api, 0)

    told = [each["seq"] for each in answer.body["changes"]]
    assert (answer.status, told) == (200, sorted({*told}))
    assert {each["customer"] for each in answer.body["changes"]} == {
        "cus_paid", "cus_open", "cus_both", "cus_odd", "cus_elsewhere",
    }  # fmt: skip
    assert answer.body["next"] == answer.body["head"] == told[-1]
    assert changes(api, told[-1]).body == {"changes": [], "next": told[-1], "head": told[-1]}


def test_pages_follow_on(api: Api) -> None:
    """A page of two says behind what the next one begins; together they are the whole."""
    found: list[int] = []
    after = 0
    while page := changes(api, after, more="&limit=2").body:
        if not page["changes"]:
            break
        found += [each["seq"] for each in page["changes"]]
        after = page["next"]

    assert found == [each["seq"] for each in changes(api, 0).body["changes"]]


def test_who_waits_is_woken_by_a_change(fresh_database: str) -> None:
    """By the notification: the next look that nobody asked for is half a minute away."""
    with telling(fresh_database, limits=Limits(fresh_s=60)) as api:
        assert 0.3 < woken_after(api) < 10


def test_who_waits_is_woken_though_the_notification_is_lost(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the next look, which is half a second away."""
    monkeypatch.setattr(feed, "FED_CHANNEL", "nobody_listens_to_this")

    assert 0.3 < woken_after(api) < 10


def woken_after(api: Api) -> float:
    """Seconds from the question of one who would wait for 20 to its answer; the news comes after 0.3."""
    head = changes(api, 0).body["head"]
    with ThreadPoolExecutor(1) as pool:
        asked = time.monotonic()
        waiting = pool.submit(changes, api, head, more="&wait=20")
        time.sleep(0.3)
        assert not waiting.done()
        news(api, "cus_paid")
        answer = waiting.result(10)
    assert [each["customer"] for each in answer.body["changes"]] == ["cus_paid"]
    return time.monotonic() - asked


def test_a_wait_without_news_ends(api: Api) -> None:
    """After its seconds the answer is empty, and says where to go on."""
    head = changes(api, 0).body["head"]
    asked = time.monotonic()
    answer = changes(api, head, more="&wait=1")

    assert (answer.status, answer.body) == (200, {"changes": [], "next": head, "head": head})
    assert 0.9 < time.monotonic() - asked < 5


def test_many_who_wait_hold_up_nobody(api: Api) -> None:
    """Sixty gateways, more than there are threads or sessions, ask the database nothing, and are told together."""
    head = changes(api, 0).body["head"]
    with ThreadPoolExecutor(60) as pool:
        waiting = [pool.submit(changes, api, head, more="&wait=20") for _ in range(60)]
        time.sleep(1.5)
        seen = statements(api.engine)
        time.sleep(1)
        asked_while_idle = list(seen)
        asked = time.monotonic()
        assert api.reason() == "paid"
        answered = time.monotonic() - asked
        sessions = open_sessions(api)
        news(api, "cus_open")
        told = {each.result(15).body["next"] for each in waiting}

    assert told == {head + 1}
    assert answered < 2
    assert asked_while_idle == []
    assert 1 <= sum("WHERE feed.seq >" in each for each in seen) < 60
    assert sessions <= snapshots.DATABASE_THREADS + snapshot_stream.STREAMS + 1


def open_sessions(api: Api) -> int:
    """How many sessions there are on the API's database, its own and the test's."""
    count = sa.text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
    with api.engine.connect() as connection:
        return int(connection.execute(count).scalar_one())


def test_a_token_sees_its_marketplaces_customers_and_apis_alone(api: Api) -> None:
    """What another marketplace sells is not told, nor another integration's customers; a gone one's token sees none."""
    told = changes(api, 0, token="of-globex").body["changes"]

    assert {each["customer"] for each in told} == {"cus_paid", "cus_open", "cus_both", "cus_odd"}
    assert {name for each in told for group in each["access"] for name in group["apis"]} == {"reports"}
    assert {name for each in told for group in each["access"] for name in group["marketplaces"]} == {"globex"}
    assert changes(api, 0, token="of-nothing").body["changes"] == []
    streamed = lines(api.ask("GET", "/v1/snapshot", token="of-globex"))
    assert sorted(streamed, key=lambda each: each["seq"]) == told


def test_news_outside_wake_nobody_and_are_not_asked_for_again(api: Api) -> None:
    """A token waits on while others' customers change, and goes on behind their numbers."""
    head = changes(api, 0).body["head"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(changes, api, head, token="of-acme", more="&wait=2")
        time.sleep(0.3)
        learnt(
            api.engine,
            line("cus_elsewhere", integration="elsewhere", line="il_2", quantity=3),
            line("cus_new", integration="elsewhere"),
        )
        settled(api.engine, NOW)
        answer = waiting.result(10)

    assert (answer.body["changes"], answer.body["next"]) == ([], answer.body["head"])
    assert answer.body["next"] > head


@pytest.mark.parametrize("after", [10**6, 0])
def test_a_place_that_is_none_is_gone(api: Api, after: int) -> None:
    """Ahead of the head, or older than what is kept: 410, and what to do."""
    if not after:
        with api.engine.begin() as connection:
            feed.keep_from(connection, 2)
    answer = changes(api, after)

    assert (answer.status, answer.headers["content-type"]) == (410, "application/problem+json")
    assert "/v1/snapshot" in answer.body["detail"]
    assert changes(api, 2).status == 200


@pytest.mark.parametrize(
    "query", ["", "?after=-1", "?after=x", "?after=0&wait=31", "?after=0&limit=1001", "?after=1&x=1"]
)
def test_what_is_asked_wrongly_is_refused(api: Api, query: str) -> None:
    """400, naming the parameter; and 401 without a token, as everywhere."""
    assert api.ask("GET", f"/v1/changes{query}").status == 400
    assert {api.ask("GET", page, token=None).status for page in ("/v1/changes?after=0", "/v1/snapshot")} == {401}


def test_a_change_of_an_orgs_customer_is_told(api: Api) -> None:
    """Who sets an org over HTTP has it told with its customer, and taken from the one before."""
    head = changes(api, 0).body["head"]
    headers = {"Content-Type": "application/json"}
    for customer in ("cus_paid", "cus_open"):
        body = json.dumps({"customer": customer}).encode()
        assert api.ask("PUT", "/v1/orgs/umbrella", token="admin", body=body, headers=headers).status < 300
        settled(api.engine, NOW + timedelta(seconds=1))

    told = {each["customer"]: each.get("orgs", []) for each in changes(api, head).body["changes"]}
    assert (told["cus_paid"], told["cus_open"]) == (["initech"], ["umbrella"])


def test_without_a_database_who_asks_is_told_so(fresh_database: str) -> None:
    """503, not an empty feed, where the tables are not there."""
    with listening(fresh_database, tables=False) as started:
        assert {started.ask("GET", page).status for page in ("/v1/changes?after=0", "/v1/snapshot")} == {503}
