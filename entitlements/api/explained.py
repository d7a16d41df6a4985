"""
An explanation with its evidence, as the JSON that `GET /v1/explain` answers. Pure.

Its keys are listed in docs/access-rules.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from entitlements import evidence
from entitlements.api import answers
from entitlements.api.answers import rfc3339
from entitlements.api.recorded import Recorded, message_of
from entitlements.api.subjects import Subject, SubjectType
from entitlements.domain import changes_in_words, grants_in_words, revocations_in_words, sentences
from entitlements.domain.acts import Block, ManualGrant, ManualRevocation, Unblock
from entitlements.domain.catalog import Revision
from entitlements.domain.decision import Reason
from entitlements.domain.explanation import (
    ExplainedGrant,
    ExplainedManual,
    ExplainedRevocation,
    Explanation,
    GivenBack,
    Withholding,
)
from entitlements.domain.manual import Manual
from entitlements.domain.period import END_OF_TIME, Period
from entitlements.domain.spans import Span
from entitlements.evidence import Stated


def document(explanation: Explanation, subject: Subject, customer: str | None, log: Recorded) -> dict[str, Any]:
    """
    An explanation with its evidence as JSON, *log* having the records that state what it rests on.

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
            *changes_in_words.would_change(explanation, _of_stripe(subject, customer)),
        ],
        "next_change": change
        and {"at": rfc3339(change.at), "decision": change.decision.allowed, "reason": change.decision.reason.value},
        "grants": [_grant(grant, explanation) for grant in explanation.grants],
        "manual_grants": [_manual_grant(manual) for manual in explanation.manual],
        "revocations": [_revocation(revocation) for revocation in explanation.revocations],
        "invoices": {
            name: {**answers.invoice(shown), "events": _events(log.about(name))}
            for name, shown in explanation.invoices.items()
        },
        "other_events": _events(log.others),
        "catalog": [_revision(revision, log) for revision in explanation.revisions],
        "needs_an_eye": [*sentences.needs_an_eye(explanation), *_set_aside(log.stripe)],
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
        "says": grants_in_words.grant_spoke(grant, explanation.at),
        "plan": cycle.plan.name,
        "invoice": cycle.invoice.id,
        "line": cycle.line.id,
        "price": cycle.line.price,
        "cycle": answers.cycle(cycle.period),
        "opens": [_span(span) for span in grant.opens],
        "because_of": list(grant.because_of),
        "withheld": grant.withheld and _withheld(grant.withheld),
        "catalog_revision": cycle.revision,
    }


def _withheld(withheld: Withholding) -> dict[str, Any]:
    return {
        "since": rfc3339(withheld.since),
        "by": [each.id for each in withheld.by],
        "given_back": withheld.given_back and _given_back(withheld.given_back),
    }


def _given_back(so_far: GivenBack) -> dict[str, Any]:
    return {"amount": so_far.amount, "total": so_far.total, "currency": so_far.currency}


def _manual_grant(manual: ExplainedManual) -> dict[str, Any]:
    grant = manual.grant
    return {
        "spoke": manual.spoke,
        "how": manual.how.value,
        "says": grants_in_words.manual_spoke(manual),
        "id": grant.id,
        "plan": grant.plan,
        "apis": list(grant.apis),
        "start": rfc3339(grant.start),
        "end": grant.end and rfc3339(grant.end),
        "opens": manual.opens and _during(manual.opens),
        **_by(grant),
        "revoked_by": manual.revocation and {"id": manual.revocation.id, **_by(manual.revocation)},
        "catalog_revision": manual.revision,
    }


def _by(act: ManualGrant | ManualRevocation | Block | Unblock) -> dict[str, str]:
    """Who said it, why and when."""
    return {"by": act.by, "reason": act.reason, "said_at": rfc3339(act.at)}


def _revocation(revocation: ExplainedRevocation) -> dict[str, Any]:
    lifted_by = revocation.lifted_by
    return {
        "spoke": revocation.spoke,
        "kind": revocation.kind.value,
        "says": revocations_in_words.revocation_spoke(revocation),
        "id": revocation.id,
        "invoice": revocation.invoice,
        "lines": list(revocation.lines),
        "at": revocation.at and rfc3339(revocation.at),
        "until": revocation.until and rfc3339(revocation.until),
        "status": revocation.status,
        "amount": revocation.amount,
        "given_back": revocation.given_back and _given_back(revocation.given_back),
        **({} if revocation.act is None else _by(revocation.act)),
        "lifted_by": lifted_by and {"id": lifted_by.id, **_by(lifted_by)},
        "ended": [_ended(each) for each in revocation.ended],
        "shared": revocation.shared,
        "kept": revocation.kept,
    }


def _ended(opened: Span | Manual) -> dict[str, Any]:
    match opened:
        case Span(cycle=cycle, reason=reason):
            of = {"invoice": cycle.invoice.id, "line": cycle.line.id, "reason": reason.value}
        case Manual(grant=grant):
            of = {"manual_grant": grant.id, "reason": Reason.MANUAL.value}
    return {**of, **_during(opened.period)}


def _span(span: Span) -> dict[str, Any]:
    return {"reason": span.reason.value, **_during(span.period)}


def _during(period: Period) -> dict[str, str | None]:
    """`[start, end)`; the end is null where there is none."""
    return {"start": rfc3339(period.start), "end": None if period.end == END_OF_TIME else rfc3339(period.end)}


def _events(records: Iterable[Stated]) -> list[dict[str, Any]]:
    """Records in order; one that says the same as an earlier one of another event about the same names that."""
    ordered = tuple(records)
    twins = evidence.twins(ordered)
    return [{**event(record), "twin_of": twins.get(evidence.address(record))} for record in ordered]


def event(record: Stated) -> dict[str, Any]:
    """What a record carries, and where it is."""
    return {
        "id": record.event,
        "type": record.type,
        "about": record.about,
        "created": record.created and rfc3339(record.created),
        **_place(record),
    }


def _revision(revision: Revision, log: Recorded) -> dict[str, Any]:
    return {
        "number": revision.number,
        "in_force_from": revision.in_force_from and rfc3339(revision.in_force_from),
        "applied_by": revision.applied_by,
        "records": [_place(record) for record in log.catalogs if record.event == message_of(revision)],
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
