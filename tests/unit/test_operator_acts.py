"""Operators' acts as messages: what is written is what is read, and whatever else comes is refused with its reason."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import Message, decode
from schemas.fields import LAST_YEAR, InvalidMessage
from schemas.operator_acts import (
    ACT_TYPES,
    AccessGranted,
    AccessRevoked,
    CustomerBlocked,
    CustomerUnblocked,
    OperatorAct,
    encode_act,
)
from schemas.topics import OPERATOR_COMMANDS

AT = datetime(2026, 6, 1, 9, 30, 0, 250_000, tzinfo=UTC)
START, END = datetime(2026, 6, 2, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
SAID: dict[str, Any] = {
    "integration": "main",
    "customer": "cus_1",
    "at": AT,
    "by": "ann",
    "reason": "a trial",
}
OF_A_PLAN = AccessGranted(id="grant_1", plan="enterprise", apis=(), start=START, end=END, **SAID)
OF_APIS = AccessGranted(id="grant_2", plan=None, apis=("orders", "invoices"), start=START, end=None, **SAID)
REVOKED = AccessRevoked(id="revocation_1", grant="grant_1", since=START, **SAID)
BLOCKED = CustomerBlocked(id="block_1", start=START, end=None, **SAID)
UNBLOCKED = CustomerUnblocked(id="unblock_1", since=START, **SAID)
ACTS: tuple[OperatorAct, ...] = (OF_A_PLAN, OF_APIS, REVOKED, BLOCKED, UNBLOCKED)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
MOMENTS = st.datetimes(timezones=st.just(UTC)).filter(lambda moment: moment.year <= LAST_YEAR)


SAYING: dict[str, Any] = dict.fromkeys(("id", "integration", "customer", "by", "reason"), TEXTS) | {"at": MOMENTS}
PERIODS = st.tuples(MOMENTS, st.none() | MOMENTS).filter(lambda period: period[1] is None or period[1] > period[0])
NAMED = st.tuples(TEXTS, st.just(())) | st.tuples(st.none(), st.lists(TEXTS, min_size=1).map(tuple))


def granted(named: Any, period: Any, **said: Any) -> AccessGranted:
    return AccessGranted(plan=named[0], apis=named[1], start=period[0], end=period[1], **said)


def blocked(period: Any, **said: Any) -> CustomerBlocked:
    return CustomerBlocked(start=period[0], end=period[1], **said)


ANY_ACT = st.one_of(
    st.builds(granted, named=NAMED, period=PERIODS, **SAYING),
    st.builds(AccessRevoked, grant=TEXTS, since=MOMENTS, **SAYING),
    st.builds(blocked, period=PERIODS, **SAYING),
    st.builds(CustomerUnblocked, since=MOMENTS, **SAYING),
)


@given(act=ANY_ACT)
@settings(deadline=None)
def test_an_act_comes_back_as_it_was(act: OperatorAct) -> None:
    """Every act is read as it was written, under the customer's key."""
    key, value, headers = encode_act(act)

    assert decode(OPERATOR_COMMANDS, value, headers) == act
    assert key.decode() == act.customer


def test_an_act_has_every_header() -> None:
    """A record of an act carries CloudEvents' headers and the integration; its id is the act's."""
    key, _, headers = encode_act(BLOCKED)

    assert key == b"cus_1"
    assert headers == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"block_1"),
        ("ce_source", b"/entitle/operators"),
        ("ce_type", b"entitle.customer.blocked.v1"),
        ("ce_time", b"2026-06-01T09:30:00.250000Z"),
        ("ce_integration", b"main"),
        ("content-type", b"application/json"),
    ]


def test_a_grant_is_of_a_plan_or_of_apis() -> None:
    """What it is not of does not travel."""
    (_, of_a_plan, _), (_, of_apis, _) = encode_act(OF_A_PLAN), encode_act(OF_APIS)

    assert json.loads(of_a_plan) == {
        "id": "grant_1",
        "integration": "main",
        "customer": "cus_1",
        "plan": "enterprise",
        "start": "2026-06-02T00:00:00Z",
        "end": "2026-07-01T00:00:00Z",
        "at": "2026-06-01T09:30:00.250000Z",
        "by": "ann",
        "reason": "a trial",
    }
    assert json.loads(of_apis).items() >= {"apis": ["orders", "invoices"], "end": None}.items()
    assert "plan" not in json.loads(of_apis)


