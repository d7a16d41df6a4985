"""Reading AuthZEN's lists of evaluations: defaults, semantics, and what is wrong with the whole."""

from __future__ import annotations

from typing import Any

import pytest

from entitlements.api.evaluations import Semantic, read_evaluations
from entitlements.api.responses import Problem

SUBJECT = {"type": "customer", "id": "cus_1", "properties": {"marketplace": "acme"}}
ORDERS = {"type": "api", "id": "orders"}


def test_what_an_item_does_not_say_it_takes_whole_from_beside_the_list() -> None:
    """Whole entities: properties of a default are not merged into an item's own."""
    other = {"type": "customer", "id": "cus_2"}
    context = {"time": "2026-06-15T12:00:00Z"}
    asked = read_evaluations(
        {
            "subject": SUBJECT,
            "resource": ORDERS,
            "context": context,
            "evaluations": [{}, {"subject": other, "action": {"name": "GET"}, "context": {}}],
            "options": {"another": "value"},
        }
    )

    assert asked is not None
    assert asked.semantic is Semantic.EXECUTE_ALL
    assert asked.items == [
        {"subject": SUBJECT, "resource": ORDERS, "context": context},
        {"subject": other, "action": {"name": "GET"}, "resource": ORDERS, "context": {}},
    ]


@pytest.mark.parametrize("body", [{}, {"evaluations": []}, {"evaluations": [], "options": {}}])
def test_without_items_it_is_one_evaluation(body: dict[str, Any]) -> None:
    """As the specification has it, for those who know the other endpoint alone."""
    assert read_evaluations(body) is None


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"evaluations": {}}, "evaluations must be an array of JSON objects"),
        ({"evaluations": None}, "evaluations must be an array of JSON objects"),
        ({"evaluations": [{}, 1]}, "evaluations must be an array of JSON objects"),
        ({"evaluations": [{}] * 101}, "evaluations has 101 items; at most 100"),
        ({"evaluations": [{}], "subject": "cus_1"}, "subject must be a JSON object"),
        ({"evaluations": [{}], "options": []}, "options must be a JSON object"),
        ({"evaluations": [{}], "options": {"evaluations_semantic": "all"}}, "options.evaluations_semantic must be one"),
        ({"evaluations": [], "options": {"evaluations_semantic": ["execute_all"]}}, "options.evaluations_semantic"),
        ({"evaluations": [{}], "options": {"evaluations_semantic": None}}, "options.evaluations_semantic"),
    ],
)
def test_what_is_wrong_with_the_whole_is_told_of_the_whole(body: dict[str, Any], fault: str) -> None:
    """400, and nothing is coerced."""
    with pytest.raises(Problem) as refusal:
        read_evaluations(body)

    assert fault in str(refusal.value)
    assert refusal.value.status == 400


@pytest.mark.parametrize(
    ("semantic", "ends"),
    [
        (Semantic.EXECUTE_ALL, (False, False)),
        (Semantic.DENY_ON_FIRST_DENY, (True, False)),
        (Semantic.PERMIT_ON_FIRST_PERMIT, (False, True)),
    ],
)
def test_where_a_list_ends(semantic: Semantic, ends: tuple[bool, bool]) -> None:
    """Behind a denial, behind a permit, or behind neither."""
    assert (semantic.ends_with(decision=False), semantic.ends_with(decision=True)) == ends
