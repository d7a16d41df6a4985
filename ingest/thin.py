"""
Thin events: what they name, and the ordinary event that each becomes once its object has been fetched. Pure.

They say that something changed and carry none of it (facts/stripe.md, 4.7). What is fetched may be newer than the
event; the facts hold all the same, since an invoice carries the times of its transitions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import floor
from typing import Any

from ingest.questions import PLAIN, Malformed, Question, question
from schemas.fields import InvalidMessage, Json, id_of, mapping, moment, optional_text

THIN = "v2.core.event"
"""`object` of a thin event."""

PREFIX = "v1."
"""What the type of a thin event has in front of that of its snapshot twin."""

_KIND = re.compile(r"[a-z_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Thin:
    """
    A thin event of a type that is published. Its id and type are those of the ordinary event that it becomes:
    *event_id* is that of its snapshot twin, where Stripe names one, so that the two are one event seen twice.

    *created* is in Unix seconds. *about* and *kind* are its object's id and `object`, *path* is where that is.
    """

    event_id: str
    event_type: str
    created: int
    livemode: bool
    account: str | None
    context: str | None
    about: str
    kind: str
    path: str
    traceparent: str

    @property
    def question(self) -> Question:
        """What to ask for its object, as the integration's API version shows it."""
        return question(self.path, {"account": self.account, "context": self.context})

    @property
    def says_it_is_gone(self) -> bool:
        """Whether it announces that its object is no more; a subscription that was ended can still be fetched."""
        return self.event_type == f"{self.kind}.deleted"


def snapshot_type(event: Json) -> str:
    """The type of a thin event's snapshot twin; empty where it has none."""
    name: str = event["type"]
    return name.removeprefix(PREFIX) if name.startswith(PREFIX) else ""


def account_of(event: Json) -> str | None:
    """The Connect account that a thin event is about: what its `context` ends in; None is the integration's own."""
    account, context = event.get("account"), event.get("context")
    last = context.rpartition("/")[2] if account is None and isinstance(context, str) else account
    return last if isinstance(last, str) and last.startswith("acct_") else None


def faults_of_thin(event: Json) -> list[str]:
    """What a thin event of a published type lacks; nothing of what it says instead."""
    faults = []
    try:
        _seconds(event.get("created"))
    except (ValueError, InvalidMessage):
        faults.append("created is not a time in ISO 8601 with its zone")
    related = mapping(event.get("related_object"))
    if _path(related) is None or not optional_text(related, "id") or not _is_kind(related.get("type")):
        faults.append("related_object does not name an object")
    twin = event.get("snapshot_event")
    if twin is not None and not (isinstance(twin, str) and twin and twin.isprintable()):
        faults.append("snapshot_event is not a printable text")
    return faults


def read_thin(event: Json, traceparent: str) -> Thin:
    """A thin event without faults."""
    related, context = mapping(event.get("related_object")), event.get("context")
    return Thin(
        event_id=event.get("snapshot_event") or event["id"],
        event_type=snapshot_type(event),
        created=_seconds(event["created"]),
        livemode=event["livemode"],
        account=account_of(event),
        context=context if isinstance(context, str) else None,
        about=related["id"],
        kind=related["type"],
        path=_path(related) or "",
        traceparent=traceparent,
    )


def as_snapshot(thin: Thin, about: Mapping[str, Any], version: str) -> dict[str, Any]:
    """The ordinary event with its object as it was fetched. Raises `Malformed` if that is another object."""
    if id_of(about.get("id")) != thin.about:
        raise Malformed("the object is not the one that was asked for")
    event = {
        "id": thin.event_id,
        "object": "event",
        "api_version": version,
        "created": thin.created,
        "livemode": thin.livemode,
        "type": thin.event_type,
        "data": {"object": about},
        "account": thin.account,
        "context": thin.context,
    }
    return {name: value for name, value in event.items() if value is not None}


def gone(thin: Thin) -> dict[str, Any]:
    """How Stripe shows an object that was deleted."""
    return {"id": thin.about, "object": thin.kind, "deleted": True}


def _path(related: Json) -> str | None:
    """Where the object is: as Stripe says where that is plain, else by kind and id; None where neither will do."""
    url = related.get("url")
    by_name = f"/v1/{related.get('type')}s/{related.get('id')}"
    return next((path for path in (url, by_name) if isinstance(path, str) and PLAIN.fullmatch(path)), None)


def _is_kind(kind: object) -> bool:
    return isinstance(kind, str) and _KIND.fullmatch(kind) is not None


def _seconds(text: object) -> int:
    """Whole Unix seconds, as a snapshot twin has them. Raises `ValueError` or `InvalidMessage`."""
    if not isinstance(text, str):
        raise ValueError("not a text")
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("no time zone")
    seconds = floor(found.timestamp())
    moment({"created": seconds}, "created", "the event")
    return seconds
