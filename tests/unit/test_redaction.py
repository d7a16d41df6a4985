"""
Personal data never leaves, and what access is decided from is never touched.

The laws run over real Stripe JSON where it lies beside the project, and always over the examples in this file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.redaction import ABOUT_PEOPLE, PERSONAL, REMOVED_E_MAIL, redacted

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"

ADDRESS = {"line1": "1 Rue Personal", "city": "Personalville", "postal_code": "75001", "country": "FR"}
CARD = {
    "id": "card_1",
    "object": "card",
    "name": "Personal Name",
    "last4": "4242",
    "customer": "cus_1",
    "brand": "visa",
}
CUSTOMER = {"id": "cus_1", "object": "customer", "name": "Personal Name", "description": "Personal Name's account"}
LINE = {
    "id": "il_1",
    "amount": 2500,
    "metadata": {"entitlement_plan": "enterprise"},
    "parent": {"subscription_item_details": {"subscription_item": "si_1", "proration": False}},
    "period": {"start": 1767225600, "end": 1769904000},
    "price": {"id": "price_1", "product": "prod_1", "nickname": "monthly"},
    "proration_details": {"credited_items": {"invoice": "in_0", "invoice_line_items": ["il_0"]}},
    "quantity": 1,
}
INVOICE = {
    "id": "in_1",
    "object": "invoice",
    "account_name": "Personal & Sons",
    "charge": {
        "id": "ch_1",
        "billing_details": {"name": "Personal Name"},
        "calculated_statement_descriptor": "PERSONAL NAME",
        "description": "Personal Name, 1 Rue Personal",
        "receipt_url": "https://personal.example",
        "statement_descriptor_suffix": "PERSONAL NAME",
    },
    "customer": CUSTOMER,
    "customer_address": ADDRESS,
    "customer_email": "personal@example.com",
    "customer_tax_ids": [{"type": "eu_vat", "value": "FRPERSONAL"}],
    "default_source": CARD,
    "description": "Personal Name, 1 Rue Personal",
    "footer": "Personal Name thanks you",
    "hosted_invoice_url": "https://invoice.stripe.com/i/acct_1/test_1",
    "invoice_pdf": "https://pay.stripe.com/personal/pdf",
    "lines": {"data": [LINE], "has_more": False},
    "metadata": {"seen_by": "personal@example.com", "order": "17"},
    "number": "ABC-0001",
    "statement_descriptor": "PERSONAL NAME",
    "status": "paid",
    "status_transitions": {"paid_at": 1767225600},
    "total": 2500,
}
OWN_EXAMPLES = {
    "an invoice": {"id": "evt_1", "data": {"object": INVOICE}},
    "a change": {"id": "evt_2", "data": {"object": {"id": "in_1"}, "previous_attributes": INVOICE}},
    "a customer": {"id": "evt_3", "data": {"object": {**CUSTOMER, "address": ADDRESS, "deleted": True}}},
    "a dispute": {"id": "dp_1", "evidence": {"customer_name": "Personal Name"}, "evidence_details": {"due_by": 1}},
}

# fmt: off
DECIDING = frozenset({
    "id", "object", "type", "created", "customer", "subscription", "subscription_item", "invoice", "charge",
    "payment_intent", "credited_items", "status", "billing_reason", "collection_method", "number", "due_date",
    "amount", "amount_due", "amount_paid", "amount_remaining", "amount_refunded", "total", "subtotal", "currency",
    "quantity", "period", "start", "end", "price", "plan", "product", "proration", "usage_type", "interval",
    "interval_count", "paid_at", "voided_at", "finalized_at", "marked_uncollectible_at", "ended_at",
    "hosted_invoice_url", "has_more", "reason",
})
# fmt: on
"""Members that access is decided from; those of a person's card or record are not among them."""

E_MAIL_LIKE = re.compile(r"[\w.+-]+@[\w-]+\.[\w.]+")


def examples() -> list[Any]:
    real = {path.relative_to(CORPUS).as_posix(): json.loads(path.read_text()) for path in CORPUS.rglob("*.json")}
    return [pytest.param(example, id=name) for name, example in sorted((OWN_EXAMPLES | real).items())]


