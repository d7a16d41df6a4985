"""What gateways ask and portals do, of a query API that listens."""

from __future__ import annotations

import json
from typing import Any

from entitlements.api.gateway_headers import NAMES
from tests.asking import ADMIN, ANY, Answer, Api


def make(api: Api, holder: str, body: Any = None, token: str = ADMIN) -> Answer:
    """A new key of `orgs/…` or `customers/…`."""
    headers = {"Content-Type": "application/json"}
    return api.ask("POST", f"/v1/{holder}/keys", token=token, body=json.dumps(body or {}).encode(), headers=headers)


def post(api: Api, path: str, body: Any, token: str = ADMIN) -> Answer:
    """Something else for an admin."""
    headers = {"Content-Type": "application/json"}
    return api.ask("POST", path, token=token, body=json.dumps(body).encode(), headers=headers)


def check(
    api: Api,
    key: str | None,
    uri: str = "/orders/7",
    *,
    mount: str = "/v1/check",
    gateway: str = ANY,
    method: str = "GET",
    more: dict[str, str] | None = None,
) -> Answer:
    """What a gateway is told about a request with this key."""
    headers = {
        "Entitlement-Gateway-Token": gateway,
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Host": "api.example.com",
        "X-Forwarded-Uri": uri,
        **({} if key is None else {"X-Api-Key": key}),
        **(more or {}),
    }
    return api.ask(method, mount, token=None, headers=headers)


def reason(answer: Answer) -> tuple[int, str]:
    """Status and reason; and every header is there, once and with a value."""
    assert all(answer.headers[f"entitlement-{name.lower()}"] for name in NAMES)
    return answer.status, answer.headers["entitlement-reason"]
