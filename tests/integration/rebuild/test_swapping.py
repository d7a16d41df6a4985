"""A swap on a real Kafka and a real PostgreSQL: what others at the database see of it, and how they hold it up."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pytest
import sqlalchemy as sa

from entitlements import exchange
from entitlements.api import snapshots
from entitlements.reading import facts_of
from ops import explain_commands
from ops.comparing import Proposal, customers_compared
from ops.rebuild_place import CannotRebuild
from tests.feeding import SCHEMA
from tests.integration.rebuild.sharing import (
    CUSTOMERS,
    JANUARY,
    WRONG,
    swapping,
)
from tests.pure_core import catalog, revisions
from tests.rebuilding import BEFORE, REBUILD, Ground, billed, put
from tests.stripe_builders import events, paid
from tests.yard import PATIENCE_S, wait_until

# A schema that is renamed keeps its oid.
OF = "(SELECT relnamespace::text FROM pg_class WHERE oid = (SELECT tableoid FROM {} LIMIT 1))"
ONE, OTHER = f"SELECT {OF.format('grants')}", f"SELECT {OF.format('invoices')}"
BOTH = f"SELECT {OF.format('grants')} || ' ' || {OF.format('provenance')}"
LOOKS = {"AUTOCOMMIT": (BOTH,), "READ COMMITTED": (ONE, OTHER), "REPEATABLE READ": (ONE, BOTH, OTHER)}
"""What a transaction of each kind asks: of which schema the tables are that it sees."""


def look(place: Ground, isolation: str, stop: threading.Event, seen: list[tuple[str, frozenset[str]]]) -> None:
    """Transactions one after the other, each of them with what a session has prepared before."""
    with place.own(connections=1) as engine:
        database = engine.execution_options(isolation_level=isolation)
        while not stop.is_set():
            with database.connect() as connection:
                tables = [connection.exec_driver_sql(each).scalar_one() for each in LOOKS[isolation]]
                facts_of(connection, integration="main", customer=WRONG[0])
                connection.commit()
            seen.append((isolation, frozenset(" ".join(tables).split())))


def test_nobody_sees_half_of_each(built: Ground) -> None:
    """While schemas are exchanged ten times all that a transaction sees is of one, none fails, and consumers go on."""
    stop, seen = threading.Event(), list[tuple[str, frozenset[str]]]()
    threads = [threading.Thread(target=look, args=(built, each, stop, seen)) for each in (*LOOKS, *LOOKS)]
    more = billed(200, customers=CUSTOMERS, prefix="more")
    recorded = len(built.facts(REBUILD)["invoices"])
    with built.consuming(), ExitStack() as until_done:
        until_done.callback(stop.set)
        for thread in threads:
            thread.start()
        built.rebuild("--swap")
        for number in range(9):
            put(built.source, *more[number * 40 : number * 40 + 40])
            built.rebuild("--swap-back")
    for thread in threads:
        thread.join(PATIENCE_S)

    assert {len(schemas) for _, schemas in seen} == {1}
    assert len({schemas for _, schemas in seen}) == 2
    assert min(Counter(isolation for isolation, _ in seen).values()) > 20
    built.rebuild("--swap-back")  # catches the other one up
    assert len(built.facts()["invoices"]) == recorded + 2 * 180


@pytest.mark.parametrize("way", ["ask", "look_up", "entitle explain", "catalog diff"])
def test_who_asks_while_it_swaps_is_told_what_it_has_recorded(
    built: Ground, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Who was let in just before is let in for whoever waits behind the swap: such a question is of after it."""
    monkeypatch.setattr(snapshots, "ANSWER_SECONDS", PATIENCE_S)
    customer, told = f"late_{way.split()[-1]}", list[set[str]]()

    def asked() -> set[str]:
        def known(connection: sa.Connection) -> set[str]:
            return {str(each.status) for each in facts_of(connection, integration="main", customer=customer).grants}

        if way == "look_up":
            return asyncio.run(asking.look_up(known))
        if way == "ask":
            return asyncio.run(asking.ask(lambda snapshot: (snapshot.terms(), known(snapshot.connection))[1]))
        if way == "catalog diff":
            return {"open", "paid"} if customer in _compared(engine) else set()
        with explain_commands._snapshot() as snapshot:
            return (snapshot.terms(), known(snapshot.connection))[1]

    def on_lock(connection: sa.Connection, names: Sequence[str]) -> None:
        put(built.source, *late)
        built.consume()
        lock(connection, names)
        question.start()
        wait_until(lambda: _waits(connection), "the question waits")

    late = _invoice_of(customer)
    question = threading.Thread(target=lambda: told.append(asked()))
    lock = exchange.lock
    with built.own(connections=1) as engine:
        asking = snapshots.Snapshots(engine, lambda: JANUARY)
        monkeypatch.setattr(explain_commands, "database", lambda: engine)
        before = asked()  # its session is at hand, and has prepared what it asks
        monkeypatch.setattr(exchange, "lock", on_lock)
        done = swapping(built).swap()
        question.join(PATIENCE_S)
        asking.close()

    assert (before, told, done.tries) == (set(), [{"open", "paid"}], 1)
    assert done.meanwhile > 0


