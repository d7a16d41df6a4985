"""Which invoices lack lines, as a real PostgreSQL has it, and how often that is said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from entitlements import incomplete
from entitlements.api.operations import progress_in
from entitlements.domain.facts import InvoiceSnapshot
from entitlements.domain.reversals import PaymentLink
from entitlements.incomplete import count_incomplete, incomplete_invoices, unlinked_invoices
from entitlements.store import record
from schemas.stripe_event import InvoiceStatus
from tests.asking import Api, listening
from tests.stated import JULY, snapshot


@pytest.fixture
def api(fresh_database: str) -> Iterator[Api]:
    with listening(fresh_database) as found:
        yield found


def short(customer: str, **changed: Any) -> InvoiceSnapshot:
    return snapshot(customer, lines_complete=False, **changed)


def test_an_invoice_lacks_lines_until_one_snapshot_has_them_all(api: Api) -> None:
    """Of several incomplete snapshots all are named; a complete one, in whatever order, and none is."""
    one, paid = short("cus_1"), short("cus_1", status=InvoiceStatus.PAID)
    elsewhere = replace(snapshot("cus_1"), integration="other")

    with api.engine.begin() as connection:
        record(connection, [one, paid, elsewhere, snapshot("cus_2"), short("cus_2", stated_at=JULY), short("cus_3")])
        found = incomplete_invoices(connection)
        assert [(each.integration, each.invoice, each.snapshots) for each in found] == [
            ("main", "in_cus_1", frozenset({one.digest, paid.digest})),
            ("main", "in_cus_3", frozenset({short("cus_3").digest})),
        ]
        assert count_incomplete(connection) == 2

        record(connection, [snapshot("cus_1", status=InvoiceStatus.VOID)])
        assert [each.invoice for each in incomplete_invoices(connection)] == ["in_cus_3"]
        assert count_incomplete(connection) == 1


def test_which_invoices_nothing_links_to_a_payment(api: Api) -> None:
    """Those of which something was paid, until a link names them; one of another integration is none."""
    paid, free = snapshot("cus_1", amount_paid=2500), snapshot("cus_2", amount_paid=0)
    link = PaymentLink(integration="main", invoice="in_cus_1", payment_intent="pi_1", charge=None, customer=None)

    with api.engine.begin() as connection:
        record(connection, [paid, free, replace(link, integration="other")])
        found = [(each.invoice, each.snapshots) for each in unlinked_invoices(connection)]
        record(connection, [link])

        assert (found, unlinked_invoices(connection)) == ([("in_cus_1", frozenset({paid.digest}))], ())


def test_progress_counts_them(api: Api) -> None:
    """`GET /v1/progress` and `entitle progress --json` say how many invoices wait, beside the groups."""
    with api.engine.begin() as connection:
        record(connection, [short("cus_1"), short("cus_2"), short("cus_2", total=5)])
        assert progress_in(connection)["incomplete"] == {"invoices": 2}

    assert api.ask("GET", "/v1/progress").body["incomplete"] == {"invoices": 2}


def test_counting_has_an_end(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, the page answers in time."""
    monkeypatch.setattr(incomplete, "MOST_COUNTED", 3)

    with api.engine.begin() as connection:
        record(connection, [short(f"cus_{number}") for number in range(5)])
        assert count_incomplete(connection) == 3
        assert len(incomplete_invoices(connection)) == 5
