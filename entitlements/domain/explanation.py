"""
An explanation as values: the decision, how every grant and revocation spoke, what would change the answer. Pure.

`why.py` makes it of the facts, `sentences.py` and its neighbours put it into words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from entitlements.domain.acts import Block, ManualGrant, ManualRevocation, Unblock
from entitlements.domain.catalog import Plan, Revision
from entitlements.domain.cycles import Cycle
from entitlements.domain.decision import Decision
from entitlements.domain.lines import BilledLine
from entitlements.domain.manual import Manual
from entitlements.domain.period import Period
from entitlements.domain.shown import InvoiceShown
from entitlements.domain.spans import Span
from entitlements.domain.traces import Traces


class How(StrEnum):
    """How a grant spoke at the moment asked about: the first four open the API, each other one says why it doesn't."""

    PAID = "paid"
    MANUAL = "manual"
    UNPAID_TERMS = "unpaid_terms"
    RENEWAL_LEEWAY = "renewal_leeway"
    BLOCKED = "blocked"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    CANCELLED = "cancelled"
    ENDED = "ended"
    NOT_YET = "not_yet"
    NOT_FINALIZED = "not_finalized"
    WITHHELD = "withheld"
    OPEN = "open"
    UNCOLLECTIBLE = "uncollectible"
    VOID = "void"
    PAID_TOO_LATE = "paid_too_late"
    OVER = "over"
    NO_PLAN = "no_plan"


class RevokedBy(StrEnum):
    """What ended something, or might have; the first three are what `RevocationKind` calls so."""

    VOIDED = "voided"
    MARKED_UNCOLLECTIBLE = "marked_uncollectible"
    CREDITED = "credited"
    REFUNDED = "refunded"
    CREDIT_NOTE = "credit_note"
    DISPUTED = "disputed"
    SUBSCRIPTION_ENDED = "subscription_ended"
    CUSTOMER_DELETED = "customer_deleted"
    MANUAL_GRANT_REVOKED = "manual_grant_revoked"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenBack:
    """
    So much of an invoice, or of a line of it, is given back at a moment: *amount* of *total*, and *lines* wholly.

    In the smallest unit of *currency*; None where that, or the total, is not known.
    """

    amount: int
    total: int | None
    currency: str | None
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedRevocation:
    """
    What ended something before its time, or might have: *ended* is what would be open without it or, where it is
    *shared*, what it would have ended had nothing else done so too.

    *id* is that of a refund, a charge (of which no refund is known), a credit note, a dispute, a subscription, a
    customer, or an operator's message; None for what an invoice itself came to. It counts from *at* until *until*
    (None: for good; *at* itself: it never did); *at* is None for credits of an invoice that is not paid. *status* and
    *amount* are its own, *given_back* what was of the whole invoice by then. *lines* are those that it credits; of an
    invoice's own credits, the credit lines themselves. *kept* says that the plan lets it end nothing. *act* is what an
    operator did, *lifted_by* what undid it.
    """

    kind: RevokedBy
    at: datetime | None
    id: str | None = None
    invoice: str | None = None
    lines: tuple[str, ...] = ()
    until: datetime | None = None
    status: str | None = None
    amount: int | None = None
    given_back: GivenBack | None = None
    kept: bool = False
    act: ManualRevocation | Block | None = None
    lifted_by: Unblock | None = None
    ended: tuple[Span | Manual, ...] = ()
    shared: bool = False
    spoke: bool = False

    def counts_at(self, moment: datetime) -> bool:
        """Whether it is in force at a moment."""
        return self.at is not None and self.at <= moment and (self.until is None or moment < self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Withholding:
    """A line is withheld *since* then *by* these refunds, credit notes or disputes; *given_back* is of it by now."""

    since: datetime
    by: tuple[ExplainedRevocation, ...]
    given_back: GivenBack | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedGrant:
    """
    A line of a plan that opens the API, and how it spoke: *spoke* is whether the decision rests on it.

    *opens* is all that it opens, whenever; *until* is when what it opens at the moment ends. *because_of* are other
    invoices on which that rests: the older ones that withhold its unpaid terms, those whose credits ended it.
    *withheld* is by what, where it is refunded or disputed.
    """

    cycle: Cycle
    how: How
    spoke: bool
    opens: tuple[Span, ...]
    until: datetime | None
    because_of: tuple[str, ...]
    withheld: Withholding | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedManual:
    """
    An operator's grant that opens the API, or that names a plan which no catalog has: then nobody knows what it opens.

    *opens* is when it does, None where it never does; *revocation* is what ended it before its own end.
    """

    grant: ManualGrant
    how: How
    spoke: bool
    opens: Period | None
    revision: int | None
    revocation: ManualRevocation | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paying:
    """Were *invoice*, which is owed at the moment, paid at it, the answer would be *decision*."""

    invoice: str
    decision: Decision

    @property
    def until(self) -> datetime | None:
        """Until when the API would be open; None where paying closes it, or for good."""
        return self.decision.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoing:
    """Were all that is of *kind*, with these *ids*, undone at the moment, the answer would be *decision*."""

    kind: RevokedBy
    ids: tuple[str, ...]
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The answer from *at* on, if nothing more becomes known."""

    at: datetime
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlinked:
    """
    Money that was taken back and ends nothing, for the invoice it was paid for is not known.

    *taken_back* are refunds, disputes or credit notes, of the payment with these *ids*; *invoices* are those that it is
    said to be for, of which nothing is known.
    """

    taken_back: tuple[str, ...]
    payment: tuple[str, ...]
    invoices: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonsEye:
    """
    What a person should look at, since it may hide a grant or is not what Stripe says can be.

    *unmapped* are lines of no plan, *incomplete* the invoices of which Stripe left lines out, *contradictory* those
    seen both paid and void, *lineless* the newest of which no line is known: their events may have been set aside.
    *unlinked* is money taken back that leads nowhere; *homeless* are revocations of operators' grants that are unknown.
    """

    unmapped: tuple[BilledLine, ...]
    incomplete: tuple[str, ...]
    contradictory: tuple[str, ...]
    lineless: tuple[str, ...]
    unlinked: tuple[Unlinked, ...]
    homeless: tuple[ManualRevocation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """
    A decision and why; everything in order of time. *is_past* says that the moment has gone by: nothing paid from now
    on counts for it.

    *invoices* are those that grants and revocations rest on, by id, as they are known now. *revisions* are the catalog
    revisions that gave terms and the one in force now; *plans* are the plans of that one that open the API. *nameable*
    are the lines of no plan that would count at the moment, had they one. *left_out* counts the invoices that were too
    many to tell. *traces* say by what the log's records of all this are found.
    """

    decision: Decision
    at: datetime
    is_past: bool
    grants: tuple[ExplainedGrant, ...]
    manual: tuple[ExplainedManual, ...]
    revocations: tuple[ExplainedRevocation, ...]
    invoices: Mapping[str, InvoiceShown]
    revisions: tuple[Revision, ...]
    payments: tuple[Paying, ...]
    undoings: tuple[Undoing, ...]
    change: Change | None
    plans: tuple[Plan, ...]
    known_apis: tuple[str, ...]
    nameable: tuple[BilledLine, ...]
    eye: PersonsEye
    left_out: int
    traces: Traces
