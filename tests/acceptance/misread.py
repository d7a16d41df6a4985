"""
The drill: a version misreads invoices, a right one rebuilds, they change places while gateways ask. Edge: processes.

    python -m tests.acceptance.misread --events 50000

Consumers, query and relay are processes of their own, as in production; questions come 200 a second, and events too.
`test_rebuild.py` plays it with a few thousand. Long because all who are at work meanwhile are in it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ops.settings import free_address
from ops.stack import running
from tests.acceptance.plant import wait_until
from tests.acceptance.running import TOKEN
from tests.feeding import SCHEMA, SETTINGS_SCHEMA
from tests.rebuilding import BEFORE, Ground, billed, ground, misreading, prepare, producing, put

WRONG = ("cus_3", "cus_77", "cus_150")
CUSTOMERS = 200
EVENTS_OF_ONE = 20
"""Of a customer, where there are more events than those few have."""

CLIENTS, A_SECOND = 4, 200
SEEN_WITHIN_S = 1.0
"""How long a memory may answer what was true before a commit: the promise of every change."""

JANUARY = "2026-01-15T00:00:00Z"
MOMENTS = (JANUARY, None)
"""Asked about in turn: what the database is asked, and what is answered from memory."""

RIGHT = {JANUARY: "paid", None: "cycle_lapsed"}
MISREAD = {JANUARY: "payment_required", None: "not_entitled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question's answer: *began* and *ended* of the monotonic clock."""

    began: float
    ended: float
    customer: str
    at: str | None
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """
    All answers; when each of the exchanges began and ended, and what they said of themselves; whether facts are *whole*
    in the end, those of a run that was never wrong; of whom gateways were *told* each time; who would *differ* by
    `entitle rebuild --diff`, of those who were there when the version was wrong; of those who came meanwhile who was
    *let in*, and what was said of one who was *turned away* afterwards.
    """

    asked: list[Asked] = field(default_factory=list)
    exchanges: list[tuple[float, float, dict[str, Any]]] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)
    told: list[set[str]] = field(default_factory=list)
    differ: set[str] = field(default_factory=set)
    let_in: set[str] = field(default_factory=set)
    turned_away: list[str] = field(default_factory=list)
    rebuilt_s: float = 0.0

    def faults(self) -> list[str]:
        """Questions that failed, and answers that neither what served nor what was to serve gives."""
        return [
            f"{each.customer} at {each.at or 'now'}: {each.told}, not {self._right_ones(each)}"
            for each in self.asked
            if each.told not in self._right_ones(each)
        ]

    def _right_ones(self, asked: Asked) -> set[str]:
        if asked.customer not in WRONG:
            return {RIGHT[asked.at]}
        states, state = set[str](), MISREAD
        for began, ended, _ in self.exchanges:
            if asked.began < ended + SEEN_WITHIN_S:
                states.add(state[asked.at])
            if asked.ended < began:
                return states
            state = RIGHT if state is MISREAD else MISREAD
        return states | {state[asked.at]}


