"""A log as the consumers would have read it: the facts, provenance and dead letters of its records. Edge: Postgres."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import count

import sqlalchemy as sa

from consumers import provenance
from consumers.record import Record
from entitlements import ledger, store
from entitlements.domain.facts import Fact
from entitlements.ledger import Outcome, Position
from entitlements.rows import send
from schemas.codec import CatalogApplied, InvalidMessage, StripeMessage
from schemas.operator_acts import OperatorAct
from schemas.topics import EVENTS, OPERATOR_COMMANDS
from tests.pure_core import DECIDERS, INTEGRATION
from tests.stripe_builders import Json

APPENDED_MS = 1_780_000_000_000
"""When the broker had every record."""

GROUPS = ("grants", "revocations", "invoices")
"""In the order of `DECIDERS`."""


def read(
    engine: sa.Engine,
    events: Iterable[Json | OperatorAct | CatalogApplied],
    *,
    integration: str = INTEGRATION,
    partition: int = 0,
    groups: Collection[str] = GROUPS,
    set_aside: str | None = None,
    first: int = 0,
    appended_ms: int = APPENDED_MS,
    misread: Callable[[Fact], Fact] = lambda fact: fact,
) -> None:
    """
    Each of Stripe's events, or of what operators did, is the next record of *partition* of its topic, from the offset
    *first* on, and *groups* read it; *set_aside* is why they can't, if they can't, and *misread* what a version makes
    of what they find that is wrong.
    """
    offsets: dict[str, Iterator[int]] = defaultdict(lambda: count(first))
    for event in events:
        message = StripeMessage(integration=integration, event=event) if isinstance(event, dict) else event
        topic = EVENTS if isinstance(message, StripeMessage) else OPERATOR_COMMANDS
        record = Record(
            topic=topic,
            partition=partition,
            offset=next(offsets[topic]),
            timestamp=appended_ms,
            key=None,
            value=b"",
            headers=(),
        )
        with engine.begin() as connection:
            for group, decide in zip(GROUPS, DECIDERS, strict=True):
                if group not in groups:
                    continue
                facts = () if set_aside else tuple(misread(fact) for fact in decide(message))
                new = store.record(connection, facts)
                outcome = Outcome.RECORDED if new else Outcome.DUPLICATE if facts else Outcome.IGNORED
                if set_aside:
                    outcome = Outcome.DEAD_LETTER
                    letter = provenance.dead_letter(_at(group, partition), record, InvalidMessage(set_aside))
                    ledger.write_dead_letters(connection, [letter])
                shown = provenance.shown_by(message)
                row = provenance.row(group, record, shown, outcome, (fact.digest for fact in facts))
                send(connection, *ledger.noted([row]))


def reached(engine: sa.Engine, *, next_offset: int, partition: int = 0) -> None:
    """Every group goes on from there in *partition*."""
    with engine.begin() as connection:
        ledger.begin(connection, [_at(group, partition, next_offset) for group in GROUPS])


def _at(group: str, partition: int, next_offset: int = 0) -> Position:
    return Position(
        group=group, topic=EVENTS, partition=partition, next_offset=next_offset, cluster_id="c", topic_id="t"
    )
