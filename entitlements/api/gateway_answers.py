"""
What a gateway is told at its mounts: status, reason, and for how long (docs/gateways.md). Edge: HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from http import HTTPStatus
from types import MappingProxyType

from entitlements.api.answering import Answer
from entitlements.api.credentials import Unidentified
from entitlements.api.responses import RETRY_AFTER_SECONDS
from entitlements.api.subjects import Subject
from entitlements.domain.access import ALLOW_MAX_AGE, DENY_MAX_AGE
from entitlements.domain.decision import Decision, Reason
from entitlements.domain.quotas import QuotaAllowed

STALE_IF_ERROR = timedelta(minutes=5)
"""How long a cache may go on with an answer when nobody answers; never past the next boundary."""

CACHES_LAG = timedelta(seconds=1)
"""nginx counts whole seconds: what may be kept for n seconds it keeps for less than n + 1."""

UNIDENTIFIED_MAX_AGE_S = 5
REMEMBERED = 1024
"""Of how many quotas the header is kept."""

NO_STORE = "no-store"
WINDOWS = MappingProxyType({"day": 86_400, "week": 604_800})
"""Seconds of the spans that always have as many; a cycle, a month and a year do not."""

DETAILS: Mapping[str, str] = MappingProxyType(
    {
        Reason.UNKNOWN_API: "This request is for no API that is sold here.",
        Reason.BLOCKED: "Access was blocked by the provider.",
        Reason.PAYMENT_REQUIRED: "An invoice for the current billing cycle is not paid.",
        Reason.REFUNDED: "What was paid for this billing cycle has been given back.",
        Reason.DISPUTED: "The payment for this billing cycle is disputed.",
        Reason.CYCLE_LAPSED: "The last paid billing cycle is over.",
        Reason.UNKNOWN_SUBJECT: "Nobody of this name is known here.",
        Reason.NOT_ENTITLED: "No plan that opens this API was bought.",
        Unidentified.NO_CREDENTIAL.value: "The request has no credential.",
        Unidentified.UNKNOWN_CREDENTIAL.value: "Nobody holds this credential.",
    }
)
UNKNOWN_GATEWAY = "unknown_gateway"
CANNOT_DECIDE = "cannot_decide"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """
    One answer before it is HTTP. *status* is what is meant, whatever a mount makes of it; *subject*, *customer* and
    *decision* are None as far as they are not known; *more* are further headers.
    """

    status: HTTPStatus
    reason: str
    detail: str
    cache_control: str
    api: str | None = None
    subject: Subject | None = None
    customer: str | None = None
    decision: Decision | None = None
    degraded: bool = False
    more: tuple[tuple[bytes, bytes], ...] = ()


def decided(answer: Answer, api: str, now: datetime) -> Told:
    """What *answer* says, and how long it may be kept at the moment *now*."""
    decision = answer.decision
    policy = ", ".join(rate_limit_policy(quota) for quota in decision.quotas)
    return Told(
        status=HTTPStatus(decision.reason.status),
        reason=decision.reason.value,
        detail=DETAILS.get(decision.reason, ""),
        cache_control=cache_control(decision, now),
        api=api,
        subject=answer.subject,
        customer=answer.customer,
        decision=decision,
        degraded=answer.degraded,
        more=((b"ratelimit-policy", policy.encode()),) if policy else (),
    )


def no_such_api(subject: Subject) -> Told:
    """403 for a request that no route and no trusted header gives an API. A new catalog may, so it is not kept long."""
    return Told(
        status=HTTPStatus.FORBIDDEN,
        reason=Reason.UNKNOWN_API.value,
        detail=DETAILS[Reason.UNKNOWN_API],
        cache_control="max-age=2",
        subject=subject,
    )


def unidentified(why: Unidentified, challenge: bytes) -> Told:
    """401: nobody is known to be asking."""
    return Told(
        status=HTTPStatus.UNAUTHORIZED,
        reason=why.value,
        detail=DETAILS[why.value],
        cache_control=f"max-age={UNIDENTIFIED_MAX_AGE_S}",
        more=((b"www-authenticate", challenge),),
    )


def unknown_gateway() -> Told:
    """401: it is the gateway that is not known, whoever its client is. Never kept: it is to be mended."""
    return Told(
        status=HTTPStatus.UNAUTHORIZED,
        reason=UNKNOWN_GATEWAY,
        detail="The gateway must present a token of ENTITLE_QUERY_TOKENS, in the header Entitlement-Gateway-Token.",
        cache_control=NO_STORE,
        more=((b"www-authenticate", b'Bearer realm="entitlements of the gateway"'),),
    )


def cannot_decide(detail: str) -> Told:
    """503: nothing is known, which is no denial."""
    return Told(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        reason=CANNOT_DECIDE,
        detail=detail,
        cache_control=NO_STORE,
        more=((b"retry-after", str(RETRY_AFTER_SECONDS).encode()),),
    )


def cache_control(decision: Decision, now: datetime) -> str:
    """
    How long a gateway's cache may keep *decision*, in whole seconds that end before the decision would change.

    Also how long it may be used while nobody answers. The two together do not pass an allowance's `until`, nor the next
    moment at which time alone may end a denial.
    """
    at_most, boundary = _kept_at_most(decision)
    left = None if boundary is None else max(boundary - now - CACHES_LAG, timedelta(0))
    fresh = at_most if left is None else min(at_most, left)
    max_age = min(fresh, decision.max_age) // timedelta(seconds=1)
    stale = STALE_IF_ERROR if left is None else min(STALE_IF_ERROR, left - timedelta(seconds=max_age))
    return f"max-age={max_age}, stale-if-error={max(stale, timedelta(0)) // timedelta(seconds=1)}"


@lru_cache(REMEMBERED)
def same_until(decision: Decision, until: datetime) -> datetime:
    """Until when `cache_control` says the same of a *decision* that is the same *until* then."""
    at_most, boundary = _kept_at_most(decision)
    return until if boundary is None else min(until, boundary - CACHES_LAG - at_most - STALE_IF_ERROR)


def _kept_at_most(decision: Decision) -> tuple[timedelta, datetime | None]:
    """How long it may be kept while it is asked about, and the moment that nothing kept may pass."""
    return (ALLOW_MAX_AGE, decision.until) if decision.allowed else (DENY_MAX_AGE, decision.opens)


def rate_limit_policy(quota: QuotaAllowed) -> str:
    """A quota as draft-ietf-httpapi-ratelimit-headers writes it; its window where that has always as many seconds."""
    unit = "" if quota.unit == "requests" else f";qu={_structured(quota.unit)}"
    window = f";w={WINDOWS[quota.per]}" if quota.per in WINDOWS else ""
    return f"{_structured(quota.name)};q={quota.limit}{unit}{window}"


def _structured(text: str) -> str:
    """A String of RFC 9651, which has ASCII alone."""
    ascii_alone = "".join(character if " " <= character <= "~" else "?" for character in text)
    return '"' + ascii_alone.replace("\\", "\\\\").replace('"', '\\"') + '"'
