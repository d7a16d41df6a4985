"""A swap that is killed, on a real Kafka and a real PostgreSQL: what served serves, whole, or what was built does."""

from __future__ import annotations

import signal
import threading
from itertools import count
from typing import Any

import pytest
import sqlalchemy as sa

from tests.feeding import SCHEMA
from tests.integration.rebuild.sharing import (
    killing,
    swapping,
)
from tests.rebuilding import BEFORE, REBUILD, Ground


def test_kill_9_at_every_step_of_a_swap(built: Ground) -> None:
    """At each of its statements the session ends: the old serves, whole, or the new does, and the swap can be done."""
    old, new = built.facts(), built.facts(REBUILD)
    statements: list[str] = []
    for number in count():
        statements = ended_at(built, number)
        whole = {SCHEMA, BEFORE} if built.schemas() & {BEFORE} else {SCHEMA, REBUILD}
        assert built.schemas() == whole, statements[-1]
        serves, other = built.facts(), built.facts(REBUILD if REBUILD in whole else BEFORE)
        assert (serves, other) == ((new, old) if BEFORE in whole else (old, new)), statements[-1]
        if BEFORE in whole:
            break
    assert len(statements) > 15, statements
    assert sum("RENAME TO" in each for each in statements) == 3
    assert statements[-1].startswith("DROP SCHEMA"), statements[-1]


def ended_at(place: Ground, number: int) -> list[str]:
    """A swap whose session is gone before the statement of that number; those that it came to."""
    statements: list[str] = []

    def before(connection: sa.Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if connection.engine.url.database != sa.make_url(place.url).database or threading.current_thread() is not me:
            return
        statements.append(statement)
        if len(statements) == number + 1:
            raise _Killed

    me = threading.current_thread()
    sa.event.listen(sa.Engine, "before_cursor_execute", before)
    try:
        swapping(place).swap()
    except _Killed:
        pass
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", before)
    return statements


class _Killed(BaseException):
    """As if the process were gone."""


@pytest.mark.parametrize("step", ["LOCK TABLE", "SET SCHEMA", "pg_notify"])
def test_kill_9_in_the_middle_of_a_swap(built: Ground, step: str) -> None:
    """The process itself is killed with everything locked: at once the old serves, whole, and the swap can be done."""
    old, new = built.facts(), built.facts(REBUILD)

    assert killing(built, step, "--swap", "--yes") == -signal.SIGKILL
    assert (built.facts(), built.facts(REBUILD), built.schemas()) == (old, new, {SCHEMA, REBUILD})
    built.rebuild("--swap")

    assert (built.facts(), built.facts(BEFORE)) == (new, old)
