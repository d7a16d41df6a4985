"""
Boundaries: when time alone changes an answer, that is announced, once, though nothing comes in. Edge: Postgres.

What is due is read off what was told of each customer (`feed.next_boundary`). In one transaction it becomes a change
that the relay takes up, and the customer's next boundary takes its place; so it survives being killed, and any number
of these processes may run. When each boundary was, and what it did, is told with the state that follows: by the moment
that it had, however late it is announced.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection, Engine

from consumers.failures import is_transient, reason, server_of
from consumers.feed_metrics import BoundaryMetrics
from consumers.telling import STARTING, Health
from entitlements import feed, ledger
from entitlements.domain.boundaries import next_boundary
from entitlements.everyone import CustomerName

logger = logging.getLogger(__name__)

GROUP = "boundaries"
"""Who says so in `changes`."""

AT_ONCE = 200
LONGEST_SLEEP_S = 0.5
SHORTEST_SLEEP_S = 0.02
"""A boundary that came to be known in the meantime is announced so late at most; a clock is asked no more often."""

AGAIN_S = 1.0


def announce(connection: Connection, now: datetime) -> int:
    """Announce what is due at *now*, for some of those for whom it is; for how many it was."""
    due = feed.due(connection, now, most=AT_ONCE)
    ledger.write_changes(connection, {(GROUP, each.integration, each.customer, None) for each in due})
    feed.await_boundaries(
        connection,
        (
            (CustomerName(integration=each.integration, customer=each.customer), next_boundary(each, now))
            for each in due
        ),
    )
    return len(due)


def run(
    database: Engine,
    *,
    clock: Callable[[], datetime],
    stop: threading.Event,
    counting: BoundaryMetrics,
    on_health: Callable[[Health], None] = lambda _: None,
    on_round: Callable[[], None] = lambda: None,
) -> None:
    """
    Announce boundaries until *stop* is set; *clock* gives the moment.

    While Postgres is away it waits, and goes on by itself. Raises whatever is a bug.
    """
    health = STARTING
    while not stop.is_set():
        on_round()
        try:
            pause, found = _round(database, clock(), counting), Health(ready=True, detail="at work")
        except Exception as error:
            if not is_transient(error):
                raise
            pause, found = AGAIN_S, Health(ready=False, detail=reason(error), away=server_of(error))
        if found != health:
            health = found
            (logger.info if found.ready else logger.warning)(found.detail)
            counting.away(found.away)
            on_health(found)
        stop.wait(pause)


def _round(database: Engine, now: datetime, counting: BoundaryMetrics) -> float:
    """Announce what is due, and say in how many seconds to look again."""
    with database.begin() as connection:
        announced = announce(connection, now)
        next_due = feed.next_due(connection)
    counting.announced(announced)
    counting.next_due(next_due)
    if announced:
        logger.info("announced", extra={"customers": announced})
    left = LONGEST_SLEEP_S if next_due is None else (next_due - now).total_seconds()
    return min(max(left, SHORTEST_SLEEP_S), LONGEST_SLEEP_S)
