"""Facts out of a real PostgreSQL: payments that name no customer reach theirs, whatever was committed first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations

import pytest
import sqlalchemy as sa

from consumers import grants, invoices, revocations
from entitlements import ledger, reading, store
from entitlements.domain.access import Scope, standing
from entitlements.domain.identity import digest_of
from ops.database import engine, migrate
from schemas.codec import StripeMessage
from tests import recording
from tests.pure_core import bill_of, plan, plans, spans_in
from tests.stripe_builders import CUSTOMER, Json, Shape, events, paid
from tests.taking_back import charge, credit_note, dispute, invoice_payment, refund, subscription_deleted

SCHEMA = "entitlements"
TERMS = plans(enterprise=plan())


@pytest.fixture
def database(fresh_database: str) -> Iterator[sa.Engine]:
    """An engine on a migrated database of the test's own."""
    url = sa.make_url(fresh_database).set(drivername="postgresql+psycopg2")
    on = engine(url.render_as_string(hide_password=False), SCHEMA)
    migrate(on, SCHEMA)
    yield on
    on.dispose()


def say(database: sa.Engine, *stripe_events: Json, integration: str = "main") -> None:
    """Each event is read by all consumers, in a transaction of its own."""
    for each in stripe_events:
        message = StripeMessage(integration=integration, event=each)
        facts = [fact for group in (grants, revocations, invoices) for fact in group.decide(message)]
        with database.begin() as connection:
            store.record(connection, facts)


def opened(database: sa.Engine) -> list[str]:
    """What the customer's lines open, by what the database knows."""
    with database.begin() as connection:
        facts = reading.facts_of(connection, integration="main", customer=CUSTOMER)
    return spans_in(standing(facts, Scope(integration="main"), TERMS).billed)


def test_a_dispute_is_the_customers_as_soon_as_all_links_are_there(database: sa.Engine) -> None:
    """Invoice, link by the payment intent, charge, and dispute by the charge alone: in every order the same answer."""
    said = [
        *events(paid(), shape=Shape.NEW),
        charge(at="01-01", invoice=None),
        invoice_payment(at="01-01"),
        dispute("lost", at="01-06", payment_intent=None),
    ]
    orders = list(permutations(said))
    for number, order in enumerate(orders):
        say(database, *order, integration=f"account-{number}")
    with database.begin() as connection:
        found = [
            reading.facts_of(connection, integration=f"account-{number}", customer=CUSTOMER)
            for number in range(len(orders))
        ]

    assert {(len(facts.payment_links), len(facts.disputes), len(facts.grants)) for facts in found} == {(2, 1, 2)}


def test_what_is_read_is_what_the_pure_core_is_told(database: sa.Engine) -> None:
    """Every kind of fact that is of a customer comes back whole, and no other integration's."""
    said = [
        *events(paid(), shape=Shape.MIXED),
        charge(refunded=1000, at="01-04"),
        refund("succeeded", at="01-05", amount=1000),
        credit_note(at="01-06", amount=1),
        dispute("warning_needs_response", at="01-07"),
        subscription_deleted(at="01-08"),
    ]
    say(database, *said)
    say(database, *said, integration="other")

    with database.begin() as connection:
        facts = reading.facts_of(connection, integration="main", customer=CUSTOMER)
    kinds = (facts.payment_links, facts.amounts_refunded, facts.refunds, facts.disputes, facts.credit_notes)

    assert [len(each) for each in (*kinds, facts.ended_subscriptions)] == [2, 1, 1, 1, 1, 1]
    assert all(digest_of(fact) == fact.digest and fact.integration == "main" for kind in kinds for fact in kind)
    assert opened(database) == spans_in(bill_of(said, terms=TERMS))


def test_several_customers_facts_are_read_at_once(database: sa.Engine) -> None:
    """For each what is read of it alone, also of one that nobody knows; nothing of another integration."""
    for customer in ("cus_1", "cus_2"):
        bills = paid(id=f"in_{customer}", customer=customer)
        say(database, *events(bills), charge(refunded=1000, at="01-04", id=f"ch_{customer}", customer=customer))
        say(database, *events(replace(bills, id="in_other")), integration="other")

    with database.begin() as connection:
        customers = ("cus_1", "cus_2", "cus_nobody")
        found = reading.facts_of_each(connection, integration="main", customers=customers)
        wanted = {
            customer: reading.facts_of(connection, integration="main", customer=customer) for customer in customers
        }

    assert found == wanted
    assert [len(facts.grants) for facts in found.values()] == [2, 2, 0]


def test_a_change_that_names_a_payment_leads_to_its_customer_once_that_is_known(database: sa.Engine) -> None:
    """By the charge's customer, or by the invoice that an invoice payment links: whichever was committed last."""

    def whose() -> frozenset[str]:
        with database.begin() as connection:
            return reading.customers_of(connection, integration="main", payment="pi_1")

    say(database, dispute("needs_response", at="01-06"))
    assert whose() == frozenset()
    say(database, charge(at="01-01", invoice=None))
    assert whose() == frozenset({CUSTOMER})
    recording.read(database, [*events(paid(customer="cus_2")), invoice_payment(at="01-01")])
    assert whose() == frozenset({CUSTOMER, "cus_2"})


def test_the_changes_name_the_payment_where_they_cannot_name_the_customer(database: sa.Engine) -> None:
    """So that who reads them can find whose it is, once all is committed."""
    with database.begin() as connection:
        ledger.write_changes(
            connection, {("revocations", "main", None, "pi_1"), ("revocations", "main", CUSTOMER, None)}
        )
        rows = connection.execute(sa.select(ledger.changes.c.customer, ledger.changes.c.payment)).all()

    assert sorted(map(tuple, rows), key=str) == [(CUSTOMER, None), (None, "pi_1")]
