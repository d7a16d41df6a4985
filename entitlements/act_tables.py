"""The tables of what operators did for one customer (R10). Append-only, as `tables.py`. Pure."""

from __future__ import annotations

from sqlalchemy import ARRAY, CheckConstraint, Column, Index, Table, Text
from sqlalchemy.sql.schema import SchemaItem

from entitlements.tables import digest, metadata, moment, whole_digest


def _of_an_act(*says: SchemaItem) -> tuple[SchemaItem, ...]:
    """The columns that every act has, around what this kind *says*."""
    return (
        digest(),
        Column("integration", Text, nullable=False),
        Column("customer", Text, nullable=False),
        Column("id", Text, nullable=False, comment="of the operator's message"),
        *says,
        moment("at", nullable=False, comment="when the operator said it"),
        Column("by", Text, nullable=False),
        Column("reason", Text, nullable=False),
        whole_digest(),
        Index(None, "integration", "customer"),
    )


manual_grants = Table(
    "manual_grants",
    metadata,
    *_of_an_act(
        Column("plan", Text),
        Column("apis", ARRAY(Text), nullable=False),
        moment("start", nullable=False),
        moment("end", comment="NULL: for ever"),
        CheckConstraint("(plan is null) = (cardinality(apis) > 0)", name="of_a_plan_or_of_apis"),
    ),
    comment="An operator opened a plan or APIs to a customer, whatever is paid",
)

manual_revocations = Table(
    "manual_revocations",
    metadata,
    *_of_an_act(
        Column("grant", Text, nullable=False, comment="the manual grant's id"), moment("since", nullable=False)
    ),
    comment="A manual grant is over from then on",
)

blocks = Table(
    "blocks",
    metadata,
    *_of_an_act(moment("start", nullable=False), moment("end", comment="NULL: until it is lifted")),
    comment="A customer may call nothing, whatever is paid",
)

unblocks = Table(
    "unblocks",
    metadata,
    *_of_an_act(moment("since", nullable=False)),
    comment="Every block of a customer that was said before is over from then on",
)
