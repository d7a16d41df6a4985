"""
What a customer or an org has, API by API and invoice by invoice: for portals and for people who ask why. Edge: HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from entitlements.api import answers
from entitlements.api.requests import MOST_AT_ONCE, read_id, read_limit, read_query, read_time
from entitlements.api.responses import Problem, json_response, malformed
from entitlements.api.snapshots import Snapshot, Snapshots
from entitlements.api.subjects import Found, Subject, SubjectType, find
from entitlements.api.tokens import Token
from entitlements.domain.access import Scope, decide
from entitlements.domain.catalog import Catalog
from entitlements.domain.shown import InvoiceShown, invoices_shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which of many invoices: at most *limit*, from behind the one named *starting_after* on (None: the newest)."""

    limit: int = MOST_AT_ONCE
    starting_after: str | None = None


async def customer_entitlements(request: Request, token: Token, snapshots: Snapshots) -> Response:
    """`GET /v1/customers/{customer}/entitlements?at=&marketplace=`."""
    return await _entitlements(request, token, snapshots, SubjectType.CUSTOMER)


async def org_entitlements(request: Request, token: Token, snapshots: Snapshots) -> Response:
    """`GET /v1/orgs/{org}/entitlements?at=&marketplace=`."""
    return await _entitlements(request, token, snapshots, SubjectType.ORG)


async def customer_invoices(request: Request, token: Token, snapshots: Snapshots) -> Response:
    """`GET /v1/customers/{customer}/invoices?at=&marketplace=&limit=&starting_after=`."""
    return await _invoices(request, token, snapshots, SubjectType.CUSTOMER)


async def org_invoices(request: Request, token: Token, snapshots: Snapshots) -> Response:
    """`GET /v1/orgs/{org}/invoices?at=&marketplace=&limit=&starting_after=`."""
    return await _invoices(request, token, snapshots, SubjectType.ORG)


def entitlements(snapshot: Snapshot, token: Token, subject: Subject, at: datetime | None) -> dict[str, Any]:
    """
    Every API that exists for the subject, with its decision at *at* (None: now), and what needs a person's eye.

    *unmapped* are billed lines of no plan, *contradictory* invoices that were seen both paid and void. Raises
    `Problem` for a subject that nobody knows, `UnclearScope` and `CannotDecide`.
    """
    found = _known(snapshot, token, subject)
    moment = at or snapshot.now
    decisions = (decide(found.standing, api, moment, known_apis=found.apis) for api in found.apis)
    return {
        **_named(found, subject, moment),
        "entitlements": [answers.entitlement(decision) for decision in decisions],
        "unmapped": [answers.unmapped(line) for line in found.standing.unmapped],
        "contradictory": list(found.standing.contradictory),
    }


def invoices(snapshot: Snapshot, token: Token, subject: Subject, at: datetime | None, page: Page) -> dict[str, Any]:
    """
    One *page* of the subject's invoices as they were at *at* (None: now), newest first, and where its portal is.

    Raises `Problem` for a subject that nobody knows and for a page that begins nowhere, `UnclearScope` and
    `CannotDecide`.
    """
    found = _known(snapshot, token, subject)
    moment = at or snapshot.now
    shown = _behind(page.starting_after, invoices_shown(found.standing, found.facts.invoices, found.scope, moment))
    return {
        **_named(found, subject, moment),
        **portals(found.catalog, found.scope),
        "invoices": [answers.invoice(each) for each in shown[: page.limit]],
        "has_more": len(shown) > page.limit,
    }


def portals(catalog: Catalog, scope: Scope) -> dict[str, Any]:
    """
    Where customers of *scope* look after their billing, as the catalog in force says: `customer_portal`, or
    `customer_portals` by marketplace where its marketplaces have several; nothing where none has one.
    """
    found = {
        each.name: each.customer_portal
        for each in catalog.marketplaces.values()
        if each.integration == scope.integration
        and scope.marketplace in (None, each.name)
        and each.customer_portal is not None
    }
    match sorted(set(found.values())):
        case []:
            return {}
        case [portal]:
            return {"customer_portal": portal}
        case _:
            return {"customer_portals": found}


async def _entitlements(request: Request, token: Token, snapshots: Snapshots, kind: SubjectType) -> Response:
    parameters = read_query(request.scope["query_string"], "at", "marketplace")
    subject, at = _asked(request, kind, parameters)
    return json_response(await snapshots.ask(lambda snapshot: entitlements(snapshot, token, subject, at)))


async def _invoices(request: Request, token: Token, snapshots: Snapshots, kind: SubjectType) -> Response:
    parameters = read_query(request.scope["query_string"], "at", "marketplace", "limit", "starting_after")
    subject, at = _asked(request, kind, parameters)
    page = Page(
        limit=read_limit(parameters["limit"], "limit") if "limit" in parameters else MOST_AT_ONCE,
        starting_after=(
            read_id(parameters["starting_after"], "starting_after") if "starting_after" in parameters else None
        ),
    )
    return json_response(await snapshots.ask(lambda snapshot: invoices(snapshot, token, subject, at, page)))


def _asked(request: Request, kind: SubjectType, parameters: Mapping[str, str]) -> tuple[Subject, datetime | None]:
    subject = Subject(
        type=kind,
        id=read_id(request.path_params[kind.value], kind.value),
        marketplace=read_id(parameters["marketplace"], "marketplace") if "marketplace" in parameters else None,
    )
    return subject, read_time(parameters["at"], "at") if "at" in parameters else None


def _known(snapshot: Snapshot, token: Token, subject: Subject) -> Found:
    found = find(snapshot, token, subject)
    if not found.standing.named:
        raise Problem(HTTPStatus.NOT_FOUND, f"No {subject.type} of this name is known here.")
    return found


def _named(found: Found, subject: Subject, moment: datetime) -> dict[str, Any]:
    org = {"org": subject.id} if subject.type is SubjectType.ORG else {}
    return {"customer": found.customer, **org, "at": answers.rfc3339(moment)}


def _behind(name: str | None, shown: tuple[InvoiceShown, ...]) -> tuple[InvoiceShown, ...]:
    if name is None:
        return shown
    for place, invoice in enumerate(shown, start=1):
        if invoice.id == name:
            return shown[place:]
    raise malformed("starting_after must be the id of an invoice that is listed here.")