def _invoice_of(customer: str) -> list[dict[str, Any]]:
    """The events of one that is paid."""
    said = enumerate(events(paid(customer=customer, id=customer)))
    return [{**each, "id": f"evt_{customer}_{at}"} for at, each in said]


def _compared(engine: sa.Engine) -> set[str]:
    """Whom `entitle catalog diff` compares."""
    terms = revisions(catalog())
    nothing_new = Proposal(before=terms, after=terms, following=terms.newest)
    return {each.name.customer for each in customers_compared(snapshots.reading(engine), nothing_new, JANUARY)}


def _waits(connection: sa.Connection) -> bool:
    """Whether anybody waits for what this session holds."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))"
    return bool(connection.exec_driver_sql(query).scalar_one())


def test_roles_may_do_afterwards_what_they_might_before(built: Ground) -> None:
    """What was granted on what served goes over with a swap, and what was taken away since does not come back."""
    role = f"reports_{uuid.uuid4().hex}"

    def may() -> tuple[bool, ...]:
        query = (
            f"SELECT has_schema_privilege('{role}', '{SCHEMA}', 'USAGE'), "
            f"has_table_privilege('{role}', '{SCHEMA}.grants', 'SELECT WITH GRANT OPTION'), "
            f"has_table_privilege('{role}', '{SCHEMA}.grants', 'DELETE'), "
            f"has_table_privilege('{role}', '{SCHEMA}.invoices', 'SELECT'), "
            f"has_table_privilege('{role}', '{SCHEMA}.feed', 'SELECT')"
        )
        return tuple(say(query).one())

    def say(statement: str) -> sa.CursorResult[Any]:
        with built.engine.begin() as connection:
            return connection.exec_driver_sql(statement)  # its rows are at hand already

    say(f"CREATE ROLE {role}")
    try:
        say(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {role}")
        say(f"GRANT SELECT ON {SCHEMA}.grants TO {role} WITH GRANT OPTION")
        say(f"GRANT SELECT ON {SCHEMA}.invoices, {SCHEMA}.feed TO {role}")
        granted = may()
        built.rebuild("--swap")
        swapped = may()
        say(f"REVOKE SELECT ON {SCHEMA}.invoices FROM {role}")  # noqa: S608
        built.rebuild("--swap-back")
        back = may()
    finally:
        say(f"DROP OWNED BY {role}")
        say(f"DROP ROLE {role}")

    assert granted == swapped == (True, True, False, True, True)
    assert back == (True, True, False, False, True)


def test_who_holds_a_table_is_named(built: Ground) -> None:
    """A transaction that goes on holds up a swap, which gives up, says who it is, and has changed nothing."""
    before = built.facts()
    with built.own(application="a long report") as other, other.connect() as reading:
        pid = reading.exec_driver_sql("SELECT pg_backend_pid() FROM grants LIMIT 1").scalar_one()

        with pytest.raises(CannotRebuild, match=rf"process {pid} \(a long report, idle in transaction.*has grants"):
            swapping(built, patience_s=0.5).swap()

        assert (built.facts(), built.schemas()) == (before, {SCHEMA, REBUILD})
        reading.rollback()
        swapping(built, patience_s=5).swap()
    assert built.schemas() == {SCHEMA, BEFORE}


def test_a_transaction_that_has_touched_nothing_holds_up_nobody(built: Ground) -> None:
    """Begun before a swap, it sees what serves after it, whole."""
    with built.own() as database, database.connect() as reading:
        reading.execution_options(isolation_level="REPEATABLE READ")
        reading.exec_driver_sql("SELECT 1")
        built.rebuild("--swap")

        known = facts_of(reading, integration="main", customer=WRONG[0])
    assert {grant.status for grant in known.grants} == {"open", "paid"}
