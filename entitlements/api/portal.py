"""What a customer or an org has, API by API: for portals and for people who ask why. Edge: HTTP."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from entitlements.api import answers
from entitlements.api.requests import read_id, read_query, read_time
from entitlements.api.responses import Problem, json_response
from entitlements.api.snapshots import Snapshot, Snapshots
from entitlements.api.subjects import Subject, SubjectType, find
from entitlements.api.tokens import Token
from entitlements.domain.access import decide


async def customer_entitlements(request: Request, token: Token, snapshots: Snapshots) -> Response:
    """`GET /v1/customers/{customer}/entitlements?at=&marketplace=`."""
    return await _entitlements(request, token, snapshots, SubjectType.CUSTOMER)


async def org_entitlements(request: Request, token: Token, snapshots: Snapshots) -> Response:
    """`GET /v1/orgs/{org}/entitlements?at=&marketplace=`."""
    return await _entitlements(request, token, snapshots, SubjectType.ORG)


def entitlements(snapshot: Snapshot, token: Token, subject: Subject, at: datetime | None) -> dict[str, Any]:
    """
    Every API that exists for the subject, with its decision at *at* (None: now), and what needs a person's eye.

    *unmapped* are billed lines of no plan, *contradictory* invoices that were seen both paid and void. Raises
    `Problem` for a subject that nobody knows, `UnclearScope` and `CannotDecide`.
    """
    found = find(snapshot, token, subject)
    if not found.standing.named:
        raise Problem(HTTPStatus.NOT_FOUND, f"No {subject.type} of this name is known here.")
    moment = at or snapshot.now
    decisions = (decide(found.standing, api, moment, known_apis=found.apis) for api in found.apis)
    return {
        "customer": found.customer,
        **({"org": subject.id} if subject.type is SubjectType.ORG else {}),
        "at": answers.rfc3339(moment),
        "entitlements": [answers.entitlement(decision) for decision in decisions],
        "unmapped": [answers.unmapped(line) for line in found.standing.unmapped],
        "contradictory": list(found.standing.contradictory),
    }


async def _entitlements(request: Request, token: Token, snapshots: Snapshots, kind: SubjectType) -> Response:
    parameters = read_query(request.scope["query_string"], "at", "marketplace")
    at = read_time(parameters["at"], "at") if "at" in parameters else None
    subject = Subject(
        type=kind,
        id=read_id(request.path_params[kind.value], kind.value),
        marketplace=read_id(parameters["marketplace"], "marketplace") if "marketplace" in parameters else None,
    )
    return json_response(await snapshots.ask(lambda snapshot: entitlements(snapshot, token, subject, at)))
