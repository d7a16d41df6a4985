"""Whom a question is about: from a name and a token's scope to what a customer has, in one snapshot. Edge: Postgres."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from entitlements.api.snapshots import Snapshot
from entitlements.api.tokens import Token, scope_of
from entitlements.domain.access import Standing, apis_of, standing
from entitlements.domain.catalog import Catalog
from entitlements.domain.facts import CustomerFacts
from entitlements.store import facts_of

NOBODY = CustomerFacts(named=False)


class SubjectType(StrEnum):
    """What a consumer can be named by."""

    CUSTOMER = "customer"
    ORG = "org"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A consumer as the question names it; *marketplace* is what it says about where, None for nothing."""

    type: SubjectType
    id: str
    marketplace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Who the subject is, and the APIs that exist for it; *customer* is None for an org that nobody knows."""

    customer: str | None
    standing: Standing
    apis: tuple[str, ...]


def find(snapshot: Snapshot, token: Token, subject: Subject) -> Found:
    """
    The subject as the bearer of *token* may know it; outside the token's scope there is nobody.

    Raises `UnclearScope` and `CannotDecide`.
    """
    revisions, catalog = snapshot.terms()
    scope = scope_of(token, subject.marketplace, catalog)
    customer = None if token.denies(subject.marketplace) else _customer(subject, catalog)
    facts = NOBODY
    if customer is not None:
        facts = facts_of(snapshot.connection, integration=scope.integration, customer=customer)
    found = standing(facts, scope, revisions)
    return Found(customer=customer, standing=found, apis=apis_of(found, scope, revisions, snapshot.now))


def _customer(subject: Subject, catalog: Catalog) -> str | None:
    match subject.type:
        case SubjectType.CUSTOMER:
            return subject.id
        case SubjectType.ORG:
            org = catalog.orgs.get(subject.id)
            return None if org is None else org.customer
