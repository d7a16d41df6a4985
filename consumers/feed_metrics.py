"""What the relay and the boundaries count, in their process's own registry; docs/metrics.md says more. Edge."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge

from consumers.failures import Server
from entitlements.feed import Backlog, FeedPosition


class RelayMetrics:
    """What one relay counts; made once for a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._at_work = Gauge("entitle_relay_at_work", "1 while this relay is the one at work.", registry=registry)
        self._told = Counter("entitle_relay_told", "States of customers that were told anew.", registry=registry)
        self._same = Counter(
            "entitle_relay_unchanged", "Customers looked at of whom nothing else was to be told.", registry=registry
        )
        self._published = Counter("entitle_relay_published", "States put on the topic.", registry=registry)
        self._head = Gauge("entitle_feed_head", "The last number given in the change feed.", registry=registry)
        self._unpublished = Gauge(
            "entitle_relay_unpublished", "Numbers given that are not on the topic yet.", registry=registry
        )
        self._walking = Gauge(
            "entitle_relay_walking", "1 while every customer is looked at again, for a new catalog.", registry=registry
        )
        self._lag = Gauge("entitle_relay_lag_changes", "Changes that wait to be relayed.", registry=registry)
        self._lag_seconds = Gauge(
            "entitle_relay_lag_seconds", "Age of the oldest of them; 0 where there is none.", registry=registry
        )
        self._away = _away(registry)

    def at_work(self, is_at_work: bool) -> None:
        """Whether this relay is the one at work, or stands by."""
        self._at_work.set(is_at_work)

    def numbered(self, *, told: int, same: int) -> None:
        """So many customers were told anew, and so many needed not."""
        self._told.inc(told)
        self._same.inc(same)

    def published(self, count: int) -> None:
        """So many states are on the topic."""
        self._published.inc(count)

    def stands(self, position: FeedPosition, backlog: Backlog, now: datetime) -> None:
        """How far it is, and what waits."""
        self._head.set(position.head)
        self._unpublished.set(position.head - position.published)
        self._walking.set(position.is_walking)
        self._lag.set(backlog.changes)
        age = timedelta(0) if backlog.since is None else now - backlog.since
        self._lag_seconds.set(max(0.0, age.total_seconds()))

    def away(self, server: Server | None) -> None:
        """Which server keeps it from its work."""
        for each, gauge in self._away.items():
            gauge.set(server is each)


class BoundaryMetrics:
    """What one process of boundaries counts; made once for a registry."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._due_at: datetime | None = None
        self._announced = Counter(
            "entitle_boundaries_announced", "Customers for whom a boundary was announced.", registry=registry
        )
        self._next = Gauge(
            "entitle_boundaries_next_due_timestamp_seconds",
            "When the next boundary is due, since 1970; 0 where none is ahead.",
            registry=registry,
        )
        overdue = Gauge(
            "entitle_boundaries_overdue_seconds", "For how long the next boundary has been due.", registry=registry
        )
        overdue.set_function(self._overdue)
        self._away = _away(registry)

    def announced(self, count: int) -> None:
        """So many customers' boundaries were announced."""
        self._announced.inc(count)

    def next_due(self, moment: datetime | None) -> None:
        """When the next one is due."""
        self._due_at = moment
        self._next.set(0 if moment is None else moment.timestamp())

    def away(self, server: Server | None) -> None:
        """Which server keeps it from its work."""
        for each, gauge in self._away.items():
            gauge.set(server is each)

    def _overdue(self) -> float:
        if self._due_at is None:
            return 0.0
        return max(0.0, (self._clock() - self._due_at).total_seconds())


def _away(registry: CollectorRegistry) -> dict[Server, Gauge]:
    return {
        server: Gauge(f"entitle_{server}_away", f"1 while it waits for the {server}.", registry=registry)
        for server in Server
    }
