"""What ingest counts and times, in its process's own registry; docs/metrics.md says what each is good for. Edge."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Bounds of the histograms; a publication that is not confirmed in 5 s is given up."""


class Metrics:
    """
    What one ingest process counts. Made once for a registry; a delivery costs it some 4 µs.

    What is watched is asked when somebody looks.
    """

    __slots__ = ("_counting", "_fetch_took", "_fetches", "_registry", "_webhooks", "publish_took", "webhook_took")

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._counting: dict[tuple[str, str, str], Callable[[], None]] = {}
        self._webhooks = Counter(
            "entitle_ingest_webhooks",
            "Deliveries answered, by what they were told.",
            ("integration", "outcome", "cause"),
            registry=registry,
        )
        self.webhook_took = Histogram(
            "entitle_ingest_webhook_seconds",
            "From a delivery's head to the answer that it is published.",
            buckets=SECONDS,
            registry=registry,
        ).observe
        self.publish_took = Histogram(
            "entitle_ingest_publish_seconds",
            "From a record's hand-over to Kafka's confirmation, or until that was given up.",
            buckets=SECONDS,
            registry=registry,
        ).observe

        self._fetches = Counter(
            "entitle_ingest_fetches",
            "What events leave out, asked of Stripe's API, by what came of it.",
            ("integration", "what", "outcome"),
            registry=registry,
        )
        self._fetch_took = Histogram(
            "entitle_ingest_fetch_seconds",
            "From asking Stripe's API to having all of it, or until that was given up.",
            buckets=SECONDS,
            registry=registry,
        ).observe

    def watch(
        self, *, is_ready: Callable[[], bool], in_flight: Callable[[], int], incomplete: Callable[[], int]
    ) -> None:
        """
        Show these three: whether Kafka answers, how many deliveries are being received or wait for it or for Stripe's
        API, and how many records are kept to be completed.
        """
        away = Gauge("entitle_kafka_away", "1 while Kafka does not answer or lacks the topic.", registry=self._registry)
        away.set_function(lambda: not is_ready())
        Gauge(
            "entitle_ingest_in_flight", "Deliveries being received or waiting for Kafka.", registry=self._registry
        ).set_function(in_flight)
        Gauge(
            "entitle_ingest_incomplete", "Records published incomplete, to be completed.", registry=self._registry
        ).set_function(incomplete)

    def webhook(self, integration: str, outcome: str, cause: str) -> None:
        """Count a delivery; of each label there are few values, none of the sender's choosing."""
        kind = integration, outcome, cause
        if (count := self._counting.get(kind)) is None:
            count = self._counting[kind] = self._webhooks.labels(*kind).inc
        count()

    def fetch(self, integration: str, what: str, outcome: str, seconds: float) -> None:
        """Count and time a fetch of *what* (`object`, `lines`, `payments`) from Stripe's API."""
        self._fetches.labels(integration, what, outcome).inc()
        self._fetch_took(seconds)

    def page(self) -> bytes:
        """All of the registry in Prometheus' text format, 0.0.4."""
        return generate_latest(self._registry)
