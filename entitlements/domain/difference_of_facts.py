"""
Which facts of one customer two sides do not share: what one alone says, and what they say otherwise. Pure.

For one customer in two schemas that were filled from the same log: a fact that only one of them has was decided by
another version, or the other has not read it yet. Two facts about the same thing, of which each side has one, are told
as one that says something else, field by field.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from itertools import product
from typing import Any

from entitlements.domain.acts import Block, ManualGrant, ManualRevocation, Unblock
from entitlements.domain.facts import Customer, CustomerFacts, Fact, Grant, InvoiceSnapshot, Revocation
from entitlements.domain.reversals import (
    AmountRefunded,
    CreditNoteStated,
    DisputeStated,
    PaymentLink,
    RefundStated,
    SubscriptionEnded,
)

ABOUT: Mapping[type[Fact], tuple[str, ...]] = {
    Grant: ("invoice", "line"),
    Revocation: ("kind", "invoice", "line"),
    InvoiceSnapshot: ("invoice",),
    PaymentLink: ("payment_intent", "charge"),
    AmountRefunded: ("charge",),
    RefundStated: ("refund",),
    DisputeStated: ("dispute",),
    CreditNoteStated: ("credit_note",),
    SubscriptionEnded: ("subscription",),
    ManualGrant: ("id",),
    ManualRevocation: ("id",),
    Block: ("id",),
    Unblock: ("id",),
}
"""By which fields two facts of a kind are about the same thing."""


class Having(StrEnum):
    """Which side has a fact: the one before alone, the one after alone, or each another version of it."""

    BEFORE = "before"
    AFTER = "after"
    EACH = "each"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """A field of a fact says something else."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class FactChange:
    """
    A *fact* that both sides do not share, as the side that is *having* it has it; where each has another version, that
    is the one before, and *fields* are what the one after says otherwise.

    *invoices* are those that it is about, by id; of a payment, all that its links lead to. Empty where there is none.
    """

    having: Having
    fact: Fact
    fields: tuple[FieldChange, ...] = ()
    invoices: tuple[str, ...] = ()


def facts_compared(
    before: CustomerFacts, after: CustomerFacts, *, integration: str, customer: str
) -> tuple[FactChange, ...]:
    """What the sides do not share of a customer, in order of invoice, of kind and of what it is about."""
    invoices = _invoices_of_payments((*before.payment_links, *after.payment_links))
    found = [
        FactChange(
            having=having,
            fact=fact,
            fields=() if other is None else tuple(_fields(fact, other)),
            invoices=_invoices_of(fact, invoices),
        )
        for kind, sides in _by_kind(before, after).items()
        for having, fact, other in _apart(kind, *sides)
    ]
    if before.named != after.named:
        having = Having.BEFORE if before.named else Having.AFTER
        found.append(FactChange(having=having, fact=Customer(integration=integration, customer=customer)))
    return tuple(sorted(found, key=lambda change: change.invoices or ("\x7f",)))


def _by_kind(
    before: CustomerFacts, after: CustomerFacts
) -> dict[type[Fact], tuple[dict[bytes, Fact], dict[bytes, Fact]]]:
    """Of each kind, by digest, what each side has."""
    found: dict[type[Fact], tuple[dict[bytes, Fact], dict[bytes, Fact]]] = {kind: ({}, {}) for kind in ABOUT}
    for side, facts in enumerate((before, after)):
        for each in fields(CustomerFacts):
            for fact in () if each.name == "named" else getattr(facts, each.name):
                found[type(fact)][side][fact.digest] = fact
    return found


def _apart(
    kind: type[Fact], one: Mapping[bytes, Fact], other: Mapping[bytes, Fact]
) -> Iterator[tuple[Having, Fact, Fact | None]]:
    """
    What is on one side alone, with what the other has about the same thing; and what both have, stated at another time.

    Of several about the same thing those that say least otherwise stand together.
    """
    for digest in sorted(one.keys() & other.keys()):
        if one[digest] != other[digest]:
            yield Having.EACH, one[digest], other[digest]
    left: dict[Hashable, tuple[list[Fact], list[Fact]]] = defaultdict(lambda: ([], []))
    for side, facts, known in ((0, one, other), (1, other, one)):
        for digest in sorted(facts.keys() - known.keys()):
            left[_about(kind, facts[digest])][side].append(facts[digest])
    for about in sorted(left, key=repr):
        mine, theirs = left[about]
        while mine and theirs:
            first, second = min(product(mine, theirs), key=lambda pair: len([*_fields(*pair)]))
            mine.remove(first)
            theirs.remove(second)
            yield Having.EACH, first, second
        yield from ((Having.BEFORE, fact, None) for fact in mine)
        yield from ((Having.AFTER, fact, None) for fact in theirs)


def _about(kind: type[Fact], fact: Fact) -> Hashable:
    return tuple(getattr(fact, name) for name in ABOUT[kind])


def _fields(before: Fact, after: Fact) -> Iterator[FieldChange]:
    for each in fields(before):
        one, other = getattr(before, each.name), getattr(after, each.name)
        if each.compare and one != other:
            yield FieldChange(field=each.name, before=one, after=other)


def _invoices_of_payments(links: Iterable[PaymentLink]) -> Mapping[str, tuple[str, ...]]:
    """By payment intent and charge, the invoices that any link names with it, directly or through one another."""
    invoices: dict[str, set[str]] = defaultdict(set)
    for _ in range(2):  # from an invoice to its payment intent, and from there to the charge
        for link in links:
            payments = [each for each in (link.payment_intent, link.charge) if each is not None]
            known = set().union(*(invoices[each] for each in payments), [link.invoice] if link.invoice else [])
            for each in payments:
                invoices[each] |= known
    return {payment: tuple(sorted(found)) for payment, found in invoices.items()}


def _invoices_of(fact: Fact, of_payments: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    own = getattr(fact, "invoice", None)
    if own is not None:
        return (own,)
    payments = (getattr(fact, "payment_intent", None), getattr(fact, "charge", None))
    return tuple(sorted({invoice for each in payments if each for invoice in of_payments.get(each, ())}))
