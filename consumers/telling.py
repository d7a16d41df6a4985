"""
What the runner tells: its log lines, its metrics, its health; never a payload. Edge: logging.

One line for each batch and group, one for each dead letter, one when it is ready and one when it no longer is; at DEBUG
one for each record.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from consumers.batch import Taken
from consumers.failures import Server, reason, server_of
from consumers.metrics import Metrics
from consumers.provenance import LONGEST_ID
from consumers.record import Partition
from consumers.verdicts import Positions, Verdict
from entitlements.ledger import Outcome, Position

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the consumer can do its work; *detail* says what it is waiting for, *away* which server that is."""

    ready: bool
    detail: str
    away: Server | None = None


STARTING = Health(ready=False, detail="starting")
AT_WORK = Health(ready=True, detail="at work")


class Telling:
    """Tells of the runner of *name*: to the log, to *metrics*, and to *on_health* when its health changes."""

    __slots__ = ("_health", "_metrics", "_name", "_on_health")

    def __init__(self, name: str, metrics: Metrics, on_health: Callable[[Health], None]) -> None:
        self._name = name
        self._metrics = metrics
        self._on_health = on_health
        self._health = STARTING

    def goes_on(self, positions: Iterable[Position]) -> None:
        """From where each group reads, now that it is settled."""
        by_group: dict[str, list[Position]] = {}
        for position in positions:
            by_group.setdefault(position.group, []).append(position)
        for group, rows in by_group.items() or [(self._name, [])]:
            logger.info("%s goes on from %s", group, places(rows), extra={"group": group})

    def batch(self, taken: Taken, seconds: float) -> None:
        """What a batch came to that took *seconds* and is committed."""
        self._metrics.batch(taken, seconds)
        each = logger.isEnabledFor(logging.DEBUG)
        for group, verdicts in taken.verdicts.items():
            if not verdicts:
                continue
            for verdict in verdicts:
                if verdict.error is not None:
                    logger.error("dead letter", extra={**_about(group, verdict), "reason": reason(verdict.error)})
                elif each:
                    logger.debug(verdict.outcome, extra=_about(group, verdict))
            counts = Counter(verdict.outcome for verdict in verdicts)
            sources = {(group, verdict.record.source) for verdict in verdicts}
            logger.info(
                "batch",
                extra={
                    "group": group,
                    "records": len(verdicts),
                    **{outcome.value: counts[outcome] for outcome in Outcome if counts[outcome]},
                    "ms": round(seconds * 1000),
                    "next": places(row for key, row in taken.positions.items() if key in sources),
                },
            )
        if taken.overtaken is not None:
            self.dropped(taken.overtaken)

    def dropped(self, error: BaseException) -> None:
        """
        A batch, the attempt at one, or some groups' part of one was dropped for *error*, which waiting cures.

        Who was overtaken by another instance is at work: both servers have answered, and that may go on for long.
        """
        away = server_of(error)
        self._metrics.dropped(away)
        if away is None:
            logger.warning("%s", error, extra={"group": self._name})
            self.health(AT_WORK)
        else:
            self.health(Health(ready=False, detail=reason(error), away=away))

    def stands(self, positions: Positions, assigned: Collection[Partition]) -> None:
        """Where it goes on in the partitions that are its own."""
        self._metrics.stands(positions, assigned)

    def health(self, health: Health) -> None:
        """Whether it can do its work, as of now."""
        if self._health is STARTING or health.ready != self._health.ready:
            level, state = (logging.INFO, "ready") if health.ready else (logging.WARNING, "waiting")
            logger.log(level, "%s is %s: %s", self._name, state, health.detail, extra={"group": self._name})
        if health != self._health:
            self._health = health
            self._metrics.health(ready=health.ready, away=health.away)
            self._on_health(health)


def places(positions: Iterable[Position]) -> str:
    """Where readers go on, partition by partition."""
    rows = sorted(positions, key=lambda row: (row.group, row.topic, row.partition))
    return " ".join(f"{row.topic}-{row.partition}:{row.next_offset}" for row in rows) or "nowhere: no partitions"


def _about(group: str, verdict: Verdict) -> dict[str, Any]:
    """Where a record lies and which event it says it is."""
    record, shown = verdict.record, verdict.shown
    event_id = shown["event_id"] or dict(record.headers).get("ce_id", b"").decode(errors="replace")[:LONGEST_ID]
    return {
        "group": group,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "event_id": event_id or "-",
        "event_type": shown["event_type"] or "-",
    }
