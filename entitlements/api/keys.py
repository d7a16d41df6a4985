"""
API keys for portals: made, listed, rotated and revoked with an admin token. Edge: HTTP, Postgres, chance.

A key is told once, in the answer that makes it; what is kept is its digest. A token of one marketplace makes keys for
that one alone, and others' keys do not exist for it.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from entitlements.api.answers import rfc3339
from entitlements.api.credentials import KEY_PREFIX
from entitlements.api.orgs import WHERE, integration_meant
from entitlements.api.requests import read_id, read_object, read_query
from entitlements.api.responses import Problem, json_response, malformed
from entitlements.api.snapshots import Snapshot, Snapshots
from entitlements.api.subjects import SubjectType
from entitlements.api.tokens import Token
from entitlements.domain.document import Place
from entitlements.keys import ApiKey, add_key, all_keys, end_key, key_named, keys_of

log = logging.getLogger(__name__)

GRACE = timedelta(hours=24)
"""How long a key that is rotated stays valid beside its successor, unless somebody says otherwise."""

_RANDOM_BYTES = 32
_NAME_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Whose keys are meant, where an operator says they are; None where that is left open."""

    kind: SubjectType
    name: str
    integration: str | None = None
    marketplace: str | None = None


def of_holder(kind: SubjectType) -> Callable[[Request, Token, Snapshots], Awaitable[Response]]:
    """
    `GET /v1/orgs/{org}/keys?integration=&marketplace=` and `POST /v1/orgs/{org}/keys` with `{"label": …,
    "integration": …, "marketplace": …}`, none of which is required; and the same for customers.
    """

    async def keys(request: Request, token: Token, snapshots: Snapshots) -> Response:
        name = read_id(request.path_params[kind.value], kind.value)
        query = read_query(request.scope["query_string"], *(WHERE if request.method == "GET" else ()))
        if request.method == "GET":
            holder = _holder(kind, name, query)
            return json_response(await snapshots.ask(lambda snapshot: {"keys": listed(snapshot, token, holder)}))
        body = _known(await read_object(request), "label", *WHERE)
        holder, label = _holder(kind, name, body), read_id(body["label"], "label") if "label" in body else None
        added = await snapshots.change(lambda snapshot: add(snapshot, token, holder, label, _by(token)))
        return json_response(added, status=HTTPStatus.CREATED)

    return keys


async def key(request: Request, token: Token, snapshots: Snapshots) -> Response:
    """`DELETE /v1/keys/{key}`: it opens nothing any more."""
    name = read_id(request.path_params["key"], "key")
    read_query(request.scope["query_string"])
    await snapshots.change(lambda snapshot: revoke(snapshot, token, name, _by(token)))
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def rotation(request: Request, token: Token, snapshots: Snapshots) -> Response:
    """`POST /v1/keys/{key}/rotate` with `{"grace": "24h"}`, which is not required."""
    name = read_id(request.path_params["key"], "key")
    read_query(request.scope["query_string"])
    body = _known(await read_object(request), "grace")
    grace = read_duration(body.get("grace"), "grace")
    rotated = await snapshots.change(lambda snapshot: rotate(snapshot, token, name, grace, _by(token)))
    return json_response(rotated, status=HTTPStatus.CREATED)


def listed(snapshot: Snapshot, token: Token, holder: Holder | None) -> list[dict[str, Any]]:
    """
    The keys of *holder*, or of everybody if it is None, those that are over too. Raises `Problem`, `UnclearScope` and
    `CannotDecide`.
    """
    if holder is None:
        found = all_keys(snapshot.connection)
    else:
        integration = _integration(snapshot, token, holder)
        found = keys_of(snapshot.connection, integration=integration, kind=holder.kind.value, holder=holder.name)
        found = tuple(each for each in found if holder.marketplace in (None, each.marketplace))
    return [of_key(each, snapshot.now) for each in found if _may_see(token, each)]


