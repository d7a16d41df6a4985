"""The metrics of every process, and the document that explains them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from consumers.batch import Taken
from consumers.failures import Server
from consumers.metrics import Metrics as ConsumerMetrics
from consumers.provenance import shown_by
from consumers.record import Partition, Record
from consumers.verdicts import Verdict
from entitlements.api.metrics import Metrics as QueryMetrics
from entitlements.ledger import Outcome, Position
from ingest.metrics import Metrics as IngestMetrics
from ops.process_metrics import process_registry
from ops.settings import Environment
from ops.supervisor import RESTARTS
from tests.toys import Toy

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<type>\w+) \|(?P<labels>[^|]*)\|", re.MULTILINE)
PLACE = ("t", 0)


def position(next_offset: int) -> Position:
    return Position(
        group="toys", topic="t", partition=0, next_offset=next_offset, cluster_id="cluster", topic_id="topic"
    )


def batch(*outcomes: Outcome, appended_at: float = 0) -> Taken:
    """A batch of the group `toys` whose records came to *outcomes*; the first of them states a new fact."""
    verdicts = [
        Verdict(
            record=Record(
                topic="t",
                partition=0,
                offset=offset,
                timestamp=int(appended_at * 1000),
                key=None,
                value=None,
                headers=(),
            ),
            shown=shown_by(None),
            facts=(),
            outcome=outcome,
        )
        for offset, outcome in enumerate(outcomes)
    ]
    positions = {("toys", PLACE): position(len(outcomes))}
    return Taken(positions=positions, verdicts={"toys": verdicts}, learnt={"toys": [Toy(name="a")]})


class Consumer:
    """A consumer's metrics, with a clock and a log that tests turn."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.ends: dict[Partition, int] = {PLACE: 0}
        self.registry = CollectorRegistry()
        self.metrics = ConsumerMetrics(self.registry, lambda: self.ends, lambda: self.now)

    def stands(self, next_offset: int) -> None:
        self.metrics.stands({("toys", PLACE): position(next_offset)}, {PLACE})

    def lag(self, unit: str) -> float | None:
        labels = {"group": "toys", "topic": "t", "partition": "0"}
        return self.registry.get_sample_value(f"entitle_consumer_lag_{unit}", labels)


def test_the_document_names_every_metric() -> None:
    """Name, type and labels of each, both ways: what is exposed is explained, what is explained is exposed."""
    registries = [process_registry(Environment(variables={}), name) for name in ("ingest", "grants", "query")]
    ingest, consumer, query = registries
    IngestMetrics(ingest).watch(is_ready=lambda: True, in_flight=lambda: 0, incomplete=lambda: 0)
    ConsumerMetrics(consumer, dict, lambda: 0.0)
    QueryMetrics(query)
    exposed = {shown(metric, each) for each in registries for metric in each.collect()}

    explained = {
        (row["name"], row["type"], frozenset(re.findall(r"\w+", row["labels"])))
        for row in ROW.finditer(DOCUMENT.read_text(encoding="utf-8"))
    }
    assert explained == exposed


def shown(metric: Metric, registry: CollectorRegistry) -> tuple[str, str, frozenset[str]]:
    """Name, type and labels, as a scraper sees them."""
    maker = registry._names_to_collectors.get(metric.name, metric)
    name = f"{metric.name}_total" if metric.type == "counter" else metric.name
    return name, metric.type, frozenset(getattr(maker, "_labelnames", ()))


def test_a_program_that_was_started_again_says_how_often() -> None:
    """The supervisor's count is the metric's first value."""
    registry = process_registry(Environment(variables={RESTARTS: "3"}), "query")

    assert registry.get_sample_value("entitle_restarts_total") == 3
    assert (registry.get_sample_value("process_resident_memory_bytes") or 0) > 0


def test_a_batch_is_counted_by_outcome_and_kind() -> None:
    """Records by what they came to, facts by what they are, the batch by its size and time."""
    consumer = Consumer()

    consumer.metrics.batch(batch(Outcome.RECORDED, Outcome.IGNORED, Outcome.IGNORED), 0.5)

    def value(name: str, **labels: str) -> float | None:
        return consumer.registry.get_sample_value(f"entitle_consumer_{name}", {"group": "toys", **labels})

    assert value("records_total", outcome="recorded") == 1
    assert value("records_total", outcome="ignored") == 2
    assert value("facts_total", kind="toy") == 1
    assert (value("batch_records_sum"), value("batch_seconds_sum")) == (3, 0.5)


