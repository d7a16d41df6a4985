"""
By what the log's records of an explanation are found: ids of Stripe's objects and of operators' messages, facts. Pure.

The payment of an invoice (`invoice_payment.*`) is an object of its own, and no fact has its id: its records are found
by the payment links that they state.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from entitlements.domain.facts import CustomerFacts
from entitlements.domain.invoice import InvoiceHistory


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """
    Stripe's *objects* that are looked for, by id: the invoices they belong to, none for what is of no invoice.

    *links* are the digests of payment links, with their invoice. Of *ended* objects (subscriptions, a deleted customer)
    only records that state one of the facts *ends* matter. *messages* are operators', by id.
    """

    objects: Mapping[str, frozenset[str]]
    links: Mapping[bytes, str]
    ended: frozenset[str]
    ends: frozenset[bytes]
    messages: frozenset[str]


def traces_of(
    facts: CustomerFacts,
    invoices: Mapping[str, InvoiceHistory | None],
    *,
    unlinked: Iterable[str],
    ended: Collection[str],
    messages: Collection[str],
) -> Traces:
    """
    Those of *invoices*, by id (None where no line of one is known), and of all that belongs to them; of what is
    *unlinked*, by id; of the subscriptions and the customer that *ended*, and of operators' *messages*.
    """
    objects: dict[str, set[str]] = defaultdict(set)
    for name, invoice in invoices.items():
        for each in (name, *(() if invoice is None else _belonging_to(invoice))):
            objects[each].add(name)
    for each in unlinked:
        objects.setdefault(each, set())
    return Traces(
        objects={name: frozenset(of) for name, of in objects.items()},
        links={link.digest: link.invoice for link in facts.payment_links if link.invoice in invoices and link.invoice},
        ended=frozenset(ended),
        ends=frozenset(
            end.digest for end in facts.ended_subscriptions if {end.subscription or end.customer} & set(ended)
        ),
        messages=frozenset(messages),
    )


def _belonging_to(invoice: InvoiceHistory) -> Iterable[str]:
    for payment in invoice.payments:
        yield from payment.ids
        yield from (refund.id for refund in payment.refunds)
        yield from (dispute.id for dispute in payment.disputes)
    yield from (note.id for note in invoice.credit_notes)
