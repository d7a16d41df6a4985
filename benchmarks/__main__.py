"""
`make bench`: the program and the baselines, measured one after the other on the same servers. Edge: the terminal.

Takes about six minutes; the table at the end is Markdown, as in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import contenders, measuring
from benchmarks.contenders import Contender
from benchmarks.measuring import Latency, Throughput
from ops import stack

CONNECTIONS = (16, 64)
SHARES = (0.1, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All that was measured of one contender."""

    name: str
    throughputs: Sequence[Throughput]
    latencies: Sequence[Latency]


def main() -> None:
    """Measure all, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--events", type=int, default=20_000, help="webhooks of each closed loop")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each open loop")
    parser.add_argument("--only-ours", action="store_true")
    parser.add_argument("--with-feed", action="store_true", help="the relay and the boundaries run as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="entitle-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with stack.running(folder / "servers", say=_say) as servers:
            with contenders.ours(servers, folder, with_feed=options.with_feed) as entitle:
                found = [_measured(entitle, options.events, options.seconds, float("inf"))]
            if servers.kafka is not None:
                servers.kafka.stop()  # the baselines have none, so they should not pay for one
            for baseline in () if options.only_ours else ("by_the_book", "blocking"):
                with contenders.a_baseline(baseline, servers, folder) as opponent:
                    found.append(_measured(opponent, options.events, options.seconds, found[0].throughputs[0].accepted))
    print("\n".join(_table(found)))


def _measured(contender: Contender, events: int, seconds: float, most: float) -> Figures:
    """The open loops are at shares of its own rate on 16 connections, or of *most* if that is less."""
    _say(f"{contender.name}: warming up")
    measuring.warm_up(contender)
    throughputs = []
    for connections in CONNECTIONS:
        throughputs.append(measuring.throughput(contender, connections=connections, count=events))
        _say(f"{contender.name}: {throughputs[-1].accepted:.0f} accepted/s on {connections} connections")
    latencies = []
    for share in SHARES if seconds else ():
        rate = share * min(most, throughputs[0].accepted)
        latencies.append(measuring.latency(contender, rate=rate, seconds=seconds))
        _say(f"{contender.name}: {latencies[-1].seen[0]:.1f} ms to the answer at {rate:.0f}/s")
    return Figures(name=contender.name, throughputs=throughputs, latencies=latencies)


def _table(found: Sequence[Figures]) -> list[str]:
    """Markdown: each figure of all contenders, and ours divided by each opponent's; then where the CPU went."""
    opponents = found[1:]
    heads = ["", *(each.name for each in found), *(f"ours / {each.name}" for each in opponents)]
    lines = ["", f"| {' | '.join(heads)} |", "|---|" + "---|" * (len(heads) - 1)]

    def row(label: str, values: Sequence[float], digits: int = 0) -> None:
        ratios = [f"{values[0] / value:.2f}" if value else "" for value in values[1:]]
        lines.append(f"| {' | '.join([label, *(f'{value:.{digits}f}' for value in values), *ratios])} |")

    for at, connections in enumerate(CONNECTIONS):
        those = [each.throughputs[at] for each in found]
        row(f"{connections} connections: accepted/s", [each.accepted for each in those])
        row("recorded/s, until nothing was left", [each.recorded for each in those])
        row("answered, p50 ms", [each.answered[0] for each in those], 1)
        row("answered, p99 ms", [each.answered[1] for each in those], 1)
        row("CPU s per 1,000", [sum(each.cpu.values()) for each in those], 3)
    for at, share in enumerate(SHARES if found[0].latencies else ()):
        ones = [each.latencies[at] for each in found]
        row(f"at {share:g} of the rate: webhooks/s", [each.rate for each in ones])
        row("answered, p50 ms", [each.answered[0] for each in ones], 1)
        row("answered, p99 ms", [each.answered[1] for each in ones], 1)
        row("webhook to a question's answer, p50 ms", [each.seen[0] for each in ones], 1)
        row("webhook to a question's answer, p99 ms", [each.seen[1] for each in ones], 1)
    lines += ["", "| CPU s per 1,000 | |", "|---|---|"]
    for each in found:
        for one in each.throughputs:
            parts = ", ".join(f"{name} {used:.3f}" for name, used in one.cpu.items())
            lines.append(f"| {each.name}, {one.connections} connections | {parts}; (load {one.load_cpu:.3f}) |")
    return lines


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
