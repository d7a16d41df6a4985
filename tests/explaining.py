"""Explanations of what events say, with nothing but the pure core. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from entitlements.domain.access import Scope, apis_of, standing
from entitlements.domain.catalog import Revisions
from entitlements.domain.explanation import Explanation
from entitlements.domain.facts import CustomerFacts, Fact
from entitlements.domain.what_if import Case
from entitlements.domain.why import explain
from entitlements.evidence import Reading, Stated
from entitlements.ledger import Outcome
from schemas.codec import Message, StripeMessage
from schemas.topics import EVENTS
from tests.pure_core import DECIDERS, INTEGRATION, catalog, facts_of, record, revisions
from tests.stripe_builders import CUSTOMER, Bill, Json, events, on

NOW = "12-31"


def case_of(
    *bills: Bill,
    at: str,
    api: str = "orders",
    terms: Revisions | None = None,
    customer: str = CUSTOMER,
    scope: Scope | None = None,
) -> tuple[Case, CustomerFacts]:
    """A question about *api* at a moment, all of the invoices' events being known, and the facts that they state."""
    facts = facts_of(record({}, events(*bills)), customer)
    scope = scope or Scope(integration=INTEGRATION)
    terms = terms or revisions(catalog())
    there = standing(facts, scope, terms)
    known = apis_of(there, scope, terms, on(NOW))
    return Case(standing=there, scope=scope, revisions=terms, known_apis=known, api=api, at=on(at)), facts


def explained(*bills: Bill, now: str | None = None, **asked: Any) -> Explanation:
    """Why the answer is as it is; *asked* as `case_of` takes it, *now* (None: the moment asked about) when it is."""
    case, facts = case_of(*bills, **asked)
    return explain(case, facts.invoices, case.at if now is None else on(now))


def told(explanation: Explanation) -> list[str]:
    """How each grant spoke, those that spoke marked: `"* il_1 paid"`."""
    return [f"{'*' if grant.spoke else '-'} {grant.cycle.line.id} {grant.how}" for grant in explanation.grants]


def stated(*bills: Bill) -> tuple[Stated, ...]:
    """The records of partition 0 that carry the invoices' events, as the three groups have read them."""
    return tuple(
        Stated(
            integration=INTEGRATION,
            event=f"evt_{offset}",
            type=each["type"],
            created=datetime.fromtimestamp(each["created"], UTC),
            about=each["data"]["object"]["id"],
            topic=EVENTS,
            partition=0,
            offset=offset,
            appended_at=on(NOW),
            readings=tuple(_reading(name, decide, each) for name, decide in zip(GROUPS, DECIDERS, strict=True)),
        )
        for offset, each in enumerate(events(*bills))
    )


GROUPS = ("grants", "revocations", "invoices")
"""The consumer groups, in the order of `DECIDERS`."""


def _reading(group: str, decide: Callable[[Message], Sequence[Fact]], event: Json) -> Reading:
    facts = frozenset(fact.digest for fact in decide(StripeMessage(integration=INTEGRATION, event=event)))
    outcome = Outcome.RECORDED if facts else Outcome.IGNORED
    return Reading(group=group, outcome=outcome, facts=facts, recorded_at=on(NOW), set_aside=None)
