"""What there is beside what serves, and what was done with it, for people and for programs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from consumers.extent import Extent
from consumers.record import Partition
from entitlements.beside import Names, Schema
from entitlements.domain.wording import listed, moment
from ops.rebuild_swap import Swapped

NEXT = "See what `entitle rebuild --diff` says of it; then `entitle rebuild --swap`, or `--discard`."


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """
    The three schemas, where they are, and how many records each has still to read of the log; *is_unfinished* says that
    the rebuild lacks indexes, or has not begun everywhere.
    """

    names: Names
    live: Schema | None
    live_behind: int
    rebuild: Schema | None
    rebuild_behind: int
    is_unfinished: bool
    before: Schema | None
    before_behind: int


def document(standing: Standing) -> dict[str, Any]:
    """For programs."""
    return {
        "live": _of(standing.live, standing.live_behind),
        "rebuild": _of(standing.rebuild, standing.rebuild_behind)
        and {**(_of(standing.rebuild, standing.rebuild_behind) or {}), "finished": not standing.is_unfinished},
        "before": _of(standing.before, standing.before_behind),
    }


def shown(standing: Standing) -> str:
    """For people: a line for each, and what to do."""
    lines = [f"Serves:      {_line(standing.live, standing.live_behind)}"]
    if standing.rebuild is None:
        lines.append("Rebuild:     none; `entitle rebuild` begins one")
    else:
        unfinished = "; not finished: `entitle rebuild` goes on" if standing.is_unfinished else ""
        lines.append(f"Rebuild:     {_line(standing.rebuild, standing.rebuild_behind)}{unfinished}")
    if standing.before is None:
        lines.append("Swapped out: nothing is kept")
    else:
        lines.append(
            f"Swapped out: {_line(standing.before, standing.before_behind)}; `entitle rebuild --swap-back` exchanges "
            "it again, `--drop` drops it"
        )
    return "\n".join(lines)


def caught_up(records: int, seconds: float) -> str:
    """How the building went."""
    rate = f", {records / seconds:,.0f}/s" if seconds > 0 and records else ""
    return f"caught up with the log: {records:,} records in {seconds:,.1f} s{rate}"


def gone(extents: Mapping[Partition, Extent]) -> str | None:
    """What a rebuild can't know, where Kafka has not kept the beginning."""
    short = [
        f"{topic}-{number} before {extent.beginning:,}"
        for (topic, number), extent in sorted(extents.items())
        if extent.beginning > 0
    ]
    if not short:
        return None
    return (
        f"Kafka has no longer {listed(short, 'and')}: what was recorded of those records alone will be missing. "
        "Compare before you swap."
    )


def drops(before: Schema) -> str:
    """What a swap costs besides, said before it is done: one schema is kept, not two."""
    since = (
        f", swapped out at {moment(before.note.swapped_out_at)}," if before.note and before.note.swapped_out_at else ""
    )
    return f"{before.name}{since} will be dropped for what serves now, and can't be swapped back any more"


def swapped_document(done: Swapped, names: Names) -> dict[str, Any]:
    """For programs."""
    return {
        "serves": names.live,
        "kept": names.before,
        "at": done.at.isoformat(),
        "tries": done.tries,
        "still_ms": round(done.still_ms, 1),
        "records_meanwhile": done.meanwhile,
        "not_dropped": names.older if done.not_dropped else None,
    }


def swapped(done: Swapped, names: Names) -> str:
    """For people."""
    tries = f", at try {done.tries}" if done.tries > 1 else ""
    left = (
        f"\n{names.older}, which was kept before that, could not be dropped and is still there: {done.not_dropped}. "
        "It is in nobody's way: the next `--swap` drops it, `--drop` does with what is kept, and so does, alone, "
        f"`DROP SCHEMA {names.older} CASCADE`."
    )
    return (
        f"Swapped at {moment(done.at)}: everything stood still for {done.still_ms:.0f} ms{tries}. {names.live} is what "
        f"was built; what served until now is kept as {names.before}.\n"
        "Gateways are being told who is answered otherwise. "
        "`entitle rebuild --swap-back` exchanges them again, `--drop` drops what is kept."
        f"{left if done.not_dropped else ''}"
    )


def _of(schema: Schema | None, behind: int) -> dict[str, Any] | None:
    if schema is None:
        return None
    note = schema.note
    return {
        "schema": schema.name,
        "migration": schema.step,
        "behind": behind,
        "by": note and note.by,
        "version": note and note.version,
        "begun_at": note and _at(note.begun_at),
        "swapped_in_at": note and _at(note.swapped_in_at),
        "swapped_out_at": note and _at(note.swapped_out_at),
    }


def _at(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _line(schema: Schema | None, behind: int) -> str:
    if schema is None:
        return "nothing: run `entitle migrate`"
    note = schema.note
    told = [schema.name]
    if note is not None and note.version:
        told.append(f"begun by {note.by} at {moment(note.begun_at)}, version {note.version}")
    if note is not None and note.swapped_in_at:
        told.append(f"swapped in at {moment(note.swapped_in_at)}")
    if note is not None and note.swapped_out_at:
        told.append(f"swapped out at {moment(note.swapped_out_at)}")
    told.append(f"{behind:,} record{'' if behind == 1 else 's'} behind the log")
    return ", ".join(told)
