"""How much of the processors a process has used, its children included. Edge: /proc."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def seconds_of(processes: Mapping[str, int]) -> dict[str, float]:
    """
    CPU seconds, user and system, that each of *processes* (pids by name) has used, with all its descendants.

    A descendant that ended counts as soon as its parent has waited for it.
    """
    used: dict[int, float] = {}
    children: dict[int, list[int]] = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        pid, parent = int(path.parent.name), int(fields[1])
        used[pid] = sum(map(int, fields[11:15])) / TICKS_A_SECOND
        children[parent].append(pid)

    def whole(pid: int) -> float:
        return used.get(pid, 0.0) + sum(whole(child) for child in children[pid])

    return {name: whole(pid) for name, pid in processes.items()}
