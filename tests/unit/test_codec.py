"""
The codec: what is written is what is read, with every header and the right key; whatever else comes is refused.

Long because every refusal of the codec stands here.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import (
    CATALOG_APPLIED,
    CatalogApplied,
    InvalidMessage,
    Message,
    StripeMessage,
    decode,
    encode_catalog,
    encode_stripe,
    key_of,
)
from schemas.fields import LAST_YEAR
from schemas.operator_acts import ACT_TYPES
from schemas.topics import CHANGES, EVENTS, OPERATOR_COMMANDS

AT = datetime(2026, 1, 1, 9, 0, 4, tzinfo=UTC)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STRIPE_HEADERS = [("ce_integration", b"main")]
CATALOG_HEADERS = [("ce_type", CATALOG_APPLIED.encode())]


def event(**changes: Any) -> dict[str, Any]:
    """An event of Stripe's about an invoice."""
    about = {"id": "in_1", "object": "invoice", "customer": "cus_1", "total": 2500}
    return {
        "id": "evt_1",
        "type": "invoice.paid",
        "created": int(AT.timestamp()),
        "api_version": "2022-11-15",
        "livemode": False,
        "data": {"object": about},
    } | changes


def revision(**changes: Any) -> CatalogApplied:
    """A catalog revision, the second."""
    settled: dict[str, Any] = {
        "number": 2,
        "in_force_from": AT,
        "applied_by": "entitle catalog apply",
        "document": {"catalog": 1},
    }
    return CatalogApplied(**(settled | changes))


def command(**changes: Any) -> bytes:
    """The value of a catalog revision's record."""
    settled = {"number": 1, "in_force_from": None, "applied_by": "entitle up", "document": {"catalog": 1}}
    return json.dumps(settled | changes).encode()


def outcome(topic: str, value: bytes | None, headers: Any) -> Message | InvalidMessage:
    """What decoding comes to: the message, or the refusal."""
    try:
        return decode(topic, value, headers)
    except InvalidMessage as refusal:
        return refusal


JSON_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | JSON_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(JSON_TEXT, inner),
    max_leaves=4,
)
MOMENTS = st.datetimes(timezones=st.just(UTC)).filter(lambda moment: moment.year <= LAST_YEAR)


@given(more=st.dictionaries(JSON_TEXT, JSON_VALUES))
@settings(deadline=None)
def test_an_event_comes_back_as_it_was(more: dict[str, Any]) -> None:
    """A Stripe event is read as it was written, fields that no reader knows included."""
    sent = more | event()

    _, value, headers = encode_stripe(integration="main", event=sent)

    assert decode(EVENTS, value, headers) == StripeMessage(integration="main", event=sent)


@given(
    number=st.integers(1, 2**63 - 1),
    in_force_from=st.none() | MOMENTS,
    applied_by=JSON_TEXT.filter(bool),
    document=st.dictionaries(JSON_TEXT, JSON_VALUES),
)
@settings(deadline=None)
def test_a_revision_comes_back_as_it_was(
    number: int, in_force_from: datetime | None, applied_by: str, document: dict[str, Any]
) -> None:
    """A catalog revision is read as it was written."""
    sent = CatalogApplied(number=number, in_force_from=in_force_from, applied_by=applied_by, document=document)

    _, value, headers = encode_catalog(sent, at=AT)

    assert decode(OPERATOR_COMMANDS, value, headers) == sent


def test_an_event_has_every_header() -> None:
    """An event's record carries CloudEvents' headers, the integration, the API version, the mode and the trace."""
    _, _, headers = encode_stripe(integration="main", event=event(), traceparent=TRACEPARENT)

    assert headers == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"evt_1"),
        ("ce_source", b"/stripe/main"),
        ("ce_type", b"invoice.paid"),
        ("ce_time", b"2026-01-01T09:00:04Z"),
        ("ce_integration", b"main"),
        ("ce_apiversion", b"2022-11-15"),
        ("ce_mode", b"test"),
        ("content-type", b"application/json"),
        ("traceparent", TRACEPARENT.encode()),
    ]


