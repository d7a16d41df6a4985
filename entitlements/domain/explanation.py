"""
An explanation as values: the decision, how every grant and revocation spoke, what would change the answer. Pure.

`why.py` makes it of the facts, `sentences.py` puts it into words. Facts to come have their places here: what refunds,
disputes and cancellations end (R5, R6, R7) are more kinds of revocation, operators' grants (R10) are more grants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from entitlements.domain.access import Decision
from entitlements.domain.catalog import Plan, Revision
from entitlements.domain.cycles import Cycle
from entitlements.domain.facts import RevocationKind
from entitlements.domain.invoice import BilledLine
from entitlements.domain.shown import InvoiceShown
from entitlements.domain.spans import Span


class How(StrEnum):
    """How a grant spoke at the moment asked about: the first three open the API, each other one says why it doesn't."""

    PAID = "paid"
    UNPAID_TERMS = "unpaid_terms"
    RENEWAL_LEEWAY = "renewal_leeway"
    ENDED = "ended"
    NOT_YET = "not_yet"
    NOT_FINALIZED = "not_finalized"
    WITHHELD = "withheld"
    OPEN = "open"
    UNCOLLECTIBLE = "uncollectible"
    VOID = "void"
    PAID_TOO_LATE = "paid_too_late"
    OVER = "over"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedGrant:
    """
    A line of a plan that opens the API, and how it spoke: *spoke* is whether the decision rests on it.

    *opens* is all that it opens, whenever; *until* is when what it opens at the moment ends. *because_of* are other
    invoices on which that rests: the older ones that withhold its unpaid terms, those whose credits ended it.
    """

    cycle: Cycle
    how: How
    spoke: bool
    opens: tuple[Span, ...]
    until: datetime | None
    because_of: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedRevocation:
    """
    What ended something before its time, or might have: *ended* is what would be open without it.

    *lines* are the credit lines of the invoice that take effect at that moment, none for other kinds; *at* is None for
    those of an invoice that is not paid.
    """

    kind: RevocationKind
    invoice: str
    lines: tuple[str, ...]
    at: datetime | None
    spoke: bool
    ended: tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """Paying *invoice*, which is owed at the moment, opens the API until *until*; None: it ends what is open."""

    invoice: str
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The answer from *at* on, if nothing more becomes known."""

    at: datetime
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """
    A decision and why; everything in order of time. *is_past* says that the moment has gone by: nothing paid from now
    on counts for it.

    *invoices* are those that grants and revocations rest on, by id, as they are known now. *revisions* are the catalog
    revisions that gave terms and the one in force now; *plans* are the plans of that one that open the API. *unmapped*,
    *incomplete* and *contradictory* need a person's eye: lines of no plan, invoices of which Stripe left lines out,
    invoices seen both paid and void. *nameable* are the lines of no plan that would count at the moment, had they one.
    *lineless* are the newest invoices of which no line is known: their events may have been set aside.
    *left_out* counts the invoices that were too many to tell.
    """

    decision: Decision
    at: datetime
    is_past: bool
    grants: tuple[ExplainedGrant, ...]
    revocations: tuple[ExplainedRevocation, ...]
    invoices: Mapping[str, InvoiceShown]
    revisions: tuple[Revision, ...]
    payments: tuple[Payment, ...]
    change: Change | None
    plans: tuple[Plan, ...]
    known_apis: tuple[str, ...]
    unmapped: tuple[BilledLine, ...]
    nameable: tuple[BilledLine, ...]
    incomplete: tuple[str, ...]
    contradictory: tuple[str, ...]
    lineless: tuple[str, ...]
    left_out: int
