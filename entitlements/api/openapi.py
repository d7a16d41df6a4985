"""
The query listener as an OpenAPI document: `GET /openapi.json`, and docs/openapi.json, which a test holds equal. Edge:
HTTP.

Written by hand, as the pages are, and held to them: schemathesis asks every page what the document says it may be.
Long because every page stands here with all that it answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from entitlements.api import authzen, changes
from entitlements.api.gateway_headers import NAMES
from entitlements.api.openapi_schemas import MOMENT, NAME, SCHEMAS, TEXT, Schema, ref
from entitlements.api.original import CHECK, EXT_AUTHZ, FOLDED
from entitlements.api.requests import MOST_AT_ONCE, read_query
from entitlements.api.responses import json_response
from entitlements.api.snapshots import Snapshots
from entitlements.api.tokens import Token
from schemas.fields import LARGEST_INTEGER

PATH = "/openapi.json"
QUERY, ADMIN, NOBODY = "query", "admin", None
METHODS = ("get", "head", "post", "put", "patch", "delete", "options", "trace")

DESCRIPTIONS = {
    400: "The request has to be written differently; `detail` says how.",
    401: "No token that this page takes.",
    403: "Outside of what the token is for.",
    404: "Nobody and nothing of this name is known here.",
    405: "This page is not asked with this method: in an address an encoded slash is a slash.",
    409: "The catalog in force says so, and is changed in its own way.",
    410: "No number to go on from here: take a snapshot.",
    413: "The body is larger than 64 KiB.",
    414: "The query string is longer than 4 KiB.",
    503: "Nothing can be said now; try again.",
}
TOLD = {
    401: "Nobody is known to be asking, or the gateway is not known.",
    402: "Paying opens it.",
    403: "It stays closed.",
    429: "A quota is used up.",
    503: "Nothing is known: no denial.",
}
FOLDED_STATUSES = (402, 429)


def _always(schema: Schema) -> dict[str, Any]:
    return {"required": True, "schema": schema}


MORE = {401: {"WWW-Authenticate": _always(TEXT)}, 503: {"Retry-After": _always({"type": "integer"})}}
"""Headers that a status brings along."""

ASKED, CHANGED = (400, 403, 414, 503), (400, 403, 413, 414, 503)
"""How settings refuse to be asked about, and to be changed."""

MARKETPLACE = {"marketplace": NAME}
WHERE = {"integration": NAME, "marketplace": NAME}
AT = {"at": MOMENT, **MARKETPLACE}
PAGE = {"limit": {"type": "integer", "minimum": 1, "maximum": MOST_AT_ONCE}, "starting_after": NAME}


async def page(request: Request, _token: Token, _snapshots: Snapshots) -> Response:
    """`GET /openapi.json`."""
    read_query(request.scope["query_string"])
    return json_response(document(), cache_control="private, max-age=3600")


def document() -> dict[str, Any]:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "The entitlement worker's query listener",
            "version": "1",
            "description": "May this customer call this API now? See docs/gateways.md, and README.md for the rest.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {**_authzen(), **_mounts(), **_portal(), **_orgs(), **_keys(), **_feed(), **_operations()},
        "components": {
            "schemas": dict(SCHEMAS),
            "responses": {**_refusals(), **_told()},
            "securitySchemes": _security_schemes(),
        },
    }


def _authzen() -> dict[str, Any]:
    return {
        authzen.EVALUATION: {
            "post": _operation(
                "AuthZEN: one evaluation",
                answers={200: "Evaluation"},
                body="EvaluationRequest",
                refusals=(400, 413, 503),
            )
        },
        authzen.EVALUATIONS: {
            "post": _operation(
                "AuthZEN: several evaluations, or one",
                answers={200: "Evaluations"},
                body="EvaluationsRequest",
                refusals=(400, 413, 503),
            )
        },
        authzen.METADATA: {"get": _operation("AuthZEN: what there is", answers={200: "Metadata"}, refusals=(400, 414))},
    }


def _portal() -> dict[str, Any]:
    asked = (400, 404, 414, 503)
    return {
        **{
            f"/v1/{kind}s/{{{kind}}}/entitlements": {
                "get": _operation(
                    f"Every API with its decision, of {article} {kind}",
                    answers={200: "Entitlements"},
                    path=(kind,),
                    query=AT,
                    refusals=asked,
                )
            }
            for kind, article in (("customer", "a"), ("org", "an"))
        },
        **{
            f"/v1/{kind}s/{{{kind}}}/invoices": {
                "get": _operation(
                    f"Invoices of {article} {kind}, newest first",
                    answers={200: "Invoices"},
                    path=(kind,),
                    query={**AT, **PAGE},
                    refusals=asked,
                )
            }
            for kind, article in (("customer", "a"), ("org", "an"))
        },
        "/v1/explain": {
            "get": _operation(
                "A decision, what it rests on and what would change it; of a customer, or of an org",
                answers={200: {"anyOf": [ref("Explanation"), ref("ExplanationThen")]}},
                query={"api": NAME, "customer": NAME, "org": NAME, **AT, "known_at": MOMENT},
                required=("api",),
                refusals=(400, 414, 503),
            )
        },
    }


def _orgs() -> dict[str, Any]:
    return {
        "/v1/orgs/{org}": {
            "get": _operation(
                "Which customer an org is",
                answers={200: "Org"},
                path=("org",),
                query=WHERE,
                who=ADMIN,
                refusals=(*ASKED, 404),
            ),
            "put": _operation(
                "Let an org be a customer; 201 where it was nobody",
                answers={200: "Org", 201: "Org"},
                path=("org",),
                body="OrgRequest",
                who=ADMIN,
                refusals=(*CHANGED, 409),
            ),
            "delete": _operation(
                "Let an org be nobody",
                answers={204: None},
                path=("org",),
                query=WHERE,
                who=ADMIN,
                refusals=(*ASKED, 404, 409),
            ),
        }
    }


def _keys() -> dict[str, Any]:
    of_holders = {
        f"/v1/{kind}s/{{{kind}}}/keys": {
            "get": _operation(
                f"API keys of {article} {kind}, those that are over too",
                answers={200: "Keys"},
                path=(kind,),
                query=WHERE,
                who=ADMIN,
                refusals=ASKED,
            ),
            "post": _operation(
                f"A new API key of {article} {kind}, told this once",
                answers={201: "NewKey"},
                path=(kind,),
                body="KeyRequest",
                who=ADMIN,
                refusals=CHANGED,
            ),
        }
        for kind, article in (("customer", "a"), ("org", "an"))
    }
    return {
        **of_holders,
        "/v1/keys/{key}": {
            "delete": _operation(
                "Revoke an API key", answers={204: None}, path=("key",), who=ADMIN, refusals=(400, 404, 414, 503)
            )
        },
        "/v1/keys/{key}/rotate": {
            "post": _operation(
                "A successor of an API key, which ends when `grace` (default 24h) is over",
                answers={201: "Successor"},
                path=("key",),
                body="RotationRequest",
                who=ADMIN,
                refusals=(400, 404, 413, 414, 503),
            )
        },
    }


def _feed() -> dict[str, Any]:
    answers: dict[int, str | Schema | None] = {200: TEXT, 304: None}
    snapshot = _operation(
        "All customers' states, one a line, from one moment", answers=answers, refusals=(400, 414, 503)
    )
    snapshot["responses"]["200"]["content"] = {"application/x-ndjson": {"schema": TEXT}}
    for status in ("200", "304"):
        snapshot["responses"][status]["headers"] = {name: _always(TEXT) for name in ("ETag", "Entitlement-Seq", "Vary")}
    return {
        "/v1/changes": {
            "get": _operation(
                "Customers' states of numbers behind `after`; it waits for some, `wait` seconds at most",
                answers={200: "Changes"},
                query={
                    "after": {"type": "integer", "minimum": 0, "maximum": LARGEST_INTEGER},
                    "wait": {"type": "integer", "minimum": 0, "maximum": changes.LONGEST_WAIT_S},
                    "limit": {"type": "integer", "minimum": 0, "maximum": changes.MOST_CHANGES},
                },
                required=("after",),
                refusals=(400, 410, 414, 503),
            )
        },
        "/v1/snapshot": {"get": snapshot},
    }


def _operations() -> dict[str, Any]:
    metrics = _operation("Metrics of this process", answers={200: None}, who=NOBODY)
    metrics["responses"]["200"]["content"] = {"text/plain": {"schema": TEXT}}
    return {
        "/v1/progress": {
            "get": _operation("How far the consumers are", answers={200: "Progress"}, refusals=(400, 414, 503))
        },
        PATH: {"get": _operation("This document", answers={200: {"type": "object"}}, refusals=(400, 414))},
        "/livez": {"get": _operation("The process answers", answers={200: "Health"}, who=NOBODY)},
        "/readyz": {"get": _operation("It can decide", answers={200: "Health"}, who=NOBODY, refusals=(503,))},
        "/metrics": {"get": metrics},
    }


def _mounts() -> dict[str, Any]:
    """Any method asks; there is no body, and what the query says is not read."""
    original = [
        {"name": f"X-Forwarded-{name}", "in": "header", "schema": TEXT, "description": f"The original request's {what}"}
        for name, what in (("Method", "method"), ("Host", "host"), ("Uri", "path, and query, which is not read"))
    ]
    found: dict[str, Any] = {}
    for suffix in ("", FOLDED):
        how = "; 402 and 429 are answered as 403" if suffix else ""
        found[f"{CHECK}{suffix}"] = {
            method: _mount(f"May this request pass? It is told in headers{how}", original, is_folding=bool(suffix))
            for method in METHODS
        }
        path = {"name": "path", "in": "path", "required": True, "schema": TEXT, "description": "The original path"}
        found[f"{EXT_AUTHZ}{suffix}/{{path}}"] = {
            method: _mount(f"May this request pass? It is told as it is{how}", [path], is_folding=bool(suffix))
            for method in METHODS
        }
    return found


def _mount(summary: str, parameters: list[dict[str, Any]], *, is_folding: bool) -> dict[str, Any]:
    statuses = [200, *(status for status in TOLD if not (is_folding and status in FOLDED_STATUSES))]
    return {
        "summary": summary,
        "tags": ["gateways"],
        "parameters": parameters,
        "security": [{"gateway": [], "key": []}, {"gateway": [], "caller": []}],
        "responses": {str(status): {"$ref": f"#/components/responses/Told{status}"} for status in statuses},
    }


def _told() -> dict[str, Any]:
    """What the mounts answer, by name."""
    headers = {f"Entitlement-{name}": _always(TEXT) for name in NAMES}
    headers |= {"Cache-Control": _always(TEXT), "Vary": _always(TEXT)}
    problem = {"application/problem+json": {"schema": ref("GatewayProblem")}}
    return {
        "Told200": {"description": "It may pass; the body is empty.", "headers": headers},
        **{
            f"Told{status}": {"description": what, "headers": {**headers, **MORE.get(status, {})}, "content": problem}
            for status, what in TOLD.items()
        },
    }


def _operation(
    summary: str,
    *,
    answers: Mapping[int, str | Schema | None],
    path: tuple[str, ...] = (),
    query: Mapping[str, Schema] | None = None,
    required: tuple[str, ...] = (),
    body: str | None = None,
    who: str | None = QUERY,
    refusals: tuple[int, ...] = (),
) -> dict[str, Any]:
    parameters = [
        *({"name": name, "in": "path", "required": True, "schema": NAME} for name in path),
        *(
            {"name": name, "in": "query", "required": name in required, "schema": schema}
            for name, schema in (query or {}).items()
        ),
    ]
    refused = sorted({*refusals, *([401] if who else []), *((404, 405) if path else ())})
    operation: dict[str, Any] = {
        "summary": summary,
        "security": [{who: []}] if who else [],
        "responses": {
            **{str(status): _answer(status, schema) for status, schema in answers.items()},
            **{str(status): {"$ref": f"#/components/responses/Refused{status}"} for status in refused},
        },
    }
    if parameters:
        operation["parameters"] = parameters
    if body:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": ref(body)}}}
    return operation


def _answer(status: int, schema: str | Schema | None) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if schema is not None:
        named = ref(schema) if isinstance(schema, str) else schema
        answer["content"] = {"application/json": {"schema": named}}
    return answer


def _refusals() -> dict[str, Any]:
    """What all other pages answer that is not an answer, by name."""
    content = {"application/problem+json": {"schema": ref("Problem")}}
    return {
        f"Refused{status}": {"description": what, "headers": MORE.get(status, {}), "content": content}
        for status, what in DESCRIPTIONS.items()
    }


def _security_schemes() -> dict[str, Any]:
    return {
        "query": {"type": "http", "scheme": "bearer", "description": "A token of ENTITLE_QUERY_TOKENS"},
        "admin": {"type": "http", "scheme": "bearer", "description": "A token of ENTITLE_ADMIN_TOKENS"},
        "gateway": {
            "type": "apiKey",
            "in": "header",
            "name": "Entitlement-Gateway-Token",
            "description": "A token of ENTITLE_QUERY_TOKENS",
        },
        "key": {
            "type": "apiKey",
            "in": "header",
            "name": "X-Api-Key",
            "description": "The caller's API key; ENTITLE_CREDENTIALS may name other headers",
        },
        "caller": {"type": "http", "scheme": "bearer", "description": "The caller's API key"},
    }