def members(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every member of every object, with the way to it."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield (*path, name), member
            yield from members(member, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from members(item, (*path, index))


def deciding(value: Any) -> dict[tuple[str | int, ...], Any]:
    """The plain values that access is decided from, by the way to them."""
    about_people = {path[:-1] for path, member in members(value) if path[-1] == "object" and is_about_people(member)}
    return {
        path: member
        for path, member in members(value)
        if path[-1] in DECIDING
        and not isinstance(member, dict | list)
        and PERSONAL.isdisjoint(path)
        and not any(path[:length] in about_people for length in range(len(path)))
    }


def left_of(event: dict[str, Any]) -> dict[str, Any]:
    left, written = redacted(event)
    assert json.loads(written) == left
    return left


def is_about_people(kind: Any) -> bool:
    return isinstance(kind, str) and kind in ABOUT_PEOPLE


@pytest.mark.parametrize("example", examples())
def test_no_personal_data_is_left(example: Any) -> None:
    """No listed key, no e-mail address, and no value that stood under a listed key in our examples is left."""
    left = left_of(deepcopy(example))

    assert PERSONAL.isdisjoint(path[-1] for path, _ in members(left))
    assert not E_MAIL_LIKE.search(json.dumps(left))
    assert "Personal" not in json.dumps(left)


@pytest.mark.parametrize("example", examples())
def test_what_access_is_decided_from_is_unchanged(example: Any) -> None:
    """Ids, amounts, periods, states and prices are as Stripe sent them, in their places."""
    assert deciding(left_of(deepcopy(example))) == deciding(example)


def test_known_personal_values_of_the_corpus_are_gone() -> None:
    """What the corpus marks as a replaced personal value is gone, but for the pay link and a program's name."""
    said = {"hosted_invoice_url", "created_by"}
    left = {
        path[-1]
        for example in examples()
        for path, value in members(left_of(deepcopy(example.values[0])))
        if isinstance(value, str) and "redacted" in value
    }

    assert left <= said


def test_an_invoice_keeps_what_explains_it() -> None:
    """Lines with their metadata and credited items stay whole; of a customer, a card and a charge little stays."""
    left = left_of(deepcopy(INVOICE))

    assert left["lines"]["data"] == [LINE]
    assert left["metadata"] == {"seen_by": REMOVED_E_MAIL, "order": "17"}
    assert left["customer"] == {"id": "cus_1", "object": "customer"}
    assert left["default_source"] == {"id": "card_1", "object": "card", "customer": "cus_1"}
    assert left["charge"] == {"id": "ch_1"}


@pytest.mark.parametrize(
    "key",
    [
        *("description", "memo", "footer", "comment", "statement_descriptor", "statement_descriptor_suffix"),
        *("statement_descriptor_suffix_kana", "statement_descriptor_suffix_kanji", "calculated_statement_descriptor"),
    ],
)
@pytest.mark.parametrize("kind", ["invoice", "line_item", "charge", "credit_note", "subscription", "product"])
def test_free_text_goes(kind: str, key: str) -> None:
    """What people write goes wherever it stands: a line's description is theirs if an invoice item's was."""
    left = left_of({"object": kind, key: "Jane Doe, 12 Elm St", "lines": [{key: "JANE DOE"}]})

    assert left == {"object": kind, "lines": [{}]}


def test_metadata_loses_what_all_else_loses() -> None:
    """Of metadata the listed keys go too, and e-mail addresses are replaced; all else is as Stripe sent it."""
    metadata = {"name": "Jane Doe", "description": "Jane", "secret": "x", "by": "jane@example.com", "order": "1"}

    assert left_of({"metadata": metadata}) == {"metadata": {"by": REMOVED_E_MAIL, "order": "1"}}


def test_a_card_is_one_within_the_metadata_of_metadata_too() -> None:
    """Only the keys of metadata itself are the merchant's; what is called so within it is as all else."""
    card = {"object": "card", "last4": "4242", "brand": "visa"}

    assert left_of({"metadata": {"metadata": card}}) == {"metadata": {"metadata": {"object": "card"}}}
    assert left_of({"metadata": card}) == {"metadata": card}


@pytest.mark.parametrize("kind", [None, "invoice", *sorted(ABOUT_PEOPLE)])
@pytest.mark.parametrize("plan", ["enterprise", "gold@example.com", "Jane Doe's", ""])
def test_the_plan_in_metadata_survives(kind: str | None, plan: str) -> None:
    """`entitlement_plan` is as Stripe sent it, whatever a plan is called, whosever it is and what else lies there."""
    holder = {"object": kind, "metadata": {"object": kind, "name": "Jane Doe", "entitlement_plan": plan}}

    left = left_of({**holder, "lines": {"data": [{**holder, "price": holder}]}})

    assert left["metadata"] == {"object": kind, "entitlement_plan": plan}
    if kind not in ABOUT_PEOPLE:
        assert left["lines"]["data"][0]["price"]["metadata"] == left["metadata"]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("ada@example.com", REMOVED_E_MAIL),
        ("For ada@example.com, with thanks", f"For {REMOVED_E_MAIL}, with thanks"),
        ("Ada <ada.l+x@mail.example.co.uk>.", f"Ada <{REMOVED_E_MAIL}>."),
        ("mailto:ada@example.com?subject=x", f"mailto:{REMOVED_E_MAIL}?subject=x"),
        ("jörg@müller.example", REMOVED_E_MAIL),
        ("a@b@example.com", f"a@{REMOVED_E_MAIL}"),
        ("ada@example.com;bob@example.com", f"{REMOVED_E_MAIL};{REMOVED_E_MAIL}"),
        ("1 × Gold @ $25.00", "1 × Gold @ $25.00"),
        ("@handle and user@host", "@handle and user@host"),
    ],
)
def test_e_mail_addresses_in_text_are_replaced(text: str, left: str) -> None:
    """An e-mail address is replaced wherever it stands, also as a metadata key; other at signs stay."""
    assert left_of({"reason": text, "metadata": {text: [text]}}) == {"reason": left, "metadata": {left: [left]}}


KEYS = st.sampled_from([*sorted(PERSONAL), "id", "metadata", "entitlement_plan", "lines", "object", "a@b.example"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("ab@. ,;") | st.sampled_from(sorted(ABOUT_PEOPLE)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(KEYS, JSON, max_size=6))
def test_redacting_twice_is_redacting_once(event: dict[str, Any]) -> None:
    """Whatever the shape, no listed key is left at any depth, and nothing is left to be done."""
    once = left_of(event)

    assert PERSONAL.isdisjoint(path[-1] for path, _ in members(once))
    assert left_of(deepcopy(once)) == once
