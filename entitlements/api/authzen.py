"""
The AuthZEN Authorization API 1.0: one evaluation, and the metadata that says what there is. Edge: HTTP.

Permits and denials are both 200; 400 is a question that has to be written differently, a kind of subject or resource
that is not known here included; 503 says that nothing can be said (contract, section 6).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from entitlements.api import answers
from entitlements.api.answering import Answering
from entitlements.api.metrics import Metrics
from entitlements.api.requests import read_id, read_member, read_object, read_query, read_time
from entitlements.api.responses import json_response, malformed
from entitlements.api.snapshots import Snapshots
from entitlements.api.subjects import Subject, SubjectType
from entitlements.api.tokens import Token

log = logging.getLogger(__name__)

EVALUATION = "/access/v1/evaluation"
EVALUATIONS = "/access/v1/evaluations"
METADATA = "/.well-known/authzen-configuration"

RESOURCE_TYPE = "api"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """May *subject* call *api*, at the moment *at* (None: now)? Which action it is does not matter."""

    subject: Subject
    api: str
    at: datetime | None


def read_evaluation(body: Mapping[str, Any]) -> Evaluation:
    """The question in an evaluation request; unknown fields are ignored. Raises `Problem`."""
    subject = read_member(body, "subject", "subject")
    action = read_member(body, "action", "action")
    resource = read_member(body, "resource", "resource")
    read_id(action.get("name"), "action.name")
    subject_type = read_id(subject.get("type"), "subject.type")
    if subject_type not in list(SubjectType):
        raise malformed(f"subject.type {subject_type!r} is not known here; known are: {', '.join(SubjectType)}.")
    resource_type = read_id(resource.get("type"), "resource.type")
    if resource_type != RESOURCE_TYPE:
        raise malformed(f"resource.type {resource_type!r} is not known here; known is: {RESOURCE_TYPE}.")
    for name, holder in (("action", action), ("resource", resource)):
        _optional(holder, "properties", f"{name}.properties")
    properties = _optional(subject, "properties", "subject.properties")
    context = _optional(body, "context", "context")
    return Evaluation(
        subject=Subject(
            type=SubjectType(subject_type),
            id=read_id(subject.get("id"), "subject.id"),
            marketplace=(
                read_id(properties["marketplace"], "subject.properties.marketplace")
                if "marketplace" in properties
                else None
            ),
        ),
        api=read_id(resource.get("id"), "resource.id"),
        at=read_time(context["time"], "context.time") if "time" in context else None,
    )


def evaluation(answering: Answering, metrics: Metrics) -> Callable[[Request, Token, Snapshots], Awaitable[Response]]:
    """`POST /access/v1/evaluation`."""

    async def evaluated(request: Request, token: Token, _snapshots: Snapshots) -> Response:
        asked = read_evaluation(await read_object(request))
        return json_response(await decided(answering, metrics, token, asked))

    return evaluated


async def decided(answering: Answering, metrics: Metrics, token: Token, asked: Evaluation) -> dict[str, Any]:
    """The decision as AuthZEN has it, counted. Raises `UnclearScope` and `CannotDecide`."""
    with metrics.deciding():
        answer = await answering.decision(token, asked.subject, asked.api, asked.at)
    metrics.decided(answer.decision.reason)
    if is_told():
        subject = f"{asked.subject.type}:{asked.subject.id}"
        log.debug("decided", extra={"subject": subject, "api": asked.api, "reason": answer.decision.reason})
    return answers.evaluation(answer.decision, degraded=answer.degraded)


def is_told() -> bool:
    """Whether each decision is a line of the log."""
    return log.isEnabledFor(logging.DEBUG)


def metadata(known_as: str | None) -> Callable[[Request, Token, Snapshots], Awaitable[Response]]:
    """
    `GET /.well-known/authzen-configuration`: addresses under *known_as*, the base by which askers reach this process.

    None: under the base that was asked, which is http, for TLS ends at a proxy, and what a proxy says of that
    (`X-Forwarded-Proto`) anybody can say.
    """

    async def described(request: Request, _token: Token, _snapshots: Snapshots) -> Response:
        read_query(request.scope["query_string"])
        base = known_as or str(request.base_url).rstrip("/")
        return json_response(
            {
                "policy_decision_point": base,
                "access_evaluation_endpoint": f"{base}{EVALUATION}",
                "access_evaluations_endpoint": f"{base}{EVALUATIONS}",
            },
            cache_control="private, max-age=3600",
        )

    return described


def _optional(holder: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    return read_member(holder, name, where) if name in holder else {}
