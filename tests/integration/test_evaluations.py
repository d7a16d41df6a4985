"""AuthZEN's Access Evaluations API over HTTP on a real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from tests.asking import Answer, Api, listening
from tests.servers import new_database
from tests.stated import STORY

PAID, OPEN = ({"subject": {"type": "customer", "id": f"cus_{name}"}} for name in ("paid", "open"))
ORDERS = {"action": {"name": "invoke"}, "resource": {"type": "api", "id": "orders"}}


@pytest.fixture(scope="module")
def api(database_url: str) -> Iterator[Api]:
    """An API for questions only: all tests of this module share its facts."""
    with new_database(database_url) as url, listening(url, *STORY) as started:
        yield started


def evaluate(api: Api, question: Any, **asked: Any) -> Answer:
    """One request."""
    headers = {"Content-Type": "application/json", "X-Request-ID": "r-1"}
    return api.ask("POST", "/access/v1/evaluations", body=json.dumps(question).encode(), headers=headers, **asked)


def test_each_item_is_answered_in_its_place(api: Api) -> None:
    """As evaluations of their own would be; what is wrong with one is told there, and the others go on."""
    later = {"context": {"time": "2026-07-01T03:00:00Z"}}
    question = {
        **ORDERS,
        "evaluations": [PAID, OPEN, {}, {**PAID, "resource": {"type": "route", "id": "/"}}, PAID | later],
    }
    answer = evaluate(api, question)
    told = answer.body["evaluations"]

    assert (answer.status, answer.headers["x-request-id"], answer.body.keys()) == (200, "r-1", {"evaluations"})
    assert [each["decision"] for each in told] == [True, False, False, False, False]
    assert told[0] == api.evaluate().body
    assert told[1] == api.evaluate("cus_open").body
    assert told[2] == {"decision": False, "context": {"error": {"status": 400, "message": "subject is missing."}}}
    assert told[3]["context"]["error"]["status"] == 400
    assert told[4]["context"]["reason"] == "cycle_lapsed"


@pytest.mark.parametrize(
    ("semantic", "decisions"),
    [
        ("execute_all", [True, False, True]),
        ("deny_on_first_deny", [True, False]),
        ("permit_on_first_permit", [True]),
    ],
)
def test_the_three_semantics(api: Api, semantic: str, decisions: list[bool]) -> None:
    """All; to the first denial; to the first permit."""
    question = {**ORDERS, "evaluations": [PAID, OPEN, PAID], "options": {"evaluations_semantic": semantic}}

    assert [each["decision"] for each in evaluate(api, question).body["evaluations"]] == decisions


@pytest.mark.parametrize("more", [{}, {"evaluations": []}])
def test_without_items_the_answer_is_that_of_one_evaluation(api: Api, more: dict[str, Any]) -> None:
    """Byte for byte."""
    assert evaluate(api, {**ORDERS, **PAID, **more}).body == api.evaluate().body


@pytest.mark.parametrize("question", [{"evaluations": [1]}, {**ORDERS, "evaluations": [PAID] * 101}, {}, []])
def test_what_is_wrong_with_the_whole_is_400(api: Api, question: Any) -> None:
    """With the request's id, as every answer."""
    answer = evaluate(api, question)

    assert (answer.status, answer.headers["x-request-id"]) == (400, "r-1")
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_item_that_cannot_be_decided_makes_the_whole_503(fresh_database: str) -> None:
    """Its `false` would be a denial."""
    with listening(fresh_database, *STORY) as api, api.engine.begin() as connection:
        connection.execute(sa.text("LOCK TABLE grants IN ACCESS EXCLUSIVE MODE"))
        answer = evaluate(api, {**ORDERS, "evaluations": [PAID, OPEN]})

    assert (answer.status, answer.headers["x-request-id"]) == (503, "r-1")
