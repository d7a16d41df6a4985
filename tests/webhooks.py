"""Webhooks as Stripe sends them, with defaults, so that a test says only what matters to it."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

SECRET = "whsec_main"

INVOICE: dict[str, Any] = {
    "id": "in_1",
    "object": "invoice",
    "customer": "cus_1",
    "status": "paid",
    "total": 2500,
    "hosted_invoice_url": "https://invoice.stripe.com/i/acct_1/test_1",
    "lines": {"object": "list", "data": [{"id": "il_1", "period": {"start": 1767225600, "end": 1769904000}}]},
}


def event(kind: str = "invoice.paid", /, *, about: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A snapshot event of *about*, an invoice by default; a change to `...` leaves the member out."""
    members = {
        "id": "evt_1",
        "object": "event",
        "api_version": "2022-11-15",
        "created": 1767225600,
        "livemode": False,
        "type": kind,
        "data": {"object": INVOICE if about is None else about},
        **changes,
    }
    return {name: value for name, value in members.items() if value is not ...}


def thin(kind: str = "v1.invoice.paid", /, *, about: tuple[str, str] = ("invoice", "in_1"), **changes: Any) -> Any:
    """A thin event about an object of a kind, an invoice by default; a change to `...` leaves the member out."""
    members = {
        "id": "evt_thin",
        "object": "v2.core.event",
        "created": "2026-01-01T00:00:00.900Z",
        "livemode": False,
        "type": kind,
        "context": None,
        "related_object": {"id": about[1], "type": about[0], "url": f"/v1/{about[0]}s/{about[1]}"},
        "snapshot_event": "evt_1",
        **changes,
    }
    return {name: value for name, value in members.items() if value is not ...}


def body_of(value: object) -> bytes:
    return json.dumps(value).encode()


def signature(body: bytes, *secrets: str, age: int = 0, scheme: str = "v1") -> bytes:
    """A `Stripe-Signature` header over *body* by each of *secrets*, *age* seconds old; without Stripe's library."""
    at = int(time.time()) - age
    codes = [
        hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest() for secret in secrets or [SECRET]
    ]
    return ",".join([f"t={at}", *(f"{scheme}={code}" for code in codes)]).encode()