def test_times_travel_in_utc() -> None:
    """A moment of another zone travels, and comes back, as the same moment in UTC."""
    in_tokyo = START.astimezone(timezone(timedelta(hours=9)))
    _, value, headers = encode_act(replace(UNBLOCKED, since=in_tokyo))

    assert json.loads(value)["since"] == "2026-06-02T00:00:00Z"
    read = decode(OPERATOR_COMMANDS, value, headers)
    assert isinstance(read, CustomerUnblocked)
    assert read.since.tzinfo is UTC


def changed(act: OperatorAct, **changes: Any) -> Message:
    """The message of an act's record whose value was changed."""
    _, value, headers = encode_act(act)
    return decode(OPERATOR_COMMANDS, json.dumps(json.loads(value) | changes).encode(), headers)


@pytest.mark.parametrize("name", ["id", "integration", "customer", "by", "reason"])
@pytest.mark.parametrize("value", ["", None, 7, ["x"]])
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.id)
def test_every_act_says_whose_it_is_by_whom_and_why(act: OperatorAct, name: str, value: Any) -> None:
    """An act that lacks one of these texts is refused."""
    with pytest.raises(InvalidMessage, match=rf"^{ACT_TYPES[type(act)]} .* has no {name}$"):
        changed(act, **{name: value})


@pytest.mark.parametrize(
    ("act", "changes", "why"),
    [
        (OF_A_PLAN, {"plan": None}, "must name either a plan or apis"),
        (OF_A_PLAN, {"apis": ["orders"]}, "must name either a plan or apis"),
        (OF_A_PLAN, {"plan": ""}, "has no plan"),
        (OF_A_PLAN, {"plan": ["enterprise"]}, "has no plan"),
        (OF_APIS, {"apis": []}, "apis must be a list of at least one name"),
        (OF_APIS, {"apis": "orders"}, "apis must be a list of at least one name"),
        (OF_APIS, {"apis": ["orders", ""]}, "apis must be a list of at least one name"),
        (OF_APIS, {"apis": ["orders", 5]}, "apis must be a list of at least one name"),
        (OF_APIS, {"start": None}, "start None is not a time"),
        (OF_APIS, {"at": "2026-06-01T00:00:00"}, "at '2026-06-01T00:00:00' is not a time"),
        (OF_APIS, {"end": 5}, "end 5 is not a time"),
        (OF_APIS, {"end": "9001-01-01T00:00:00Z"}, "end is in the year 9001"),
        (OF_APIS, {"end": "2026-06-02T00:00:00Z"}, "end 2026-06-02T00:00:00Z is not after start 2026-06-02T00:00:00Z"),
        (BLOCKED, {"end": "2026-06-01T00:00:00Z"}, "end 2026-06-01T00:00:00Z is not after start"),
        (REVOKED, {"grant": ""}, "has no grant"),
        (REVOKED, {"since": "soon"}, "since 'soon' is not a time"),
        (UNBLOCKED, {"since": None}, "since None is not a time"),
    ],
)
def test_what_cannot_be_is_refused(act: OperatorAct, changes: dict[str, Any], why: str) -> None:
    """The refusal names the act, by its type and id, and what is wrong with it."""
    with pytest.raises(InvalidMessage) as refusal:
        changed(act, **changes)

    assert str(refusal.value).startswith(f"{ACT_TYPES[type(act)]} '{act.id}'")
    assert why in str(refusal.value)


def test_the_last_year_is_still_a_year() -> None:
    """What is refused is beyond it."""
    read = changed(BLOCKED, end="9000-12-31T23:59:59Z")

    assert isinstance(read, CustomerBlocked)
    assert read.end == datetime(9000, 12, 31, 23, 59, 59, tzinfo=UTC)


@given(data=st.data())
@settings(deadline=None)
def test_no_act_escapes(data: st.DataObject) -> None:
    """Whatever an act says in one of its fields, it is read or refused, and nothing else happens."""
    act = data.draw(st.sampled_from(ACTS))
    odd: st.SearchStrategy[Any] = (
        st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.lists(TEXTS) | st.just({})
    )
    named = data.draw(st.sampled_from(act.__slots__))

    assert isinstance(outcome(act, named, data.draw(odd)), type(act) | InvalidMessage)


def outcome(act: OperatorAct, name: str, value: Any) -> Message | InvalidMessage:
    """What the act comes to once this field of it was changed: the message, or the refusal."""
    try:
        return changed(act, **{name: value})
    except InvalidMessage as refusal:
        return refusal
