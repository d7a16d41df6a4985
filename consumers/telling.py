"""The runner's log lines: one for each batch and group, one for each dead letter; never a payload. Edge: logging."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

from consumers.batch import Taken
from consumers.failures import reason
from entitlements.ledger import Outcome, Position

logger = logging.getLogger(__name__)


def batch(taken: Taken, seconds: float) -> None:
    """Say what a batch came to that took *seconds* and is committed."""
    for group, verdicts in taken.verdicts.items():
        for verdict in verdicts:
            if verdict.error is not None:
                record = verdict.record
                address = f"{record.topic}-{record.partition} offset {record.offset}"
                logger.error("%s: dead letter %s: %s", group, address, reason(verdict.error))
        counts = Counter(verdict.outcome for verdict in verdicts)
        sources = {(group, verdict.record.source) for verdict in verdicts}
        logger.info(
            "%s: %d records in %d ms (%s), next %s",
            group,
            len(verdicts),
            seconds * 1000,
            ", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome if counts[outcome]),
            places(row for key, row in taken.positions.items() if key in sources),
        )


def places(positions: Iterable[Position]) -> str:
    """Where readers go on, partition by partition."""
    rows = sorted(positions, key=lambda row: (row.group, row.topic, row.partition))
    return " ".join(f"{row.topic}-{row.partition}:{row.next_offset}" for row in rows) or "nowhere: no partitions"
