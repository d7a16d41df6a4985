"""What is kept beside the facts of a record: where it stood, which event or act it was, why it was set aside. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from consumers.failures import detail, reason, storable
from consumers.record import Record
from entitlements.ledger import Outcome, Position
from schemas.codec import CATALOG_APPLIED, CatalogApplied, Message, StripeMessage
from schemas.operator_acts import ACT_TYPES

LONGEST_ID = 255
"""Characters of Stripe's longest ids; what is longer is none, and an index could not hold it."""


def row(
    group: str, record: Record, shown: Mapping[str, Any], outcome: Outcome, digests: Iterable[bytes]
) -> dict[str, Any]:
    """A row of `provenance`; *shown* is what `shown_by` finds in the record's message."""
    return {
        "consumer_group": group,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        **shown,
        "outcome": str(outcome),
        "facts": list(digests),
        "appended_at": _moment(record.timestamp / 1000 if record.timestamp >= 0 else None),
    }


def dead_letter(position: Position, record: Record, error: Exception) -> dict[str, Any]:
    """A row of `dead_letters`: the record as it was, its address, the reason, and all that is known of the cause."""
    headers = [
        [storable(name), None if value is None else base64.b64encode(value).decode()] for name, value in record.headers
    ]
    return {
        "consumer_group": position.group,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "cluster_id": position.cluster_id,
        "topic_id": position.topic_id,
        "reason": reason(error),
        "detail": detail(error),
        "key": record.key,
        "value": record.value,
        "headers": headers,
        "appended_at": _moment(record.timestamp / 1000 if record.timestamp >= 0 else None),
    }


def shown_by(message: Message | None) -> dict[str, Any]:
    """Which event of whom about what *message* says it is; null where it does not say, or not as it should."""
    shown = dict.fromkeys(("integration", "event_id", "event_type", "event_created", "object_id", "customer"))
    match message:
        case StripeMessage(integration=integration, event=event):
            data = event.get("data")
            found = data.get("object") if isinstance(data, dict) else None
            stripe_object = found if isinstance(found, dict) else {}
            is_customer = stripe_object.get("object") == "customer"
            return {
                "integration": _text(integration),
                "event_id": _text(event.get("id")),
                "event_type": _text(event.get("type")),
                "event_created": _moment(event.get("created")),
                "object_id": _text(stripe_object.get("id")),
                "customer": _text(_id(stripe_object.get("id" if is_customer else "customer"))),
            }
        case CatalogApplied(number=number):
            return {**shown, "event_id": f"catalog-{number}", "event_type": CATALOG_APPLIED}
        case None:
            return {**shown}
        case act:
            return {
                **shown,
                "integration": _text(act.integration),
                "event_id": _text(act.id),
                "event_type": ACT_TYPES[type(act)],
                "event_created": act.at,
                "customer": _text(act.customer),
            }


def _id(value: Any) -> Any:
    return value.get("id") if isinstance(value, dict) else value


def _text(value: Any) -> str | None:
    if not isinstance(value, str) or len(value) > LONGEST_ID:
        return None
    return value if value.isprintable() or storable(value) == value else None


def _moment(seconds: Any) -> datetime | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
