"""Every process killed once, servers included, while customers' tales are told; `storm.py` does it for minutes."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

from ops.asking import Edge
from tests.acceptance.kills import targets
from tests.acceptance.running import CATALOG
from tests.acceptance.storm import sea, storm
from tests.acceptance.tales import faults, interleaved, tellings

EVERY_S = 2.0


def test_every_process_killed_in_turn(stack_folder: Path) -> None:
    """With everything killed in turn: every answer right, and log and facts as an undisturbed replay makes them."""
    with sea(stack_folder, {}, CATALOG, instances=2) as over:
        program = over.programs[0]

        def tales(edge: Edge) -> list[str]:
            told = tellings(f"s{uuid.uuid4().hex[:8]}x", orders=("shuffled with duplicates and twins",))
            behind_relays = replace(program, edge=edge)
            behind_relays.catch_up(behind_relays.send_all(interleaved(told, seed=3)))
            return faults(behind_relays.answer, told)

        after = storm(over, tales, seconds=EVERY_S * (len(targets(over.programs)) + 1), every_s=EVERY_S)

    assert after.wrong == []
    assert {kill.target.name for kill in after.kills.done} > {
        "ingest 1",
        "query 1",
        "consume 1",
        "relay 1",
        "boundaries 1",
        "Kafka",
    }
