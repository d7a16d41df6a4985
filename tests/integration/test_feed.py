"""The change feed on a real PostgreSQL: nothing is missed, nothing is told twice, whatever is killed when."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

from consumers.told import Catalogs, take_step
from entitlements import feed, ledger
from entitlements.orgs import set_org
from schemas.access_change import AccessChange
from schemas.codec import StripeMessage
from tests import stated
from tests.feeding import NOON, behind, disagreements, fed, learn, learnt, seqs, settled, step
from tests.pure_core import DECIDERS
from tests.stated import catalog, line, unpaid
from tests.stripe_builders import events, on, paid
from tests.taking_back import charge, dispute

LEEWAY = timedelta(hours=2)


@pytest.fixture
def database(fresh_database: str) -> Iterator[sa.Engine]:
    """An engine on a migrated database of the test's own, on which a catalog was applied."""
    with fed(fresh_database) as on:
        learnt(on, catalog())
        yield on


def test_a_change_committed_late_is_told_and_holds_up_nobody(database: sa.Engine) -> None:
    """Of three writers the first commits last: the others are told before, it is told then, under a later number."""
    with database.connect() as slow:
        transaction = slow.begin()
        learn(slow, line("cus_slow"))
        learnt(database, line("cus_fast"))
        step(database)
        learnt(database, line("cus_faster"))
        step(database)
        meanwhile = seqs(behind(database))
        transaction.commit()
    step(database)

    assert meanwhile == [("cus_fast", 1), ("cus_faster", 2)]
    assert seqs(behind(database, 2)) == [("cus_slow", 3)]


def test_a_customer_is_told_once_as_it_is_now(database: sa.Engine) -> None:
    """A second change takes the place of the first; facts by which nothing changes get no number."""
    learnt(database, *unpaid("cus_1"))
    learnt(database, line("cus_2"))
    step(database)
    first = seqs(behind(database))
    learnt(database, line("cus_1", line="il_cus_1"))
    step(database)
    learnt(database, stated.snapshot("cus_1", number="A-2"))
    done = step(database)

    assert first == [("cus_1", 1), ("cus_2", 2)]
    assert seqs(behind(database)) == [("cus_2", 2), ("cus_1", 3)]
    assert (done.told, done.same) == (0, 1)
    assert seqs(behind(database, 2)) == [("cus_1", 3)]


def test_what_is_told_has_no_page_to_pay_at(database: sa.Engine) -> None:
    """A customer who owes is told with the invoice, and without its hosted page, whatever is in the facts."""
    learnt(database, *unpaid("cus_1"))
    step(database)
    with database.begin() as connection:
        state = str(connection.execute(sa.select(feed.feed.c.state)).scalar_one())

    assert "payment_required" in state
    assert stated.PAY_AT not in state


def test_a_change_of_a_payment_is_its_customers(database: sa.Engine) -> None:
    """A dispute names no customer: whose the payment is, is found when the change is told, or by the link's change."""
    said = [*events(paid()), charge(at="01-01"), dispute("needs_response", at="01-06")]
    facts = [
        fact for each in said for decide in DECIDERS for fact in decide(StripeMessage(integration="main", event=each))
    ]
    of_payments = [fact for fact in facts if fact.customer is None]
    learnt(database, *(fact for fact in facts if fact.customer is not None))
    settled(database, on("01-10"))
    learnt(database, *of_payments)
    settled(database, on("01-10"))

    [state] = behind(database)
    answer = state.stretch_at("orders", on("01-10"))
    assert (state.seq, answer and answer.reason) == (2, "disputed")


def test_a_new_catalog_concerns_everyone_and_tells_whom_it_changes(database: sa.Engine) -> None:
    """All customers are looked at again, some in each step; only those for whom something changes get a number."""
    customers = [f"cus_{number:03}" for number in range(120)]
    learnt(database, *(line(customer) for customer in customers))
    learnt(database, line("cus_other", integration="elsewhere"))
    settled(database)
    assert len(behind(database)) == 121
    learnt(database, catalog(number=2))
    assert (settled(database).position.head, len(behind(database, 121))) == (121, 0)

    learnt(database, catalog(number=3, more_apis=("labs",)))
    learnt(database, *unpaid("cus_owing"))
    first = step(database)

    assert first.more
    assert "cus_owing" in {each.customer for each in behind(database, 121)}
    settled(database)
    assert {each.customer for each in behind(database, 121)} == {*customers, "cus_owing"}


def test_an_org_is_told_with_its_customer(database: sa.Engine) -> None:
    """The catalog's orgs and those that operators set, but for names that the catalog fixes to others."""
    with database.begin() as connection:
        for org, customer in (("umbrella", "cus_paid"), ("initech", "cus_open"), ("moved", "cus_open")):
            set_org(connection, integration="main", org=org, customer=customer, set_by="ann")
        set_org(connection, integration="main", org="moved", customer="cus_paid", set_by="ann")
    learnt(database, line("cus_paid"), *unpaid("cus_open"))
    settled(database)

    assert {each.customer: each.orgs for each in behind(database)} == {
        "cus_paid": ("initech", "moved", "umbrella"),
        "cus_open": (),
    }


