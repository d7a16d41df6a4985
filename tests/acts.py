"""
What operators do, built from what a test wants to say, and what the pure core answers once it is known (R10). Pure.
"""

from __future__ import annotations

from typing import Any

from entitlements.domain.access import Scope, Standing, apis_of, decide, standing
from entitlements.domain.catalog import Revisions
from entitlements.domain.decision import Decision
from schemas.operator_acts import AccessGranted, AccessRevoked, CustomerBlocked, CustomerUnblocked, OperatorAct
from tests.pure_core import DECIDERS, INTEGRATION, Memory, catalog, facts_of, record, remember, revisions
from tests.stripe_builders import CUSTOMER, Bill, events, on, written

EVERYWHERE = Scope(integration=INTEGRATION)

Known = OperatorAct | Bill
"""What can become known of a customer."""


def said(kind: str, at: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"{kind}_1",
        "integration": INTEGRATION,
        "customer": CUSTOMER,
        "at": on(at),
        "by": "ann",
        "reason": "a reason",
        **changes,
    }


def grant(
    start: str = "01-01", end: str | None = None, *, plan: str | None = "enterprise", at: str = "01-01", **changes: Any
) -> AccessGranted:
    """A grant of a plan, for ever; of *apis* where there is no plan."""
    until = None if end is None else on(end)
    apis = changes.pop("apis", ())
    return AccessGranted(**said("grant", at, **changes), plan=plan, apis=apis, start=on(start), end=until)


def revocation(since: str, *, of: str = "grant_1", at: str = "01-01", **changes: Any) -> AccessRevoked:
    return AccessRevoked(**said("revocation", at, **changes), grant=of, since=on(since))


def block(start: str, end: str | None = None, *, at: str = "01-01", **changes: Any) -> CustomerBlocked:
    until = None if end is None else on(end)
    return CustomerBlocked(**said("block", at, **changes), start=on(start), end=until)


def unblock(since: str, *, at: str, **changes: Any) -> CustomerUnblocked:
    return CustomerUnblocked(**said("unblock", at, **changes), since=on(since))


def stand(
    *known: Known, customer: str = CUSTOMER, terms: Revisions | None = None, scope: Scope = EVERYWHERE
) -> Standing:
    """Where a customer stands once all consumers have read these acts and the events of these invoices."""
    memory: Memory = record({}, events(*(each for each in known if isinstance(each, Bill))))
    for act in known:
        if not isinstance(act, Bill):
            for decider in DECIDERS:
                remember(memory, decider(act))
    return standing(facts_of(memory, customer), scope, terms or revisions(catalog()))


def ask(
    *known: Known,
    at: str,
    api: str = "orders",
    customer: str = CUSTOMER,
    terms: Revisions | None = None,
    scope: Scope = EVERYWHERE,
) -> Decision:
    """The decision at a moment, all of this being known."""
    terms = terms or revisions(catalog())
    stands = stand(*known, customer=customer, terms=terms, scope=scope)
    return decide(stands, api, on(at), known_apis=apis_of(stands, scope, terms, on("12-31")))


def until(answer: Decision) -> str | None:
    return None if answer.until is None else written(answer.until)
