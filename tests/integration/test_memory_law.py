"""The law of the memory, on generated histories of commits, looks and questions: never other than the facts allow."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entitlements import ledger
from entitlements.api.listening import Look
from entitlements.api.memory import Limits, Memory
from entitlements.api.snapshots import Snapshots
from entitlements.api.subjects import Subject, SubjectType
from entitlements.api.tokens import Token
from entitlements.domain.access import Scope, apis_of, decide, standing
from entitlements.domain.acts import Block, Unblock
from entitlements.domain.decision import Decision
from entitlements.domain.facts import Customer, CustomerFacts, Fact, Grant, InvoiceSnapshot, Revocation
from entitlements.store import as_revisions, one_of_each_number, record
from entitlements.tail import Seen, look
from ops.database import SETTINGS, migrate
from schemas.stripe_event import InvoiceStatus
from tests.asking import NOW, SETTINGS_SCHEMA, on, write
from tests.servers import new_database
from tests.stated import JULY, catalog, line, named, snapshot, unpaid, voided_too

SCOPE = Scope(integration="main")
REVISIONS = as_revisions(one_of_each_number([catalog()]))
TOKEN = Token(value="any")
APIS = ("orders", "reports", "nothing")
HOUR = timedelta(hours=1)
NUMBERS = count()


def learnable(customer: str) -> tuple[tuple[Fact, ...], ...]:
    """What may become known of a customer, in one commit each."""
    who: dict[str, Any] = {"integration": "main", "customer": customer, "by": "test", "reason": "r"}
    august = line(customer, invoice="in_2", line="il_2", period_start=JULY, period_end=JULY + timedelta(days=31))
    return (
        unpaid(customer),
        (line(customer),),
        (august,),
        (line(customer, invoice="in_3", line="il_3", price="price_reporting", period_end=NOW + 6 * HOUR),),
        (voided_too(customer),),
        (snapshot(customer, status=InvoiceStatus.PAID, pay_at=None),),
        (Block(**who, id="b", start=NOW + HOUR, end=None, at=NOW),),
        (Unblock(**who, id="u", since=NOW + 3 * HOUR, at=NOW + 2 * HOUR),),
        (named(customer),),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something that happens: *what* it is, to which of two customers, and a number that says the rest."""

    what: str
    customer: int
    number: int


STEPS = st.lists(
    st.builds(
        Step,
        what=st.sampled_from(["write", "hold", "release", "look", "ask", "ask", "ask", "clock"]),
        customer=st.integers(0, 1),
        number=st.integers(0, 8),
    ),
    min_size=4,
    max_size=24,
)


