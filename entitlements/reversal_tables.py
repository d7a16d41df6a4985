"""
The tables of what takes paid access back: payments, refunds, disputes, credit notes, subscriptions' ends. Pure.

A refund and a dispute name a payment and no customer, so they are found by payment. Append-only, as `tables.py`.
"""

from __future__ import annotations

from sqlalchemy import ARRAY, BigInteger, Boolean, CheckConstraint, Column, Index, Table, Text

from entitlements.tables import digest, metadata, moment, stated_at, whole_digest

payment_links = Table(
    "payment_links",
    metadata,
    digest(),
    Column("integration", Text, nullable=False),
    Column("invoice", Text),
    Column("payment_intent", Text),
    Column("charge", Text),
    Column("customer", Text),
    whole_digest(),
    CheckConstraint("num_nonnulls(payment_intent, charge) > 0", name="names_a_payment"),
    CheckConstraint("num_nonnulls(invoice, payment_intent, charge, customer) > 1", name="links_something"),
    Index(None, "integration", "customer"),
    Index(None, "integration", "invoice"),
    Index(None, "integration", "payment_intent"),
    Index(None, "integration", "charge"),
    comment="These belong together: an invoice, what paid it, and whose it is",
)

amounts_refunded = Table(
    "amounts_refunded",
    metadata,
    digest(),
    Column("integration", Text, nullable=False),
    Column("charge", Text, nullable=False),
    Column("payment_intent", Text),
    Column("amount", BigInteger, nullable=False, comment="in the currency's smallest unit"),
    stated_at(),
    whole_digest(),
    CheckConstraint("amount > 0", name="refunds_something"),
    Index(None, "integration", "charge"),
    comment="So much of a charge had been refunded in all; what had been before stays true",
)

refunds = Table(
    "refunds",
    metadata,
    digest(),
    Column("integration", Text, nullable=False),
    Column("refund", Text, nullable=False),
    Column("charge", Text),
    Column("payment_intent", Text),
    Column("amount", BigInteger, nullable=False, comment="in the currency's smallest unit"),
    Column("status", Text, nullable=False, comment="in Stripe's words"),
    stated_at(),
    whole_digest(),
    Index(None, "integration", "charge"),
    Index(None, "integration", "payment_intent"),
    comment="A refund of a payment had this status",
)

disputes = Table(
    "disputes",
    metadata,
    digest(),
    Column("integration", Text, nullable=False),
    Column("dispute", Text, nullable=False),
    Column("charge", Text),
    Column("payment_intent", Text),
    Column("status", Text, nullable=False, comment="in Stripe's words"),
    Column("is_closing", Boolean, nullable=False, comment="told by the event that closes a dispute"),
    moment("at", nullable=False, comment="`created` of the event; which of several closings counts, it decides"),
    whole_digest(),
    Index(None, "integration", "charge"),
    Index(None, "integration", "payment_intent"),
    comment="A dispute over a payment had this status",
)

credit_notes = Table(
    "credit_notes",
    metadata,
    digest(),
    Column("integration", Text, nullable=False),
    Column("customer", Text, nullable=False),
    Column("credit_note", Text, nullable=False),
    Column("invoice", Text, nullable=False),
    Column("amount", BigInteger, nullable=False, comment="in the currency's smallest unit"),
    moment("issued_at", nullable=False),
    Column("is_void", Boolean, nullable=False),
    moment("voided_at"),
    Column("names_refund", Boolean, nullable=False, comment="then the refund counts, and not this"),
    Column("lines", ARRAY(Text), nullable=False, comment="the invoice's lines that it credits"),
    Column("line_amounts", ARRAY(BigInteger), nullable=False, comment="by how much, in the same order"),
    stated_at(),
    whole_digest(),
    CheckConstraint("voided_at is null or is_void", name="voided_only_when_void"),
    CheckConstraint("cardinality(lines) = cardinality(line_amounts)", name="each_line_has_its_amount"),
    Index(None, "integration", "customer"),
    comment="A credit note for an invoice was issued, or voided again",
)

ended_subscriptions = Table(
    "ended_subscriptions",
    metadata,
    digest(),
    Column("integration", Text, nullable=False),
    Column("customer", Text, nullable=False),
    Column("subscription", Text, comment="NULL: every one, for the customer was deleted"),
    moment("ended_at"),
    stated_at(),
    whole_digest(),
    Index(None, "integration", "customer"),
    comment="A subscription ended: no leeway and no unpaid terms from then on",
)
