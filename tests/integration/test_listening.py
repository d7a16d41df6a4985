"""How often is looked for changes when notifications follow closely."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from itertools import pairwise

import pytest
import sqlalchemy as sa

from entitlements.api.listening import APART_S, SHORTEST_S, Listening, Look
from entitlements.ledger import CHANGES_CHANNEL
from ops.database import SETTINGS, migrate
from tests.asking import SETTINGS_SCHEMA, on

LOOKS = 12


@pytest.mark.parametrize("telling_s", [0.0, 2 * APART_S], ids=["quick", "slow"])
def test_looks_are_apart_however_closely_notifications_follow(fresh_database: str, telling_s: float) -> None:
    """So far from beginning to beginning, and so far from a look's end: the thread that answers needs its turns."""
    enough = threading.Event()
    began: list[float] = []
    ended: list[float] = []

    def told(look: Look) -> None:
        time.sleep(telling_s)
        began.append(look.began)
        ended.append(time.monotonic())
        if len(began) == LOOKS:
            enough.set()

    with on(fresh_database) as engine:
        migrate(engine, "public")
        migrate(engine, SETTINGS_SCHEMA, SETTINGS)
        listening = Listening(
            engine,
            told,
            clock=lambda: datetime.now(UTC),
            monotonic=time.monotonic,
            every_s=30.0,
            is_followed=lambda: False,
        )
        listening.start()
        until = time.monotonic() + 20
        while not enough.is_set() and time.monotonic() < until:
            with engine.begin() as connection:
                connection.execute(sa.text(f"NOTIFY {CHANGES_CHANNEL}"))
        listening.stop()

    assert len(began) >= LOOKS
    assert all(later - earlier >= APART_S for earlier, later in pairwise(began))
    assert all(later - end >= SHORTEST_S for end, later in zip(ended, began[1:], strict=False))
