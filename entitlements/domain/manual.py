"""
What operators opened by hand, and whom they blocked: rule R10 of the contract, as periods. Pure.

A manual grant of a plan has the terms of the revision in force when the operator gave it or, if that one has no such
plan, of the first later one that has: like a line, by the moment of its act.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from entitlements.domain.acts import ManualGrant
from entitlements.domain.catalog import Plan, Revision, Revisions
from entitlements.domain.facts import CustomerFacts
from entitlements.domain.period import END_OF_TIME, Period


@dataclass(frozen=True, slots=True, kw_only=True)
class Manual:
    """
    During *period*, `grant` opens *apis*: those of its *plan* in a catalog *revision*, where it is of a plan.

    *ended_by* is the id of the revocation that ended it early.
    """

    grant: ManualGrant
    period: Period
    apis: frozenset[str]
    plan: Plan | None
    revision: int | None
    ended_by: str | None


def manual_grants(facts: CustomerFacts, integration: str, revisions: Revisions) -> Iterator[Manual]:
    """Every manual grant of a customer whose plan the catalog has ever had, in order of its start."""
    for grant in sorted(facts.manual_grants, key=lambda each: (each.start, each.id, each.digest)):
        named = _plan_of(grant, integration, revisions)
        if grant.plan is not None and named is None:
            continue
        over = [(each.since, each.id) for each in facts.manual_revocations if each.grant == grant.id]
        end = grant.end or END_OF_TIME
        since, ended_by = min(over, default=(END_OF_TIME, None))
        yield Manual(
            grant=grant,
            period=Period(grant.start, end).cut_at(since),
            apis=frozenset(grant.apis) if named is None else named[1].apis,
            plan=None if named is None else named[1],
            revision=None if named is None else named[0].number,
            ended_by=ended_by if since < end else None,
        )


def _plan_of(grant: ManualGrant, integration: str, revisions: Revisions) -> tuple[Revision, Plan] | None:
    if grant.plan is None:
        return None
    terms = revisions.terms_of(
        grant.at, integration=integration, line_plan=grant.plan, price_plan=None, price=None, invoice_plan=None
    )
    return None if terms is None else (terms[0], terms[1].plan)


def blocked(facts: CustomerFacts) -> tuple[Period, ...]:
    """While a customer is blocked: each block until its end or, if that comes first, until it was lifted."""
    periods = (
        Period(block.start, block.end or END_OF_TIME).cut_at(
            min((each.since for each in facts.unblocks if each.at >= block.at), default=None)
        )
        for block in facts.blocks
    )
    return tuple(sorted(period for period in periods if not period.is_empty))
