"""
A decision, what it rests on down to the log, and what would change it (contract, section 6). Edge: Postgres.

The keys of the answer are listed in docs/access-rules.md. A subject that nobody knows is explained like any other.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from entitlements.api.authzen import Evaluation
from entitlements.api.explained import document
from entitlements.api.recorded import recorded
from entitlements.api.requests import read_id, read_query, read_time
from entitlements.api.responses import malformed
from entitlements.api.snapshots import Snapshot
from entitlements.api.subjects import Subject, SubjectType, find
from entitlements.api.tokens import Token
from entitlements.domain import why
from entitlements.domain.what_if import Case


def read_question(query: bytes) -> tuple[Evaluation, datetime | None]:
    """The question in a query string, and as of when it is to be answered, None for now; raises `Problem`."""
    parameters = read_query(query, *SubjectType, "api", "at", "marketplace", "known_at")
    named = [kind for kind in SubjectType if kind in parameters]
    if len(named) != 1:
        raise malformed(f"Say whom it is about, with one of: {', '.join(SubjectType)}.")
    subject = Subject(
        type=named[0],
        id=read_id(parameters[named[0]], named[0]),
        marketplace=read_id(parameters["marketplace"], "marketplace") if "marketplace" in parameters else None,
    )
    asked = Evaluation(
        subject=subject,
        api=read_id(parameters.get("api"), "api"),
        at=read_time(parameters["at"], "at") if "at" in parameters else None,
    )
    return asked, read_time(parameters["known_at"], "known_at") if "known_at" in parameters else None


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