def add(snapshot: Snapshot, token: Token, holder: Holder, label: str | None, by: str) -> dict[str, Any]:
    """A new key, told with its secret. Raises `Problem`, `UnclearScope` and `CannotDecide`."""
    integration = _integration(snapshot, token, holder)
    return _made(
        snapshot,
        integration=integration,
        marketplace=token.marketplace or holder.marketplace,
        kind=holder.kind.value,
        holder=holder.name,
        label=label,
        set_by=by,
    )


def rotate(snapshot: Snapshot, token: Token, name: str, grace: timedelta, by: str) -> dict[str, Any]:
    """A successor of the key of this name, which ends when *grace* is over. Raises `Problem` where there is none."""
    before = _valid(snapshot, token, name)
    ends = snapshot.now + grace
    if before.valid_until is not None:
        ends = min(ends, before.valid_until)
    end_key(snapshot.connection, before, valid_until=ends, set_by=by)
    made = _made(
        snapshot,
        integration=before.integration,
        marketplace=before.marketplace,
        kind=before.kind,
        holder=before.holder,
        label=before.label,
        set_by=by,
    )
    log.info("API key %s takes the place of %s, which ends at %s", made["id"], name, rfc3339(ends))
    return {**made, "replaces": {"id": name, "valid_until": rfc3339(ends)}}


def revoke(snapshot: Snapshot, token: Token, name: str, by: str) -> None:
    """From now on the key of this name opens nothing. Raises `Problem` where there is none, or it is over already."""
    end_key(snapshot.connection, _valid(snapshot, token, name), valid_until=snapshot.now, set_by=by)
    log.info("API key %s is revoked, by %s", name, by)


def of_key(key: ApiKey, now: datetime) -> dict[str, Any]:
    """A key as JSON, without what would open anything."""
    stated: dict[str, Any] = {
        "id": key.key,
        key.kind: key.holder,
        "integration": key.integration,
        "marketplace": key.marketplace,
        "label": key.label,
        "is_valid": key.is_valid(now),
        "valid_until": None if key.valid_until is None else rfc3339(key.valid_until),
        "set_by": key.set_by,
        "set_at": rfc3339(key.set_at),
    }
    return {name: value for name, value in stated.items() if value is not None}


def read_duration(value: object, where: str) -> timedelta:
    """A duration as catalogs write them; `GRACE` for None."""
    place = Place(value=value)
    duration = place.duration(GRACE)
    if place.mistakes:
        raise malformed(f"{where} {place.mistakes[0].text}.")
    return duration


def _made(snapshot: Snapshot, **said: Any) -> dict[str, Any]:
    secret = f"{KEY_PREFIX}{secrets.token_urlsafe(_RANDOM_BYTES)}"
    name = f"key_{secrets.token_hex(_NAME_BYTES)}"
    added = add_key(snapshot.connection, key=name, digest=hashlib.sha256(secret.encode()).digest(), **said)
    log.info("API key %s is made for %s %s, by %s", added.key, added.kind, added.holder, added.set_by)
    return {"key": secret, **of_key(added, snapshot.now)}


def _valid(snapshot: Snapshot, token: Token, name: str) -> ApiKey:
    found = key_named(snapshot.connection, name)
    if found is None or not found.is_valid(snapshot.now) or not _may_see(token, found):
        raise Problem(HTTPStatus.NOT_FOUND, f"No API key {name} is valid here.")
    return found


def _may_see(token: Token, key: ApiKey) -> bool:
    return token.marketplace in (None, key.marketplace)


def _integration(snapshot: Snapshot, token: Token, holder: Holder) -> str:
    _, catalog = snapshot.terms()
    return integration_meant(token, catalog, integration=holder.integration, marketplace=holder.marketplace)


def _holder(kind: SubjectType, name: str, said: Mapping[str, Any]) -> Holder:
    return Holder(kind=kind, name=name, **{where: read_id(said[where], where) for where in WHERE if where in said})


def _known(body: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    unknown = sorted(body.keys() - set(names))
    if unknown:
        raise malformed(f"Unknown member {unknown[0]!r}; known here: {', '.join(names)}.")
    return body


def _by(token: Token) -> str:
    return "an admin token" if token.marketplace is None else f"an admin token of {token.marketplace}"