def test_a_live_event_says_so() -> None:
    """The mode is Stripe's `livemode`; an event that names no API version is of an unknown one."""
    _, _, headers = encode_stripe(integration="main", event=event(livemode=True, api_version=None))

    assert dict(headers)["ce_mode"] == b"live"
    assert dict(headers)["ce_apiversion"] == b"unknown"
    assert "traceparent" not in dict(headers)


def test_a_revision_has_every_header() -> None:
    """A revision's record carries CloudEvents' headers; all revisions have one key, and so one order."""
    key, _, headers = encode_catalog(revision(), at=AT)

    assert key == b"catalog"
    assert headers == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"catalog-2"),
        ("ce_source", b"/entitle/catalog"),
        ("ce_type", b"entitle.catalog.applied.v1"),
        ("ce_time", b"2026-01-01T09:00:04Z"),
        ("content-type", b"application/json"),
    ]


def test_times_travel_in_utc() -> None:
    """A moment given in another time zone travels, and comes back, as the same moment in UTC."""
    in_paris = AT.astimezone(timezone(timedelta(hours=2)))

    _, value, headers = encode_catalog(revision(in_force_from=in_paris), at=in_paris)

    assert json.loads(value)["in_force_from"] == "2026-01-01T09:00:04Z"
    assert dict(headers)["ce_time"] == b"2026-01-01T09:00:04Z"
    assert decode(OPERATOR_COMMANDS, value, headers) == revision()


KEYS = [
    ("cus_1", {"id": "in_1", "object": "invoice", "customer": "cus_1", "payment_intent": "pi_1", "charge": "ch_1"}),
    ("cus_1", {"id": "in_1", "object": "invoice", "customer": {"id": "cus_1", "object": "customer"}}),
    ("cus_1", {"id": "cus_1", "object": "customer"}),
    ("pi_1", {"id": "du_1", "object": "dispute", "charge": "ch_1", "payment_intent": "pi_1"}),
    ("pi_1", {"id": "du_1", "object": "dispute", "charge": "ch_1", "payment_intent": {"id": "pi_1"}}),
    ("ch_1", {"id": "re_1", "object": "refund", "charge": "ch_1", "payment_intent": None}),
    ("pi_1", {"id": "inpay_1", "object": "invoice_payment", "payment": {"type": "p", "payment_intent": "pi_1"}}),
    ("ch_1", {"id": "inpay_1", "object": "invoice_payment", "payment": {"type": "charge", "charge": "ch_1"}}),
    ("re_1", {"id": "re_1", "object": "refund", "customer": "", "charge": None}),
    ("", {"object": "balance"}),
]


@pytest.mark.parametrize(("key", "about"), KEYS)
def test_the_key_is_the_customer_or_the_payment(key: str, about: dict[str, Any]) -> None:
    """A record's key is its object's customer, else the payment that it is about, else the object itself."""
    encoded, _, _ = encode_stripe(integration="main", event=event(data={"object": about}))

    assert key_of(about) == key
    assert encoded == key.encode()


