"""What the query process counts and times, in its own registry; docs/metrics.md says what each is good for. Edge."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from typing import Protocol

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entitlements.api.snapshots import CannotDecide
from entitlements.domain.decision import Reason

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Bounds of the histogram; a question that is not answered in 2 s is given up."""

OPERATORS_PAGES = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked every few seconds by machines that only look whether it lives: not counted."""


class Memory(Protocol):
    """What is shown of the memory; it counts by itself, since a hit should cost nothing more."""

    @property
    def hits(self) -> int: ...

    @property
    def misses(self) -> int: ...

    @property
    def dropped(self) -> int: ...

    @property
    def crowded_out(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def looked_ago(self) -> float: ...


class Metrics:
    """What one query process counts. Made once for a registry; an answer costs it well below 1 µs."""

    __slots__ = (
        "_away",
        "_count_letters",
        "_deciding",
        "_decisions",
        "_letters",
        "_registry",
        "_statuses",
    )

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._decisions = dict.fromkeys(Reason, 0)
        self._deciding = Histogram(
            "entitle_query_decision_seconds",
            "From a question to its decision, or until it was given up.",
            buckets=SECONDS,
            registry=registry,
        )
        self._statuses: dict[int, int] = {}
        registry.register(_CountsCollector(self._decisions, self._statuses))
        self._away = Gauge(
            "entitle_database_away", "1 since the database last failed to answer a question.", registry=registry
        )

        self._letters = Gauge(
            "entitle_dead_letters_open",
            "Records set aside that nobody has seen to; absent while the database does not answer.",
            ("group",),
            registry=registry,
        )
        self._count_letters: Callable[[], Awaitable[Mapping[str, int]]] | None = None

    def watch(
        self,
        *,
        is_away: Callable[[], bool],
        memory: Memory,
        count_letters: Callable[[], Awaitable[Mapping[str, int]]] | None = None,
    ) -> None:
        """Show this whenever somebody looks; *count_letters* gives the open dead letters by group."""
        self._away.set_function(is_away)
        self._registry.register(_MemoryCollector(memory))
        self._count_letters = count_letters

    def deciding(self) -> AbstractContextManager[object]:
        """Times the decision that is made within it."""
        return self._deciding.time()

    def decided(self, reason: Reason) -> None:
        """Count a decision."""
        self._decisions[reason] += 1

    def answered(self, status: int) -> None:
        """Count an answer by its status."""
        self._statuses[status] = self._statuses.get(status, 0) + 1

    def hit(self, reason: Reason) -> None:
        """Count an answer of 200 that was at hand; how long it took is not worth its time."""
        self.decided(reason)
        self.answered(200)

    def counting(self, app: ASGIApp) -> ASGIApp:
        """
        *app*, whose answers are counted by status, but for those to machines that look whether it lives, and for what
        is said to nobody: whose body does not end is answered by the server, or has gone.
        """

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"] in OPERATORS_PAGES:
                await app(scope, receive, send)
                return
            gone = False

            async def received() -> Message:
                nonlocal gone
                message = await receive()
                gone = gone or message["type"] == "http.disconnect"
                return message

            async def send_counted(message: Message) -> None:
                if message["type"] == "http.response.start" and not gone:
                    self.answered(message["status"])
                await send(message)

            await app(scope, received, send_counted)

        return counted

    async def page(self, _: Request) -> Response:
        """`GET /metrics`: all of the registry in Prometheus' text format."""
        self._letters.clear()
        if self._count_letters is not None:
            with suppress(CannotDecide):
                for group, count in (await self._count_letters()).items():
                    self._letters.labels(group).set(count)
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


class _CountsCollector(Collector):
    """What the event loop alone counts, read when somebody looks: a counter of the library's own has a lock."""

    def __init__(self, decisions: Mapping[Reason, int], statuses: Mapping[int, int]) -> None:
        self._decisions = decisions
        self._statuses = statuses

    def collect(self) -> Iterator[Metric]:
        """Decisions by reason, answers by status."""
        decisions = CounterMetricFamily("entitle_query_decisions", "Decisions, by their reason.", labels=("reason",))
        for reason, count in self._decisions.items():
            decisions.add_metric([reason.value], count)
        answers = CounterMetricFamily(
            "entitle_query_answers", "Answers to everything that was asked, by status.", labels=("status",)
        )
        for status, count in sorted(self._statuses.items()):
            answers.add_metric([str(status)], count)
        yield from (decisions, answers)


class _MemoryCollector(Collector):
    """The memory's own counts, read when somebody looks."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def collect(self) -> Iterator[Metric]:
        """One by one."""
        memory, name = self._memory, "entitle_query_memory"
        yield CounterMetricFamily(f"{name}_hits", "Questions answered from memory.", memory.hits)
        yield CounterMetricFamily(f"{name}_misses", "Questions for which the database was asked.", memory.misses)
        yield CounterMetricFamily(f"{name}_dropped", "Entries dropped since they had changed.", memory.dropped)
        yield CounterMetricFamily(f"{name}_crowded_out", "Entries dropped to make room.", memory.crowded_out)
        yield GaugeMetricFamily(f"{name}_bytes", "About how much is remembered.", memory.size)
        yield GaugeMetricFamily(f"{name}_age_seconds", "Since the last look for changes.", memory.looked_ago)
