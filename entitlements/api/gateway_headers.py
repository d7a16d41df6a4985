"""
What a gateway is told, as HTTP: status, headers and body (docs/gateways.md has the table). Edge: HTTP.

Every `Entitlement-*` header stands in every answer: one that is left out would be, behind some gateways, whatever the
client wrote there. Gateways hand all headers of a denial to the client, so nothing in them is secret from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import msgspec

from entitlements.api.answers import cycle, rfc3339
from entitlements.api.credentials import SourceKind, Trust
from entitlements.api.gateway_answers import Told
from entitlements.api.original import HOST, METHOD, URI
from entitlements.api.subjects import SubjectType

NONE = "none"
NAMES = (
    "Decision",
    "Status",
    "Reason",
    "Org",
    "Customer",
    "Api",
    "Plan",
    "Invoice",
    "Expires",
    "Pay-At",
    "Degraded",
)
"""Of the headers `Entitlement-…`, in the order in which they are sent."""

REMEMBERED = 4096
"""How many names are kept as they stand in headers: those who ask, ask again."""

_HEADERS = tuple(f"entitlement-{name.lower()}".encode() for name in NAMES)

FOLDED = frozenset({HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.TOO_MANY_REQUESTS})
"""What gateways that know 401 and 403 alone are told as 403."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """Status, headers and body as they are sent."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """What all answers of one kind of mount have in common: what they vary by, and whether 402 and 429 become 403."""

    vary: bytes
    is_folding: bool = False


def as_http(told: Told, manners: Manners) -> HttpAnswer:
    """The answer as a mount of these *manners* gives it: an empty body for 200, else a problem of RFC 9457."""
    is_folded = manners.is_folding and told.status in FOLDED
    status = HTTPStatus.FORBIDDEN if is_folded else told.status
    body = b"" if status == HTTPStatus.OK else msgspec.json.encode(_problem(told, status))
    headers = [
        *zip(_HEADERS, _stated(told), strict=True),
        (b"cache-control", told.cache_control.encode()),
        (b"vary", manners.vary),
        (b"content-length", str(len(body)).encode()),
        *told.more,
    ]
    if body:
        headers.append((b"content-type", b"application/problem+json"))
    return HttpAnswer(status=status.value, headers=tuple(headers), body=body)


def vary_of(trust: Trust, *, by_headers: bool) -> bytes:
    """Every header that says who asks; where *by_headers* says what for, those too. Of at most 128 bytes for nginx."""
    named = [source.header for source in trust.sources]
    if trust.api_header is not None:
        named.append(trust.api_header)
    if by_headers:
        named += [header.decode().title() for header in (METHOD, HOST, URI)]
    return ", ".join(named).encode()


def challenge_of(trust: Trust) -> bytes:
    """How a caller can make itself known, for `WWW-Authenticate`."""
    bearer = any(source.kind is SourceKind.BEARER for source in trust.sources)
    keys = [source.header for source in trust.sources if source.kind is SourceKind.KEY]
    challenges = [*(["Bearer"] if bearer else []), *(f'ApiKey header="{header}"' for header in keys)]
    return (", ".join(challenges) or "Gateway").encode()


def _stated(told: Told) -> Sequence[bytes]:
    """The values of `NAMES`, in their order."""
    decision, subject = told.decision, told.subject
    allowance = "allow" if told.status == HTTPStatus.OK else "deny"
    return [
        NONE.encode() if told.status == HTTPStatus.SERVICE_UNAVAILABLE else allowance.encode(),
        str(told.status.value).encode(),
        told.reason.encode(),
        _name(subject.id if subject is not None and subject.type is SubjectType.ORG else None),
        _name(told.customer),
        _name(told.api),
        _name(None if decision is None else decision.plan),
        _name(None if decision is None else decision.invoice),
        NONE.encode() if decision is None or decision.until is None else rfc3339(decision.until).encode(),
        _address(None if decision is None else decision.pay_at),
        b"1" if told.degraded else NONE.encode(),
    ]


@lru_cache(REMEMBERED)
def _name(name: str | None) -> bytes:
    """
    A name as it may stand in a header: all but visible ASCII in percent-encoding, and a name that is `none` too, since
    that says that there is none.
    """
    if name is None:
        return NONE.encode()
    if name == NONE:
        return b"%6Eone"
    if name.isascii() and name.isprintable() and not {" ", "%"} & set(name):
        return name.encode()
    return b"".join(
        bytes((byte,)) if 0x21 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte for byte in name.encode()
    )


def _address(address: str | None) -> bytes:
    """A web address of Stripe's; one that can't stand in a header does not."""
    stated = address if address is not None and address.isascii() and address.isprintable() else NONE
    return stated.encode()


def _problem(told: Told, status: HTTPStatus) -> dict[str, Any]:
    decision, subject = told.decision, told.subject
    stated = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": told.detail,
        "reason": told.reason,
        "api": told.api,
        "org": subject.id if subject is not None and subject.type is SubjectType.ORG else None,
        "customer": told.customer,
        "plan": decision and decision.plan,
        "invoice": decision and decision.invoice,
        "cycle": None if decision is None or decision.cycle is None else cycle(decision.cycle),
        "pay_at": decision and decision.pay_at,
    }
    return {name: value for name, value in stated.items() if value is not None}
