"""A swap on a real Kafka and a real PostgreSQL: what comes has read all that what goes has, and nobody waits long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from entitlements import exchange
from entitlements.everyone import CustomerName
from ops import rebuild_command, rebuild_difference_told, rebuild_swap
from ops.rebuild_place import CannotRebuild
from ops.rebuild_swap import Swapping
from tests.feeding import SCHEMA
from tests.integration.rebuild.sharing import (
    CUSTOMERS,
    MANY,
    swapping,
)
from tests.rebuilding import BEFORE, REBUILD, Ground, billed, put


def test_what_the_live_one_knows_is_known_after_a_swap(built: Ground) -> None:
    """What its consumers have read while the swap began is read in the swap's own transaction; also at another try."""
    late = billed(3, customers=3, prefix="late")

    def on_lock(connection: sa.Connection, names: Sequence[str]) -> None:
        if not once:
            once.append(True)
            put(built.source, *late)
            built.consume()  # as if they had been committed just before the tables were locked
        lock(connection, names)

    def on_exchange(*given: Any, **named: Any) -> None:
        twice.append(True)
        if len(twice) == 1:
            raise sa.exc.OperationalError("", {}, _Busy())
        swap(*given, **named)

    once: list[bool] = []
    twice: list[bool] = []
    lock, swap = exchange.lock, exchange.exchange
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exchange, "lock", on_lock)
        patch.setattr(exchange, "exchange", on_exchange)
        done = swapping(built).swap()

    assert done.tries == 2
    assert built.offsets() == built.offsets(BEFORE)
    assert {f"late_{number}" for number in range(3)} <= {str(row[3]) for row in built.facts()["grants"]}


class _Busy(Exception):
    """What psycopg2 says of a wait that was cut short."""

    pgcode = "57014"


def test_what_came_while_it_was_compared_is_read_before_the_swap_begins(built: Ground) -> None:
    """To compare may take minutes: it is caught up once more, and says so."""
    look = rebuild_difference_told.news_of

    def long_look(*given: Any, **named: Any) -> frozenset[CustomerName]:
        looks.append(True)
        put(built.source, *billed(MANY, customers=CUSTOMERS, prefix=f"look_{len(looks)}"))
        built.consume()
        return look(*given, **named)

    looks: list[bool] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rebuild_command, "news_of", long_look)
        done = [built.entitle("rebuild", way, "--yes") for way in ("--swap", "--swap-back")]

    assert [f"read {2 * MANY} more records, which came meanwhile" in each.stderr for each in done] == [True, True]
    assert built.offsets() == built.offsets(BEFORE)


def test_what_the_live_one_has_read_is_read_before_anybody_waits(built: Ground) -> None:
    """However much more that is than what was built has: the log is read to its end before a table is locked."""
    put(built.source, *billed(MANY, customers=CUSTOMERS, prefix="ahead"))
    built.consume()

    done = swapping(built).swap()

    assert (done.tries, done.meanwhile) == (1, 0)
    assert built.offsets() == built.offsets(BEFORE)


@pytest.mark.parametrize(("when", "locked"), [("end", 1), ("lock", 2)])
def test_nobody_waits_for_more_than_some_hundred_records(built: Ground, when: str, locked: int) -> None:
    """Where the live one is far ahead at a try, that is given up: before the tables are locked, or as soon as then."""
    locks: list[bool] = []

    def far_ahead() -> None:
        put(built.source, *billed(MANY, customers=CUSTOMERS, prefix=f"far_{when}"))
        built.consume()

    def on_drained(*given: Any) -> Any:
        held = drained(*given)
        if when == "end" and not locks and not ahead:
            ahead.append(True)
            far_ahead()
        return held

    def on_lock(connection: sa.Connection, names: Sequence[str]) -> None:
        locks.append(True)
        if when == "lock" and len(locks) == 1:
            far_ahead()
        lock(connection, names)

    ahead: list[bool] = []
    lock, drained = exchange.lock, Swapping._drained
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rebuild_swap, "MOST_LEFT", MANY)
        patch.setattr(exchange, "lock", on_lock)
        patch.setattr(Swapping, "_drained", on_drained)
        done = swapping(built).swap()

    assert (done.tries, len(locks), done.meanwhile) == (2, locked, 0)
    assert built.offsets() == built.offsets(BEFORE)


def test_consumers_that_stay_far_ahead_are_said(built: Ground) -> None:
    """With the log read to its end, and the live one ahead all the same, it gives up, says why, and changes nothing."""
    with built.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE consumer_offsets SET next_offset = next_offset + 1000")
    before = built.facts()

    with pytest.raises(CannotRebuild, match=r"the consumers read faster than the swap can: they were \d+,000 records"):
        swapping(built, patience_s=0.3).swap()

    assert (built.facts(), built.schemas()) == (before, {SCHEMA, REBUILD})


def test_offsets_of_another_log_mean_nothing(built: Ground) -> None:
    """Where the live consumers had read another cluster's log, and further, a swap does not wait for it."""
    with built.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE consumer_offsets SET cluster_id = 'lost', next_offset = next_offset + 1000")

    built.rebuild("--swap")
    built.consume()

    assert {each.cluster_id for each in built.offsets(BEFORE)} == {"lost"}
