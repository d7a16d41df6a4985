"""
`GET /v1/explain`: a decision, what it rests on down to the log, and what would change it (contract, section 6). Edge:
HTTP, Postgres.

The keys of the answer are listed in docs/access-rules.md. A subject that nobody knows is explained like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from entitlements import evidence
from entitlements.api import answers
from entitlements.api.answers import rfc3339
from entitlements.api.authzen import Evaluation
from entitlements.api.requests import read_id, read_query, read_time
from entitlements.api.responses import json_response, malformed
from entitlements.api.snapshots import Snapshot, Snapshots
from entitlements.api.subjects import Subject, SubjectType, find
from entitlements.api.tokens import Token
from entitlements.domain import sentences, why
from entitlements.domain.catalog import Revision
from entitlements.domain.explanation import ExplainedGrant, ExplainedRevocation, Explanation
from entitlements.domain.spans import Span
from entitlements.domain.what_if import Case
from entitlements.evidence import Stated


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
        standing=found.standing,
        scope=found.scope,
        revisions=found.revisions,
        known_apis=found.apis,
        api=asked.api,
        at=asked.at or snapshot.now,
    )
    explanation = why.explain(case, found.snapshots, snapshot.now)
    objects = {*explanation.invoices, *explanation.lineless}
    events = evidence.about(snapshot.connection, integration=found.scope.integration, objects=objects)
    revised = evidence.of_operators(
        snapshot.connection, [f"catalog-{revision.number}" for revision in explanation.revisions]
    )
    return document(explanation, asked.subject, found.customer, events, revised)


def document(
    explanation: Explanation,
    subject: Subject,
    customer: str | None,
    events: tuple[Stated, ...],
    revised: tuple[Stated, ...],
) -> dict[str, Any]:
    """
    An explanation with its evidence as JSON: *events* are about its invoices, those of which no line is known
    included; *revised* applied its catalogs.

    *customer* is who the subject is, None for an org that is nobody.
    """
    who = f"{subject.type} {subject.id}"
    change = explanation.change
    return {
        "customer": customer,
        **({"org": subject.id} if subject.type is SubjectType.ORG else {}),
        "api": explanation.decision.api,
        "at": rfc3339(explanation.at),
        "answer": sentences.headline(explanation, who),
        **answers.evaluation(explanation.decision),
        "would_change": [
            *_by_org(subject, customer),
            *sentences.would_change(explanation, _of_stripe(subject, customer)),
        ],
        "next_change": change
        and {"at": rfc3339(change.at), "decision": change.decision.allowed, "reason": change.decision.reason.value},
        "grants": [_grant(grant, explanation) for grant in explanation.grants],
        "revocations": [_revocation(revocation) for revocation in explanation.revocations],
        "invoices": {
            name: {**answers.invoice(shown), "events": _events(event for event in events if event.about == name)}
            for name, shown in explanation.invoices.items()
        },
        "catalog": [_revision(revision, revised) for revision in explanation.revisions],
        "needs_an_eye": [*sentences.needs_an_eye(explanation), *_set_aside(events)],
    }


def _by_org(subject: Subject, customer: str | None) -> list[str]:
    is_nobody = subject.type is SubjectType.ORG and customer is None
    return (
        ["An org of this name, in the catalog or set with `entitle orgs`, with a customer here."] if is_nobody else []
    )


def _of_stripe(subject: Subject, customer: str | None) -> str:
    """Whom Stripe would have to name for the subject to be known: an org is a name of ours."""
    if subject.type is SubjectType.CUSTOMER:
        return f"customer {subject.id}"
    return "its customer" if customer is None else f"customer {customer}"


def _grant(grant: ExplainedGrant, explanation: Explanation) -> dict[str, Any]:
    cycle = grant.cycle
    return {
        "spoke": grant.spoke,
        "how": grant.how.value,
        "says": sentences.grant_spoke(grant, explanation.at),
        "plan": cycle.plan.name,
        "invoice": cycle.invoice.id,
        "line": cycle.line.id,
        "price": cycle.line.price,
        "cycle": answers.cycle(cycle.period),
        "opens": [_span(span) for span in grant.opens],
        "because_of": list(grant.because_of),
        "catalog_revision": cycle.revision,
    }


def _revocation(revocation: ExplainedRevocation) -> dict[str, Any]:
    ended = ({"invoice": each.cycle.invoice.id, "line": each.cycle.line.id, **_span(each)} for each in revocation.ended)
    return {
        "spoke": revocation.spoke,
        "kind": revocation.kind.value,
        "says": sentences.revocation_spoke(revocation),
        "invoice": revocation.invoice,
        "lines": list(revocation.lines),
        "at": revocation.at and rfc3339(revocation.at),
        "ended": list(ended),
    }


def _span(span: Span) -> dict[str, str]:
    return {"reason": span.reason.value, **answers.cycle(span.period)}


def _events(records: Iterable[Stated]) -> list[dict[str, Any]]:
    """The records about one invoice; a record that says the same as an earlier one of another event names that."""
    ordered = tuple(records)
    twins = evidence.twins(ordered)
    return [
        {
            "id": record.event,
            "type": record.type,
            "created": record.created and rfc3339(record.created),
            **_place(record),
            "twin_of": twins.get(evidence.address(record)),
        }
        for record in ordered
    ]


def _revision(revision: Revision, revised: Iterable[Stated]) -> dict[str, Any]:
    return {
        "number": revision.number,
        "in_force_from": revision.in_force_from and rfc3339(revision.in_force_from),
        "applied_by": revision.applied_by,
        "records": [_place(record) for record in revised if record.event == f"catalog-{revision.number}"],
    }


def _place(record: Stated) -> Mapping[str, Any]:
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "appended_at": record.appended_at and rfc3339(record.appended_at),
    }


def _set_aside(records: Iterable[Stated]) -> list[str]:
    return [
        f"Event {record.event} about {record.about} was set aside by {reading.group}: {reading.set_aside}"
        for record in records
        for reading in record.readings
        if reading.set_aside is not None
    ]
