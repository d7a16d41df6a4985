"""Which billed lines are of another plan, one customer under two sets of terms. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from entitlements.domain.access import Standing
from entitlements.domain.lines import BilledLine


class Naming(StrEnum):
    """What becomes of a billed line: it comes to have a plan, has none any more, or has another."""

    MAPPED = "mapped"
    UNMAPPED = "unmapped"
    MOVED = "moved"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChange:
    """A billed line is of another plan: *before* and *after* are the plans' names, None where it is unmapped."""

    line: BilledLine
    before: str | None
    after: str | None

    @property
    def naming(self) -> Naming:
        if self.before is None:
            return Naming.MAPPED
        return Naming.UNMAPPED if self.after is None else Naming.MOVED


def lines_compared(before: Standing, after: Standing) -> Iterator[LineChange]:
    """In order of invoice and line. A line that grants nothing, whatever its plan, is not told."""
    was, will_be = _plans(before), _plans(after)
    for name in sorted(was.keys() & will_be.keys()):
        (line, one), (_, other) = was[name], will_be[name]
        if one != other:
            yield LineChange(line=line, before=one, after=other)


def _plans(standing: Standing) -> Mapping[tuple[str, str], tuple[BilledLine, str | None]]:
    """Of each line, by invoice and line, its plan's name."""
    found: dict[tuple[str, str], tuple[BilledLine, str | None]] = {}
    for line in standing.unmapped:
        found[line.invoice, line.id] = line, None
    for cycle in standing.billed.cycles:
        found[cycle.invoice.id, cycle.line.id] = cycle.line, cycle.plan.name
    return found
