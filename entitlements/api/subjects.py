"""Whom a question is about: from a name and a token's scope to what a customer has, in one snapshot. Edge: Postgres."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from entitlements.api.snapshots import Snapshot
from entitlements.api.tokens import Token, scope_of
from entitlements.domain.access import Scope, Standing, apis_of, standing
from entitlements.domain.catalog import Catalog, Revisions
from entitlements.domain.facts import CustomerFacts
from entitlements.orgs import setting_of
from entitlements.reading import facts_of

NOBODY = CustomerFacts(named=False)


class SubjectType(StrEnum):
    """What a consumer can be named by."""

    CUSTOMER = "customer"
    ORG = "org"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """
    A consumer as the question names it; *marketplace* is what it says about where, None for nothing. Whoever is known
    by an API key is so in that key's *integration*.
    """

    type: SubjectType
    id: str
    marketplace: str | None = None
    integration: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """
    Who the subject is in *scope*, and the APIs that exist for it; *customer* is None for an org that nobody knows.

    *catalog* is the one in force now, of all *revisions*; *facts* are all that is known, outside the scope too.
    """

    customer: str | None
    scope: Scope
    revisions: Revisions
    catalog: Catalog
    standing: Standing
    facts: CustomerFacts
    apis: tuple[str, ...]


def find(snapshot: Snapshot, token: Token, subject: Subject) -> Found:
    """
    The subject as the bearer of *token* may know it; outside the token's scope there is nobody.

    Raises `UnclearScope` and `CannotDecide`.
    """
    revisions, catalog = snapshot.terms()
    scope = scope_of(token, subject.marketplace, catalog, subject.integration)
    customer = None if token.denies(subject.marketplace) else _customer(snapshot, subject, scope.integration, catalog)
    facts = NOBODY
    if customer is not None:
        facts = facts_of(snapshot.connection, integration=scope.integration, customer=customer)
    found = standing(facts, scope, revisions)
    is_of_catalog = subject.type is SubjectType.ORG and subject.id in catalog.orgs
    if is_of_catalog and token.marketplace is not None and not found.named:
        customer = None  # the name counts in every integration, and its customer may be another one's
    return Found(
        customer=customer,
        scope=scope,
        revisions=revisions,
        catalog=catalog,
        standing=found,
        facts=facts,
        apis=apis_of(found, scope, revisions, snapshot.now),
    )


def _customer(snapshot: Snapshot, subject: Subject, integration: str, catalog: Catalog) -> str | None:
    """An org that the catalog names is fixed by it; any other is what an operator set it to in this integration."""
    match subject.type:
        case SubjectType.CUSTOMER:
            return subject.id
        case SubjectType.ORG if subject.id in catalog.orgs:
            return catalog.orgs[subject.id].customer
        case SubjectType.ORG:
            setting = setting_of(snapshot.connection, integration=integration, org=subject.id)
            return None if setting is None else setting.customer
