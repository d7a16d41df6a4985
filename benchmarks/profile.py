"""
`python -m benchmarks.profile ingest|consumers|query`: the ten dearest functions of a process of ours under load. Edge.

Sampled by py-spy (`pip install py-spy`; it is no dependency) 500 times a second while webhooks come in on 16
connections. Of the samples in which a thread ran Python, *own* is where it was, *with callees* whose doing it was.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from benchmarks import contenders, measuring
from ops import stack

DEAREST = 10


def main() -> None:
    """Run the program under load, and print where one process spends its time."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("process", nargs="+", help="ingest, consumers or query")
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="entitle-profile-", ignore_cleanup_errors=True) as folder:
        path = Path(folder)
        with (
            stack.running(path / "servers", say=lambda _: None) as servers,
            contenders.ours(servers, path) as entitle,
        ):
            measuring.warm_up(entitle)
            spies = {name: _spy(entitle.processes[name], path / f"{name}.samples") for name in options.process}
            measuring.throughput(entitle, connections=options.connections, count=options.events)
            for name, spy in spies.items():
                spy.send_signal(signal.SIGINT)
                spy.wait()
                print(f"\n{name}")
                print("\n".join(dearest((path / f"{name}.samples").read_text(encoding="utf-8").splitlines())))


def _spy(pid: int, to: Path) -> subprocess.Popen[bytes]:
    command = [
        "record",
        f"--pid={pid}",
        "--format=raw",
        f"--output={to}",
        "--rate=500",
        "--nolineno",
        "--nonblocking",
        "--gil",
    ]
    program = Path(sys.executable).with_name("py-spy")
    return subprocess.Popen([program, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def dearest(samples: Iterable[str]) -> list[str]:
    """A table of the dearest functions in py-spy's raw *samples*, each `caller;…;callee count`."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for sample in samples:
        frames, _, times = sample.rpartition(" ")
        names = frames.split(";")
        own[names[-1]] += int(times)
        whole.update(dict.fromkeys(names, int(times)))
    total = sum(own.values()) or 1
    width = max((len(name) for name, _ in own.most_common(DEAREST)), default=0)
    lines = [f"{'own':{width}}           with callees"]
    for (name, count), (caller, all_of_it) in zip(own.most_common(DEAREST), _telling(whole, total), strict=False):
        lines.append(f"{name:{width}} {count / total:6.1%}    {caller} {all_of_it / total:.1%}")
    return lines


def _telling(whole: Counter[str], total: int) -> list[tuple[str, int]]:
    """Functions of ours and of libraries, without what starts a process and everything is below."""
    started_by = ("runpy", "threading.py", "click/", "ops/", "asyncio/")
    telling = [(name, count) for name, count in whole.most_common() if not any(part in name for part in started_by)]
    return [(name, count) for name, count in telling if count < 0.9 * total][:DEAREST]


if __name__ == "__main__":
    main()
