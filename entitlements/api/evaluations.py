"""
AuthZEN's Access Evaluations API: several questions in one request (section 7 of the specification). Edge: HTTP.

`subject`, `action`, `resource` and `context` beside the list are what an item has that does not say its own; nothing is
merged within them. What is wrong with one item is told in its place, as a decision that is false; what is wrong with
the whole is 400. Where nothing can be said about one the whole is 503: an item could only say false, which is a denial.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from entitlements.api.answering import Answering
from entitlements.api.authzen import decided, read_evaluation
from entitlements.api.metrics import Metrics
from entitlements.api.requests import MOST_AT_ONCE, read_member, read_object
from entitlements.api.responses import Problem, json_response, malformed
from entitlements.api.snapshots import Snapshots
from entitlements.api.tokens import Token, UnclearScope

DEFAULTS = ("subject", "action", "resource", "context")


class Semantic(StrEnum):
    """How far a list is evaluated: to its end, to the first denial or failure, to the first permit."""

    EXECUTE_ALL = "execute_all"
    DENY_ON_FIRST_DENY = "deny_on_first_deny"
    PERMIT_ON_FIRST_PERMIT = "permit_on_first_permit"

    def ends_with(self, *, decision: bool) -> bool:
        """Whether nothing behind a *decision* is evaluated."""
        return (self is Semantic.DENY_ON_FIRST_DENY and not decision) or (
            self is Semantic.PERMIT_ON_FIRST_PERMIT and decision
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluations:
    """Several evaluation requests, each with what it took from beside the list, and how far to go."""

    items: Sequence[Mapping[str, Any]]
    semantic: Semantic


def read_evaluations(body: Mapping[str, Any]) -> Evaluations | None:
    """The questions in a request; None where it has none, so that it is one evaluation itself. Raises `Problem`."""
    items = body.get("evaluations", [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise malformed("evaluations must be an array of JSON objects.")
    if len(items) > MOST_AT_ONCE:
        raise malformed(f"evaluations has {len(items)} items; at most {MOST_AT_ONCE} are evaluated at once.")
    semantic = _semantic(body)
    if not items:
        return None
    defaults = {name: read_member(body, name, name) for name in DEFAULTS if name in body}
    return Evaluations(items=[{**defaults, **item} for item in items], semantic=semantic)


def evaluations(answering: Answering, metrics: Metrics) -> Callable[[Request, Token, Snapshots], Awaitable[Response]]:
    """`POST /access/v1/evaluations`."""

    async def evaluated(request: Request, token: Token, _snapshots: Snapshots) -> Response:
        body = await read_object(request)
        asked = read_evaluations(body)
        if asked is None:
            return json_response(await decided(answering, metrics, token, read_evaluation(body)))
        told: list[dict[str, Any]] = []
        for item in asked.items:
            told.append(await _item(answering, metrics, token, item))
            if asked.semantic.ends_with(decision=told[-1]["decision"]):
                break
        return json_response({"evaluations": told})

    return evaluated


async def _item(answering: Answering, metrics: Metrics, token: Token, item: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return await decided(answering, metrics, token, read_evaluation(item))
    except (Problem, UnclearScope) as fault:
        error = {"status": HTTPStatus.BAD_REQUEST.value, "message": str(fault)}
        return {"decision": False, "context": {"error": error}}


def _semantic(body: Mapping[str, Any]) -> Semantic:
    options = read_member(body, "options", "options") if "options" in body else {}
    named = options.get("evaluations_semantic", Semantic.EXECUTE_ALL)
    if not isinstance(named, str) or named not in list(Semantic):
        raise malformed(f"options.evaluations_semantic must be one of {', '.join(Semantic)}.")
    return Semantic(named)
