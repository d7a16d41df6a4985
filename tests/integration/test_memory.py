"""
Answers from memory on a real PostgreSQL: true as of the last look, and never more generous than the facts.

Long because each way in which a memory could lie has a test here.
"""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta

import pytest
import sqlalchemy as sa

from entitlements import ledger
from entitlements.api import snapshots
from entitlements.api.memory import Limits
from entitlements.api.snapshots import CannotDecide
from entitlements.api.subjects import Subject, SubjectType
from entitlements.api.tokens import UnclearScope
from entitlements.domain.acts import Block
from entitlements.domain.facts import CustomerFacts
from entitlements.keys import add_key, end_key
from entitlements.orgs import OrgSetting, set_org, setting_of
from entitlements.reading import facts_of
from entitlements.store import record
from entitlements.tail import Learnt, Seen, look
from ops.database import migrate
from tests.asking import NOW, on, write
from tests.descriptors import beyond_select
from tests.remembering import TOKEN, allow_connections, remembering, statements, within_a_second
from tests.stated import JULY, catalog, line, named, unpaid


def test_a_hit_needs_no_database_and_a_miss_one_statement(fresh_database: str) -> None:
    """Of forty questions at once about one customer one asks the database, once the catalog is known."""

    async def play() -> None:
        async with remembering(fresh_database, line(), line("cus_other")) as asked:
            await asked.reason("cus_other")
            seen = statements(asked.engine)
            found = await asyncio.gather(*(asked.reason() for _ in range(40)))
            again = [await asked.reason() for _ in range(40)]

            assert {*found, *again} == {"paid"}
            assert len(seen) == 1
            assert (asked.memory.hits, asked.memory.misses) == (40, 41)

    asyncio.run(play())


def test_a_commit_changes_the_answer_within_a_second(fresh_database: str) -> None:
    """What is learnt of a customer is seen at once, and drops nobody else."""

    async def play() -> None:
        async with remembering(fresh_database, *unpaid("cus_open"), line("cus_paid")) as asked:
            before = [await asked.reason("cus_open"), await asked.reason("cus_paid")]
            write(asked.engine, line("cus_open", invoice="in_cus_open"))

            assert before == ["payment_required", "paid"]
            assert await asked.comes_to("paid", "cus_open")
            assert asked.is_known("cus_paid")

    asyncio.run(play())


def test_a_catalog_changes_everybodys_answer(fresh_database: str) -> None:
    """A revision names no customer: all is dropped."""

    async def play() -> None:
        async with remembering(fresh_database, line()) as asked:
            before = await asked.reason(api="returns")
            write(asked.engine, catalog(number=2, in_force_from=NOW, more_apis=("returns",)))

            assert before == "unknown_api"
            assert await asked.comes_to("not_entitled", "cus_paid", "returns")

    asyncio.run(play())


def test_a_transaction_that_commits_late_is_not_missed(fresh_database: str) -> None:
    """One that was begun, and has its numbers, before others that were seen; nobody waits for it either."""

    async def play() -> None:
        async with remembering(fresh_database, *unpaid("cus_late"), *unpaid("cus_soon")) as asked:
            assert await asked.reason("cus_late") == "payment_required"
            with asked.engine.connect() as late:
                transaction = late.begin()
                record(late, [line("cus_late")])
                ledger.write_changes(late, {("tests", "main", "cus_late", None)})
                await asked.reason("cus_soon")
                write(asked.engine, line("cus_soon"))
                assert await asked.comes_to("paid", "cus_soon")
                for number in range(5):
                    write(asked.engine, named(f"cus_{number}"))
                await asked.memory.catch_up()
                assert await asked.reason("cus_late") == "payment_required"
                transaction.commit()

            assert await asked.comes_to("paid", "cus_late")

    asyncio.run(play())


