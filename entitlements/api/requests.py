"""
Reading what comes in: bodies, query strings, ids and times. Whatever is wrong raises `Problem`, naming it.

Nothing is coerced: a number is no text, and a time without its zone is no time. Edge: HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from entitlements.api.responses import Problem, malformed
from schemas.fields import LAST_YEAR

MAX_BODY_BYTES = 64 * 1024
MAX_QUERY_BYTES = 4 * 1024
LONGEST_ID = 255
MOST_AT_ONCE = 100

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
"""RFC 3339, where the seconds may be left out: AuthZEN's own examples of `context.time` leave them out."""


async def read_object(request: Request) -> Mapping[str, Any]:
    """The JSON object in a request's body of at most `MAX_BODY_BYTES`."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise malformed("Content-Type must be application/json.")
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
        raise _too_large()
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
    return decode_object(bytes(body))


def decode_object(body: bytes) -> Mapping[str, Any]:
    """The JSON object that *body* is."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise malformed("The body is not JSON.") from None
    if not isinstance(value, dict):
        raise malformed("The body must be a JSON object.")
    return value


def read_query(query: bytes, *names: str) -> Mapping[str, str]:
    """
    The parameters of a query string.

    Others than *names* are refused, or a misspelt `at` would be answered for another moment than was meant.
    """
    if len(query) > MAX_QUERY_BYTES:
        raise Problem(HTTPStatus.REQUEST_URI_TOO_LONG, f"The query string is longer than {MAX_QUERY_BYTES} bytes.")
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in names:
            raise malformed(f"Unknown query parameter {name!r}; known here: {', '.join(names)}.")
        if name in parameters:
            raise malformed(f"The query parameter {name} stands there twice.")
        parameters[name] = value
    return parameters


def read_member(holder: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    """The object that must stand in *holder* as *name*; *where* is how the client knows it."""
    value = holder.get(name)
    if not isinstance(value, dict):
        raise malformed(f"{where} must be a JSON object." if name in holder else f"{where} is missing.")
    return value


def read_id(value: object, where: str) -> str:
    """A name or an id: 1 to `LONGEST_ID` printable characters, so neither NUL nor what would forge a log line."""
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_ID or not value.isprintable():
        raise malformed(f"{where} must be a text of 1 to {LONGEST_ID} printable characters.")
    return value


def read_limit(value: str, where: str) -> int:
    """How many at once: 1 to `MOST_AT_ONCE`."""
    if not re.fullmatch(r"[0-9]{1,3}", value) or not 1 <= int(value) <= MOST_AT_ONCE:
        raise malformed(f"{where} must be a whole number from 1 to {MOST_AT_ONCE}.")
    return int(value)


def read_time(value: object, where: str) -> datetime:
    """A moment in UTC from RFC 3339."""
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            moment = datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        else:
            if moment.year <= LAST_YEAR:
                return moment
    raise malformed(
        f"{where} must be a time of RFC 3339 with its zone, such as 2026-01-31T12:00:00Z (in a query string, write "
        "the + of an offset as %2B)."
    )


def _too_large() -> Problem:
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {MAX_BODY_BYTES} bytes.")
