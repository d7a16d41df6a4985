"""
API keys by which an org or a customer is known at a gateway: their digests, never the keys. Edge: Postgres.

Settings as orgs are, in the same schema. A row says that from then on a key is whose it is until *valid_until*; the
latest row of a key counts, and all of them stay. So a revoked key is one whose latest row ends, and a rotated one ends
when its grace does. The functions take a connection and never commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    DateTime,
    Identity,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Row,
    Table,
    Text,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import distinct_on, insert

from entitlements.orgs import announce, metadata, transaction_id

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("key", Text, nullable=False, comment="its public name, key_…"),
    Column("digest", LargeBinary, nullable=False, comment="SHA-256 of the key; the key itself is stored nowhere"),
    Column("integration", Text, nullable=False),
    Column("marketplace", Text, comment="NULL: for every marketplace of the integration"),
    Column("kind", Text, nullable=False, comment="what the holder is named as: org, or customer"),
    Column("holder", Text, nullable=False),
    Column("label", Text, comment="what people call it"),
    Column("valid_until", DateTime(timezone=True), comment="NULL: until it is revoked"),
    Column("set_by", Text, nullable=False),
    Column("set_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    transaction_id(),
    PrimaryKeyConstraint("id"),
    CheckConstraint("octet_length(digest) = 32", name="digest_is_sha256"),
    CheckConstraint("kind in ('org', 'customer')", name="kind_is_known"),
    Index(None, "digest", "id"),
    Index(None, "integration", "kind", "holder", "key", "id"),
    Index(None, "key", "id"),
    Index(None, "xid"),
    comment="Whose an API key is, and until when; the latest row of a key counts",
)


_COUNTS_FIRST = (api_keys.c.valid_until.asc().nulls_last(), api_keys.c.id.desc())
"""A key's end only ever comes nearer: the row that counts is the same whatever order two writers came in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """
    An operator, *set_by*, said at *set_at* that the key named *key* is its *holder*'s (an org or a customer, *kind*
    says which) until *valid_until*, None for as long as nobody revokes it. *digest* is the SHA-256 of the key itself.

    With a *marketplace* it opens what that one sells, and nothing else of the integration.
    """

    key: str
    digest: bytes
    integration: str
    marketplace: str | None
    kind: str
    holder: str
    label: str | None
    valid_until: datetime | None
    set_by: str
    set_at: datetime

    def is_valid(self, now: datetime) -> bool:
        """Whether it opens anything at *now*."""
        return self.valid_until is None or now < self.valid_until


def add_key(
    connection: Connection,
    *,
    key: str,
    digest: bytes,
    integration: str,
    marketplace: str | None,
    kind: str,
    holder: str,
    label: str | None,
    set_by: str,
) -> ApiKey:
    """A new key named *key*, valid until it is revoked."""
    values = {
        "key": key,
        "digest": digest,
        "integration": integration,
        "marketplace": marketplace,
        "kind": kind,
        "holder": holder,
        "label": label,
        "valid_until": None,
        "set_by": set_by,
    }
    return _said(connection, values)


def end_key(connection: Connection, before: ApiKey, *, valid_until: datetime, set_by: str) -> ApiKey:
    """
    The key is valid until then at most: a moment that has passed revokes it.

    Of several that are said the earliest counts, so that a rotation beside a revocation revives nothing.
    """
    values = {name: getattr(before, name) for name in ApiKey.__slots__ if name != "set_at"}
    return _said(connection, values | {"valid_until": valid_until, "set_by": set_by})


def key_of_digest(connection: Connection, digest: bytes) -> ApiKey | None:
    """The key of this SHA-256, whether or not it is still valid."""
    counting = select(api_keys).where(api_keys.c.digest == digest).order_by(*_COUNTS_FIRST)
    return _first(connection.execute(counting.limit(1)).one_or_none())


def key_named(connection: Connection, key: str) -> ApiKey | None:
    """The key of this name, whether or not it is still valid."""
    counting = select(api_keys).where(api_keys.c.key == key).order_by(*_COUNTS_FIRST)
    return _first(connection.execute(counting.limit(1)).one_or_none())


def keys_of(connection: Connection, *, integration: str, kind: str, holder: str) -> tuple[ApiKey, ...]:
    """All keys of a holder, also those that are over, in the order of their names."""
    own = (api_keys.c.integration == integration, api_keys.c.kind == kind, api_keys.c.holder == holder)
    counting = select(api_keys).ext(distinct_on(api_keys.c.key)).where(*own).order_by(api_keys.c.key, *_COUNTS_FIRST)
    return tuple(_key(row) for row in connection.execute(counting))


def all_keys(connection: Connection) -> tuple[ApiKey, ...]:
    """All keys of everybody, also those that are over, in the order of their names."""
    counting = select(api_keys).ext(distinct_on(api_keys.c.key)).order_by(api_keys.c.key, *_COUNTS_FIRST)
    return tuple(_key(row) for row in connection.execute(counting))


def _said(connection: Connection, values: dict[str, Any]) -> ApiKey:
    row = connection.execute(insert(api_keys).values(values).returning(api_keys)).one()
    announce(connection)
    return _key(row)


def _first(row: Row[Any] | None) -> ApiKey | None:
    return None if row is None else _key(row)


def _key(row: Row[Any]) -> ApiKey:
    stored = {name: row._mapping[name] for name in ApiKey.__slots__}
    return ApiKey(**(stored | {"digest": bytes(stored["digest"])}))
