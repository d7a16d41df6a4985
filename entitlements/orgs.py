"""
Orgs as operators have set them: a marketplace's own names for Stripe's customers. Edge: Postgres.

Settings, not facts: they lie in a schema of their own, which a rebuild of the facts leaves alone, and no record of the
log says them. A row says what a name was set to, by whom and when; the latest row of a name counts, and all of them
stay. Each change is announced on `SETTINGS_CHANNEL` when it is committed. The functions take a connection and never
commit.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Identity,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Row,
    Table,
    Text,
    exists,
    func,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import distinct_on, insert

from entitlements.everyone import CustomerName
from entitlements.ledger import TransactionId
from entitlements.tables import metadata as facts_metadata

SETTINGS_CHANNEL = "entitle_settings"
"""Where PostgreSQL notifies of a change of orgs or keys that was committed; the payload is empty."""

metadata = MetaData(naming_convention=facts_metadata.naming_convention)


def transaction_id() -> Column[str]:
    """By which a reader goes on from what it has read, though ids are given before commits."""
    return Column(
        "xid",
        TransactionId(),
        nullable=False,
        server_default=func.pg_current_xact_id(),
        comment="whose commit makes this visible: a reader who goes on by it must wait for older ones",
    )


orgs = Table(
    "orgs",
    metadata,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("integration", Text, nullable=False),
    Column("org", Text, nullable=False),
    Column("customer", Text, comment="NULL: the name was taken away"),
    Column("set_by", Text, nullable=False),
    Column("set_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    transaction_id(),
    PrimaryKeyConstraint("id"),
    Index(None, "integration", "org", "id"),
    Index(None, "xid"),
    comment="Which customer an operator said an org is; the latest row of an org counts",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgSetting:
    """An operator, *set_by*, said at *set_at* that this org is this customer of the integration."""

    integration: str
    org: str
    customer: str
    set_by: str
    set_at: datetime


def set_org(connection: Connection, *, integration: str, org: str, customer: str, set_by: str) -> OrgSetting:
    """From now on the org is this customer, whatever it was before."""
    values = {"integration": integration, "org": org, "customer": customer, "set_by": set_by}
    row = connection.execute(insert(orgs).values(values).returning(orgs)).one()
    announce(connection)
    return _setting(row)


def take_away(connection: Connection, *, integration: str, org: str, set_by: str) -> None:
    """From now on the org is nobody."""
    values = {"integration": integration, "org": org, "customer": None, "set_by": set_by}
    connection.execute(insert(orgs).values(values))
    announce(connection)


def announce(connection: Connection) -> None:
    """Once this transaction is committed, tell whoever listens that settings have changed."""
    connection.execute(select(func.pg_notify(SETTINGS_CHANNEL, "")))


def setting_of(connection: Connection, *, integration: str, org: str, at: datetime | None = None) -> OrgSetting | None:
    """What the org is set to, or was *at* a moment; None where it was not yet, or was taken away."""
    latest = select(orgs).where(orgs.c.integration == integration, orgs.c.org == org).order_by(orgs.c.id.desc())
    if at is not None:
        latest = latest.where(orgs.c.set_at <= at)
    row = connection.execute(latest.limit(1)).one_or_none()
    return None if row is None or row.customer is None else _setting(row)


def settings_in(connection: Connection) -> tuple[OrgSetting, ...]:
    """What every org of every integration is set to, in order of integration and name."""
    name = (orgs.c.integration, orgs.c.org)
    latest = select(orgs).ext(distinct_on(*name)).order_by(*name, orgs.c.id.desc())
    return tuple(_setting(row) for row in connection.execute(latest) if row.customer is not None)


def orgs_of(connection: Connection, whom: Collection[CustomerName]) -> frozenset[tuple[CustomerName, str]]:
    """The orgs that are set to any of these customers; it costs a look at all orgs, once for many customers."""
    later, named = orgs.alias("later"), [(each.integration, each.customer) for each in whom]
    is_latest = ~exists().where(
        later.c.integration == orgs.c.integration, later.c.org == orgs.c.org, later.c.id > orgs.c.id
    )
    query = select(orgs).where(tuple_(orgs.c.integration, orgs.c.customer).in_(named), is_latest)
    return frozenset(
        (CustomerName(integration=row.integration, customer=row.customer), row.org)
        for row in (connection.execute(query) if named else ())
    )


def _setting(row: Row[Any]) -> OrgSetting:
    return OrgSetting(**{name: row._mapping[name] for name in OrgSetting.__slots__})
