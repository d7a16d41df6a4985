"""
`python -m tests.histories` tries the laws on many histories, on the PostgreSQL that `tests/servers.py` finds.

Several processes, a database each. Prints how long it took and, if a law is broken, the shrunk play; exit code 1 then.
With `--planted` each of the planted mistakes is looked for instead, and has to be found.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack

from tests.histories.hunting import hunt, hunts, on_database
from tests.histories.planted import MISTAKES
from tests.servers import Servers


def main() -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.histories")
    parser.add_argument("--histories", type=int, default=20_000, help="how many to try (default: 20000)")
    parser.add_argument("--seed", type=int, default=1, help="another number tries other ones (default: 1)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--planted", action="store_true", help="find the planted mistakes instead")
    options = parser.parse_args()
    with ExitStack() as until_end:
        url = Servers(say=print, until_end=until_end).database_url()
        if options.planted:
            return find_planted(url, options.seed)
        return try_all(url, options.histories, options.seed, options.workers)


def try_all(url: str, histories: int, seed: int, workers: int) -> int:
    """All histories; says how far it is now and then."""
    began = time.monotonic()
    tried = 0
    for found in hunts(url, histories, seed, workers):
        tried += found.histories
        print(f"{tried:6} histories, {time.monotonic() - began:7.1f} s", flush=True)
        if found.prey is not None:
            print(found.prey.how, found.prey.play, sep="\n")
            return 1
    print(f"{tried} histories kept the laws, in {time.monotonic() - began:.1f} s with {workers} processes")
    return 0


def find_planted(url: str, seed: int) -> int:
    """Every planted mistake, one after the other, each with the smallest play that shows it."""
    missed = []
    for name, mistake in MISTAKES.items():
        with on_database(url) as program, mistake.planted(program) as mistaken:
            found = hunt(mistaken, 1_000, seed)
        print(f"\n{name}: {mistake.what}")
        if found.prey is None:
            missed.append(name)
            print(f"NOT FOUND in {found.histories} histories")
            continue
        print(f"found after {found.prey.after} histories, shrunk in {found.seconds:.1f} s to:")
        print(found.prey.how, found.prey.play, sep="\n", flush=True)
    print(f"\n{len(MISTAKES) - len(missed)} of {len(MISTAKES)} planted mistakes were found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
