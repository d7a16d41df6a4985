"""
Orgs as operators set them: `GET`, `PUT` and `DELETE /v1/orgs/{org}`, for admin tokens. Edge: HTTP, Postgres.

A name that the catalog in force names is fixed by it, in every integration; any other is a setting of one integration,
since all ids belong to one (contract, section 3).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from entitlements.api.answers import rfc3339
from entitlements.api.requests import read_id, read_object, read_query
from entitlements.api.responses import Problem, json_response, malformed
from entitlements.api.snapshots import Snapshot, Snapshots
from entitlements.api.tokens import NOWHERE, Token, scope_of
from entitlements.domain.catalog import Catalog, Org
from entitlements.orgs import OrgSetting, set_org, setting_of, settings_in, take_away

log = logging.getLogger(__name__)

WHERE = ("integration", "marketplace")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgName:
    """An org as an operator names it; *integration* and *marketplace* say of where, None where that is left open."""

    org: str
    integration: str | None = None
    marketplace: str | None = None


async def org(request: Request, token: Token, snapshots: Snapshots) -> Response:
    """
    `GET` and `DELETE /v1/orgs/{org}?integration=&marketplace=`, and `PUT /v1/orgs/{org}` with
    `{"customer": "cus_…", "integration": …, "marketplace": …}`, of which the customer is required.
    """
    path = read_id(request.path_params["org"], "org")
    by = "an admin token" if token.marketplace is None else f"an admin token of {token.marketplace}"
    if request.method == "PUT":
        read_query(request.scope["query_string"])  # what is meant stands in the body: in the query it would go unheard
        name, customer = _read_put(path, await read_object(request))
        is_new, stored = await snapshots.change(lambda snapshot: put(snapshot, token, name, customer, by))
        return json_response(stored, status=HTTPStatus.CREATED if is_new else HTTPStatus.OK)
    name = _name(path, read_query(request.scope["query_string"], *WHERE))
    if request.method == "DELETE":
        await snapshots.change(lambda snapshot: remove(snapshot, token, name, by))
        return Response(status_code=HTTPStatus.NO_CONTENT)
    return json_response(await snapshots.ask(lambda snapshot: get(snapshot, token, name)))


def get(snapshot: Snapshot, token: Token, name: OrgName) -> dict[str, Any]:
    """What the org is. Raises `Problem`, `UnclearScope` and `CannotDecide`."""
    _, catalog = snapshot.terms()
    integration = integration_meant(token, catalog, integration=name.integration, marketplace=name.marketplace)
    if name.org in catalog.orgs:
        return of_catalog(catalog.orgs[name.org])
    setting = setting_of(snapshot.connection, integration=integration, org=name.org)
    if setting is None:
        raise _nobody(name)
    return of_setting(setting)


def put(snapshot: Snapshot, token: Token, name: OrgName, customer: str, by: str) -> tuple[bool, dict[str, Any]]:
    """
    Let the org be *customer*; whether it was nobody before, and what is stored now. What is set already stays as it is.

    Raises `Problem` for a name that the catalog fixes to another customer, `UnclearScope` and `CannotDecide`.
    """
    _, catalog = snapshot.terms()
    integration = integration_meant(token, catalog, integration=name.integration, marketplace=name.marketplace)
    fixed = catalog.orgs.get(name.org)
    if fixed is not None and fixed.customer == customer:
        return False, of_catalog(fixed)
    if fixed is not None:
        raise _fixed(name)
    before = setting_of(snapshot.connection, integration=integration, org=name.org)
    if before is not None and before.customer == customer:
        return False, of_setting(before)
    setting = set_org(snapshot.connection, integration=integration, org=name.org, customer=customer, set_by=by)
    log.info("org %s of integration %s is now customer %s, set by %s", name.org, integration, customer, by)
    return before is None, of_setting(setting)


def remove(snapshot: Snapshot, token: Token, name: OrgName, by: str) -> None:
    """Let the org be nobody. Raises `Problem` where it is nobody already or the catalog fixes it, and as `put` does."""
    _, catalog = snapshot.terms()
    integration = integration_meant(token, catalog, integration=name.integration, marketplace=name.marketplace)
    if name.org in catalog.orgs:
        raise _fixed(name)
    if setting_of(snapshot.connection, integration=integration, org=name.org) is None:
        raise _nobody(name)
    take_away(snapshot.connection, integration=integration, org=name.org, set_by=by)
    log.info("org %s of integration %s is now nobody, set by %s", name.org, integration, by)


def listed(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Every org that counts: those of the catalog, and the settings that it does not fix. Raises `CannotDecide`."""
    _, catalog = snapshot.terms()
    fixed = [of_catalog(each) for _, each in sorted(catalog.orgs.items())]
    settings = settings_in(snapshot.connection)
    return fixed + [of_setting(setting) for setting in settings if setting.org not in catalog.orgs]


def of_catalog(fixed: Org) -> dict[str, Any]:
    """An org of the catalog as JSON; it counts in every integration."""
    return {"org": fixed.name, "customer": fixed.customer, "from": "catalog"}


def of_setting(setting: OrgSetting) -> dict[str, Any]:
    """An org that an operator set, as JSON."""
    return {
        "org": setting.org,
        "customer": setting.customer,
        "integration": setting.integration,
        "from": "setting",
        "set_by": setting.set_by,
        "set_at": rfc3339(setting.set_at),
    }


def integration_meant(token: Token, catalog: Catalog, *, integration: str | None, marketplace: str | None) -> str:
    """
    The integration that is meant; a token of one marketplace means that one's, and may say nothing else.

    Raises `Problem` for what is unclear, unknown, or not the token's, and `UnclearScope`.
    """
    if token.marketplace is not None:
        own = scope_of(token, None, catalog).integration
        if own == NOWHERE or token.denies(marketplace) or integration not in (None, own):
            alone = f"This token is for the integration of the marketplace {token.marketplace} alone."
            raise Problem(HTTPStatus.FORBIDDEN, alone)
        return own
    if integration is not None and integration not in catalog.integrations:
        raise malformed(f"There is no integration {integration!r} in the catalog.")
    if marketplace is None and integration is not None:
        return integration
    if marketplace is None and len(catalog.integrations) > 1:
        raise malformed("The catalog has several integrations: say which is meant, as integration or by a marketplace.")
    meant = scope_of(token, marketplace, catalog).integration
    if integration not in (None, meant):
        raise malformed(f"The marketplace {marketplace} is not of the integration {integration}.")
    return meant


def _read_put(path: str, body: Mapping[str, Any]) -> tuple[OrgName, str]:
    unknown = sorted(body.keys() - {"customer", *WHERE})
    if unknown:
        raise malformed(f"Unknown member {unknown[0]!r}; known here: customer, {', '.join(WHERE)}.")
    return _name(path, body), read_id(body.get("customer"), "customer")


def _name(path: str, said: Mapping[str, Any]) -> OrgName:
    return OrgName(org=path, **{where: read_id(said[where], where) for where in WHERE if where in said})


def _fixed(name: OrgName) -> Problem:
    return Problem(
        HTTPStatus.CONFLICT,
        f"The catalog in force says who the org {name.org} is: change it there, with `entitle catalog apply`.",
    )


def _nobody(name: OrgName) -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, f"No org {name.org} is set here.")
