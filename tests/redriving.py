"""
Dead letters of the toy group, and a version that can read what the group could not. Also a program, to be killed.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa

from consumers.record import Record
from consumers.verdicts import Group
from entitlements.letters import Letter, Which, letter_acts, letters
from ops import redrive
from schemas import codec
from tests import toys
from tests.toys import Toy
from tests.yard import Yard

CHUNK, PAUSE_S = 10, 0.1
"""Letters in a transaction of the program, and how long it takes at least."""


def fixed(topic: str, *, pause_s: float = 0.0) -> Group[Toy]:
    """The group in a version that can read every name, and that takes its time to record some."""

    def decide(message: codec.Message) -> tuple[Toy, ...]:
        assert isinstance(message, codec.StripeMessage)
        return (Toy(name=message.event["id"].replace("\x00", "")),)

    def record(connection: sa.Connection, facts: Sequence[Toy]) -> frozenset[bytes]:
        recorded = toys.record(connection, facts)
        time.sleep(pause_s)
        return recorded

    return Group(name="toys", topics=(topic,), decide=decide, record=record)


def nothing(_: Collection[Letter]) -> Mapping[int, Record]:
    """The log has none of them any more."""
    return {}


def make_acts(yard: Yard) -> None:
    """The table of what operators did, beside the rest."""
    with yard.engine.begin() as connection:
        letter_acts.create(connection)


def open_letters(engine: sa.Engine) -> tuple[Letter, ...]:
    """Those that nobody has seen to yet."""
    with engine.connect() as connection:
        return letters(connection, Which())


def main() -> None:
    """Redrive all open letters: database URL, topic."""
    url, topic = sys.argv[1:]
    engine = sa.create_engine(
        url.replace("postgresql://", "postgresql+psycopg2://"),
        connect_args={"options": f"-csearch_path={toys.SCHEMA}"},
        hide_parameters=True,
    )
    redrive.AT_ONCE = CHUNK
    group = fixed(topic, pause_s=PAUSE_S)
    redriving = redrive.Redrive(
        database=engine, groups={"toys": group}, read_again=nothing, by="ann", decode=toys.decode
    )
    for each in redriving.of(open_letters(engine)):
        os.write(sys.stdout.fileno(), f"{each.letter.id} {each.outcome}\n".encode())


if __name__ == "__main__":
    main()
