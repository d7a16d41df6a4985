"""
`entitle acts`: what operators have opened and blocked by hand, for whom, until when and why. An edge: the command line.

It reads the operators' topic, so it also tells what no consumer has come to yet.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import click

from entitlements.domain.acts import Block, ManualGrant, ManualRevocation, Unblock
from entitlements.domain.catalog import Revisions
from entitlements.domain.facts import CatalogRevision, CustomerFacts, Fact
from entitlements.domain.grants_in_words import what_is_granted
from entitlements.domain.manual import blocked, manual_grants
from entitlements.domain.period import END_OF_TIME, Period
from entitlements.store import as_revisions, one_of_each_number
from ops import settings
from ops.operator_log import published_facts
from ops.settings import BadSetting, Environment
from schemas.operator_acts import rfc3339


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A grant or a block and, once all that took it back is known, its *period*; None where it never had any."""

    act: ManualGrant | Block
    period: Period | None

    def document(self) -> dict[str, Any]:
        """For programs."""
        act = self.act
        what = {"plan": act.plan, "apis": list(act.apis)} if isinstance(act, ManualGrant) else {}
        return {
            "type": "grant" if isinstance(act, ManualGrant) else "block",
            "id": act.id,
            "integration": act.integration,
            "customer": act.customer,
            **what,
            "start": self.period and rfc3339(self.period.start),
            "end": rfc3339(self.period.end) if self.period and self.period.end != END_OF_TIME else None,
            "by": act.by,
            "reason": act.reason,
            "said_at": rfc3339(act.at),
        }

    @property
    def line(self) -> str:
        """For people."""
        act = self.act
        what = f"may call {what_is_granted(act)}" if isinstance(act, ManualGrant) else "is blocked"
        return f"{act.id}: {act.customer} ({act.integration}) {what} {self._during}; by {act.by}: {act.reason}"

    @property
    def _during(self) -> str:
        if self.period is None:
            return "at no time"
        until = "" if self.period.end == END_OF_TIME else f" until {rfc3339(self.period.end)}"
        return f"from {rfc3339(self.period.start)}{until}"


@click.command()
@click.option("--customer", help="Of this customer alone, cus_…")
@click.option("--all", "everything", is_flag=True, help="Also what is over.")
@click.option("--json", "as_json", is_flag=True, help='{"acts": [{"type": "grant", "id": …, "customer": …}]}')
def acts(customer: str | None, everything: bool, as_json: bool) -> None:
    """
    Say what operators have granted and blocked that is in force or yet to begin, the oldest first.

    Example: entitle acts --customer cus_123
    """
    facts = published_facts(settings.kafka(Environment()))
    try:
        found = standing_acts(facts, None if everything else datetime.now(UTC))
    except ValueError as error:
        raise BadSetting(f"this version can't read what was applied: {error}") from error
    told = [each for each in found if customer in (None, each.act.customer)]
    if as_json:
        click.echo(json.dumps({"acts": [each.document() for each in told]}))
        return
    for each in told:
        click.echo(each.line)
    if not told:
        click.echo("no grant and no block" + ("" if everything else " is in force; --all tells what is over too"))


def standing_acts(facts: Iterable[Fact], now: datetime | None) -> list[Standing]:
    """
    Every grant and block, in the order they were said; unless *now* is None, those alone that are not over by then.

    Raises `ValueError` where a catalog revision can't be read.
    """
    known = list(facts)
    revisions = as_revisions(one_of_each_number(each for each in known if isinstance(each, CatalogRevision)))
    found = [Standing(act=act, period=next(_periods(act, known, revisions), None)) for act in _opening(known)]
    return [each for each in found if now is None or (each.period is not None and each.period.end > now)]


def _opening(facts: Iterable[Fact]) -> list[ManualGrant | Block]:
    acts = [each for each in facts if isinstance(each, ManualGrant | Block)]
    return sorted(acts, key=lambda each: (each.at, each.id))


def _periods(act: ManualGrant | Block, facts: Iterable[Fact], revisions: Revisions) -> Iterator[Period]:
    """When an act has a say, as the rules have it; asked by itself, so that it is told by itself."""
    own = [each for each in facts if (each.integration, each.customer) == (act.integration, act.customer)]
    alone = CustomerFacts(
        named=True,
        manual_revocations=tuple(each for each in own if isinstance(each, ManualRevocation)),
        unblocks=tuple(each for each in own if isinstance(each, Unblock)),
    )
    match act:
        case ManualGrant():
            for manual in manual_grants(replace(alone, manual_grants=(act,)), act.integration, revisions):
                if not manual.period.is_empty:
                    yield manual.period
        case Block():
            yield from blocked(replace(alone, blocks=(act,)))