REFUSED = [
    (EVENTS, None, STRIPE_HEADERS, "the record has no value"),
    (EVENTS, b"", STRIPE_HEADERS, "the value is not JSON"),
    (EVENTS, b"not JSON", STRIPE_HEADERS, "the value is not JSON"),
    (EVENTS, b'{"a": "\xff"}', STRIPE_HEADERS, "the value is not JSON"),
    (EVENTS, b"[" * 100_000, STRIPE_HEADERS, "the value is not JSON"),
    (EVENTS, b"[]", STRIPE_HEADERS, "the value is a JSON list, not an object"),
    (EVENTS, b"null", STRIPE_HEADERS, "the value is a JSON NoneType, not an object"),
    (EVENTS, b"{}", [], "the header ce_integration is missing"),
    (EVENTS, b"{}", [("ce_integration", b"")], "the header ce_integration is empty"),
    (EVENTS, b"{}", [("ce_integration", b"\xff")], "the header ce_integration is not UTF-8"),
    (EVENTS, b"{}", [("ce_integration", None)], "the header ce_integration is not UTF-8"),
    (CHANGES, b"{}", STRIPE_HEADERS, "nothing is known about messages of topic entitlements.changes.v1"),
    (OPERATOR_COMMANDS, command(), [], "the header ce_type is missing"),
    (OPERATOR_COMMANDS, command(), [("ce_type", b"entitle.x.v1")], "'entitle.x.v1' is not an operator's command"),
    (OPERATOR_COMMANDS, command(number=0), CATALOG_HEADERS, "must be a whole number from 1 on, not 0"),
    (OPERATOR_COMMANDS, command(number=True), CATALOG_HEADERS, "must be a whole number from 1 on, not True"),
    (OPERATOR_COMMANDS, command(number="1"), CATALOG_HEADERS, "must be a whole number from 1 on, not '1'"),
    (OPERATOR_COMMANDS, command(document=None), CATALOG_HEADERS, "catalog revision 1 has no document"),
    (OPERATOR_COMMANDS, command(in_force_from="soon"), CATALOG_HEADERS, "in_force_from 'soon' is not a time"),
    (OPERATOR_COMMANDS, command(in_force_from=5), CATALOG_HEADERS, "in_force_from 5 is not a time"),
    (OPERATOR_COMMANDS, command(in_force_from="2026-01-01T00:00:00"), CATALOG_HEADERS, "is not a time"),
    (OPERATOR_COMMANDS, command(in_force_from="0001-01-01T00:00:00+14:00"), CATALOG_HEADERS, "is not a time"),
    (OPERATOR_COMMANDS, command(in_force_from="9001-01-01T00:00:00Z"), CATALOG_HEADERS, "is in the year 9001"),
]


@pytest.mark.parametrize(("topic", "value", "headers", "reason"), REFUSED)
def test_what_cannot_be_read_is_refused(topic: str, value: bytes | None, headers: Any, reason: str) -> None:
    """A record that can't be read raises `InvalidMessage`, which says what is wrong with what."""
    with pytest.raises(InvalidMessage) as refusal:
        decode(topic, value, headers)

    assert reason in str(refusal.value)


@given(
    topic=st.sampled_from((EVENTS, OPERATOR_COMMANDS, CHANGES, "")),
    value=st.none() | st.binary() | JSON_VALUES.map(lambda value: json.dumps(value).encode()),
    headers=st.lists(
        st.tuples(
            st.sampled_from(("ce_type", "ce_integration")),
            st.none()
            | st.binary()
            | st.sampled_from([each.encode() for each in (CATALOG_APPLIED, *ACT_TYPES.values())]),
        )
    ),
)
@settings(deadline=None)
def test_nothing_else_escapes(topic: str, value: bytes | None, headers: Any) -> None:
    """Whatever bytes are on a topic, `decode` returns a message or raises `InvalidMessage`, and nothing else."""
    assert isinstance(outcome(topic, value, headers), Message | InvalidMessage)


@given(
    body=st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("number", "in_force_from", "applied_by", "document"), JSON_VALUES)
    )
    | st.fixed_dictionaries(
        {"number": st.integers(), "document": st.just({}), "in_force_from": st.text(st.characters(codec="ascii"))}
    )
)
@settings(deadline=None)
def test_no_command_escapes(body: dict[str, Any]) -> None:
    """Whatever an operator's command says in its fields, `decode` reads it or raises `InvalidMessage`."""
    value = json.dumps(body).encode()

    assert isinstance(outcome(OPERATOR_COMMANDS, value, CATALOG_HEADERS), CatalogApplied | InvalidMessage)
