"""
What was committed since one looked last: which customers, orgs and keys it concerns. Edge: Postgres.

A look goes on from the snapshot of the one before. Rows are given their ids and transaction numbers before they are
committed, and commits come in any order; but a row is new exactly if the earlier snapshot could not show it: its
transaction was in progress then, or not begun. So nothing is missed, nothing is told twice, and nothing waits for a
transaction that is slow.

The functions take a connection in autocommit, since a look that stays in one transaction would see nothing new. Names
of channels are the database's: in one database all schemas share them, and a look that finds nothing costs little.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection

from entitlements.everyone import CustomerName
from entitlements.exchange import WAIT_FIRST
from entitlements.reading import customers_of

MOST_ROWS = 10_000
"""
More rows than this at once, as after a long absence or during a replay, are told as *everything*, and no more are read:
to find out whom a day's rows concern would take longer than a look may.
"""

_LOOK = """
PREPARE look (xid8, xid8[], bigint, bigint, xid8, timestamptz) AS
WITH fed AS (SELECT head FROM feed_position), learnt AS MATERIALIZED (
    (SELECT integration, customer, payment FROM changes
        WHERE xid >= $1 AND xid < pg_snapshot_xmax(pg_current_snapshot())
        ORDER BY xid LIMIT $3)
    UNION ALL
    (SELECT integration, customer, payment FROM changes
        WHERE xid = ANY ($2) ORDER BY xid LIMIT $3)
), renamed AS MATERIALIZED (
    (SELECT integration, org FROM orgs
        WHERE xid >= $1 AND xid < pg_snapshot_xmax(pg_current_snapshot())
        ORDER BY xid LIMIT $3)
    UNION ALL
    (SELECT integration, org FROM orgs
        WHERE xid = ANY ($2) ORDER BY xid LIMIT $3)
), issued AS MATERIALIZED (
    (SELECT encode(digest, 'hex') AS digest FROM api_keys
        WHERE xid >= $1 AND xid < pg_snapshot_xmax(pg_current_snapshot())
        ORDER BY xid LIMIT $3)
    UNION ALL
    (SELECT encode(digest, 'hex') AS digest FROM api_keys
        WHERE xid = ANY ($2) ORDER BY xid LIMIT $3)
)
SELECT json_build_object(
    'snapshot', CAST(pg_current_snapshot() AS text),
    'tables', ARRAY[to_regclass('changes'), to_regclass('orgs'), to_regclass('api_keys')]::oid[]::text,
    'newest', (SELECT json_build_array(CAST(id AS text), CAST(xid AS text), CAST(recorded_at AS text))
        FROM changes ORDER BY id DESC LIMIT 1),
    'is_there', EXISTS (SELECT FROM changes WHERE id = $4 AND xid = $5 AND recorded_at = $6),
    'head', (SELECT head FROM fed),
    'rows', greatest((SELECT count(*) FROM learnt), (SELECT count(*) FROM renamed), (SELECT count(*) FROM issued)),
    'changes', (SELECT coalesce(json_agg(each), '[]') FROM (SELECT DISTINCT * FROM learnt) AS each),
    'orgs', (SELECT coalesce(json_agg(each), '[]') FROM (SELECT DISTINCT * FROM renamed) AS each),
    'keys', (SELECT coalesce(json_agg(DISTINCT digest), '[]') FROM issued)
)::text
"""
"""
Prepared once in a session: PostgreSQL takes longer to plan it than to run it.

What another cluster wrote, as a dump brings it, may have a number that is far ahead of this one's: it is none of what
is new here, and would be at every look until the numbers have come so far. So each is bounded from above too.

