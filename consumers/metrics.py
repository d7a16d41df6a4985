"""What a consumer counts and times, in its process's own registry; docs/metrics.md says what each is good for. Edge."""

from __future__ import annotations

import re
from collections import Counter as Tally
from collections.abc import Callable, Collection, Iterator, Mapping

from kafka.errors import KafkaError
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from consumers.batch import Taken
from consumers.failures import Server
from consumers.record import Partition
from consumers.verdicts import Positions

RECORDS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds of the histograms; a statement is given up after 30 s."""

Ends = Callable[[], Mapping[Partition, int]]


class Metrics:
    """
    What one consumer process counts; made once for a registry.

    *ends* asks Kafka where partitions end, whenever somebody looks and on that one's thread, and raises KafkaError
    where it can't. *clock* gives seconds since 1970, as the broker stamps records.
    """

    def __init__(self, registry: CollectorRegistry, ends: Ends, clock: Callable[[], float]) -> None:
        self._records = Counter(
            "entitle_consumer_records",
            "Records done with, by what they came to.",
            ("group", "outcome"),
            registry=registry,
        )
        self._facts = Counter(
            "entitle_consumer_facts",
            "Facts recorded that were new or changed something.",
            ("group", "kind"),
            registry=registry,
        )
        self._batch_records = Histogram(
            "entitle_consumer_batch_records", "Records in a batch.", ("group",), buckets=RECORDS, registry=registry
        )
        self._batch_seconds = Histogram(
            "entitle_consumer_batch_seconds",
            "From a batch in hand to its transaction's end.",
            ("group",),
            buckets=SECONDS,
            registry=registry,
        )
        self._dropped = Counter(
            "entitle_consumer_dropped_batches",
            "Batches, or attempts at one, that were dropped to be read again.",
            ("cause",),
            registry=registry,
        )
        self._ready = Gauge("entitle_consumer_ready", "1 while the consumer can do its work.", registry=registry)
        self._away = {
            server: Gauge(f"entitle_{server}_away", f"1 while it waits for the {server}.", registry=registry)
            for server in Server
        }
        self._lag = _Lag(ends, clock)
        registry.register(self._lag)

    def batch(self, taken: Taken, seconds: float) -> None:
        """A batch is committed, and took *seconds*."""
        for group, verdicts in taken.verdicts.items():
            if not verdicts:
                continue
            for outcome, count in Tally(verdict.outcome for verdict in verdicts).items():
                self._records.labels(group, outcome).inc(count)
            for kind, count in Tally(type(fact) for fact in taken.learnt[group]).items():
                self._facts.labels(group, _name(kind)).inc(count)
            self._batch_records.labels(group).observe(len(verdicts))
            self._batch_seconds.labels(group).observe(seconds)
            for verdict in verdicts:
                self._lag.recorded((group, verdict.record.source), verdict.record.timestamp / 1000)

    def dropped(self, away: Server | None) -> None:
        """A batch was dropped because a server is away, or because another instance was faster."""
        self._dropped.labels(away or "fenced").inc()

    def health(self, *, ready: bool, away: Server | None) -> None:
        """Whether the consumer can do its work, and which server keeps it from that."""
        self._ready.set(ready)
        for server, gauge in self._away.items():
            gauge.set(server is away)

    def stands(self, positions: Positions, assigned: Collection[Partition]) -> None:
        """Where it goes on in the partitions that are its own."""
        self._lag.stands(positions, assigned)


def unseen() -> Metrics:
    """For a runner that nobody looks at."""
    return Metrics(CollectorRegistry(), ends=dict, clock=lambda: 0.0)


class _Lag(Collector):
    """
    How far Postgres is behind the log, worked out when somebody looks: also when the consumer stands still.

    In seconds it is the age of the oldest record that is not recorded yet, at most: that record came after the last one
    that is recorded, and after the last look that found none. That nothing comes from Kafka proves nothing: it may be
    slow or away. What was known of a partition holds until its row goes back, or another instance has it.
    """

    def __init__(self, ends: Ends, clock: Callable[[], float]) -> None:
        self._ends = ends
        self._clock = clock
        self._positions: Positions = {}
        self._assigned: Collection[Partition] = ()
        self._complete_up_to: dict[tuple[str, Partition], float] = {}

    def recorded(self, place: tuple[str, Partition], appended_at: float) -> None:
        """All that was appended there before that moment (seconds since 1970) is recorded in that group."""
        self._complete_up_to[place] = appended_at

    def stands(self, positions: Positions, assigned: Collection[Partition]) -> None:
        for key, held in self._positions.items():
            if (row := positions.get(key)) is None or row.next_offset < held.next_offset:
                self._complete_up_to.pop(key, None)
        self._positions, self._assigned = positions, assigned

    def collect(self) -> Iterator[Metric]:
        records = GaugeMetricFamily(
            "entitle_consumer_lag_records",
            "Records of a partition that are not recorded yet.",
            labels=("group", "topic", "partition"),
        )
        seconds = GaugeMetricFamily(
            "entitle_consumer_lag_seconds",
            "Age of the oldest of them, at most.",
            labels=("group", "topic", "partition"),
        )
        in_a_row = GaugeMetricFamily(
            "entitle_consumer_dead_letters_in_a_row",
            "Records of a partition set aside in a row; too many stop the consumer.",
            labels=("group", "topic", "partition"),
        )
        now, ends = self._clock(), self._ask()
        for (group, partition), row in self._positions.items():
            if partition not in self._assigned:
                continue
            labels = (group, partition[0], str(partition[1]))
            in_a_row.add_metric(labels, row.dead_letters_in_a_row)
            if partition not in ends:
                continue
            behind = max(0, ends[partition] - row.next_offset)
            if not behind:
                self.recorded((group, partition), now)
            records.add_metric(labels, behind)
            complete_up_to = self._complete_up_to.get((group, partition))
            if complete_up_to is not None:  # else nothing is known yet of when what there is was appended
                seconds.add_metric(labels, max(0.0, now - complete_up_to) if behind else 0.0)
        yield from (records, seconds, in_a_row)

    def _ask(self) -> Mapping[Partition, int]:
        try:
            return self._ends()
        except KafkaError:
            return {}


def _name(kind: type) -> str:
    """`CatalogRevision` as a label: catalog_revision."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
