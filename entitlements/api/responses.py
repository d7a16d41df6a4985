"""What goes out: JSON, and problems of RFC 9457 for everything that is not an answer. Edge: HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response

RETRY_AFTER_SECONDS = 1


class Problem(Exception):
    """A request that is refused. The text is the client's: what is wrong with what, and what to do."""

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers


def malformed(detail: str) -> Problem:
    """400: the request has to be written differently. AuthZEN wants it for all that others answer 415 or 422."""
    return Problem(HTTPStatus.BAD_REQUEST, detail)


def json_response(body: Mapping[str, Any], *, status: int = HTTPStatus.OK, cache_control: str = "no-store") -> Response:
    """*status* with *body*."""
    headers = {"Cache-Control": cache_control}
    return Response(msgspec.json.encode(body), status, media_type="application/json", headers=headers)


def problem_response(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """*status* with a problem that has no type but its status; 503 says when to come back."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    sent = {"Cache-Control": "no-store", **(headers or {})}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        sent["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return Response(msgspec.json.encode(body), status, media_type="application/problem+json", headers=sent)
