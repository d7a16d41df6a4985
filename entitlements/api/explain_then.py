"""
`GET /v1/explain`, and with `known_at=`: what was answered, and why, as the log stood at a moment, beside what is known
now. Edge: HTTP, Postgres.

The catalog, what operators did and whom an org was set to are as of then too. What is known now is `explain`'s answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from entitlements import evidence
from entitlements.api import explain, explained
from entitlements.api.answers import rfc3339
from entitlements.api.authzen import Evaluation
from entitlements.api.recorded import Recorded, message_of, recorded
from entitlements.api.responses import json_response
from entitlements.api.snapshots import CannotDecide, Snapshot, Snapshots
from entitlements.api.subjects import NOBODY, Subject, SubjectType
from entitlements.api.tokens import Token, UnclearScope, scope_of
from entitlements.domain import why
from entitlements.domain.access import apis_of, standing
from entitlements.domain.catalog import Catalog, Revisions
from entitlements.domain.facts_in_words import in_words
from entitlements.domain.what_if import Case
from entitlements.evidence import Stated
from entitlements.known import Known, known_of, revisions_known
from entitlements.orgs import setting_of
from entitlements.store import as_revisions

Document = Mapping[str, Any]
WHAT_CAN_CHANGE = ("reason", "status", "plan", "invoice", "cycle", "until", "quotas", "pay_at")
"""Of an answer's context, all but how long it may be kept."""


async def page(request: Request, token: Token, snapshots: Snapshots) -> Response:
    """`GET /v1/explain?customer=|org=&api=&at=&marketplace=&known_at=`."""
    asked, known_at = explain.read_question(request.scope["query_string"])
    if known_at is None:
        return json_response(await snapshots.ask(lambda snapshot: explain.answer(snapshot, token, asked)))
    return json_response(await snapshots.ask(lambda snapshot: answer(snapshot, token, asked, known_at)))


def answer(snapshot: Snapshot, token: Token, asked: Evaluation, known_at: datetime) -> dict[str, Any]:
    """
    Both answers about the moment asked about (where none is: *known_at*), and what was learnt between.

    Raises `UnclearScope` and `CannotDecide` as `explain.answer` does.
    """
    at = asked.at or known_at
    now = explain.answer(snapshot, token, replace(asked, at=at))
    then, known = _then(snapshot, token, asked, at, known_at)
    return {
        "known_at": rfc3339(known_at),
        "at": rfc3339(at),
        "api": asked.api,
        "differs": _told(then) != _told(now),
        "then": then,
        "now": now,
        **_between(snapshot, token, asked, known, known_at, (then, now)),
    }


def _then(
    snapshot: Snapshot, token: Token, asked: Evaluation, at: datetime, known_at: datetime
) -> tuple[dict[str, Any], Known | None]:
    """The answer as of then with its evidence, and what was known of the customer, None for nobody."""
    revisions = _revisions(snapshot, known_at)
    current = revisions.in_force_at(known_at)
    if current is None:
        return _undecided(asked, at, "no catalog had been applied by then"), None
    try:
        scope = scope_of(token, asked.subject.marketplace, current.catalog, asked.subject.integration)
    except UnclearScope as error:
        return _undecided(asked, at, f"by the catalog of then: {error}"), None
    denies = token.denies(asked.subject.marketplace)
    customer = None if denies else _customer(snapshot, asked.subject, scope.integration, current.catalog, known_at)
    known = None if customer is None else known_of(snapshot.connection, scope.integration, customer, known_at)
    facts = NOBODY if known is None else known.facts
    found = standing(facts, scope, revisions)
    if token.marketplace is not None and not found.named and _is_of(current.catalog, asked.subject):
        customer = None  # as `subjects.find` has it: the name may be another integration's
    apis = apis_of(found, scope, revisions, known_at)
    case = Case(facts=facts, standing=found, scope=scope, revisions=revisions, known_apis=apis, api=asked.api, at=at)
    explanation = why.explain(case, customer, known_at)
    log = recorded(snapshot.connection, scope.integration, explanation)
    return explained.document(explanation, asked.subject, customer, _by(log, known_at)), known


def _revisions(snapshot: Snapshot, known_at: datetime) -> Revisions:
    try:
        return as_revisions(revisions_known(snapshot.connection, known_at))
    except ValueError as error:
        raise CannotDecide(f"This version can't read the catalog: {error}.") from error


def _customer(
    snapshot: Snapshot, subject: Subject, integration: str, catalog: Catalog, known_at: datetime
) -> str | None:
    if subject.type is SubjectType.CUSTOMER:
        return subject.id
    if _is_of(catalog, subject):
        return catalog.orgs[subject.id].customer
    setting = setting_of(snapshot.connection, integration=integration, org=subject.id, at=known_at)
    return None if setting is None else setting.customer


def _is_of(catalog: Catalog, subject: Subject) -> bool:
    return subject.type is SubjectType.ORG and subject.id in catalog.orgs


def _undecided(asked: Evaluation, at: datetime, why_not: str) -> dict[str, Any]:
    """What a gateway was told was 503."""
    return {
        "customer": None,
        "api": asked.api,
        "at": rfc3339(at),
        "answer": f"503 nothing could be decided: {why_not}",
        "decision": None,
        "context": {},
        "would_change": [],
    }


def _by(log: Recorded, known_at: datetime) -> Recorded:
    """The part of the evidence that was in the log by then."""

    def there(records: Iterable[Stated]) -> tuple[Stated, ...]:
        return tuple(each for each in records if each.appended_at is None or each.appended_at <= known_at)

    return replace(log, stripe=there(log.stripe), operators=there(log.operators), catalogs=there(log.catalogs))


def _between(
    snapshot: Snapshot,
    token: Token,
    asked: Evaluation,
    known: Known | None,
    known_at: datetime,
    documents: Iterable[Document],
) -> dict[str, Any]:
    """What came later, and what nobody can say the time of. A token of one marketplace sees what its answers show."""
    learnt = [] if known is None else [(each.record, [in_words(fact) for fact in each.facts]) for each in known.learnt]
    may_see = _seen_in(documents) if token.marketplace or asked.subject.marketplace else None
    shown = [each for each in learnt if may_see is None or evidence.address(each[0]) in may_see]
    later = sorted([*shown, *_later_catalogs(snapshot, known_at)], key=lambda each: _in_the_log(each[0]))
    undated = [] if known is None or may_see is not None else [in_words(fact) for fact in known.undated]
    return {"learnt": [{**explained.event(record), "says": said} for record, said in later], "undated": undated}


def _later_catalogs(snapshot: Snapshot, known_at: datetime) -> list[tuple[Stated, list[str]]]:
    applied = {message_of(each): each for each in snapshot.catalogs.revisions(snapshot.connection).revisions}
    return [
        (record, [f"catalog revision {revision.number}, applied by {revision.applied_by}"])
        for record in evidence.of_operators(snapshot.connection, [*applied])
        if record.appended_at is not None and record.appended_at > known_at
        for revision in [applied[record.event or ""]]
    ]


def _seen_in(documents: Iterable[Document]) -> set[tuple[str, int, int]]:
    return {
        (event["topic"], event["partition"], event["offset"])
        for document in documents
        for events in (
            *(each["events"] for each in document.get("invoices", {}).values()),
            document.get("other_events", ()),
        )
        for event in events
    }


def _in_the_log(record: Stated) -> tuple[Any, ...]:
    return (record.appended_at, *evidence.address(record))


def _told(document: Document) -> tuple[Any, ...]:
    context = document["context"]
    return (document["decision"], document["customer"], *(context.get(name) for name in WHAT_CAN_CHANGE))
