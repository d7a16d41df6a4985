"""
The tables of facts. Append-only: no row is ever deleted, and only `stated_at` changes, to the smaller. Pure.

No table names its schema: the connection's `search_path` does, since a rebuild fills another schema than the live one.
Every constraint carries the sentence that it enforces. What takes paid access back is in `reversal_tables.py`, what
operators did in `act_tables.py`.
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    text,
)
from sqlalchemy.sql.schema import SchemaItem

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_by_%(column_0_N_name)s",
        "uq": "%(table_name)s_unique_%(column_0_N_name)s",
        "ck": "%(table_name)s_%(constraint_name)s",
        "fk": "%(table_name)s_%(column_0_N_name)s_of_%(referred_table_name)s",
        "pk": "%(table_name)s_key",
    }
)


def digest() -> Column[bytes]:
    """What identifies a fact."""
    return Column(
        "digest",
        LargeBinary,
        primary_key=True,
        comment="SHA-256 of what the fact says: every other column but stated_at follows from it",
    )


def moment(name: str, *, nullable: bool = True, comment: str | None = None) -> Column[object]:
    """A moment, with its zone."""
    return Column(name, DateTime(timezone=True), nullable=nullable, comment=comment)


def stated_at() -> Column[object]:
    """The one column that is joined rather than given."""
    return moment("stated_at", nullable=False, comment="smallest `created` of the Stripe events that say so")


def whole_digest() -> SchemaItem:
    """That a digest is whole."""
    return CheckConstraint("octet_length(digest) = 32", name="digest_is_sha256")


grants = Table(
    "grants",
    metadata,
    digest(),
    Column("integration", Text, nullable=False),
    Column("customer", Text, nullable=False),
    Column("invoice", Text, nullable=False),
    Column("line", Text, nullable=False),
    Column("status", Text, nullable=False, comment="the invoice's, as the snapshot showed it"),
    moment("finalized_at"),
    moment("paid_at"),
    moment("invoice_created", nullable=False),
    Column("billing_reason", Text),
    moment("due_date"),
    Column("subscription", Text),
    Column("subscription_item", Text),
    Column("price", Text),
    Column("amount", BigInteger, nullable=False, comment="in the currency's smallest unit"),
    Column("quantity", Numeric),
    moment("period_start", nullable=False),
    moment("period_end", nullable=False),
    Column("proration", Boolean, nullable=False),
    Column("usage_type", Text, comment="NULL where the payload does not carry the price"),
    Column("line_plan", Text, nullable=False, comment="the line's metadata entitlement_plan; empty: none"),
    Column("price_plan", Text, comment="the price's; empty: none; NULL: the payload does not carry the price"),
    Column("invoice_plan", Text, nullable=False, comment="the invoice's; empty: none"),
    Column("invoice_total", BigInteger, comment="in the currency's smallest unit"),
    stated_at(),
    whole_digest(),
    CheckConstraint("status in ('open', 'uncollectible', 'paid', 'void')", name="not_of_a_draft"),
    CheckConstraint("paid_at is null or status = 'paid'", name="paid_only_when_paid"),
    CheckConstraint("amount >= 0", name="not_of_a_credit_line"),
    Index(None, "integration", "customer"),
    comment="A line of a customer's invoice was billed or paid for a cycle; a row for each thing snapshots said of it",
)

revocations = Table(
    "revocations",
    metadata,
    digest(),
    Column("integration", Text, nullable=False),
    Column("customer", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("invoice", Text, nullable=False),
    moment("at", comment="when, as the snapshot gives it"),
    Column("status", Text, comment="of a credit line's invoice, as the snapshot showed it"),
    Column("line", Text, comment="the credit line"),
    moment("finalized_at"),
    Column("subscription", Text),
    Column("subscription_item", Text),
    Column("price", Text),
    moment("period_start"),
    Column("credited_invoice", Text),
    Column("credited_lines", ARRAY(Text), nullable=False),
    stated_at(),
    whole_digest(),
    CheckConstraint("kind in ('voided', 'marked_uncollectible', 'credited')", name="kind_is_known"),
    CheckConstraint(
        "(kind = 'credited') = (line is not null and period_start is not null and status is not null)",
        name="credit_names_its_line",
    ),
    Index(None, "integration", "customer"),
    comment="From then on, what came from this source is over",
)

invoices = Table(
    "invoices",
    metadata,
    digest(),
    Column("integration", Text, nullable=False),
    Column("customer", Text, nullable=False),
    Column("invoice", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("number", Text),
    Column("subscription", Text),
    Column("currency", Text),
    Column("total", BigInteger),
    Column("amount_due", BigInteger),
    Column("amount_paid", BigInteger),
    Column("amount_remaining", BigInteger),
    Column("pay_at", Text, comment="Stripe's hosted page of the invoice; opens it to whoever has it, so never logged"),
    moment("created", nullable=False),
    moment("due_date"),
    moment("finalized_at", comment="this and the next three: as the snapshot gives it"),
    moment("uncollectible_at"),
    moment("voided_at"),
    moment("paid_at"),
    Column("invoice_plan", Text, nullable=False, comment="the metadata's entitlement_plan; empty: none"),
    Column("lines_complete", Boolean, nullable=False, comment="false: Stripe left lines out of the payload"),
    stated_at(),
    whole_digest(),
    CheckConstraint("status in ('open', 'uncollectible', 'paid', 'void')", name="not_a_draft"),
    CheckConstraint("paid_at is null or status = 'paid'", name="paid_only_when_paid"),
    CheckConstraint("voided_at is null or status = 'void'", name="voided_only_when_void"),
    Index(None, "integration", "customer"),
    Index("invoices_lacking_lines", "integration", "invoice", postgresql_where=text("NOT lines_complete")),
    comment="What a person is shown of an invoice; decides what left-out lines hide, and nothing else",
)

customers = Table(
    "customers",
    metadata,
    digest(),
    Column("integration", Text, nullable=False),
    Column("customer", Text, nullable=False),
    whole_digest(),
    Index(None, "integration", "customer", unique=True),
    comment="Stripe has named this customer",
)

catalog_revisions = Table(
    "catalog_revisions",
    metadata,
    digest(),
    Column("number", Integer, nullable=False),
    moment("in_force_from", comment="NULL: from the beginning of time"),
    Column("applied_by", Text, nullable=False),
    Column("document", Text, nullable=False, comment="the catalog as canonical JSON"),
    whole_digest(),
    CheckConstraint("number >= 1", name="number_counts_from_one"),
    Index(None, "number"),
    comment="The catalogs that operators applied",
)
