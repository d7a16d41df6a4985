"""A play in words: what happened, what was told of it, and how that arrived; defaults left out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

from tests.histories.deliveries import Delivery, Sent
from tests.histories.model import History

A_TIME = 1_000_000_000
"""Whole numbers from here on are times: no amount is so large."""


def told(history: History, elsewhere: History | None, events: Sequence[Sent], delivery: Delivery) -> str:
    """What happened, what Stripe tells of it, and how that arrives."""
    created = {(sent.integration, sent.event["id"]): sent.event["created"] for sent in events}
    return "\n".join(
        (
            *_lines(history, ""),
            *([] if elsewhere is None else ["With the same ids, elsewhere:", *_lines(elsewhere, "")]),
            "What Stripe tells of it:",
            *(f"    {_event(sent)}" for sent in events),
            "How it arrives:",
            *(
                f"    partition {number}: {', '.join(_arriving(each, created) for each in partition) or 'nothing'}"
                for number, partition in enumerate(delivery.events)
            ),
            f"    operators' messages: {', '.join(str(number + 1) for number in delivery.messages)}",
            *(f"    {line}" for step in delivery.steps for line in _lines(step, "")),
        )
    )


def moment(seconds: int) -> str:
    """A time in the shortest form."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")
    return text.removesuffix("T00:00:00")


def in_words(value: Any) -> str:
    """A dataclass on one line."""
    return ", ".join(_lines(value, ""))


def _event(sent: Sent) -> str:
    event = sent.event
    body = event["data"]["object"]
    says = {
        name: body[name] for name in ("status", "amount_refunded", "amount", "invoice") if body.get(name) is not None
    }
    shape = event["api_version"] if body["object"] in ("invoice", "charge", "credit_note") else ""
    said = " ".join(f"{name}={value}" for name, value in says.items())
    return f"{_name(sent)} {moment(event['created'])} {event['type']} {body['id']} {said} {shape}".rstrip()


def _arriving(sent: Sent, created: Mapping[tuple[str, str], int]) -> str:
    event = sent.event
    later = event["created"] - created[sent.integration, event["id"].removesuffix("_twin")]
    shape = "" if event["api_version"] == "2022-11-15" else " (new)"
    return f"{_name(sent)}{shape}" + (f" ({later} s later)" if later else "")


def _name(sent: Sent) -> str:
    name: str = sent.event["id"]
    return name if sent.integration == "main" else f"{sent.integration} {name}"


def _lines(value: Any, indent: str) -> Iterator[str]:
    """A dataclass on a line of its own, its parts that are lists of such below it."""
    parts: list[Any] = []
    said: list[str] = []
    for each in fields(value):
        held = getattr(value, each.name)
        if each.default is not MISSING and held == each.default:
            continue
        if isinstance(held, tuple) and held and is_dataclass(held[0]):
            parts += held
        elif held != ():
            said.append(f"{each.name}={_plain(held)}")
    yield f"{indent}{type(value).__name__}({', '.join(said)})"
    for part in parts:
        yield from _lines(part, f"{indent}    ")


def _plain(value: Any) -> str:
    if is_dataclass(value):
        return next(_lines(value, ""))
    if isinstance(value, tuple | frozenset):
        return f"[{', '.join(_plain(each) for each in value)}]"
    return moment(value) if isinstance(value, int) and value >= A_TIME else str(value)