class Play:
    """One history: a memory that looks when it is told to, beside what it may know at most and must know at least."""

    def __init__(self, engine: sa.Engine) -> None:
        prefix = f"cus_{next(NUMBERS)}"
        self.customers = (f"{prefix}_a", f"{prefix}_b")
        self.engine = engine
        self.now = NOW
        self.committed: dict[str, list[Fact]] = {customer: [] for customer in self.customers}
        self.known: dict[str, list[Fact]] = {customer: [] for customer in self.customers}
        self.held: list[tuple[sa.Connection, sa.Transaction, str, tuple[Fact, ...]]] = []
        self.seen: Seen | None = None
        self.snapshots = Snapshots(engine, lambda: self.now)
        self.memory = Memory(
            engine, self.snapshots, clock=lambda: self.now, monotonic=lambda: 0.0, limits=Limits(miss_s=10.0)
        )
        self.looking = engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    async def run(self, steps: Sequence[Step]) -> list[str]:
        """What was answered otherwise than the law says; nothing is allowed at or after its `until` either."""
        wrong: list[str] = []
        self.look()
        for step in steps:
            customer = self.customers[step.customer]
            match step.what:
                case "write" if self.is_free(customer, step.number):
                    self.commit(*self.begin(customer, step.number))
                case "hold" if self.is_free(customer, step.number) and len(self.held) < 3:
                    self.held.append(self.begin(customer, step.number))
                case "release" if self.held:
                    self.commit(*self.held.pop(step.number % len(self.held)))
                case "look":
                    self.look()
                case "clock":
                    self.now = (NOW, NOW + HOUR, NOW + 2 * HOUR, NOW + 3 * HOUR, JULY - HOUR, JULY, JULY + 2 * HOUR)[
                        step.number % 7
                    ] - timedelta(seconds=(0, 1.5, 0.25, 9.75)[step.number % 4])
                case "ask":
                    wrong += await self.ask(customer, APIS[step.number % 3])
        return wrong

    def is_free(self, customer: str, number: int) -> bool:
        """Whether no transaction that is open states the same, which another would have to wait for."""
        stated = {fact.digest for fact in learnable(customer)[number]}
        return stated.isdisjoint(fact.digest for *_, facts in self.held for fact in facts)

    def begin(self, customer: str, number: int) -> tuple[sa.Connection, sa.Transaction, str, tuple[Fact, ...]]:
        facts = learnable(customer)[number]
        connection = self.engine.connect()
        transaction = connection.begin()
        record(connection, facts)
        ledger.write_changes(connection, {("tests", "main", customer, None)})
        return connection, transaction, customer, facts

    def commit(
        self, connection: sa.Connection, transaction: sa.Transaction, customer: str, facts: tuple[Fact, ...]
    ) -> None:
        transaction.commit()
        connection.close()
        self.committed[customer] += facts

    def look(self) -> None:
        self.seen, learnt = look(self.looking, self.seen)
        self.memory.take(Look(learnt=learnt, head=0, began=0.0, at=self.now))
        self.known = {customer: [*facts] for customer, facts in self.committed.items()}

    async def ask(self, customer: str, api: str) -> list[str]:
        subject = Subject(type=SubjectType.CUSTOMER, id=customer)
        kept = self.memory.at_hand(TOKEN, subject, api)
        if kept is None:  # it is loaded, as it is now
            self.known[customer] = [*self.committed[customer]]
            answer = await self.memory.decision(TOKEN, subject, api, None)
        else:
            answer = kept.answer
        found, expected = answer.decision, told_by(self.known[customer], api, self.now)

        is_over = found.allowed and found.until is not None and self.now >= found.until
        is_right = as_told(found) == as_told(expected) and not is_over and not answer.degraded
        return [] if is_right else [f"{found} and not {expected} at {self.now}"]

    def close(self) -> None:
        for connection, transaction, *_ in self.held:
            transaction.rollback()
            connection.close()
        self.looking.close()
        self.snapshots.close()


def told_by(facts: Sequence[Fact], api: str, now: datetime) -> Decision:
    """What the database would say that knows these facts."""

    def of(kind: type) -> tuple[Fact, ...]:
        return tuple({fact.digest: fact for fact in facts if isinstance(fact, kind)}.values())

    known = CustomerFacts(
        named=bool(of(Customer)),
        grants=of(Grant),  # type: ignore[arg-type]
        revocations=of(Revocation),  # type: ignore[arg-type]
        invoices=of(InvoiceSnapshot),  # type: ignore[arg-type]
        blocks=of(Block),  # type: ignore[arg-type]
        unblocks=of(Unblock),  # type: ignore[arg-type]
    )
    there = standing(known, SCOPE, REVISIONS)
    return decide(there, api, now, known_apis=apis_of(there, SCOPE, REVISIONS, now))


def as_told(decision: Decision) -> tuple[object, ...]:
    seconds = decision.max_age // timedelta(seconds=1)
    return (decision.reason, decision.until, decision.invoice, decision.pay_at, decision.quotas, seconds)


@pytest.fixture(scope="module")
def engine(database_url: str) -> Iterator[sa.Engine]:
    with new_database(database_url) as url, on(url) as found:
        migrate(found, "public")
        migrate(found, SETTINGS_SCHEMA, SETTINGS)
        write(found, catalog())
        yield found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_an_answer_is_that_of_the_last_look(engine: sa.Engine, steps: list[Step]) -> None:
    """Whatever is committed in whatever order, an answer is that of the facts then, or at its load if that is later."""
    play = Play(engine)
    try:
        wrong = asyncio.run(play.run(steps))
    finally:
        play.close()

    assert wrong == []
