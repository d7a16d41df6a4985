"""The query API and its database: one moment for each question, and 503 when nothing can be decided."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from entitlements.api import snapshots
from entitlements.api.snapshots import CannotDecide, Snapshot, Snapshots
from entitlements.domain.facts import CatalogRevision
from entitlements.store import record
from entitlements.tables import customers
from ops.database import migrate
from tests.asking import NOW, Answer, listening, on, write
from tests.stated import catalog, line, named


def test_a_new_catalog_revision_counts_at_once(fresh_database: str) -> None:
    """The catalog is remembered only until another is committed."""
    with listening(fresh_database, catalog(), line()) as api:
        before = api.reason(api="returns")
        write(api.engine, catalog(number=2, in_force_from=NOW, more_apis=("returns",)))

        assert before == "unknown_api"
        assert api.comes_to("not_entitled", api="returns")


def test_without_a_catalog_nothing_is_decided(fresh_database: str) -> None:
    """Not ready and 503 with what to do, until a catalog is applied."""
    with listening(fresh_database, line()) as api:
        answers = [api.evaluate(), api.ask("GET", "/readyz", token=None)]
        alive = api.ask("GET", "/livez", token=None)
        write(api.engine, catalog())

        for answer in answers:
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert "entitle catalog apply" in answer.body["detail"]
        assert (alive.status, api.ask("GET", "/readyz", token=None).status) == (200, 200)
        assert api.comes_to("paid")


def test_a_catalog_that_cannot_be_read_is_no_denial(fresh_database: str) -> None:
    """A revision of a later version of this program: 503, and the revision is named."""
    revision = CatalogRevision(number=1, in_force_from=None, applied_by="test", document='{"catalog": 2}')
    with listening(fresh_database, revision) as api:
        answer = api.evaluate()

        assert answer.status == 503
        assert "catalog revision 1" in answer.body["detail"]


def test_a_database_without_tables_is_not_ready(fresh_database: str) -> None:
    """503 that says to migrate; and nothing is made by asking."""
    with listening(fresh_database, tables=False) as api:
        answer = api.ask("GET", "/readyz", token=None)

        assert answer.status == 503
        assert "entitle migrate" in answer.body["detail"]


def test_a_database_that_is_away_denies_nobody(
    database_url: str, fresh_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whom it knows is answered, all else is 503 until it takes connections again; a log line for each turn."""
    name = sa.make_url(fresh_database).database
    elsewhere = sa.create_engine(
        sa.make_url(database_url).set(drivername="postgresql+psycopg2"),
        isolation_level="AUTOCOMMIT",
        poolclass=sa.NullPool,
    )

    def administer(statement: str) -> None:
        with elsewhere.connect() as connection:
            connection.execute(sa.text(statement))

    with listening(fresh_database, catalog(), line(), line("cus_other")) as api:
        assert api.comes_to("paid")
        caplog.set_level("INFO", "entitlements")
        administer(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        administer(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")  # noqa: S608
        known, ready = api.evaluate(), api.ask("GET", "/readyz", token=None)
        away = [api.evaluate("cus_other"), api.ask("GET", "/v1/orgs/initech/entitlements")]
        alive = api.ask("GET", "/livez", token=None)
        administer(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')

        assert (known.status, known.body["context"]["reason"]) == (200, "paid")
        assert (ready.status, ready.body["status"]) == (200, "degraded")
        assert [answer.status for answer in away] == [503, 503]
        assert {answer.headers["retry-after"] for answer in away} == {"1"}
        assert alive.status == 200
        assert api.comes_to("paid", "cus_other")
        for name in ("entitlements.api.snapshots", "entitlements.api.listening"):
            assert comes_to_say(caplog, name, ["ERROR", "INFO"])


def before_and_after_its_session_is_ended(url: str, way: str) -> list[int]:
    """Which session answers what is asked in that *way*, and which one once that was ended."""

    def backend(asked: Any) -> int:
        connection: sa.Connection = asked if isinstance(asked, sa.Connection) else asked.connection
        return int(connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one())

    async def play(ask: Callable[[Any], Any]) -> list[int]:
        before = await ask(backend)
        another = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg2"), poolclass=sa.NullPool)
        with another.begin() as connection:
            connection.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": before})
        return [before, await ask(backend)]

    with on(url) as engine:
        migrate(engine, "public")
        asking = Snapshots(engine, lambda: NOW)
        try:
            return asyncio.run(play(getattr(asking, way)))
        finally:
            asking.close()


@pytest.mark.parametrize("way", ["ask", "look_up"])
def test_who_asks_notices_nothing_of_a_session_that_was_ended(fresh_database: str, way: str) -> None:
    """A question that was put to it is put to another one."""
    before, after = before_and_after_its_session_is_ended(fresh_database, way)

    assert before != after


def test_a_session_that_ends_while_it_answers_costs_nobody_a_place(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often that happens: what has been read is the answer, and the next one has a session."""
    monkeypatch.setattr(snapshots, "ANSWER_SECONDS", 20.0)
    another = sa.create_engine(sa.make_url(fresh_database).set(drivername="postgresql+psycopg2"), poolclass=sa.NullPool)

    def ended(connection: sa.Connection) -> int:
        pid = int(connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one())
        with another.begin() as ending:
            ending.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        return pid

    async def play(asking: Snapshots) -> list[int]:
        return [await asking.look_up(ended) for _ in range(20)]

    with on(fresh_database) as engine:
        asking = Snapshots(engine, lambda: NOW)
        try:
            pids = asyncio.run(play(asking))
        finally:
            asking.close()

    assert len({*pids}) == 20


def test_a_change_is_not_made_once_more(fresh_database: str) -> None:
    """It may have been committed before its session ended: who wants it has to say so again."""
    with pytest.raises(CannotDecide):
        before_and_after_its_session_is_ended(fresh_database, "change")


def comes_to_say(caplog: pytest.LogCaptureFixture, name: str, levels: list[str]) -> bool:
    """Whether the logger of this name has these lines within three seconds: looking is tried once a second."""
    deadline = time.monotonic() + 3
    while [each.levelname for each in caplog.records if each.name == name] != levels:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_a_slow_database_does_not_pile_up(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions that wait behind a lock are given up, those beyond the bound at once; afterwards all is well."""
    monkeypatch.setattr(snapshots, "MAX_UNANSWERED", 12)
    answers: list[Answer] = []
    with listening(fresh_database, catalog(), line()) as api:
        with api.engine.begin() as connection:
            connection.execute(sa.text("LOCK TABLE grants IN ACCESS EXCLUSIVE MODE"))
            askers = [
                threading.Thread(target=lambda number=number: answers.append(api.evaluate(f"cus_{number}")))
                for number in range(30)
            ]
            for asker in askers:
                asker.start()
            for asker in askers:
                asker.join()
        details = {answer.body["detail"] for answer in answers}

        assert [answer.status for answer in answers] == [503] * 30
        assert "Too many questions are waiting for the database." in details
        assert api.comes_to("paid")


def asked_once(url: str, question: Callable[[Snapshot], Any]) -> Any:
    """The answer to a question put straight to the database."""
    with on(url) as engine:
        migrate(engine, "public")
        asking = Snapshots(engine, lambda: NOW)
        try:
            return asyncio.run(asking.ask(question))
        finally:
            asking.close()


def test_a_question_sees_one_moment(fresh_database: str) -> None:
    """What is recorded while a question is being answered is not in its answer, not even in tables read later."""

    def question(snapshot: Snapshot) -> tuple[int, int]:
        count = sa.select(sa.func.count()).select_from(customers)
        before: int = snapshot.connection.execute(count).scalar_one()
        with on(fresh_database) as engine:
            write(engine, named("cus_late"))
        return before, snapshot.connection.execute(count).scalar_one()

    assert asked_once(fresh_database, question) == (0, 0)


def test_a_question_can_change_nothing(fresh_database: str) -> None:
    """The transaction is read-only: a fault in the query API can't write facts."""

    def question(snapshot: Snapshot) -> None:
        record(snapshot.connection, [named("cus_1")])

    with pytest.raises(sa.exc.InternalError, match="read-only transaction"):
        asked_once(fresh_database, question)
