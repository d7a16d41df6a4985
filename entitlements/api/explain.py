"""
`GET /v1/explain`: a decision, what it rests on down to the log, and what would change it (contract, section 6). Edge:
HTTP, Postgres.

The keys of the answer are listed in docs/access-rules.md. A subject that nobody knows is explained like any other.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from entitlements.api.authzen import Evaluation
from entitlements.api.explained import document
from entitlements.api.recorded import recorded
from entitlements.api.requests import read_id, read_query, read_time
from entitlements.api.responses import json_response, malformed
from entitlements.api.snapshots import Snapshot, Snapshots
from entitlements.api.subjects import Subject, SubjectType, find
from entitlements.api.tokens import Token
from entitlements.domain import why
from entitlements.domain.what_if import Case


async def explain(request: Request, token: Token, snapshots: Snapshots) -> Response:
    """`GET /v1/explain?customer=|org=&api=&at=&marketplace=`."""
    asked = read_question(request.scope["query_string"])
    return json_response(await snapshots.ask(lambda snapshot: answer(snapshot, token, asked)))


def read_question(query: bytes) -> Evaluation:
    """The question in a query string; raises `Problem`."""
    parameters = read_query(query, *SubjectType, "api", "at", "marketplace")
    named = [kind for kind in SubjectType if kind in parameters]
    if len(named) != 1:
        raise malformed(f"Say whom it is about, with one of: {', '.join(SubjectType)}.")
    subject = Subject(
        type=named[0],
        id=read_id(parameters[named[0]], named[0]),
        marketplace=read_id(parameters["marketplace"], "marketplace") if "marketplace" in parameters else None,
    )
    return Evaluation(
        subject=subject,
        api=read_id(parameters.get("api"), "api"),
        at=read_time(parameters["at"], "at") if "at" in parameters else None,
    )


def answer(snapshot: Snapshot, token: Token, asked: Evaluation) -> dict[str, Any]:
    """The decision, explained. Raises `UnclearScope` and `CannotDecide`."""
    found = find(snapshot, token, asked.subject)
    case = Case(
        facts=found.facts,
        standing=found.standing,
        scope=found.scope,
        revisions=found.revisions,
        known_apis=found.apis,
        api=asked.api,
        at=asked.at or snapshot.now,
    )
    explanation = why.explain(case, found.customer, snapshot.now)
    log = recorded(snapshot.connection, found.scope.integration, explanation)
    return document(explanation, asked.subject, found.customer, log)
