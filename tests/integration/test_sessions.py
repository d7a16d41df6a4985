"""Which of its sessions an engine hands out, and what becomes of those that have ended meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from ops import database
from ops.database import engine

BACKEND = sa.text("SELECT pg_backend_pid()")
END_ALL_OTHERS = sa.text(
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture
def asked(fresh_database: str) -> Iterator[sa.Engine]:
    """As the query process has it."""
    url = sa.make_url(fresh_database).set(drivername="postgresql+psycopg2")
    on = engine(url.render_as_string(hide_password=False), "public")
    yield on
    on.dispose()


def used(on: sa.Engine) -> int:
    """Which session answers."""
    with on.begin() as connection:
        return int(connection.execute(BACKEND).scalar_one())


def end_all(of: sa.Engine) -> None:
    another = sa.create_engine(of.url, poolclass=sa.NullPool)
    with another.begin() as connection:
        connection.execute(END_ALL_OTHERS)


def test_a_session_that_ended_while_it_rested_is_replaced(asked: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks notices nothing; nor does who asks next, of the others that had ended."""
    monkeypatch.setattr(database, "LATELY_S", 0.0)
    with asked.connect() as one, asked.connect() as other:
        before = {one.execute(BACKEND).scalar_one(), other.execute(BACKEND).scalar_one()}
    end_all(asked)

    with asked.connect() as one, asked.connect() as other:
        after = {one.execute(BACKEND).scalar_one(), other.execute(BACKEND).scalar_one()}

    assert len(after) == 2
    assert before.isdisjoint(after)


def test_a_session_that_was_just_used_is_not_tried(asked: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that has ended it a moment ago fails one who asks, and nobody after that."""
    monkeypatch.setattr(database, "LATELY_S", 60.0)
    with asked.connect() as one, asked.connect() as other:
        before = {one.execute(BACKEND).scalar_one(), other.execute(BACKEND).scalar_one()}
    end_all(asked)

    with pytest.raises(sa.exc.OperationalError):
        used(asked)
    with asked.connect() as one, asked.connect() as other:
        after = {one.execute(BACKEND).scalar_one(), other.execute(BACKEND).scalar_one()}

    assert before.isdisjoint(after)


def test_who_was_used_last_is_used_again(asked: sa.Engine) -> None:
    """What few sessions have prepared serves all who come one at a time."""
    with asked.connect() as one, asked.connect() as other, asked.connect() as third:
        for each in (one, other, third):
            each.execute(BACKEND)

    assert len({used(asked) for _ in range(6)}) == 1
