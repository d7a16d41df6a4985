"""
What must hold of the change feed after whatever happened: all of it is told, under numbers given once, as it would be
decided; and on the topic the last word about each customer is the table's. Edge: Postgres and Kafka.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import sqlalchemy as sa

from consumers.log import Source
from entitlements import feed
from entitlements.tables import grants
from schemas.access_change import AccessChange
from schemas.topics import CHANGES
from tests.feeding import disagreements
from tests.relaying import published

AT_ONCE = 1_000


def untold(on: sa.Engine) -> list[str]:
    """What the relay has still to tell, in words."""
    with on.begin() as connection:
        backlog, position = feed.backlog(connection), feed.position(connection)  # what is numbered in between shows
    waits = {
        f"{backlog.changes} changes wait for the relay": backlog.changes > 0,
        "the relay looks at everybody again": position.is_walking,
        f"the feed is published up to {position.published} of {position.head}": position.published != position.head,
    }
    return [what for what, is_so in waits.items() if is_so]


def misfed(on: sa.Engine, source: Source) -> Iterator[str]:
    """All that is wrong with the feed, in words; to be asked once nothing is untold."""
    states = list(_all(on))
    by_key = {(each.integration, each.customer): each for each in states}
    with on.begin() as connection:
        billed = {tuple(row) for row in connection.execute(sa.select(grants.c.integration, grants.c.customer))}
    yield from (f"{whom} was billed, and the feed says nothing of them" for whom in billed - by_key.keys())
    numbers = Counter(each.seq for each in states)
    yield from (f"the feed has number {seq} {times} times" for seq, times in numbers.items() if times > 1)
    for customer, api in disagreements(on, states, datetime.now(UTC)):
        yield f"the feed says of {customer} and {api} what would not be answered"
    last = {(each.integration, each.customer): each for each in published(source, CHANGES)}
    for whom in last.keys() | by_key.keys():
        if last.get(whom) != by_key.get(whom):
            yield f"the topic's last word about {whom}, {last.get(whom)}, is not the feed's, {by_key.get(whom)}"


def _all(on: sa.Engine) -> Iterator[AccessChange]:
    after = 0
    with on.begin() as connection:
        while states := feed.behind(connection, after, most=AT_ONCE):
            yield from states
            after = states[-1].seq