PostgreSQL locks tables in the order in which a statement names them. `exchange.lock` takes `feed_position` ahead of
`changes`, so it is named first here: else the two would wait for each other, and a swap would lose a try. Ahead of both
stands `WAIT_FIRST`: EXECUTE alone would wait with a snapshot from before the exchange, and see the new tables by it.
"""

_ASKED = f"{WAIT_FIRST}; EXECUTE look (%(unseen_from)s, %(in_progress)s, %(most)s, %(id)s, %(xid)s, %(recorded_at)s)"
"""In one message."""

Row = tuple[str, str, str]
"""A row of `changes` by which a database is known again: its id, its transaction and when it was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """
    How far one has looked: of transactions numbered from *unseen_from* on, and of those *in_progress*, nothing.

    *tables* and *newest* are what the database is known by: tables put in the place of others, or a backup brought
    back under a running process, hold other facts though nothing is new in them. *head* is the last number that the
    feed had given.
    """

    unseen_from: int
    in_progress: tuple[int, ...]
    tables: str
    newest: Row | None
    head: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """Whom what is new concerns. *everything*: everybody, whatever was known, catalogs too."""

    everything: bool = False
    customers: frozenset[CustomerName] = frozenset()
    orgs: frozenset[tuple[str, str]] = frozenset()
    keys: frozenset[bytes] = frozenset()


EVERYTHING = Learnt(everything=True)


class _Change(msgspec.Struct):
    integration: str | None
    customer: str | None
    payment: str | None


class _Org(msgspec.Struct):
    integration: str
    org: str


class _Found(msgspec.Struct):
    snapshot: str
    tables: str
    newest: Row | None
    is_there: bool
    head: int
    rows: int
    changes: list[_Change]
    orgs: list[_Org]
    keys: list[str]


_FOUND = msgspec.json.Decoder(_Found)


def look(connection: Connection, since: Seen | None) -> tuple[Seen, Learnt]:
    """
    How far it can be seen now, and whom that concerns which could not be seen *since*.

    With no earlier look, or none at this database, it concerns everything.
    """
    prepared = connection.info.setdefault("prepared", set())  # lives as long as the session
    if "look" not in prepared:
        connection.exec_driver_sql(_LOOK)
        prepared.add("look")
    id_, xid, recorded_at = (since and since.newest) or (None, None, None)
    asked = {
        "unseen_from": str(since.unseen_from) if since else str(2**62),
        "in_progress": f"{{{','.join(str(number) for number in since.in_progress) if since else ''}}}",
        "most": MOST_ROWS + 1,
        "id": id_,
        "xid": xid,
        "recorded_at": recorded_at,
    }
    found = _FOUND.decode(connection.exec_driver_sql(_ASKED, asked).scalar_one())
    seen = _seen(found)
    if since is None or _is_another(since, seen, found) or found.rows > MOST_ROWS:
        return seen, EVERYTHING
    if any(
        change.customer is None and (change.integration is None or change.payment is None) for change in found.changes
    ):
        return seen, EVERYTHING
    return seen, Learnt(
        customers=frozenset(_customers(connection, found.changes)),
        orgs=frozenset((each.integration, each.org) for each in found.orgs),
        keys=frozenset(bytes.fromhex(digest) for digest in found.keys),
    )


def _seen(found: _Found) -> Seen:
    _, unseen_from, in_progress = found.snapshot.split(":")
    return Seen(
        unseen_from=int(unseen_from),
        in_progress=tuple(int(number) for number in in_progress.split(",") if number),
        tables=found.tables,
        newest=found.newest,
        head=found.head,
    )


def _is_another(since: Seen, seen: Seen, found: _Found) -> bool:
    """Whether this is not the database that was looked at before, or that one as it was earlier."""
    return (
        seen.tables != since.tables
        or seen.unseen_from < since.unseen_from
        or (since.newest is not None and not found.is_there)
    )


def _customers(connection: Connection, changes: Iterable[_Change]) -> Iterable[CustomerName]:
    """Whom they concern; a payment's customer is found now that all is there which was committed before it."""
    for change in changes:
        integration, customer, payment = change.integration, change.customer, change.payment
        if integration is None:
            continue
        if customer is not None:
            yield CustomerName(integration=integration, customer=customer)
        elif payment is not None:
            for each in customers_of(connection, integration=integration, payment=payment):
                yield CustomerName(integration=integration, customer=each)
