"""What a replay is going to read, and what came of it, on a terminal and for programs. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from entitlements.domain.wording import listed, moment, visible
from entitlements.ledger import Outcome
from entitlements.replays import Replay, Tally
from ops.replay_plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Letters:
    """Dead letters of the records that were read again, by id: open *before*, of these *gone* now, and *new* ones."""

    before: frozenset[int]
    gone: frozenset[int]
    new: frozenset[int]


def letters(before: Collection[int], now: Collection[int]) -> Letters:
    """What became of the dead letters."""
    was, are = frozenset(before), frozenset(now)
    return Letters(before=was, gone=was - are, new=are - was)


def beforehand(plan: Plan, groups: Collection[str], how_found: str) -> str:
    """What is going to be read, in one line."""
    topics = sorted({span.topic for span in plan.spans})
    told = _records(plan.count)
    told += f" of {listed(topics, 'and')}" if topics else ""
    told += f" through {listed(sorted(groups), 'and')}{how_found}"
    left = [f"{plan.gone:,} are in Kafka no longer" if plan.gone else ""]
    left += [f"{plan.unread:,} the groups have not read yet, and will" if plan.unread else ""]
    left = [each for each in left if each]
    return f"{told}; beside these, {listed(left, 'and')}" if left else told


def document(replay: Replay, tally: Tally, of: Letters) -> dict[str, Any]:
    """What came of a replay, for programs."""
    return {
        "replay": replay.id,
        "asked": replay.asked,
        "groups": list(replay.groups),
        "records": tally.records,
        "of": replay.count,
        "finished": is_finished(replay, tally),
        "outcomes": dict(tally.outcomes),
        "learnt": dict(tally.learnt),
        "dead_letters": {"before": len(of.before), "gone": sorted(of.gone), "new": sorted(of.new)},
    }


def shown(replay: Replay, tally: Tally, of: Letters) -> RenderableType:
    """What came of a replay, for people."""
    begun = f"begun by {replay.by} at {moment(replay.begun_at)}"
    far = (
        "" if is_finished(replay, tally) else f", of {replay.count:,}: go on with `entitle replay --resume {replay.id}`"
    )
    parts = [
        _line(f"Replay {replay.id} ({visible(replay.asked)}), {begun}: {_records(tally.records)}{far}", 0, "bold"),
        _line(f"what they came to, over {listed(replay.groups, 'and')}: {_outcomes(tally.outcomes)}", 2),
        _line(_facts(tally.learnt), 2),
        _line(_letters(of), 2),
    ]
    return Group(*parts)


def is_finished(replay: Replay, tally: Tally) -> bool:
    """Whether all of its spans are read."""
    return tally.span >= len(replay.spans)


def _records(count: int) -> str:
    return f"{count:,} record{'' if count == 1 else 's'}"


def _outcomes(outcomes: Mapping[str, int]) -> str:
    told = [f"{outcomes[each.value]:,} {_WORDS[each]}" for each in Outcome if outcomes.get(each.value)]
    return listed(told, "and") or "nothing"


_WORDS = {
    Outcome.RECORDED: "recorded",
    Outcome.DUPLICATE: "known already",
    Outcome.IGNORED: "ignored",
    Outcome.DEAD_LETTER: "set aside",
}


def _facts(learnt: Mapping[str, int]) -> str:
    if not learnt:
        return "no new fact: all of it was known"
    told = [f"{count:,} in {table}" for table, count in sorted(learnt.items())]
    return f"facts that are new, or known to be older now: {listed(told, 'and')}"


def _letters(of: Letters) -> str:
    if not of.before and not of.new:
        return "no open dead letters, before or now"
    gone = f", {len(of.gone):,} of them read now" if of.before else ""
    new = f"; {len(of.new):,} new: `entitle dead-letters list`" if of.new else ""
    return f"open dead letters: {len(of.before):,} before{gone}{new}"


def _line(text: str, indent: int, style: str = "") -> RenderableType:
    return Padding(Text(visible(text), style=style, overflow="fold"), (0, 0, 0, indent), expand=False)
