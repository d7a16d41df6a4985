"""Dead letters of which a swap has changed the numbers between choosing and acting, on a real PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import sqlalchemy as sa

from entitlements import ledger, letters
from entitlements.letters import State
from ops.redrive import Redrive
from tests import toys
from tests.redriving import fixed, make_acts, nothing, open_letters
from tests.toys import message
from tests.yard import Yard


def test_a_letter_is_known_by_its_record_and_not_by_its_number(yard: Yard) -> None:
    """Another one that has its number now is neither read in its place nor given up; it is passed over."""
    make_acts(yard)
    yard.make_topic()
    yard.put([message("unreadable"), (b"key", b"{", [])])
    yard.run_to_the_end()
    one, other = open_letters(yard.engine)
    chosen = replace(one, id=other.id)
    groups = {"toys": fixed(yard.topic)}

    done = Redrive(database=yard.engine, groups=groups, read_again=nothing, by="ann", decode=toys.decode).of([chosen])

    assert list(done) == []
    with yard.engine.begin() as connection:
        assert letters.locked(connection, [chosen], [State.OPEN]) == ()
        held = letters.content(connection, chosen)
        assert held is not None
        assert held.value == message("unreadable")[1]
        connection.execute(sa.delete(ledger.dead_letters))
        assert letters.content(connection, chosen) is None
    assert yard.names() == {}