def test_without_a_notification_it_is_noticed_too(fresh_database: str) -> None:
    """A row of `changes` whose news got lost is seen by the look of every second."""

    async def play() -> None:
        async with remembering(fresh_database, *unpaid("cus_open")) as asked:
            await asked.reason("cus_open")
            with asked.engine.begin() as connection:
                record(connection, [line("cus_open")])
                connection.execute(
                    sa.insert(ledger.changes).values(integration="main", customer="cus_open", consumer_group="tests")
                )
            await asyncio.sleep(0.5)

            assert await within_a_second(lambda: asked.reason("cus_open"), "paid")

    asyncio.run(play())


def test_a_load_that_is_overtaken_is_not_remembered(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts that were read before a commit, and arrive after it was seen, answer the one who asked and nobody else."""
    is_read, go_on = threading.Event(), threading.Event()

    async def play() -> None:
        def slowly(connection: sa.Connection, *, integration: str, customer: str) -> CustomerFacts:
            facts = facts_of(connection, integration=integration, customer=customer)
            if customer == "cus_open" and not is_read.is_set():
                is_read.set()
                go_on.wait(5)
            return facts

        async with remembering(fresh_database, *unpaid("cus_open")) as asked:
            monkeypatch.setattr("entitlements.api.memory.facts_of", slowly)
            question = asyncio.create_task(asked.reason("cus_open"))
            await asyncio.to_thread(is_read.wait, 5)
            write(asked.engine, line("cus_open"))
            await asked.memory.catch_up()
            later = await asked.reason("cus_open")
            go_on.set()

            assert await question == "payment_required"
            assert (later, await asked.reason("cus_open")) == ("paid", "paid")

    asyncio.run(play())


def test_a_catalog_that_comes_into_force_while_facts_are_read(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whom a question is about is found by the catalog of the moment at which it is answered, not when it was asked."""

    async def play() -> None:
        async with remembering(fresh_database, line()) as asked:
            write(asked.engine, catalog(number=2, in_force_from=JULY, integrations=("main", "second")))
            await asked.memory.catch_up()

            def slowly(connection: sa.Connection, *, integration: str, customer: str) -> CustomerFacts:
                asked.clock.now = JULY
                return facts_of(connection, integration=integration, customer=customer)

            monkeypatch.setattr("entitlements.api.memory.facts_of", slowly)
            with pytest.raises(UnclearScope):
                await asked.reason()
            asked.clock.now = NOW
            assert await asked.reason() == "paid"

    asyncio.run(play())


def test_it_listens_also_where_many_files_are_open(fresh_database: str, caplog: pytest.LogCaptureFixture) -> None:
    """A descriptor from 1024 on is waited for as any other: news is heard at once, and nothing fails."""

    async def play() -> None:
        with beyond_select():
            async with remembering(fresh_database, *unpaid("cus_open")) as asked:
                assert await asked.reason("cus_open") == "payment_required"
                write(asked.engine, line("cus_open"))
                assert await asked.comes_to("paid", "cus_open")
                await asyncio.sleep(0.2)

    asyncio.run(play())

    assert "can't look for changes" not in caplog.text


def test_orgs_and_keys_are_remembered_until_they_change(fresh_database: str) -> None:
    """Also that nobody has a name or holds a key; a key that runs out does so by the clock alone."""
    digest = b"\x07" * 32

    async def play() -> None:
        async with remembering(fresh_database, line(), *unpaid("cus_open")) as asked:
            memory, engine = asked.memory, asked.engine
            assert await asked.reason("hooli", kind="org") == "unknown_subject"
            assert await memory.holder_of(TOKEN, digest) is None
            seen = statements(engine)
            await asked.reason("hooli", kind="org"), await memory.holder_of(TOKEN, digest)
            assert seen == []

            with engine.begin() as connection:
                set_org(connection, integration="main", org="hooli", customer="cus_open", set_by="test")
                key = add_key(
                    connection,
                    key="key_1",
                    digest=digest,
                    integration="main",
                    marketplace=None,
                    kind="org",
                    holder="hooli",
                    label=None,
                    set_by="test",
                )
            assert await asked.comes_to("payment_required", "hooli", "orders", "org")
            assert await memory.holder_of(TOKEN, digest) == Subject(
                type=SubjectType.ORG, id="hooli", integration="main"
            )

            with engine.begin() as connection:
                set_org(connection, integration="main", org="hooli", customer="cus_paid", set_by="test")
                end_key(connection, key, valid_until=NOW + timedelta(minutes=1), set_by="test")
            assert await asked.comes_to("paid", "hooli", "orders", "org")
            assert await memory.holder_of(TOKEN, digest) is not None
            asked.clock.now = NOW + timedelta(minutes=1)
            assert await memory.holder_of(TOKEN, digest) is None

    asyncio.run(play())


def test_an_answer_ends_with_its_cycle(fresh_database: str) -> None:
    """Nothing is committed and nobody is told: the clock alone turns paid into leeway, and leeway into a denial."""

    async def play() -> None:
        async with remembering(fresh_database, line()) as asked:
            found = []
            for moment in (NOW, JULY - timedelta.resolution, JULY, JULY + timedelta(hours=2), NOW):
                asked.clock.now = moment
                found.append(await asked.reason())

            assert found == ["paid", "paid", "renewal_leeway", "cycle_lapsed", "paid"]

    asyncio.run(play())


def test_who_is_loaded_while_no_look_comes_is_loaded_whole(fresh_database: str) -> None:
    """The terms too are the database's own then, not those of a look that lies too far back."""

    async def play() -> None:
        limits = Limits(miss_s=5.0, fresh_s=0.5)
        async with remembering(fresh_database, line(), line("cus_other"), limits=limits) as asked:
            assert await asked.reason(api="returns") == "unknown_api"
            asked.memory._listening.stop()
            write(asked.engine, catalog(number=2, in_force_from=NOW, more_apis=("returns",)))
            assert await asked.comes_to("paid degraded")
            assert await asked.reason("cus_other", api="returns") == "not_entitled degraded"
            assert await asked.reason(api="returns") == "unknown_api degraded"

    asyncio.run(play())


def test_a_database_that_is_away(fresh_database: str, database_url: str) -> None:
    """Whom it knows it answers on, marked: allowances to their `until`, denials to the next boundary. Nobody else."""

    async def play() -> None:
        limits = Limits(miss_s=5.0, fresh_s=0.5)
        facts = (line(), *unpaid("cus_open"), line("cus_other"))
        async with remembering(fresh_database, *facts, limits=limits) as asked:
            await asked.reason(), await asked.reason("cus_open"), await asked.reason("cus_nobody")
            allow_connections(fresh_database, database_url, False)
            assert await asked.comes_to("paid degraded")
            assert await asked.reason("cus_open") == "payment_required degraded"
            asked.clock.now = JULY + timedelta(hours=1)
            assert await asked.reason() == "renewal_leeway degraded"
            for moment, customer in (
                (NOW, "cus_other"),
                (JULY + timedelta(hours=2), "cus_paid"),
                (JULY, "cus_open"),
            ):
                asked.clock.now = moment
                with pytest.raises(CannotDecide):
                    await asked.reason(customer)
            asked.clock.now = NOW
            assert asked.memory.knows_anything()
            allow_connections(fresh_database, database_url, True)
            assert await within_a_second(asked.reason, "paid") or await asked.comes_to("paid")
            with on(fresh_database) as engine:
                write(engine, line("cus_open"))
            assert await asked.comes_to("paid", "cus_open")

    asyncio.run(play())


def test_another_database_in_its_place_is_noticed(fresh_database: str) -> None:
    """Tables put in the place of others, and a row that was seen and is gone: everything is dropped."""

    async def play() -> None:
        async with remembering(fresh_database, line()) as asked:
            before = await asked.reason()
            with asked.engine.begin() as connection:
                connection.execute(sa.text("DELETE FROM grants"))
                connection.execute(sa.text("DELETE FROM changes"))
            assert before == "paid"
            assert await within_a_second(asked.reason, "unknown_subject") or await asked.comes_to("unknown_subject")

            write(asked.engine, line())
            assert await asked.comes_to("paid")
            with asked.engine.begin() as connection:
                connection.execute(sa.text("ALTER SCHEMA public RENAME TO old"))
                connection.execute(sa.text("CREATE SCHEMA public"))
            migrate(asked.engine, "public")
            with asked.engine.begin() as connection:
                record(connection, [catalog(), *unpaid("cus_paid")])
            assert await within_a_second(asked.reason, "payment_required") or await asked.comes_to("payment_required")

    asyncio.run(play())


def test_memory_is_bounded(fresh_database: str) -> None:
    """What was not asked for longest goes; what is asked all the time stays."""

    async def play() -> None:
        limits = Limits(miss_s=5.0, most_bytes=100_000)
        async with remembering(fresh_database, line(), limits=limits) as asked:
            for number in range(60):
                await asked.reason(f"cus_{number}")
                assert await asked.reason() == "paid"
                assert asked.memory.size <= 100_000

            assert asked.is_known("cus_paid")
            assert asked.is_known("cus_59")
            assert not asked.is_known("cus_0")
            assert asked.memory.crowded_out > 0

    asyncio.run(play())


def test_a_miss_has_a_deadline(fresh_database: str) -> None:
    """Behind a lock it is given up in time, and nothing is denied."""

    async def play() -> None:
        async with remembering(fresh_database, line(), limits=Limits(miss_s=0.2)) as asked:
            with asked.engine.begin() as connection:
                connection.execute(sa.text("LOCK TABLE grants IN ACCESS EXCLUSIVE MODE"))
                began = time.monotonic()
                with pytest.raises(CannotDecide, match="has not answered"):
                    await asked.reason()
                took = time.monotonic() - began

            assert 0.2 <= took < snapshots.ANSWER_SECONDS

    asyncio.run(play())


def test_what_came_to_be_in_doubt_while_an_org_was_looked_up_answers_nobody(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waited for the one part is not answered by the other, of which the last look is too old by then."""
    ahead, may_look = [0.0], threading.Event()
    may_look.set()

    def when_it_may(connection: sa.Connection, since: Seen | None) -> tuple[Seen, Learnt]:
        may_look.wait(10)
        return look(connection, since)

    async def play() -> None:
        async with remembering(fresh_database, line(), monotonic=lambda: time.monotonic() + ahead[0]) as asked:

            def stopped_behind(connection: sa.Connection, *, integration: str, org: str) -> OrgSetting | None:
                found = setting_of(connection, integration=integration, org=org)
                may_look.clear()
                write(asked.engine, blocked)
                ahead[0] += 1.5
                return found

            with asked.engine.begin() as connection:
                set_org(connection, integration="main", org="hooli", customer="cus_paid", set_by="test")
            await asked.memory.catch_up()
            before = await asked.reason()
            monkeypatch.setattr("entitlements.api.memory.setting_of", stopped_behind)
            try:
                assert (before, await asked.reason("hooli", kind="org")) == ("paid", "blocked")
            finally:
                may_look.set()

    blocked = Block(
        integration="main", customer="cus_paid", id="1", by="test", reason="test", start=NOW, end=None, at=NOW
    )
    monkeypatch.setattr("entitlements.api.listening.look", when_it_may)
    asyncio.run(play())


def test_what_was_read_before_the_process_stood_still_answers_nobody(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In time for the loop and late by the clock, a load says what may be so no more; who asks again is told."""
    ahead = [0.0]

    async def play() -> None:
        def stopped_behind(connection: sa.Connection, *, integration: str, customer: str) -> CustomerFacts:
            facts = facts_of(connection, integration=integration, customer=customer)
            ahead[0] += 6.0
            return facts

        async with remembering(
            fresh_database, line(), limits=Limits(miss_s=2.0), monotonic=lambda: time.monotonic() + ahead[0]
        ) as asked:
            with monkeypatch.context() as patched:
                patched.setattr("entitlements.api.memory.facts_of", stopped_behind)
                with pytest.raises(CannotDecide, match="has not answered"):
                    await asked.reason()

            assert await asked.reason() == "paid"

    asyncio.run(play())