def play(events: int, *, deadline_ms: int = 500) -> Played:
    """With so many events that were misread; a question may wait so long for the database."""
    played, many = Played(), max(CUSTOMERS, events // EVENTS_OF_ONE)
    with ExitStack() as until_done:
        folder = until_done.enter_context(tempfile.TemporaryDirectory())
        servers = until_done.enter_context(running(Path(folder), say=lambda _: None))
        assert servers.kafka is not None
        assert servers.database is not None
        source = prepare(servers.kafka.address)
        put(source, *billed(events // 2, customers=many))
        place = until_done.enter_context(ground(source, servers.database.address))
        place.consume(misreading(WRONG))
        right = until_done.enter_context(never_wrong(place))
        address = str(free_address())
        for command in (("consume", "grants", "revocations", "invoices"), ("query",), ("relay",)):
            until_done.enter_context(program(place, address, deadline_ms, *command))
        wait_until(lambda: answer(address, "cus_1", None) == RIGHT[None], "it answers")
        wait_until(lambda: fed(place) == many and not _waits(place), "gateways are told of everybody")
        _exchange_under_load(place, address, played)
        place.consume()
        right.consume()
        played.whole.append(place.facts() == right.facts())
    return played


def _exchange_under_load(place: Ground, address: str, played: Played) -> None:
    """Built, swapped, swapped back and forth, while questions and events come."""
    stop = threading.Event()
    clients = [threading.Thread(target=ask, args=(address, number, stop, played.asked)) for number in range(CLIENTS)]
    clients.append(threading.Thread(target=bill, args=(place, stop)))
    clients.append(threading.Thread(target=come, args=(place, address, stop, played)))
    for client in clients:
        client.start()
    try:
        time.sleep(1.0)
        started = time.monotonic()
        command(place, "--no-follow", "--processes", "2", "--json")
        played_s = time.monotonic() - started
        played.differ.update(differing(place))
        for way in ("--swap", "--swap-back", "--swap-back"):
            head = _head(place)
            began = time.monotonic()
            said = command(place, way, "--yes", "--json")
            played.exchanges.append((began, time.monotonic(), said))
            wait_until(lambda: not _walks(place), "the relay has looked at everybody")
            played.told.append(_told_since(place, head))
        time.sleep(1.0)
    finally:
        stop.set()
        for client in clients:
            client.join()
    object.__setattr__(played, "rebuilt_s", played_s)


def ask(address: str, number: int, stop: threading.Event, asked: list[Asked]) -> None:
    """Questions on one connection, its share of them a second; mostly about those who were misread."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    due = time.monotonic()
    for step in count():
        if stop.is_set():
            break
        customer = WRONG[step % len(WRONG)] if step % 4 else f"cus_{(step * 7 + number) % CUSTOMERS}"
        at = MOMENTS[step // 4 % 2]
        began = time.monotonic()
        try:
            told = reason(connection, customer, at)
        except (OSError, http.client.HTTPException) as error:
            told = f"{type(error).__name__}: {error}"
            connection.close()
        asked.append(Asked(began=began, ended=time.monotonic(), customer=customer, at=at, told=told))
        due += CLIENTS / A_SECOND
        time.sleep(max(0.0, due - time.monotonic()))
    connection.close()


def bill(place: Ground, stop: threading.Event) -> None:
    """More invoices of customers of their own, as they come."""
    with producing(place.source) as send:
        for number in count():
            if stop.wait(0.2):
                return
            send(billed(2, customers=2, prefix=f"later_{number}", customer="new"))


def come(place: Ground, address: str, stop: threading.Event, played: Played) -> None:
    """Somebody new pays every tenth of a second, and the newest are asked about: who is let in stays so."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    newest: deque[str] = deque(maxlen=5)
    with producing(place.source) as send:
        for number in count():
            if stop.wait(0.1):
                break
            send(billed(1, customers=1, prefix=f"came_{number}", customer=f"came_{number}"))
            newest.append(f"came_{number}_0")
            for customer in newest:
                try:
                    told = reason(connection, customer, JANUARY)
                except (OSError, http.client.HTTPException) as error:
                    told = f"{type(error).__name__}: {error}"
                    connection.close()
                if told == RIGHT[JANUARY]:
                    played.let_in.add(customer)
                elif customer in played.let_in:
                    played.turned_away.append(f"{customer} was let in, and then: {told}")
    connection.close()


def answer(address: str, customer: str, at: str | None) -> str:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        return reason(connection, customer, at)
    except OSError as error:
        return str(error)
    finally:
        connection.close()


def reason(connection: http.client.HTTPConnection, customer: str, at: str | None) -> str:
    question = {
        "subject": {"type": "customer", "id": customer},
        "action": {"name": "invoke"},
        "resource": {"type": "api", "id": "orders"},
        **({"context": {"time": at}} if at else {}),
    }
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    connection.request("POST", "/access/v1/evaluation", json.dumps(question), headers)
    told = connection.getresponse()
    body = json.loads(told.read())
    return str(body["context"]["reason"]) if told.status == 200 else f"{told.status} {body}"


@contextmanager
def never_wrong(place: Ground) -> Iterator[Ground]:
    """The same log in a database of its own."""
    with place.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("CREATE DATABASE never_wrong")
    url = sa.make_url(place.url).set(database="never_wrong").render_as_string(hide_password=False)
    with ground(place.source, url) as right:
        yield right


def environment(place: Ground) -> Mapping[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("ENTITLE_")},
        "ENTITLE_KAFKA": place.source.bootstrap,
        "ENTITLE_DATABASE_URL": place.url,
        "ENTITLE_SCHEMA": SCHEMA,
        "ENTITLE_SETTINGS_SCHEMA": SETTINGS_SCHEMA,
        "ENTITLE_QUERY_TOKENS": TOKEN,
        "ENTITLE_LOG_LEVEL": "warning",
    }


@contextmanager
def program(place: Ground, address: str, deadline_ms: int, *arguments: str) -> Iterator[None]:
    """A process of the program's own, which must be at work to the end."""
    settings = {**environment(place), "ENTITLE_QUERY_ADDRESS": address, "ENTITLE_MISS_DEADLINE_MS": str(deadline_ms)}
    process = subprocess.Popen([sys.executable, "-m", "ops", *arguments], env=settings)
    try:
        yield
        assert process.poll() is None, f"{arguments} has ended"
    finally:
        process.terminate()
        process.wait(30)


def differing(place: Ground) -> set[str]:
    """Who is answered otherwise by the rebuild; records that one side has yet to read are of new customers."""
    told = command(place, "--diff", "--json", code=1)
    return {each["customer"] for each in told["customers"] if each["customer"].startswith("cus_")}


def command(place: Ground, *arguments: str, code: int = 0) -> dict[str, Any]:
    """`entitle rebuild` as a process; what it says for programs."""
    line: Sequence[str] = (sys.executable, "-m", "ops", "rebuild", *arguments)
    done = subprocess.run(line, env=environment(place), check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == code, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def fed(place: Ground) -> int:
    return _scalar(place, "SELECT count(*) FROM feed")


def _head(place: Ground) -> int:
    return _scalar(place, "SELECT head FROM feed_position")


def _waits(place: Ground) -> bool:
    return bool(_scalar(place, "SELECT count(*) FROM changes WHERE NOT relayed"))


def _walks(place: Ground) -> bool:
    return bool(_scalar(place, "SELECT count(*) FROM feed_position WHERE is_walking"))


def _told_since(place: Ground, head: int) -> set[str]:
    """Which of the customers of before gateways were told of."""
    query = sa.text("SELECT customer FROM feed WHERE seq > :head AND starts_with(customer, 'cus_')")
    with place.engine.connect() as connection:
        return set(connection.execute(query, {"head": head}).scalars())


def _scalar(place: Ground, query: str) -> int:
    with place.engine.connect() as connection:
        return int(connection.exec_driver_sql(query).scalar_one())


def main() -> None:
    """Play it, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.misread", description=__doc__)
    parser.add_argument("--events", type=int, default=50_000)
    options = parser.parse_args()
    played = play(options.events)
    faults = played.faults()
    slowest = max(each.ended - each.began for each in played.asked)
    print(f"{options.events:,} events were misread; rebuilt in {played.rebuilt_s:.1f} s while questions came")
    for began, ended, said in played.exchanges:
        tries, still = said["tries"], said["still_ms"]
        print(f"exchanged in {ended - began:.1f} s: still for {still} ms, {tries} tries, kept as {BEFORE}")
    print(f"{len(played.asked):,} questions, the slowest {1000 * slowest:.0f} ms; wrong or failed: {len(faults)}")
    print(f"`--diff` named {sorted(played.differ)}")
    print(f"gateways were told of {[sorted(each) for each in played.told]}; facts as if never wrong: {played.whole}")
    for text, times in Counter(faults).most_common(10):
        print(f"  {times} times {text}")
    print(f"{len(played.let_in):,} came and were let in; turned away afterwards: {played.turned_away or 'nobody'}")
    sys.exit(1 if faults or played.turned_away or not all(played.whole) else 0)


if __name__ == "__main__":
    main()
