"""A database that the relay works on, what is learnt in it, and what readers make of the feed. Edge: Postgres."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from consumers.told import Catalogs, Step, take_step
from entitlements import feed, ledger, reading, store
from entitlements.api.app import DEFAULT_LIMITS
from entitlements.api.memory import Limits
from entitlements.domain.access import Scope, apis_of, decide, standing
from entitlements.domain.facts import Fact
from entitlements.everyone import CustomerName
from ops.database import SETTINGS, engine, migrate
from schemas.access_change import AccessChange
from tests.asking import ANY, NOW, Answer, Api, listening
from tests.stated import JUNE, STORY, line

SCHEMA, SETTINGS_SCHEMA = "entitlements", "entitle_settings"
NOON = JUNE + timedelta(days=10, hours=12)


@contextmanager
def fed(url: str) -> Iterator[sa.Engine]:
    """An engine on the database of *url*, migrated."""
    made = sa.make_url(url).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
    on = engine(made, SCHEMA, settings_schema=SETTINGS_SCHEMA, connections=10)
    migrate(on, SCHEMA)
    migrate(on, SETTINGS_SCHEMA, SETTINGS)
    yield on
    on.dispose()


def learn(connection: sa.Connection, *facts: Fact, group: str = "grants") -> None:
    """What a consumer does: the facts, and whom they concern."""
    store.record(connection, facts)
    concerned = {
        (group, fact.integration, fact.customer, None if fact.customer else getattr(fact, "payment", None))
        for fact in facts
    }
    ledger.write_changes(connection, concerned)


def learnt(on: sa.Engine, *facts: Fact) -> None:
    """The same, in a transaction of its own."""
    with on.begin() as connection:
        learn(connection, *facts)


def step(on: sa.Engine, now: datetime = NOON, catalogs: Catalogs | None = None) -> Step:
    """One step of the relay."""
    with on.begin() as connection:
        return take_step(connection, catalogs or Catalogs(), now)


def settled(on: sa.Engine, now: datetime = NOON) -> Step:
    """Steps until nothing more waits; the last of them."""
    while (done := step(on, now)).more:
        pass
    return done


def behind(on: sa.Engine, after: int = 0) -> tuple[AccessChange, ...]:
    """What a reader is told who knows all up to *after*."""
    with on.begin() as connection:
        return feed.behind(connection, after, most=1000)


def seqs(states: Iterable[AccessChange]) -> list[tuple[str, int]]:
    """`("cus_paid", 1)`."""
    return [(each.customer, each.seq) for each in states]


def disagreements(
    on: sa.Engine,
    states: Collection[AccessChange],
    at: datetime,
    apis: Sequence[str] = ("orders", "invoices", "reports"),
) -> list[tuple[str, str]]:
    """Where what a reader holds says another thing than the query would at *at*: customers and APIs."""
    found = []
    with on.begin() as connection:
        revisions = store.as_revisions(reading.catalog_revisions_in(connection))
        for state in states:
            scope = Scope(integration=state.integration)
            facts = reading.facts_of(connection, integration=state.integration, customer=state.customer)
            there = standing(facts, scope, revisions)
            known = apis_of(there, scope, revisions, at)
            for api in apis:
                stretch = state.stretch_at(api, at)
                reason = "unknown_api" if stretch is None else stretch.reason
                if reason != decide(there, api, at, known_apis=known).reason:
                    found.append((state.customer, api))
    return found


def names(*customers: str, integration: str = "main") -> list[CustomerName]:
    return [CustomerName(integration=integration, customer=each) for each in customers]


@contextmanager
def telling(url: str, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Api]:
    """A query API on a database of *url*, whose feed holds the customers of the story."""
    with listening(url, limits=limits) as started:
        learnt(started.engine, *STORY)
        settled(started.engine, NOW)
        yield started


def changes(api: Api, after: int, *, token: str = ANY, more: str = "") -> Answer:
    return api.ask("GET", f"/v1/changes?after={after}{more}", token=token)


def lines(answer: Answer) -> list[dict[str, Any]]:
    return [json.loads(each) for each in answer.body.splitlines()]


def news(api: Api, customer: str) -> None:
    """Something about a customer is learnt, and relayed."""
    learnt(api.engine, line(customer, line=f"il_{time.monotonic_ns()}", quantity=7))
    settled(api.engine, NOW)
