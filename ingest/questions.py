"""What Stripe's API is asked, and how its lists are put together and into an event. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas.fields import Json, id_of, mapping

LINES_PATHS = {"credit_note": "/v1/credit_notes/{}/lines", "invoice": "/v1/invoices/{}/lines"}
"""Where the lines of an object are, by its kind: an event carries the first ten (facts/stripe.md, section 2)."""

PAYMENTS_PATH = "/v1/invoice_payments"
"""Where an invoice's payments are listed."""

UNLINKED_FROM, UNLINKED_UNTIL = "2025-03-31", "2025-05-28"
"""
From the one API version on and before the other no event says which payment paid an invoice: its `payment_intent` and
`charge` are gone, and there is no `invoice_payment.paid` yet (facts/stripe.md, sections 1.1 and 3).
"""

PAGE_SIZE = 100
"""Members of one page; the most that Stripe gives."""

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
    A GET of Stripe's API with these *parameters*, to be rendered in an API version; None is the integration's.

    *account* is the Connect account that it is about, *context* an organization's path to it; without either it is the
    key's own account.
    """

    path: str
    version: str | None = None
    account: str | None = None
    context: str | None = None
    parameters: tuple[tuple[str, str], ...] = ()


def question(path: str, event: Json, version: str | None = None, **parameters: str) -> Question:
    """A question on behalf of *event*: about its Connect account or organization, if it has one, in *version*."""
    account, context = event.get("account"), event.get("context")
    through = context if isinstance(context, str) and "/" in context and _CONTEXT.fullmatch(context) else None
    own = account if through is None and isinstance(account, str) else None
    return Question(
        path=path, version=version, account=own, context=through, parameters=tuple(sorted(parameters.items()))
    )


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
    where = LINES_PATHS.get(kind) if isinstance(kind, str) else None
    if where is None or _decides_nothing(about):
        return None
    return question(where.format(about.get("id")), event, _version(event))


def payments_left_out(event: Json) -> Question | None:
    """
    What to ask for the payments of *event*'s invoice, or None where it names one, has none, or other events will.

    The one place in which an API version's name decides: not how anything is read, but whether anybody else says it.
    """
    about, version = event["data"]["object"], _version(event)
    if version is None or not UNLINKED_FROM <= version[:10] < UNLINKED_UNTIL:
        return None
    paid, name = about.get("amount_paid"), id_of(about.get("id"))
    if about.get("object") != "invoice" or name is None or not isinstance(paid, int) or paid <= 0:
        return None
    if _decides_nothing(about) or any(about.get(each) for each in ("payments", "payment_intent", "charge")):
        return None
    return question(PAYMENTS_PATH, event, version, invoice=name)


def _decides_nothing(about: Json) -> bool:
    return about.get("status") == "draft" or about.get("deleted") is True


def _version(event: Json) -> str | None:
    own = event.get("api_version")
    return own if isinstance(own, str) and _VERSION.fullmatch(own) else None


def read_page(page: Any) -> tuple[dict[str, Json], bool]:
    """The members of a page by id, in their order, and whether more follow. Raises `Malformed`."""
    data, has_more = mapping(page).get("data"), mapping(page).get("has_more")
    if not isinstance(data, list) or not isinstance(has_more, bool):
        raise Malformed("a page is not a list")
    found: dict[str, Json] = {name: each for each in data if isinstance(each, dict) and (name := id_of(each.get("id")))}
    if len(found) != len(data):
        raise Malformed("a member of a list has no id, or that of another")
    return found, has_more


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


def with_payments(event: Json, payments: Mapping[str, Json]) -> dict[str, Any]:
    """
    A copy of *event* whose invoice carries its *payments*, as Stripe shows them where they are expanded.

    Raises `Malformed` if one is another invoice's.
    """
    about = event["data"]["object"]
    if any(id_of(payment.get("invoice")) != about["id"] for payment in payments.values()):
        raise Malformed("a payment is of another invoice than was asked for")
    listing = {"object": "list", "data": [*payments.values()], "has_more": False, "url": PAYMENTS_PATH}
    return {**event, "data": {**event["data"], "object": {**about, "payments": listing}}}
