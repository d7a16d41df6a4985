"""
`python -m tests.acceptance.storm` kills every process with -9 in turn while the scenarios are told again and again.

Two whole programs, `entitle up` each, on the servers of the first; every process of both, servers included, has its
turn, and nothing is spared while questions are asked. `../shared/acceptance/run.py` delivers and asks through relays,
which ask again what was refused or answered 503; all the while somebody looks that no group goes back. Then log and
facts are reckoned up. Exit code 0 only if all is right.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ops import settings
from ops.asking import Edge, NoAnswer
from ops.settings import Environment
from ops.supervisor import interrupted_once
from tests.acceptance.kills import Kills, absences, killing, targets
from tests.acceptance.reckoning import Reckoning
from tests.acceptance.relay import PATIENCE_S, Relay, relaying
from tests.acceptance.running import TOKEN, Running, up
from tests.acceptance.shared import SECRET, SHARED

RECOVERED_S = 120.0
SERVED = re.compile(r"^ *(?:Servers)? +(ENTITLE_DATABASE_URL|ENTITLE_KAFKA)=(\S+)$", re.MULTILINE)
ENDED = re.compile(r"^(?P<name>\S+) ended(?P<how> with .+?)? after [\d.]+ s; started again", re.MULTILINE)
OURS = ("", " with SIGKILL")
"""How a process ends that was killed; of a server it is not said."""

Play = Callable[[Edge], list[str]]
"""Delivers through the edge and asks; what was answered wrongly, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sea:
    """
    What the storm is over: *programs* behind the relays of *edge*; the first of them runs the servers, which
    *environment* names.
    """

    programs: Sequence[Running]
    environment: Mapping[str, str]
    edge: Edge
    ingest: Relay
    query: Relay

    def waiting(self) -> list[str]:
        """The listeners that are not ready, in words."""
        return [told for each in self.programs for told in each.edge.ready()]

    def ended(self) -> Counter[tuple[str, str]]:
        """How often each process ended, and how."""
        said = "\n".join((each.folder / "said.txt").read_text(encoding="utf-8") for each in self.programs)
        return Counter((found["name"], found["how"] or "") for found in ENDED.finditer(said))


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """What came of it: all that is *wrong*, and the figures."""

    wrong: Sequence[str]
    plays: int
    kills: Kills
    counts: Mapping[str, int]
    away: Mapping[str, Sequence[float]]
    recovered_s: float


@contextmanager
def sea(folder: Path, given: Mapping[str, str], catalog: Path, *, instances: int) -> Iterator[Sea]:
    """So many whole programs, and a relay before each kind of listener."""
    with ExitStack() as until_end:
        programs: list[Running] = []
        for number in range(instances):
            own = folder / str(number)
            own.mkdir(parents=True)
            programs.append(until_end.enter_context(up(own, given, catalog=catalog)))
            if number == 0:
                said = (own / "said.txt").read_text(encoding="utf-8")
                given = {**given, **dict(SERVED.findall(said))}
        ingest, query = (
            until_end.enter_context(relaying([url.removeprefix("http://") for url in urls]))
            for urls in zip(*((each.edge.ingest, each.edge.query) for each in programs), strict=True)
        )
        edge = Edge(ingest=ingest.url, query=query.url, token=TOKEN, patience_s=PATIENCE_S + 15)
        yield Sea(programs=programs, environment=given, edge=edge, ingest=ingest, query=query)


def storm(over: Sea, play: Play, *, seconds: float, every_s: float, side_by_side: int = 1) -> Aftermath:
    """Kill for so long, and until the plays that are under way then have come to their ends; then reckon up."""
    deadline, victims = time.monotonic() + seconds, targets(over.programs)

    def again_and_again(_: int) -> list[list[str]]:
        played = []
        while time.monotonic() < deadline:
            played.append(play(over.edge))
        return played

    with (
        watching(over.edge) as went_back,
        killing(victims, every_s) as kills,
        ThreadPoolExecutor(side_by_side) as players,
    ):
        plays = [play for several in players.map(again_and_again, range(side_by_side)) for play in several]
    environment = Environment(variables=over.environment)
    with closing(Reckoning(settings.database_url(environment), settings.kafka(environment))) as reckoning:
        begun = time.monotonic()
        while (over.waiting() or reckoning.behind()) and time.monotonic() - begun < RECOVERED_S:
            time.sleep(0.1)
        recovered_s = time.monotonic() - begun
        wrong = [*(told for play in plays for told in play), *went_back, *over.waiting()]
        wrong += reckoning.faults(over.ingest.exchanges)
        wrong += [f"{name} ended{how}, and nobody had killed it" for name, how in over.ended() if how not in OURS]
        had_their_turn = {kill.target.name for kill in kills.done} | kills.absent.keys()
        wrong += [f"{each.name} never had its turn" for each in victims if each.name not in had_their_turn]
        return Aftermath(
            wrong=wrong,
            plays=len(plays),
            kills=kills,
            counts=reckoning.counts(),
            away=absences(kills, (*over.ingest.exchanges, *over.query.exchanges), reckoning.reads()),
            recovered_s=recovered_s,
        )


