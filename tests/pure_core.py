"""
A memory in place of the database, catalogs made of few words, and what the pure core answers from both. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from consumers import grants, invoices, revocations
from entitlements.domain.access import Scope, Standing, apis_of, decide, standing
from entitlements.domain.acts import Block, ManualGrant, ManualRevocation, Unblock
from entitlements.domain.catalog import Revision, Revisions
from entitlements.domain.catalog_document import read_catalog
from entitlements.domain.decision import Decision
from entitlements.domain.facts import Customer, CustomerFacts, Fact, Grant, InvoiceSnapshot, Revocation
from entitlements.domain.invoice import InvoiceHistory, histories
from entitlements.domain.items import with_items
from entitlements.domain.reversals import (
    AmountRefunded,
    CreditNoteStated,
    DisputeStated,
    PaymentLink,
    RefundStated,
    SubscriptionEnded,
)
from entitlements.domain.spans import Billed, billed
from schemas.codec import Message, StripeMessage
from tests.stripe_builders import CUSTOMER, Bill, Json, Shape, events, on, written

INTEGRATION = "main"
DECIDERS: tuple[Callable[[Message], tuple[Fact, ...]], ...] = (grants.decide, revocations.decide, invoices.decide)

AFact = TypeVar("AFact", bound=Fact)

Memory = dict[bytes, Fact]
"""The facts by digest, each with the smallest `stated_at` it was given: what the database keeps."""


def record(memory: Memory, stripe_events: Iterable[Json], *, integration: str = INTEGRATION) -> Memory:
    """What all consumers find in events is added to *memory*."""
    for each in stripe_events:
        for decider in DECIDERS:
            remember(memory, decider(StripeMessage(integration=integration, event=each)))
    return memory


def remember(memory: Memory, facts: Iterable[Fact]) -> Memory:
    """Facts are added to *memory* as the database does: a known one at most gets a smaller `stated_at`."""
    for said in facts:
        known: Any = memory.setdefault(said.digest, said)
        if (stated_at := getattr(said, "stated_at", None)) is not None:
            memory[said.digest] = replace(known, stated_at=min(known.stated_at, stated_at))
    return memory


def facts_of(memory: Memory, customer: str = CUSTOMER, *, integration: str = INTEGRATION) -> CustomerFacts:
    """What *memory* knows of a customer, and of all payments of the integration: whose they are, links say."""
    known = [fact for fact in memory.values() if fact.integration == integration and fact.customer in (customer, None)]
    own = [fact for fact in known if fact.customer == customer]
    return CustomerFacts(
        named=any(isinstance(fact, Customer) for fact in own),
        grants=of_kind(Grant, own),
        revocations=of_kind(Revocation, own),
        invoices=of_kind(InvoiceSnapshot, own),
        payment_links=of_kind(PaymentLink, known),
        amounts_refunded=of_kind(AmountRefunded, known),
        refunds=of_kind(RefundStated, known),
        disputes=of_kind(DisputeStated, known),
        credit_notes=of_kind(CreditNoteStated, own),
        ended_subscriptions=of_kind(SubscriptionEnded, own),
        manual_grants=of_kind(ManualGrant, own),
        manual_revocations=of_kind(ManualRevocation, own),
        blocks=of_kind(Block, own),
        unblocks=of_kind(Unblock, own),
    )


def of_kind(kind: type[AFact], facts: Iterable[Fact]) -> tuple[AFact, ...]:
    """Those of *facts* that are of one kind."""
    return tuple(fact for fact in facts if isinstance(fact, kind))


def history(*stripe_events: Json, invoice: str = "in_1") -> InvoiceHistory:
    """One invoice, joined from what these events say."""
    return with_items(histories(facts_of(record({}, stripe_events))))[invoice]


def plan(
    *,
    prices: Sequence[str] = ("price_enterprise",),
    apis: Sequence[str] = ("orders", "invoices"),
    calls: int | None = None,
    quotas: Sequence[Mapping[str, Any]] = (),
    every: str = "month",
    **access: str,
) -> Json:
    """
    A plan of a catalog document that opens nothing but paid cycles, without leeway unless *access* says otherwise.

    *calls* is the limit of a strict quota of that name.
    """
    counted = [] if calls is None else [{"name": "calls", "limit": calls}]
    return {
        "cost": "paid",
        "base_price": {"amount": "25.00", "currency": "usd", "every": every},
        "stripe_prices": list(prices),
        "apis": list(apis),
        "quotas": [*counted, *quotas],
        "access": {"renewal_leeway": "0s"} | access,
    }


def catalog(plans: Mapping[str, Json] | None = None, *, elsewhere: Mapping[str, Json] | None = None) -> Json:
    """A catalog document: *plans* of the marketplace `acme`, *elsewhere* those of `other`, both of one integration."""
    sold = {"acme": {"enterprise": plan()} if plans is None else plans, "other": elsewhere}
    return {
        "catalog": 1,
        "integrations": {INTEGRATION: {"mode": "test", "signing_secrets_env": "STRIPE_SIGNING_SECRETS"}},
        "marketplaces": {"acme": {"integration": INTEGRATION}, "other": {"integration": INTEGRATION}},
        "products": {
            f"product-of-{marketplace}": {"marketplace": marketplace, "plans": dict(offered)}
            for marketplace, offered in sold.items()
            if offered
        },
    }


def revisions(*documents: Json | tuple[str, Json]) -> Revisions:
    """Catalog revisions, numbered as given; all but the first say from when on they are in force."""
    read = []
    for number, each in enumerate(documents, 1):
        start, document = (None, each) if isinstance(each, dict) else (on(each[0]), each[1])
        found, mistakes = read_catalog(document)
        assert found is not None, mistakes
        read.append(Revision(number=number, in_force_from=start, catalog=found))
    return Revisions(revisions=tuple(read))


def plans(**named: Json) -> Revisions:
    """One catalog revision with these plans."""
    return revisions(catalog(named))


def stand(
    stripe_events: Iterable[Json],
    *,
    terms: Revisions | None = None,
    customer: str = CUSTOMER,
    scope: Scope | None = None,
) -> Standing:
    """Where a customer stands after these events."""
    facts = facts_of(record({}, stripe_events), customer)
    return standing(facts, scope or Scope(integration=INTEGRATION), terms or revisions(catalog()))


def ask(
    *bills: Bill,
    at: str,
    api: str = "orders",
    terms: Revisions | None = None,
    customer: str = CUSTOMER,
    scope: Scope | None = None,
    now: str = "12-31",
    shape: Shape = Shape.OLD,
) -> Decision:
    """The decision about *api* at a moment, all of the invoices' events being known."""
    scope = scope or Scope(integration=INTEGRATION)
    terms = terms or revisions(catalog())
    standing_then = stand(events(*bills, shape=shape), terms=terms, customer=customer, scope=scope)
    return decide(standing_then, api, on(at), known_apis=apis_of(standing_then, scope, terms, on(now)))


def bill_of(stripe_events: Iterable[Json], *, terms: Revisions | None = None) -> Billed:
    """All that these events bill to the customer."""
    invoices = with_items(histories(facts_of(record({}, stripe_events))))
    return billed(invoices, INTEGRATION, terms or revisions(catalog()))


def opened(*bills: Bill, terms: Revisions | None = None, shape: Shape = Shape.OLD) -> list[str]:
    """What the invoices' lines open, sorted: `"il_1 paid 01-01..02-01"`, with the line, the reason and the period."""
    return spans_in(bill_of(events(*bills, shape=shape), terms=terms))


def spans_in(everything: Billed) -> list[str]:
    """The spans, sorted and written as in `opened`."""
    return sorted(
        f"{span.cycle.line.id} {span.reason} {written(span.period.start)}..{written(span.period.end)}"
        for span in everything.spans
    )
