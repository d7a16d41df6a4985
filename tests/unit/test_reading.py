"""What is read out of Postgres is known to msgspec before any thread reads it."""

from __future__ import annotations

import subprocess
import sys

WORKED_OUT = """
from entitlements import reading
from entitlements.domain.facts import CustomerFacts
from entitlements.store import TABLE_OF
print([kind.__name__ for kind in (CustomerFacts, *TABLE_OF) if "__msgspec_cache__" not in vars(kind)])
"""


def test_types_are_worked_out_on_import() -> None:
    """Threads that were the first to read facts ended the process: a segmentation fault of msgspec, 1 of 4 times."""
    done = subprocess.run([sys.executable, "-c", WORKED_OUT], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
