"""Reading AuthZEN evaluation requests: what is malformed is refused, and nothing is coerced."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from entitlements.api.authzen import Evaluation, read_evaluation
from entitlements.api.responses import Problem
from entitlements.api.subjects import Subject, SubjectType


def request(**changed: Any) -> dict[str, Any]:
    """A well-formed request; a member changed to None is left out."""
    body = {
        "subject": {"type": "customer", "id": "cus_1"},
        "action": {"name": "GET"},
        "resource": {"type": "api", "id": "orders"},
        **changed,
    }
    return {name: value for name, value in body.items() if value is not None}


def test_the_smallest_request() -> None:
    """Subject, action and resource are enough; without a time it is about now."""
    subject = Subject(type=SubjectType.CUSTOMER, id="cus_1")
    assert read_evaluation(request()) == Evaluation(subject=subject, api="orders", at=None)


def test_everything_that_can_be_said() -> None:
    """An org of a marketplace, at another moment."""
    asked = read_evaluation(
        request(
            subject={"type": "org", "id": "initech", "properties": {"marketplace": "acme"}},
            context={"time": "2026-06-15T14:00:00+02:00"},
        )
    )

    subject = Subject(type=SubjectType.ORG, id="initech", marketplace="acme")
    assert asked == Evaluation(subject=subject, api="orders", at=datetime(2026, 6, 15, 12, tzinfo=UTC))


def test_unknown_fields_are_ignored() -> None:
    """A request of a later version of AuthZEN is understood as far as it goes."""
    asked = read_evaluation(
        request(
            subject={"type": "customer", "id": "cus_1", "future": 1, "properties": {"department": "Sales"}},
            action={"name": "GET", "properties": {"units": 1}},
            resource={"type": "api", "id": "orders", "properties": {}},
            context={"ip": "192.0.2.1"},
            evaluations=[],
        )
    )

    assert asked == read_evaluation(request())


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"subject": None}, "subject is missing"),
        ({"action": None}, "action is missing"),
        ({"resource": None}, "resource is missing"),
        ({"subject": "cus_1"}, "subject must be a JSON object"),
        ({"subject": {"id": "cus_1"}}, "subject.type must be a text"),
        ({"subject": {"type": "customer"}}, "subject.id must be a text"),
        ({"subject": {"type": "customer", "id": 1}}, "subject.id must be a text"),
        ({"subject": {"type": "customer", "id": ""}}, "subject.id must be a text"),
        ({"subject": {"type": "customer", "id": "cus\0"}}, "subject.id must be a text"),
        ({"subject": {"type": "customer", "id": "cus\nforged"}}, "subject.id must be a text"),
        ({"subject": {"type": "customer", "id": "c" * 256}}, "subject.id must be a text"),
        (
            {"subject": {"type": "user", "id": "alice"}},
            "subject.type 'user' is not known here; known are: customer, org",
        ),
        ({"subject": {"type": "customer", "id": "c", "properties": []}}, "subject.properties must be a JSON object"),
        ({"subject": {"type": "org", "id": "o", "properties": {"marketplace": 1}}}, "subject.properties.marketplace"),
        (
            {"subject": {"type": "org", "id": "o", "properties": {"marketplace": None}}},
            "subject.properties.marketplace",
        ),
        ({"action": {}}, "action.name must be a text"),
        ({"action": {"name": 123}}, "action.name must be a text"),
        ({"action": {"name": True}}, "action.name must be a text"),
        ({"action": {"name": "GET", "properties": 1}}, "action.properties must be a JSON object"),
        ({"resource": {"id": "orders"}}, "resource.type must be a text"),
        ({"resource": {"type": "api"}}, "resource.id must be a text"),
        ({"resource": {"type": "route", "id": "/orders"}}, "resource.type 'route' is not known here; known is: api"),
        ({"context": []}, "context must be a JSON object"),
        ({"context": {"time": 1750000000}}, "context.time must be a time"),
        ({"context": {"time": None}}, "context.time must be a time"),
        ({"context": {"time": "2026-06-15T12:00:00"}}, "context.time must be a time"),
    ],
)
def test_a_malformed_request_is_told_what_is_wrong(changed: dict[str, Any], fault: str) -> None:
    """Each fault is 400 and names the member, as the client knows it."""
    with pytest.raises(Problem) as refusal:
        read_evaluation(request(**changed))

    assert fault in str(refusal.value)
    assert refusal.value.status == 400
