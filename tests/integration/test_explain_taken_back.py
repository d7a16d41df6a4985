"""
Why access was taken back, on a real PostgreSQL: from the answer to the log, for Stripe's part and for operators'.

Long because whole answers are written out.
"""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from entitlements import evidence
from entitlements.domain.facts import CatalogRevision
from entitlements.domain.identity import canonical_json
from entitlements.domain.reversals import PaymentLink
from schemas.operator_acts import OperatorAct
from tests.acts import block, grant, revocation, unblock
from tests.asking import Api, listening
from tests.integration.test_explain import why
from tests.integration.test_explain_commands import entitle
from tests.pure_core import catalog
from tests.recording import read
from tests.remembering import statements
from tests.stripe_builders import Json, event, events, paid
from tests.taking_back import charge, customer_deleted, dispute, invoice_payment, refund, subscription_deleted

CATALOG = CatalogRevision(number=1, in_force_from=None, applied_by="ann", document=canonical_json(catalog()))
LATER = {"at": "2026-01-15T00:00:00Z"}
JANUARY = {"start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z"}
LINKED = (
    invoice_payment(at="01-01"),
    charge(at="01-01", invoice=None),
    invoice_payment(at="01-01", invoice="in_other", intent="pi_other"),
)


def places(found: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    """Of each record what it is about, its type and its offset."""
    return [(each["about"], each["type"], each["offset"]) for each in found]


def test_a_refunded_customer_is_explained_down_to_the_log(fresh_database: str) -> None:
    """The grant, the refund and what it ended, the invoice with all its events; long because it is every key."""
    known = [
        *events(paid()),
        *LINKED,
        refund("pending", at="01-06"),
        refund("succeeded", at="01-07"),
        charge(at="01-07", id="ch_x", payment_intent="pi_x", invoice=None),
    ]
    with listening(fresh_database, CATALOG) as api:
        read(api.engine, known, partition=3)
        body = why(api, **LATER)

    says = "25.00 of 25.00 usd given back by then; ended the paid cycle and the leeway of in_1, which else ran until"
    assert (body["answer"], body["context"]["reason"]) == (
        "deny 403 refunded: invoice in_1 for 1 Jan – 1 Feb 2026 was given back",
        "refunded",
    )
    assert body["grants"][0]["withheld"] == {
        "since": "2026-01-06T00:00:00Z",
        "by": ["re_1"],
        "given_back": {"amount": 2500, "total": 2500, "currency": "usd"},
    }
    assert body["revocations"] == [
        {
            "spoke": True,
            "kind": "refunded",
            "says": f"re_1 (25.00 usd, succeeded): {says} 1 Feb 2026 00:00 UTC".replace(" and the leeway", ""),
            "id": "re_1",
            "invoice": "in_1",
            "lines": [],
            "at": "2026-01-06T00:00:00Z",
            "until": None,
            "status": "succeeded",
            "amount": 2500,
            "given_back": {"amount": 2500, "total": 2500, "currency": "usd"},
            "lifted_by": None,
            "ended": [
                {
                    "invoice": "in_1",
                    "line": "il_1",
                    "reason": "paid",
                    "start": "2026-01-06T00:00:00Z",
                    "end": "2026-02-01T00:00:00Z",
                }
            ],
            "shared": False,
            "kept": False,
        }
    ]
    assert (body["invoices"]["in_1"]["given_back"], body["invoices"]["in_1"]["disputed"]) == (2500, False)
    assert places(body["invoices"]["in_1"]["events"]) == [
        ("in_1", "invoice.finalized", 0),
        ("in_1", "invoice.paid", 1),
        ("inpay_in_1_pi_1", "invoice_payment.paid", 2),
        ("ch_1", "charge.succeeded", 3),
        ("re_1", "refund.updated", 5),
        ("re_1", "refund.updated", 6),
    ]
    assert (body["manual_grants"], body["other_events"], body["needs_an_eye"]) == ([], [], [])


@pytest.mark.parametrize(
    ("last", "decision", "until", "status"),
    [
        ("needs_response", "deny 403 disputed: the payment of invoice in_1", None, "needs_response"),
        ("won", "allow 200 paid: invoice in_1", "2026-01-12T00:00:00Z", "won"),
        ("lost", "deny 403 disputed: the payment of invoice in_1", None, "lost"),
    ],
)
def test_a_disputed_customer_is_explained_down_to_the_log(
    fresh_database: str, last: str, decision: str, until: str | None, status: str
) -> None:
    """Open, won or lost: since when and until when it counts, and by which events."""
    known = [*events(paid()), *LINKED, dispute("needs_response", at="01-06"), dispute(last, at="01-12")]
    with listening(fresh_database, CATALOG) as api:
        read(api.engine, known)
        body = why(api, **LATER)

    [revocation_] = body["revocations"]
    assert body["answer"].startswith(decision)
    assert (revocation_["kind"], revocation_["id"], revocation_["status"]) == ("disputed", "du_1", status)
    assert (revocation_["at"], revocation_["until"]) == ("2026-01-06T00:00:00Z", until)
    assert body["invoices"]["in_1"]["disputed"] is (last != "won")
    assert places(body["invoices"]["in_1"]["events"])[-2:] == [
        ("du_1", "charge.dispute.updated", 5),
        ("du_1", "charge.dispute.updated", 6),
    ]


def test_ended_subscriptions_and_operators_have_their_events(fresh_database: str) -> None:
    """Of a subscription its end alone, and the messages of every act that is told, with topic and offset."""
    updated = event("customer.subscription.updated", {"id": "sub_1", "object": "subscription"}, at="01-09")
    acts: list[Json | OperatorAct] = [
        grant("01-05", plan=None, apis=("orders",)),
        revocation("01-06", at="01-06"),
        block("01-02", at="01-02"),
        unblock("01-03", at="01-03"),
        grant("01-05", plan=None, apis=("invoices",), id="grant_of_another_api"),
    ]
    with listening(fresh_database, CATALOG) as api:
        read(
            api.engine,
            [*events(paid()), updated, subscription_deleted(at="01-10"), customer_deleted(at="01-11"), *acts],
        )
        body = why(api, **LATER)

    found = [(each["id"], each["type"], each["topic"], each["offset"]) for each in body["other_events"]]
    commands = "billing.operator-commands.v1"
    assert places(body["other_events"])[:2] == [
        ("sub_1", "customer.subscription.deleted", 3),
        ("cus_1", "customer.deleted", 4),
    ]
    assert found[2:] == [
        ("grant_1", "entitle.access.granted.v1", commands, 0),
        ("block_1", "entitle.customer.blocked.v1", commands, 2),
        ("unblock_1", "entitle.customer.unblocked.v1", commands, 3),
        ("revocation_1", "entitle.access.revoked.v1", commands, 1),
    ]
    assert [(each["kind"], each["id"]) for each in body["revocations"]] == [
        ("blocked", "block_1"),
        ("manual_grant_revoked", "revocation_1"),
        ("subscription_ended", "sub_1"),
        ("customer_deleted", "cus_1"),
    ]


def test_an_operators_grant_is_explained(fresh_database: str) -> None:
    """What it gives, by whom and why, when it opens the API, and what ended it; long because it is every key."""
    acts: list[Json | OperatorAct] = [grant("01-05", plan=None, apis=("orders",)), revocation("01-06", at="01-06")]
    with listening(fresh_database, CATALOG) as api:
        read(api.engine, acts)
        body = why(api, **LATER)

    assert body["manual_grants"] == [
        {
            "spoke": False,
            "how": "ended",
            "says": "revoked since 6 Jan 2026 00:00 UTC by ann: a reason; given by ann: a reason",
            "id": "grant_1",
            "plan": None,
            "apis": ["orders"],
            "start": "2026-01-05T00:00:00Z",
            "end": None,
            "opens": {"start": "2026-01-05T00:00:00Z", "end": "2026-01-06T00:00:00Z"},
            "by": "ann",
            "reason": "a reason",
            "said_at": "2026-01-01T00:00:00Z",
            "revoked_by": {
                "id": "revocation_1",
                "by": "ann",
                "reason": "a reason",
                "said_at": "2026-01-06T00:00:00Z",
            },
            "catalog_revision": None,
        }
    ]


def test_what_is_not_linked_yet_is_shown_with_its_events(fresh_database: str) -> None:
    """A refund of the customer's payment that leads to no invoice ends nothing and needs an eye; linked, it does."""
    known = [*events(paid()), charge(at="01-01", invoice=None), refund("succeeded", at="01-06")]
    with listening(fresh_database, CATALOG) as api:
        read(api.engine, known)
        before = why(api, **LATER)
        read(api.engine, [invoice_payment(at="01-01")], partition=1)
        after = why(api, **LATER)

    assert (before["context"]["reason"], after["context"]["reason"]) == ("paid", "refunded")
    assert before["needs_an_eye"] == [
        "re_1 (payment ch_1 and pi_1) ends nothing: no event has said yet which invoice was paid with it."
    ]
    assert places(before["other_events"]) == [("ch_1", "charge.succeeded", 2), ("re_1", "refund.updated", 3)]
    assert (after["needs_an_eye"], after["other_events"]) == ([], [])
    assert len(after["invoices"]["in_1"]["events"]) == 5


def test_a_payments_records_are_found_by_an_index(fresh_database: str) -> None:
    """Of invoices' payments alone: their table is read by the facts they state, whatever else is in the log."""
    link = PaymentLink(integration="main", invoice="in_1", payment_intent="pi_1", charge=None, customer=None)
    said: list[tuple[str, Any]] = []
    with listening(fresh_database, CATALOG) as api:
        read(api.engine, [*events(paid()), *LINKED])
        sa.event.listen(api.engine, "before_cursor_execute", lambda *given: said.append((given[2], given[3])))
        with api.engine.connect() as connection:
            [found] = evidence.of_links(connection, integration="main", links=[link.digest])
            elsewhere = evidence.of_links(connection, integration="elsewhere", links=[link.digest])
            statement, given = [each for each in said if "provenance" in each[0]][-2]
            connection.exec_driver_sql(OTHERS)
            connection.exec_driver_sql("ANALYZE provenance")
            plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", given).scalars())

    assert (found.about, found.offset, elsewhere) == ("inpay_in_1_pi_1", 2, ())
    assert "provenance_by_facts" in plan


def test_people_are_shown_it_and_each_event_in_words(fresh_database: str) -> None:
    """`entitle explain` shows what was given back and by which events; `entitle event` what each of these says."""
    given_back = refund("succeeded", at="01-06") | {"id": "evt_refund"}
    with listening(fresh_database, CATALOG) as api:
        read(api.engine, [*events(paid()), *LINKED, given_back, grant()], partition=3)
        shown = entitle(fresh_database, "explain", "--customer", "cus_1", "--api", "orders", "--at", LATER["at"])
        traced = entitle(fresh_database, "event", "evt_refund")
        act = entitle(fresh_database, "event", "grant_1")

    assert (shown.returncode, traced.returncode, act.returncode) == (0, 0, 0), (shown, traced, act)
    assert "6 Jan 2026 00:00 refund.updated" in shown.stdout
    assert "evt_refund 3 @ 5" in shown.stdout
    assert "    refund re_1 of pi_1 and ch_1, 2500 (smallest unit): succeeded" in traced.stdout.splitlines()
    assert "grant_1 of integration main: entitle.access.granted.v1, created 1 Jan 2026 00:00 UTC" in act.stdout
    assert "grant grant_1 to customer cus_1: plan enterprise from 1 Jan 2026 00:00 UTC on, by ann: a" in act.stdout


def test_reversals_cost_no_query_of_their_own(fresh_database: str) -> None:
    """Five refunds are explained with as many statements as one."""
    known = [*events(paid()), *LINKED, refund("succeeded", at="01-06", amount=100)]
    more = [refund("succeeded", at="01-07", amount=100, id=f"re_{number}") for number in range(2, 7)]
    with listening(fresh_database, CATALOG) as api:
        counted = counting(api)
        read(api.engine, known)
        why(api, **LATER)  # reads the catalog, which is then remembered
        counted.clear()
        why(api, **LATER)
        with_one = len(counted)
        read(api.engine, more, partition=1)
        counted.clear()
        revocations = why(api, **LATER)["revocations"]

        assert (len(revocations), len(counted)) == (6, with_one)


OTHERS = """
INSERT INTO provenance (consumer_group, topic, partition, "offset", integration, event_type, outcome, facts)
SELECT 'grants', 'billing.events.v1', 1, number, 'main', 'invoice.paid', 'recorded', '{}'
FROM generate_series(1, 5000) number
"""
"""Many records of the same integration that are none of a payment."""


def counting(api: Api) -> list[str]:
    """The statements that the engine runs from now on."""
    return statements(api.engine)
