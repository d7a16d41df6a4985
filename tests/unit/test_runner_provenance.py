"""What is kept of a record beside its facts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers import provenance
from consumers.failures import storable
from consumers.record import Record
from entitlements.ledger import Outcome, Position
from schemas.codec import CatalogApplied, InvalidMessage, StripeMessage
from schemas.operator_acts import CustomerBlocked


def record(**changes: Any) -> Record:
    given: dict[str, Any] = {"topic": "t", "partition": 3, "offset": 41, "timestamp": 1_700_000_000_500, "key": b"k"}
    return Record(**{**given, "value": b"v", "headers": (), **changes})


def row(message: Any) -> dict[str, Any]:
    return provenance.row("grants", record(), provenance.shown_by(message), Outcome.RECORDED, [b"digest"])


def event(**changes: Any) -> dict[str, Any]:
    stripe_object = {"id": "in_1", "object": "invoice", "customer": "cus_1"}
    return {
        "id": "evt_1",
        "type": "invoice.paid",
        "created": 1_700_000_000,
        "data": {"object": stripe_object},
        **changes,
    }


def test_the_next_offset_is_one_further() -> None:
    """What is committed after offset 41 is 42."""
    assert record(offset=41).next_offset == 42


def test_a_stripe_event_is_found_by_event_object_and_customer() -> None:
    """The row names them, the record's address and its facts."""
    found = row(StripeMessage(integration="main", event=event()))

    assert found == {
        "consumer_group": "grants",
        "topic": "t",
        "partition": 3,
        "offset": 41,
        "integration": "main",
        "event_id": "evt_1",
        "event_type": "invoice.paid",
        "event_created": datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
        "object_id": "in_1",
        "customer": "cus_1",
        "outcome": "recorded",
        "facts": [b"digest"],
        "appended_at": datetime(2023, 11, 14, 22, 13, 20, 500_000, tzinfo=UTC),
    }


def test_a_customers_own_event_is_the_customers() -> None:
    """A customer object has no `customer`; it is one."""
    about = {"object": {"id": "cus_9", "object": "customer"}}

    assert row(StripeMessage(integration="main", event=event(data=about)))["customer"] == "cus_9"


def test_an_expanded_customer_is_found_by_its_id() -> None:
    """Stripe puts the object in the id's place where it was asked to."""
    about = {"object": {"id": "in_1", "customer": {"id": "cus_9", "object": "customer"}}}

    assert row(StripeMessage(integration="main", event=event(data=about)))["customer"] == "cus_9"


def test_a_catalog_revision_is_found_by_its_number() -> None:
    """It belongs to no integration and to no customer."""
    revision = CatalogApplied(number=7, in_force_from=None, applied_by="ops", document={})

    assert row(revision)["event_id"] == "catalog-7"
    assert row(revision)["integration"] is None


def test_an_operators_act_is_found_by_its_id_and_its_customer() -> None:
    """Beside them stand its integration, its type, and when it was said; it is about no object of Stripe's."""
    at = datetime(2026, 6, 1, tzinfo=UTC)
    act = CustomerBlocked(
        id="block_1", integration="main", customer="cus_1", start=at, end=None, at=at, by="ann", reason="abuse"
    )

    assert (
        row(act).items()
        >= {
            "integration": "main",
            "event_id": "block_1",
            "event_type": "entitle.customer.blocked.v1",
            "event_created": at,
            "object_id": None,
            "customer": "cus_1",
        }.items()
    )


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "type", "created", "data"), anything)))
def test_no_event_is_too_strange_for_a_row(strange: dict[str, Any]) -> None:
    """What is not as it should be is null; what is kept, PostgreSQL can hold, and an index too."""
    found = row(StripeMessage(integration="main", event=strange))

    for name in ("event_id", "event_type", "object_id", "customer"):
        kept = found[name]
        assert kept is None or (storable(kept) == kept and len(kept) <= provenance.LONGEST_ID)
    assert found["event_created"] is None or found["event_created"].tzinfo is UTC


@pytest.mark.parametrize("timestamp", [-1, 10**18])
def test_a_timestamp_that_is_none_is_null(timestamp: int) -> None:
    """Kafka says -1 where there is none."""
    found = provenance.row("grants", record(timestamp=timestamp), provenance.shown_by(None), Outcome.DEAD_LETTER, [])

    assert found["appended_at"] is None


def test_a_dead_letter_is_the_record_its_address_and_the_reason() -> None:
    """Headers keep their order and their bytes; a header without a value stays one."""
    position = Position(
        group="grants", topic="t", partition=3, next_offset=40, cluster_id="cluster", topic_id="id-of-t"
    )
    given = record(headers=(("b", b"\xff"), ("a\x00", None), ("b", b"")))

    found = provenance.dead_letter(position, given, InvalidMessage("the value is not JSON"))

    assert found.pop("detail").endswith("InvalidMessage: the value is not JSON\n")
    assert found == {
        "consumer_group": "grants",
        "topic": "t",
        "partition": 3,
        "offset": 41,
        "cluster_id": "cluster",
        "topic_id": "id-of-t",
        "reason": "the value is not JSON",
        "key": b"k",
        "value": b"v",
        "headers": [["b", "/w=="], ["a\\x00", None], ["b", ""]],
        "appended_at": datetime(2023, 11, 14, 22, 13, 20, 500_000, tzinfo=UTC),
    }
