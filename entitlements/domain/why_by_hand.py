"""
What operators did by hand (R10): how their grants spoke at a moment, what their revocations and blocks ended. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from entitlements.domain import what_if
from entitlements.domain.acts import Block
from entitlements.domain.explanation import ExplainedManual, ExplainedRevocation, How, RevokedBy
from entitlements.domain.manual import Manual
from entitlements.domain.what_if import Case
from entitlements.domain.why_taken_back import Told, asked


def manual_grants(case: Case) -> tuple[ExplainedManual, ...]:
    """What operators gave of the API, and those of their grants that name a plan which no catalog has."""
    known = {(manual.grant.id, manual.grant.digest) for manual in case.standing.manual}
    given = [_manual(case, manual) for manual in case.manual]
    if case.scope.marketplace is None:
        given += [
            ExplainedManual(grant=grant, how=How.NO_PLAN, spoke=False, opens=None, revision=None, revocation=None)
            for grant in case.facts.manual_grants
            if (grant.id, grant.digest) not in known
        ]
    return tuple(sorted(given, key=lambda each: (each.grant.start, each.grant.id, each.grant.digest)))


def _manual(case: Case, manual: Manual) -> ExplainedManual:
    revocation = next(
        (each for each in case.facts.manual_revocations if (each.grant, each.id) == (manual.grant.id, manual.ended_by)),
        None,
    )
    is_open = manual.period.covers(case.at)
    if is_open:
        how = How.BLOCKED if case.is_blocked else How.MANUAL
    elif revocation is not None and revocation.since <= case.at:
        how = How.ENDED
    else:
        how = How.NOT_YET if case.at < manual.period.start else How.OVER
    return ExplainedManual(
        grant=manual.grant,
        how=how,
        spoke=how is How.MANUAL,
        opens=None if manual.period.is_empty else manual.period,
        revision=manual.revision,
        revocation=revocation,
    )


def revoked_by_hand(case: Case) -> Iterator[ExplainedRevocation]:
    """The revocations of grants of the API, and every block of the customer."""
    for told in _manual_revocations(case):
        yield asked(case, told)
    yield from _blocks(case)


def _manual_revocations(case: Case) -> Iterator[Told]:
    none = what_if.knowing(case, replace(case.facts, manual_revocations=()))
    granted = {manual.grant.id for manual in case.manual}
    for act in case.facts.manual_revocations:
        if act.grant in granted:
            yield Told(
                revocation=ExplainedRevocation(kind=RevokedBy.MANUAL_GRANT_REVOKED, id=act.id, at=act.since, act=act),
                without=replace(
                    case.facts, manual_revocations=tuple(each for each in case.facts.manual_revocations if each != act)
                ),
                alone=replace(none.facts, manual_revocations=(act,)),
                none=none,
            )


def _blocks(case: Case) -> Iterator[ExplainedRevocation]:
    """Each block; it spoke where it covers the moment, for nothing else has a say then."""
    none = replace(case.facts, blocks=())
    for block in case.facts.blocks:
        others = tuple(each for each in case.facts.blocks if each != block)
        without = what_if.knowing(case, replace(case.facts, blocks=others))
        ended = what_if.opened_by_no_block(case, without)
        by_itself: tuple[what_if.Opened, ...] = ()
        if not ended:
            alone = what_if.knowing(case, replace(case.facts, blocks=(block,)))
            by_itself = what_if.opened_by_no_block(alone, what_if.knowing(case, none))
        told = _block(case, block)
        yield replace(told, ended=ended or by_itself, shared=bool(by_itself), spoke=told.counts_at(case.at))


def _block(case: Case, block: Block) -> ExplainedRevocation:
    liftings = [each for each in case.facts.unblocks if each.at >= block.at]
    lifted_by = min(liftings, key=lambda each: (each.since, each.id), default=None)
    if lifted_by is not None and block.end is not None and block.end <= lifted_by.since:
        lifted_by = None  # it had ended by itself
    ends = block.end if lifted_by is None else max(block.start, lifted_by.since)
    return ExplainedRevocation(
        kind=RevokedBy.BLOCKED,
        id=block.id,
        at=block.start,
        until=ends,
        act=block,
        lifted_by=lifted_by,
    )