def test_lag_is_none_at_the_end_of_the_log() -> None:
    """Nothing to read: no records, no seconds."""
    consumer = Consumer()
    consumer.stands(0)

    assert (consumer.lag("records"), consumer.lag("seconds")) == (0, 0)


def test_lag_is_counted_from_the_last_record_that_is_recorded() -> None:
    """What is still to be read came after it."""
    consumer = Consumer()
    consumer.ends[PLACE] = 10
    consumer.metrics.batch(batch(Outcome.RECORDED, appended_at=940), 0.5)
    consumer.stands(1)

    assert (consumer.lag("records"), consumer.lag("seconds")) == (9, 60)


def test_lag_is_counted_from_the_last_look_that_found_none() -> None:
    """After a quiet day the first record is not a day late."""
    consumer = Consumer()
    consumer.ends[PLACE] = 1
    consumer.metrics.batch(batch(Outcome.RECORDED, appended_at=1), 0.5)
    consumer.stands(1)
    assert consumer.lag("seconds") == 0
    consumer.ends[PLACE], consumer.now = 2, 1007.0

    assert (consumer.lag("records"), consumer.lag("seconds")) == (1, 7)


def test_lag_of_a_group_says_nothing_of_another_s() -> None:
    """In one process one may have all, and another be behind in the same partition."""
    consumer = Consumer()
    consumer.ends[PLACE] = 10
    ahead = replace(position(10), group="ahead")
    consumer.metrics.batch(batch(Outcome.RECORDED, appended_at=940), 0.5)
    consumer.metrics.stands({("ahead", PLACE): ahead, ("toys", PLACE): position(1)}, {PLACE})

    labels = {"group": "ahead", "topic": "t", "partition": "0"}
    assert consumer.registry.get_sample_value("entitle_consumer_lag_seconds", labels) == 0
    assert (consumer.lag("records"), consumer.lag("seconds")) == (9, 60)


def test_a_group_that_a_batch_did_not_concern_is_not_counted() -> None:
    """No empty batches in the histograms of groups that do not read a topic, or have read it already."""
    consumer = Consumer()
    of_one = batch(Outcome.RECORDED)

    consumer.metrics.batch(
        replace(of_one, verdicts={**of_one.verdicts, "idle": []}, learnt={**of_one.learnt, "idle": []}), 0.5
    )

    counted = consumer.registry.get_sample_value("entitle_consumer_batch_records_count", {"group": "idle"})
    assert counted is None


def test_lag_forgets_what_another_instance_or_a_backup_has_made_untrue() -> None:
    """A partition that was away, or whose row went back, may lack records older than the last look."""
    for between in ({}, {("toys", PLACE): position(4)}):
        consumer = Consumer()
        consumer.ends[PLACE] = 5
        consumer.stands(5)
        assert consumer.lag("seconds") == 0
        consumer.metrics.stands(between, {PLACE})
        consumer.stands(4)

        assert (consumer.lag("records"), consumer.lag("seconds")) == (1, None)


def test_lag_is_unknown_rather_than_wrong() -> None:
    """No seconds before anything is known of them, no records of a partition that another instance has."""
    consumer = Consumer()
    consumer.ends[PLACE] = 10
    consumer.stands(4)
    assert (consumer.lag("records"), consumer.lag("seconds")) == (6, None)

    consumer.metrics.stands({("toys", PLACE): position(4)}, set())
    assert consumer.lag("records") is None


def test_who_is_away_is_shown_until_all_is_well() -> None:
    """One gauge for each server, both 0 once it is ready."""
    consumer = Consumer()

    def away() -> tuple[float | None, ...]:
        return tuple(consumer.registry.get_sample_value(f"entitle_{server}_away") for server in Server)

    consumer.metrics.health(ready=False, away=Server.DATABASE)
    assert away() == (0, 1)
    consumer.metrics.health(ready=True, away=None)
    assert away() == (0, 0)