@pytest.mark.parametrize("is_restarted", [False, True], ids=["at work", "away meanwhile"])
def test_a_catalog_that_comes_into_force_by_time_is_told_then(database: sa.Engine, is_restarted: bool) -> None:
    """Nothing is committed at that moment, and yet every customer is told who is another org from then on, and once."""
    moved = {f"org_{number}": f"cus_{number:03}" for number in range(120)}
    with database.begin() as connection:
        set_org(connection, integration="main", org="org_7", customer="cus_paid", set_by="ann")
    learnt(database, *(line(customer) for customer in ("cus_paid", *moved.values())))
    later = NOON + timedelta(hours=1)
    learnt(database, catalog(number=2, in_force_from=later, orgs={**moved, "gone": "cus_unheard_of"}))
    catalogs = Catalogs()
    while step(database, NOON, catalogs).more:
        pass
    before = {each.customer: each.orgs for each in behind(database)}
    head = step(database, later - timedelta.resolution, catalogs).position.head
    catalogs = Catalogs() if is_restarted else catalogs
    while step(database, later, catalogs).more:
        pass

    assert before == {"cus_paid": ("initech", "org_7"), **dict.fromkeys(moved.values(), ())}
    assert {each.customer: each.orgs for each in behind(database, head)} == {
        "cus_paid": (),
        **{customer: (org,) for org, customer in moved.items()},
    }
    assert step(database, later + LEEWAY, catalogs).told == 0


def test_a_killed_step_leaves_nothing_and_is_done_again(database: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever statement is its last, a step that ends there has told nothing, and the next one tells all."""
    learnt(database, line("cus_1"), *unpaid("cus_2"))
    learnt(database, line("cus_3"))
    for name in ("told", "tell", "await_boundaries", "relayed", "move"):

        def killed(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(feed, name, killed)
            with pytest.raises(KeyboardInterrupt):
                step(database)
        assert behind(database) == ()

    settled(database)
    assert seqs(behind(database)) == [("cus_1", 1), ("cus_2", 2), ("cus_3", 3)]


def test_what_is_relayed_is_let_go_and_old_numbers_with_it(database: sa.Engine) -> None:
    """Old changes are let go, but for the newest; the last number of long ago is where readers begin anew."""
    learnt(database, line("cus_1"))
    settled(database, NOON)
    learnt(database, line("cus_2"))
    settled(database, NOON + timedelta(days=8))
    learnt(database, line("cus_3"))
    with database.begin() as connection:
        recorded = connection.execute(sa.select(sa.func.max(ledger.changes.c.recorded_at))).scalar_one()
        assert feed.forget(connection, recorded) > 0
        assert feed.forget(connection, recorded) == 0
        assert [each.customer for each in feed.waiting(connection, most=9)] == ["cus_3"]
        kept = connection.execute(sa.select(ledger.changes.c.customer).order_by(ledger.changes.c.id)).scalars()
        assert [*kept] == ["cus_2", "cus_3"]  # by the newest old one the query process knows this database again
        assert feed.oldest_kept(connection, NOON + timedelta(days=9), timedelta(days=7)) == 1


def test_readers_miss_nothing_while_many_write(database: sa.Engine) -> None:
    """Writers commit out of order, a relay is killed now and then: a reader's pages add up to what is known."""
    chance = random.Random(7)
    writers = [threading.Thread(target=write_at_random, args=(database, seed)) for seed in range(4)]
    for each in writers:
        each.start()
    held: dict[str, AccessChange] = {}
    after, catalogs, numbers = 0, Catalogs(), []
    while any(each.is_alive() for each in writers) or held_is_behind(database, after):
        try:
            with database.begin() as connection:
                take_step(connection, catalogs, NOON)
                if chance.random() < 0.3:
                    raise InterruptedError
        except InterruptedError:
            continue
        for state in behind(database, after):
            held[state.customer] = state
            numbers.append(state.seq)
            after = state.seq
    for each in writers:
        each.join()

    assert numbers == sorted({*numbers})
    assert held == {each.customer: each for each in behind(database)}
    assert len(held) > 5
    assert disagreements(database, held.values(), NOON) == []


def write_at_random(database: sa.Engine, seed: int) -> None:
    """A consumer: transactions about some customer or other, some of which take their time to commit."""
    chance = random.Random(seed)
    for number in range(25):
        with database.begin() as connection:
            price = chance.choice(["price_enterprise", "price_reporting", "price_none"])
            whom = f"cus_{chance.randrange(12)}"
            learn(connection, line(whom, invoice=f"in_{seed}_{number}", line=f"il_{seed}_{number}", price=price))
            if chance.random() < 0.3:
                time.sleep(chance.random() / 50)


def held_is_behind(database: sa.Engine, after: int) -> bool:
    """Whether a change waits, or a number behind *after* is given."""
    with database.begin() as connection:
        return bool(feed.waiting(connection, most=1)) or feed.position(connection).head > after
