"""
`make bench`: the program and the baselines, measured by turns on the same servers. Edge: the terminal.

By turns, since a machine's speed changes within minutes: each round measures all of them one right after the other, and
what is shown is the median of the rounds, of figures and of ratios each. Takes about six minutes; the table at the end
is Markdown, as in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks import contenders, measuring
from benchmarks.contenders import Contender
from benchmarks.measuring import Latency, Throughput
from ops import stack
from ops.stack import Stack

CONNECTIONS = (16, 64)
SHARES = (0.1, 0.5)
OURS, BASELINES = "entitle", ("by_the_book", "blocking")

Rounds = Mapping[str, Sequence[Sequence[Throughput]]]
"""Of each contender, by name: in each round, what was found on so many connections as `CONNECTIONS` has."""


def main() -> None:
    """Measure all, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--events", type=int, default=12_000, help="webhooks of each closed loop")
    parser.add_argument("--rounds", type=int, default=3, help="how often all are measured in turn")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each open loop")
    parser.add_argument("--only-ours", action="store_true")
    parser.add_argument("--with-feed", action="store_true", help="the relay and the boundaries run as well")
    options = parser.parse_args()
    names = (OURS,) if options.only_ours else (OURS, *BASELINES)
    rounds: dict[str, list[list[Throughput]]] = {name: [] for name in names}
    latencies: dict[str, list[Latency]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="entitle-bench-", ignore_cleanup_errors=True) as folder,
        stack.running(Path(folder) / "servers", say=_say) as servers,
    ):
        for number in range(1, options.rounds + 1):
            for name in names:
                with _contender(name, servers, Path(folder), with_feed=options.with_feed) as contender:
                    rounds[name].append(_closed_loops(contender, options.events))
                    if number == options.rounds and options.seconds:
                        latencies[name] = _open_loops(contender, rounds, options.seconds)
    print("\n".join([*_table(rounds, latencies), *_by_process(rounds)]))


@contextmanager
def _contender(name: str, servers: Stack, folder: Path, *, with_feed: bool) -> Iterator[Contender]:
    if name == OURS:
        with contenders.ours(servers, folder, with_feed=with_feed) as entitle:
            yield entitle
    else:
        with contenders.without_kafka(servers), contenders.a_baseline(name, servers, folder) as opponent:
            yield opponent


def _closed_loops(contender: Contender, events: int) -> list[Throughput]:
    measuring.warm_up(contender)
    found = [measuring.throughput(contender, connections=each, count=events) for each in CONNECTIONS]
    told = ", ".join(f"{each.accepted:.0f} accepted/s on {each.connections} connections" for each in found)
    _say(f"{contender.name}: {told}")
    return found


def _open_loops(contender: Contender, rounds: Rounds, seconds: float) -> list[Latency]:
    """At shares of its own rate on 16 connections, or of ours if that is less."""
    of_each = [median(closed[0].accepted for closed in rounds[name]) for name in (contender.name, OURS)]
    found = []
    for share in SHARES:
        found.append(measuring.latency(contender, rate=share * min(of_each), seconds=seconds))
        _say(f"{contender.name}: {found[-1].seen[0]:.1f} ms to the answer at {found[-1].rate:.0f}/s")
    return found


def _table(rounds: Rounds, latencies: Mapping[str, Sequence[Latency]]) -> list[str]:
    """Markdown: each figure of all contenders, and ours divided by each opponent's."""
    names = tuple(rounds)
    heads = ["", *names, *(f"ours / {name}" for name in names[1:])]
    lines = ["", f"| {' | '.join(heads)} |", "|---|" + "---|" * (len(heads) - 1)]

    def row(label: str, values: Mapping[str, Sequence[float]], digits: int = 0) -> None:
        cells = [f"{median(found):.{digits}f}" for found in values.values()]
        for name in names[1:]:
            ratios = sorted(own / other for own, other in zip(values[OURS], values[name], strict=True))
            spread = f" ({ratios[0]:.2f} to {ratios[-1]:.2f})" if len(ratios) > 1 else ""
            cells.append(f"{median(ratios):.2f}{spread}")
        lines.append(f"| {' | '.join([label, *cells])} |")

    def closed(at: int, figure: Callable[[Throughput], float]) -> dict[str, list[float]]:
        return {name: [figure(each[at]) for each in found] for name, found in rounds.items()}

    for at, connections in enumerate(CONNECTIONS):
        row(f"{connections} connections: accepted/s", closed(at, lambda each: each.accepted))
        row("recorded/s, until nothing was left", closed(at, lambda each: each.recorded))
        row("answered, p50 ms", closed(at, lambda each: each.answered[0]), 1)
        row("answered, p99 ms", closed(at, lambda each: each.answered[1]), 1)
        row("CPU s per 1,000", closed(at, lambda each: sum(each.cpu.values())), 3)
    for at, share in enumerate(SHARES if latencies else ()):
        ones = {name: found[at] for name, found in latencies.items()}
        row(f"at {share:g} of the rate: webhooks/s", {name: [one.rate] for name, one in ones.items()})
        row("answered, p50 ms", {name: [one.answered[0]] for name, one in ones.items()}, 1)
        row("answered, p99 ms", {name: [one.answered[1]] for name, one in ones.items()}, 1)
        row("webhook to a question's answer, p50 ms", {name: [one.seen[0]] for name, one in ones.items()}, 1)
        row("webhook to a question's answer, p99 ms", {name: [one.seen[1]] for name, one in ones.items()}, 1)
    return lines


def _by_process(rounds: Rounds) -> list[str]:
    """Markdown: where the CPU went."""
    lines = ["", "| CPU s per 1,000 | |", "|---|---|"]
    for name, found in rounds.items():
        for at, connections in enumerate(CONNECTIONS):
            those = [each[at] for each in found]
            used = {process: median(each.cpu[process] for each in those) for process in those[0].cpu}
            parts = ", ".join(f"{process} {seconds:.3f}" for process, seconds in used.items())
            load = median(each.load_cpu for each in those)
            lines.append(f"| {name}, {connections} connections | {parts}; (load {load:.3f}) |")
    return lines


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
