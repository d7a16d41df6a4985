"""`entitle complete` goes on as long as asking makes sense: a key that fails stops its integration, no other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from consumers.record import Record
from entitlements.incomplete import IncompleteInvoice
from ingest.stripe_api import Outcome
from ops.complete_command import AT_ONCE, Done, each_tried
from ops.incomplete_records import INVOICES_AT_ONCE, Lacking, lack_payments

MANY = INVOICES_AT_ONCE + 1
"""Invoices of an integration: those of its second reading are left too."""


def tried(outcomes: Mapping[str, Outcome | None]) -> list[str]:
    """Of which integrations records were tried, in order, where each of an integration's comes to its outcome."""
    invoices = [
        IncompleteInvoice(integration=name, invoice=f"in_{number}", snapshots=frozenset())
        for name in outcomes
        for number in range(MANY)
    ]

    async def found_in_log(some: Sequence[IncompleteInvoice]) -> list[tuple[Lacking, Record | None]]:
        return [
            (Lacking(integration=each.integration, invoice=each.invoice, event="evt_1", address=("", 0, 0)), None)
            for each in some
        ]

    async def completed(lacking: Lacking, record: Record | None) -> Done:
        return Done(lacking=lacking, outcome=outcomes[lacking.integration])

    return [done.lacking.integration for done in asyncio.run(each_tried(invoices, found_in_log, completed))]


@pytest.mark.parametrize("outcome", [Outcome.NO_KEY, Outcome.REFUSED, Outcome.LIMITED])
def test_a_key_that_fails_stops_its_integration_alone(outcome: Outcome) -> None:
    """The others have keys of their own."""
    assert tried({"keyless": outcome, "main": None, "second": outcome}) == [
        *["keyless"] * AT_ONCE,
        *["main"] * MANY,
        *["second"] * AT_ONCE,
    ]


@pytest.mark.parametrize("outcome", [Outcome.UNREACHABLE, Outcome.LATE])
def test_where_stripe_does_not_answer_nothing_more_is_asked(outcome: Outcome) -> None:
    """It is one Stripe for all integrations."""
    assert tried({"main": outcome, "second": None}) == ["main"] * AT_ONCE


@pytest.mark.parametrize("outcome", [Outcome.MISSING, Outcome.FAILED, Outcome.MALFORMED, Outcome.BUSY])
def test_what_is_of_one_object_stops_nothing(outcome: Outcome) -> None:
    """A 404, a failure, an odd answer say nothing of the next."""
    assert tried({"main": outcome}) == ["main"] * MANY


def lacking(*, mark: str | None = None, payments: list[str] | None = None) -> Record:
    """A record of a paid invoice, of a version in which no event says what paid it."""
    about: dict[str, Any] = {"id": "in_1", "object": "invoice", "status": "paid", "amount_paid": 100}
    if payments is not None:
        about["payments"] = {"object": "list", "data": payments, "has_more": False}
    event = {"id": "evt_1", "api_version": "2025-04-30.basil", "data": {"object": about}}
    headers = () if mark is None else (("ce_incomplete", mark.encode()),)
    return Record(
        topic="t", partition=0, offset=0, timestamp=0, key=b"", value=json.dumps(event).encode(), headers=headers
    )


@pytest.mark.parametrize(
    ("records", "lack"),
    [
        ([lacking(mark="payments")], True),
        ([lacking(mark="lines,payments")], True),
        ([lacking(mark="lines")], False),
        ([lacking()], False),
        ([lacking(), lacking(mark="payments")], True),  # delivered again while there was no key
        ([lacking(mark="payments"), lacking(payments=[])], False),  # Stripe said that nothing of its own paid it
        ([lacking(payments=[]), lacking(mark="payments")], False),
        ([None, lacking(mark="payments")], True),
        ([], False),
    ],
)
def test_which_records_lack_what_paid_their_invoice(records: list[Record | None], lack: bool) -> None:
    """Those that are marked so, unless another record of their event says it, be it that nothing did."""
    assert lack_payments(records) is lack
