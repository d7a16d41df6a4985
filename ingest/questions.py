"""What Stripe's API is asked, and how its lists are put together and into an event. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas.fields import Json, id_of, mapping

LINES = {"credit_note": "/v1/credit_notes/{}/lines", "invoice": "/v1/invoices/{}/lines"}
"""Where the lines of an object are, by its kind: an event carries the first ten (facts/stripe.md, section 2)."""

PAGE_SIZE = 100
"""Lines of one page; the most that Stripe gives."""

MOST_PAGES = 20
"""Stripe bills 250 items at most; what does not end is not a list."""

PLAIN = re.compile(r"/v1(?:/[A-Za-z0-9_-]+)+")
"""A path that can only be asked of the host it is appended to; ids in it come from outside."""

_VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:\.[a-z]+)?")
_CONTEXT = re.compile(r"[A-Za-z0-9_]+(?:/[A-Za-z0-9_]+)*")


class Malformed(Exception):
    """Stripe's answer is not what was asked for; the text says in what, and never what it says instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """
    A GET of Stripe's API, to be rendered in an API version; None is the integration's.

    *account* is the Connect account that it is about, *context* an organization's path to it; without either it is the
    key's own account.
    """

    path: str
    version: str | None = None
    account: str | None = None
    context: str | None = None


def question(path: str, event: Json, version: str | None = None) -> Question:
    """A question on behalf of *event*: about its Connect account or organization, if it has one, in *version*."""
    account, context = event.get("account"), event.get("context")
    through = context if isinstance(context, str) and "/" in context and _CONTEXT.fullmatch(context) else None
    own = account if through is None and isinstance(account, str) else None
    return Question(path=path, version=version, account=own, context=through)


def lines_left_out(event: Json) -> Question | None:
    """
    What to ask for all lines of *event*'s object, or None where it carries them.

    They are asked for in the event's own API version, so that all lines have one shape. A draft needs none: it may
    still change in everything, and decides nothing.
    """
    about = event["data"]["object"]
    lines = about.get("lines")
    if type(lines) is not dict or not lines.get("has_more"):
        return None
    kind = about.get("object")
    where = LINES.get(kind) if isinstance(kind, str) else None
    if where is None or about.get("status") == "draft" or about.get("deleted") is True:
        return None
    own = event.get("api_version")
    version = own if isinstance(own, str) and _VERSION.fullmatch(own) else None
    return question(where.format(about.get("id")), event, version)


def read_page(page: Any) -> tuple[dict[str, Json], bool]:
    """The lines of a page by id, in their order, and whether more follow. Raises `Malformed`."""
    data, has_more = mapping(page).get("data"), mapping(page).get("has_more")
    if not isinstance(data, list) or not isinstance(has_more, bool):
        raise Malformed("a page is not a list of lines")
    lines: dict[str, Json] = {name: line for line in data if isinstance(line, dict) and (name := id_of(line.get("id")))}
    if len(lines) != len(data):
        raise Malformed("a line has no id, or that of another")
    return lines, has_more


def with_all_lines(event: Json, lines: Mapping[str, Json]) -> dict[str, Any]:
    """
    A copy of *event* that carries *lines*, all that Stripe's list has.

    Raises `Malformed` if they are fewer than the event shows or counts. More may have come: what the event counts was
    true when it was made.
    """
    about = event["data"]["object"]
    shown, counted = about["lines"].get("data"), about["lines"].get("total_count")
    least = max(len(shown) if isinstance(shown, list) else 0, counted if isinstance(counted, int) else 0)
    if len(lines) < least:
        raise Malformed(f"there are {len(lines)} lines, but the event counts {least}")
    whole = {**about["lines"], "data": [*lines.values()], "has_more": False, "total_count": len(lines)}
    return {**event, "data": {**event["data"], "object": {**about, "lines": whole}}}