@contextmanager
def watching(edge: Edge) -> Iterator[list[str]]:
    """
    Ask all the time how far the groups are; the list is filled with what went back, which nothing ever may, and with a
    word where nobody ever answered.
    """
    went_back: list[str] = []
    over = threading.Event()

    def watch() -> None:
        furthest: dict[tuple[str, str], int] = {}
        while not over.wait(0.1):
            try:
                answer = edge.next_offsets()
            except NoAnswer:  # an outage that outlasts its patience
                continue
            for group, places in answer.items():
                for place, offset in places.items():
                    if offset < furthest.get((group, place), 0):
                        went_back.append(f"{group} went back to {offset} in {place} from {furthest[group, place]}")
                    furthest[group, place] = offset
        if not furthest:
            went_back.append("nobody ever said how far the groups are")

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield went_back
    finally:
        over.set()
        thread.join()


def scenarios(edge: Edge) -> list[str]:
    """One play of `run.py`, with customers and orders that were never seen before; it must say that all passed."""
    command = [sys.executable, str(SHARED / "run.py"), "--shuffles", "2", "--patience", "120", "--secret", SECRET]
    command += ["--token", TOKEN, "--ingest", edge.ingest, "--query", edge.query]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    print(told.stdout + told.stderr, end="", flush=True)
    passed = re.search(r"^[1-9]\d* passed, 0 failed$", told.stdout, re.MULTILINE)
    return (
        [] if told.returncode == 0 and passed else [f"a play of the scenarios ended with exit code {told.returncode}"]
    )


def described(after: Aftermath, over: Sea) -> str:
    """The figures for people, a line each."""
    restarts = Counter[str]()
    for (name, _), number in over.ended().items():
        restarts[name] += number
    listed = {
        "plays": {"played": after.plays},
        "killed": Counter(kill.target.name for kill in after.kills.done),
        "away in their turn": after.kills.absent,
        "started again": restarts,
        "log and facts": after.counts,
        "answered 200": {"deliveries": len(over.ingest.exchanges), "questions": len(over.query.exchanges)},
        "deliveries asked again": Counter(over.ingest.again),
        "questions asked again": Counter(over.query.again),
    }
    lines = [f"{what}: {', '.join(f'{name} {number}' for name, number in of.items())}" for what, of in listed.items()]
    lines += [
        f"longest until answered: delivery {max(over.ingest.waits):.1f} s, question {max(over.query.waits):.1f} s",
        f"all was ready and read {after.recovered_s:.1f} s after the last play",
        "missed after a kill, median and longest, in seconds:",
        *(f"  {name:24}{statistics.median(s):6.1f}{max(s):6.1f}" for name, s in sorted(after.away.items())),
    ]
    return "\n".join(lines)


def main() -> int:
    """Exit code 0 if every answer was right and the reckoning is; 2 if the scenarios are not here."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.storm", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long it kills")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two kills")
    parser.add_argument("--instances", type=int, default=2, help="whole programs; of one alone, kill less often")
    parser.add_argument("--side-by-side", type=int, default=3, help="plays at once; each waits for every outage")
    parser.add_argument("--folder", type=Path, help="for data and logs, to be kept; default: one that is removed")
    chosen = parser.parse_args()
    if not (SHARED / "run.py").is_file():
        print("The scenarios of ../shared/acceptance are not here; tests/acceptance/test_storm.py needs none.")
        return 2
    with ExitStack() as until_end:
        until_end.enter_context(interrupted_once())
        folder = chosen.folder or until_end.enter_context(tempfile.TemporaryDirectory(prefix="entitle-storm-"))
        given = {"ACCEPTANCE_SIGNING_SECRETS": SECRET}
        over = until_end.enter_context(sea(Path(folder), given, SHARED / "catalog.yaml", instances=chosen.instances))
        after = storm(over, scenarios, seconds=chosen.seconds, every_s=chosen.every, side_by_side=chosen.side_by_side)
        print(described(after, over))
    print("\n".join(after.wrong) or "nothing lost, nothing twice, every answer right")
    return 1 if after.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
