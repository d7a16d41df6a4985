"""What a decision says: may a customer call an API at a moment, why, and until when (contract, section 6). Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from entitlements.domain.period import Period
from entitlements.domain.quotas import QuotaAllowed


class Reason(StrEnum):
    """Why access is allowed or denied (contract, section 6)."""

    PAID = "paid"
    MANUAL = "manual"
    UNPAID_TERMS = "unpaid_terms"
    RENEWAL_LEEWAY = "renewal_leeway"
    UNKNOWN_API = "unknown_api"
    BLOCKED = "blocked"
    PAYMENT_REQUIRED = "payment_required"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    CYCLE_LAPSED = "cycle_lapsed"
    UNKNOWN_SUBJECT = "unknown_subject"
    NOT_ENTITLED = "not_entitled"

    @property
    def allows(self) -> bool:
        return self in ALLOWING

    @property
    def status(self) -> int:
        """The HTTP status by which a gateway says it: 200, 402 where paying would help, else 403."""
        if self.allows:
            return 200
        return 402 if self in (Reason.PAYMENT_REQUIRED, Reason.CYCLE_LAPSED) else 403


ALLOWING = (Reason.PAID, Reason.MANUAL, Reason.UNPAID_TERMS, Reason.RENEWAL_LEEWAY)
"""The first of these that holds is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """
    The answer for one API at one moment.

    *until* is when the answer would turn to a denial if nothing more became known; None for a denial, or for never.
    *opens* is the next moment at which time alone may turn a denial into something else; None for an allowance, or for
    never. It is no part of what the answer says. *max_age* is how long it may be kept. Plan, invoice and cycle are
    those that the reason rests on, None where it rests on none; *pay_at* is the invoice's hosted page. A *subscription*
    line's cycle is the line's own period.
    """

    api: str
    reason: Reason
    max_age: timedelta
    plan: str | None = None
    invoice: str | None = None
    cycle: Period | None = None
    until: datetime | None = None
    quotas: tuple[QuotaAllowed, ...] = ()
    pay_at: str | None = None
    catalog_revision: int | None = None
    opens: datetime | None = field(default=None, compare=False)

    @property
    def allowed(self) -> bool:
        return self.reason.allows
