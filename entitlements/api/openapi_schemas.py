"""
What travels on the query listener, as JSON Schemas for its OpenAPI document. Pure.

Objects that are read are open where AuthZEN says so, and closed where a misspelt member would go unheard. Long because
every shape that anybody sends or gets stands here once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from entitlements.api.evaluations import Semantic
from entitlements.api.requests import LONGEST_ID, MOST_AT_ONCE
from entitlements.api.subjects import SubjectType
from entitlements.domain.catalog import Enforcement
from entitlements.domain.decision import Reason
from schemas.stripe_event import InvoiceStatus

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer"}
FLAG: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
NAME: Schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_ID}
"""A name or an id, of printable characters."""

MOMENT: Schema = {"type": "string", "format": "date-time"}


def ref(name: str) -> Schema:
    """One of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def listed(items: Schema) -> Schema:
    """An array of these."""
    return {"type": "array", "items": items}


def nullable(schema: Schema) -> Schema:
    """That, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def shape(
    required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None, *, closed: bool = False
) -> Schema:
    """An object with these members; with others too, unless it is *closed*."""
    found: Schema = {"type": "object", "properties": {**required, **(optional or {})}}
    if required:
        found["required"] = list(required)
    return {**found, "additionalProperties": False} if closed else found


def one_of(values: Iterable[str]) -> Schema:
    """One of these texts."""
    return {"type": "string", "enum": [str(value) for value in values]}


DECIDED: Mapping[str, Schema] = {"reason": one_of(Reason), "status": {"enum": [200, 402, 403]}, "max_age": NUMBER}
RESTS_ON: Mapping[str, Schema] = {
    "plan": TEXT,
    "invoice": TEXT,
    "cycle": ref("Cycle"),
    "until": MOMENT,
    "quotas": listed(ref("Quota")),
    "pay_at": TEXT,
}
ERROR = shape({"error": shape({"status": NUMBER, "message": TEXT})})
SUBJECT = shape({"type": one_of(SubjectType), "id": NAME}, {"properties": shape({}, {"marketplace": NAME})})
ACTION = shape({"name": NAME}, {"properties": OBJECT})
RESOURCE = shape({"type": {"const": "api"}, "id": NAME}, {"properties": OBJECT})
CONTEXT = shape({}, {"time": MOMENT})
ASKED: Mapping[str, Schema] = {"subject": ref("Subject"), "action": ref("Action"), "resource": ref("Resource")}
WHERE: Mapping[str, Schema] = {"integration": NAME, "marketplace": NAME}
NAMED: Mapping[str, Schema] = {"customer": TEXT, "at": MOMENT}
KEY: Mapping[str, Schema] = {"id": TEXT, "integration": TEXT, "is_valid": FLAG, "set_by": TEXT, "set_at": MOMENT}
KEY_TOO: Mapping[str, Schema] = {
    "org": TEXT,
    "customer": TEXT,
    "marketplace": TEXT,
    "label": TEXT,
    "valid_until": MOMENT,
}
OFFSETS: Schema = {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": NUMBER}}

SCHEMAS: Mapping[str, Schema] = MappingProxyType(
    {
        "Problem": shape({"type": TEXT, "title": TEXT, "status": NUMBER, "detail": TEXT}),
        "GatewayProblem": shape(
            {"type": TEXT, "title": TEXT, "status": NUMBER, "detail": TEXT, "reason": TEXT},
            {
                "api": TEXT,
                "org": TEXT,
                "customer": TEXT,
                "plan": TEXT,
                "invoice": TEXT,
                "cycle": ref("Cycle"),
                "pay_at": TEXT,
            },
        ),
        "Cycle": shape({"start": MOMENT, "end": MOMENT}),
        "Quota": shape({"name": TEXT, "limit": NUMBER, "enforcement": one_of(Enforcement), "unit": TEXT, "per": TEXT}),
        "Subject": SUBJECT,
        "Action": ACTION,
        "Resource": RESOURCE,
        "Context": CONTEXT,
        "EvaluationRequest": shape(ASKED, {"context": ref("Context")}),
        "Evaluation": shape(
            {"decision": FLAG, "context": shape(DECIDED, {**RESTS_ON, "degraded": {"const": True}})}, closed=True
        ),
        "EvaluationsRequest": shape(
            {},
            {
                "subject": OBJECT,
                "action": OBJECT,
                "resource": OBJECT,
                "context": OBJECT,
                "evaluations": {**listed(OBJECT), "maxItems": MOST_AT_ONCE},
                "options": shape({}, {"evaluations_semantic": one_of(Semantic)}),
            },
        ),
        "Evaluations": {
            "anyOf": [
                ref("Evaluation"),
                shape(
                    {
                        "evaluations": listed(
                            {"anyOf": [ref("Evaluation"), shape({"decision": {"const": False}, "context": ERROR})]}
                        )
                    },
                    closed=True,
                ),
            ]
        },
        "Metadata": shape(
            {
                "policy_decision_point": TEXT,
                "access_evaluation_endpoint": TEXT,
                "access_evaluations_endpoint": TEXT,
            }
        ),
        "Entitlements": shape(
            {
                **NAMED,
                "entitlements": listed(shape({"api": TEXT, "decision": FLAG, **DECIDED}, RESTS_ON)),
                "unmapped": listed(shape({"invoice": TEXT, "line": TEXT, "cycle": ref("Cycle")}, {"price": TEXT})),
                "contradictory": listed(TEXT),
            },
            {"org": TEXT},
        ),
        "Invoice": shape(
            {
                "id": TEXT,
                "status": one_of(status for status in InvoiceStatus if status is not InvoiceStatus.DRAFT),
                "created": MOMENT,
                "transitions": {"type": "object", "additionalProperties": MOMENT},
                "cycles": listed(shape({"plan": TEXT, "line": TEXT, "start": MOMENT, "end": MOMENT})),
                "contradictory": FLAG,
                "disputed": FLAG,
            },
            {
                **dict.fromkeys(("number", "currency", "pay_at"), TEXT),
                **dict.fromkeys(("total", "amount_due", "amount_paid", "amount_remaining", "given_back"), NUMBER),
                "due_date": MOMENT,
                "lines_complete": FLAG,
            },
        ),
        "Invoices": shape(
            {**NAMED, "invoices": listed(ref("Invoice")), "has_more": FLAG},
            {
                "org": TEXT,
                "customer_portal": TEXT,
                "customer_portals": {"type": "object", "additionalProperties": TEXT},
            },
        ),
        "OrgRequest": shape({"customer": NAME}, WHERE, closed=True),
        "Org": shape(
            {"org": TEXT, "customer": TEXT, "from": one_of(("catalog", "setting"))},
            {"integration": TEXT, "set_by": TEXT, "set_at": MOMENT},
            closed=True,
        ),
        "KeyRequest": shape({}, {"label": NAME, **WHERE}, closed=True),
        "RotationRequest": shape(
            {}, {"grace": nullable({"type": "string", "pattern": "^[0-9]{1,9}[smhdw]$"})}, closed=True
        ),
        "Key": shape(KEY, KEY_TOO, closed=True),
        "Keys": shape({"keys": listed(ref("Key"))}, closed=True),
        "NewKey": shape({"key": TEXT, **KEY}, KEY_TOO, closed=True),
        "Successor": shape(
            {"key": TEXT, **KEY, "replaces": shape({"id": TEXT, "valid_until": MOMENT})}, KEY_TOO, closed=True
        ),
        "Explanation": shape(
            {
                "customer": nullable(TEXT),
                "api": TEXT,
                "at": MOMENT,
                "answer": TEXT,
                "decision": FLAG,
                "context": shape(DECIDED, RESTS_ON),
                "would_change": listed(TEXT),
                "next_change": nullable(shape({"at": MOMENT, "decision": FLAG, "reason": one_of(Reason)})),
                "grants": listed(OBJECT),
                "manual_grants": listed(OBJECT),
                "revocations": listed(OBJECT),
                "invoices": {"type": "object", "additionalProperties": OBJECT},
                "other_events": listed(OBJECT),
                "catalog": listed(OBJECT),
                "needs_an_eye": listed(TEXT),
            },
            {"org": TEXT},
        ),
        "ExplanationThen": shape(  # where known_at is given
            {
                "known_at": MOMENT,
                "at": MOMENT,
                "api": TEXT,
                "differs": FLAG,
                "then": {"anyOf": [ref("Explanation"), ref("Undecided")]},
                "now": ref("Explanation"),
                "learnt": listed(OBJECT),
                "undated": listed(TEXT),
            },
            closed=True,
        ),
        "Undecided": shape(
            {
                "customer": {"type": "null"},
                "api": TEXT,
                "at": MOMENT,
                "answer": TEXT,
                "decision": {"type": "null"},
                "context": shape({}, closed=True),
                "would_change": listed(TEXT),
            },
            closed=True,
        ),
        "Changes": shape({"changes": listed(ref("AccessChange")), "next": NUMBER, "head": NUMBER}, closed=True),
        "AccessChange": shape(  # in full: schemas/json/access-changed.v1.schema.json
            {"seq": NUMBER, "integration": TEXT, "customer": TEXT, "as_of": MOMENT},
            {
                "orgs": listed(TEXT),
                "catalog_revision": nullable(NUMBER),
                "blocked": listed(OBJECT),
                "access": listed(OBJECT),
                "boundaries": listed(OBJECT),
            },
        ),
        "Progress": shape({"groups": OFFSETS, "incomplete": shape({"invoices": NUMBER})}),
        "Health": shape({"status": {"const": "ok"}}),
    }
)
