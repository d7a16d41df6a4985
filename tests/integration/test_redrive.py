"""Dead letters read again, or given up, on a real Kafka and a real PostgreSQL, whoever else is at work or killed."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections import Counter

import pytest
import sqlalchemy as sa

from consumers.extent import ends_of
from consumers.failures import TooManyDeadLetters
from entitlements import ledger, letters
from entitlements.letters import Act, Letter, State, Which
from ops import redrive as redriving
from ops.log_records import records_at
from ops.redrive import Redrive, Redriven
from tests import toys
from tests.redriving import CHUNK, fixed, make_acts, nothing, open_letters
from tests.toys import message
from tests.yard import PATIENCE_S, Message, Yard, numbered

NOT_JSON: Message = (b"key", b"{", [])


def redrive(yard: Yard, **changes: object) -> list[Redriven]:
    """All open letters, by a version that can read every name."""
    given: dict[str, object] = {"groups": {"toys": fixed(yard.topic)}, "read_again": nothing, "by": "ann", **changes}
    return list(Redrive(database=yard.engine, decode=toys.decode, **given).of(open_letters(yard.engine)))  # type: ignore[arg-type]


def states(yard: Yard) -> Counter[State]:
    with yard.engine.connect() as connection:
        return Counter(each.state for each in letters.letters(connection, Which(states=frozenset(State))))


def in_a_row(yard: Yard) -> list[int]:
    return yard.column(sa.select(ledger.consumer_offsets.c.dead_letters_in_a_row))


def everything(yard: Yard) -> list[list[tuple[object, ...]]]:
    tables = (toys.toys, ledger.provenance, ledger.dead_letters, ledger.changes, letters.letter_acts)
    with yard.engine.connect() as connection:
        return [[tuple(row) for row in connection.execute(sa.select(table).order_by(*table.c))] for table in tables]


def discard(yard: Yard, some: tuple[Letter, ...]) -> None:
    """As `entitle dead-letters discard` does."""
    with yard.engine.begin() as connection:
        letters.note(connection, Act.DISCARDED, [(each, None, "rubbish") for each in some], by="ann")
        letters.count_in_a_row(connection, some)


def test_what_can_be_read_now_is_recorded_as_if_it_had_never_been_set_aside(yard: Yard) -> None:
    """Facts, provenance and changes are those of a run that could read it; what still can't be stays a letter."""
    make_acts(yard)
    yard.make_topic()
    yard.put([message("a"), message("unreadable"), NOT_JSON, message("b\x00"), message("unreadable")])
    yard.run_to_the_end()

    done = redrive(yard)

    assert [str(each.outcome) for each in done] == ["recorded", "dead_letter", "recorded", "duplicate"]
    assert "is not JSON" in str(done[1].reason)
    assert yard.names() == Counter(["a", "unreadable", "b"])
    assert yard.outcomes() == Counter(recorded=3, dead_letter=1, duplicate=1)
    assert yard.column(sa.select(ledger.changes.c.customer)) == ["cus_1", "cus_1"]
    assert (states(yard), in_a_row(yard)) == (Counter({State.READ: 3, State.OPEN: 1}), [0])
    assert [each.letter.id for each in redrive(yard)] == [done[1].letter.id]


def test_what_fails_again_stays_with_its_new_reason(yard: Yard) -> None:
    """Today's reason takes the place of the old one, the payload stays, and who has tried is kept."""
    make_acts(yard)
    yard.make_topic()
    yard.put([message("unreadable")])
    yard.run_to_the_end()
    yard.execute(sa.update(ledger.dead_letters).values(reason="an old reason", detail="an old traceback"))

    [done] = redrive(yard, groups={"toys": toys.group(yard.topic)})

    [letter] = open_letters(yard.engine)
    with yard.engine.connect() as connection:
        content, acts = letters.content(connection, letter), letters.done_about(connection, letter)
    assert (done.reason, letter.reason) == ("nobody can read this name", "nobody can read this name")
    assert content is not None
    assert "Traceback" in content.detail
    assert content.value == message("unreadable")[1]
    assert [(str(each.came_to), each.reason, each.by) for each in acts] == [("dead_letter", letter.reason, "ann")]


def test_a_dry_run_says_the_same_and_leaves_no_trace(yard: Yard) -> None:
    """Every row of every table is as before."""
    make_acts(yard)
    yard.make_topic()
    yard.put([message("a"), message("unreadable"), NOT_JSON])
    yard.run_to_the_end()
    before = everything(yard)

    tried = redrive(yard, dry_run=True)

    assert before == everything(yard)
    assert [(each.letter.id, each.outcome, each.reason) for each in tried] == [
        (each.letter.id, each.outcome, each.reason) for each in redrive(yard)
    ]


def test_a_consumer_that_a_run_of_them_stopped_goes_on_after_a_redrive_or_a_discard(yard: Yard) -> None:
    """Each of the two starts the count anew; without either the consumer stays stopped."""
    make_acts(yard)
    yard.make_topic()
    yard.put([*[message("unreadable")] * 5, message("a")])

    with pytest.raises(TooManyDeadLetters, match="`entitle dead-letters redrive --group toys`"):
        yard.run_to_the_end(dead_letters_in_a_row=2)
    with pytest.raises(TooManyDeadLetters):
        yard.run_to_the_end(dead_letters_in_a_row=2)
    assert (yard.next_offsets(), len(open_letters(yard.engine))) == ([2], 2)
    redrive(yard)
    with pytest.raises(TooManyDeadLetters):
        yard.run_to_the_end(dead_letters_in_a_row=2)
    assert (yard.next_offsets(), len(open_letters(yard.engine))) == ([4], 2)
    discard(yard, open_letters(yard.engine))
    yard.run_to_the_end(dead_letters_in_a_row=2)

    assert (yard.next_offsets(), yard.names()) == ([6], Counter(["unreadable", "a"]))
    assert states(yard) == {State.READ: 2, State.DISCARDED: 2, State.OPEN: 1}


def test_a_letter_that_holds_nothing_is_read_from_the_log_again(yard: Yard) -> None:
    """What Kafka's client could not unpack is asked of Kafka; as long as it can't be, it stays with that reason."""
    make_acts(yard)
    yard.make_topic()
    key, value, headers = message("x")
    yard.put_in_one_batch([(key, value, [*headers, (toys.NOT_UTF8, b"")])])
    yard.put([message("y")])
    yard.run_to_the_end()
    [letter] = open_letters(yard.engine)
    found = records_at(yard.source(), [(yard.topic, 0, 0), (yard.topic, 0, 1)])

    still = redrive(yard, read_again=lambda _: {letter.id: found[yard.topic, 0, 0]})
    gone = redrive(yard)
    # As if a later client could read it: the next record, under this one's address.
    readable = found[yard.topic, 0, 1]
    cured = type(readable)(**{name: getattr(readable, name) for name in readable.__slots__} | {"offset": 0})
    read = redrive(yard, read_again=lambda _: {letter.id: cured})

    assert [each.reason for each in (*still, *gone)] == [letter.reason, letter.reason]
    assert "a header is not UTF-8" in letter.reason
    assert [str(each.outcome) for each in read] == ["duplicate"]


def test_a_letter_is_opened_again_where_a_later_reading_fails(yard: Yard) -> None:
    """A version that can't read it any more sets it aside anew; one that was discarded stays so."""
    make_acts(yard)
    yard.make_topic()
    yard.put([message("unreadable"), NOT_JSON])
    yard.run_to_the_end()
    first, second = open_letters(yard.engine)
    redrive(yard)
    discard(yard, (second,))
    assert states(yard) == {State.READ: 1, State.DISCARDED: 1}

    yard.execute(sa.update(ledger.consumer_offsets).values(next_offset=0))
    yard.run_to_the_end()

    assert [each.id for each in open_letters(yard.engine)] == [first.id]
    assert states(yard) == {State.OPEN: 1, State.DISCARDED: 1}


def test_letters_of_another_log_are_not_redriven(yard: Yard) -> None:
    """Their addresses mean something else now."""
    make_acts(yard)
    yard.make_topic()
    yard.put([message("unreadable")])
    yard.run_to_the_end()
    yard.execute(sa.update(ledger.consumer_offsets).values(topic_id="another"))

    assert (redrive(yard), states(yard)) == ([], Counter({State.OTHER_LOG: 1}))


def test_several_redrives_and_a_replay_at_once_record_each_once(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two operators, consumers at work and the log read again: one fact, one change, one act for each letter."""
    monkeypatch.setattr(redriving, "AT_ONCE", 7)
    make_acts(yard)
    yard.make_topic(partitions=2)
    bad = [b"{" + name.encode() for name in numbered(40)]
    yard.put([(b"k", value, message("x")[2]) for value in bad])
    yard.run_to_the_end()
    assert len(open_letters(yard.engine)) == 40
    yard.execute(sa.update(ledger.dead_letters).values(value=sa.func.convert_to("", "UTF8")))
    for letter, name in zip(open_letters(yard.engine), numbered(40), strict=True):
        yard.execute(
            sa.update(ledger.dead_letters).where(ledger.dead_letters.c.id == letter.id).values(value=message(name)[1])
        )
    done: list[list[Redriven]] = [[], [], []]

    def work(number: int) -> None:
        done[number] = redrive(yard, groups={"toys": fixed(yard.topic, pause_s=0.02)})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    with yard.running():
        for thread in threads:
            thread.start()
        yard.put([message(name) for name in numbered(40, "live")])
        until = ends_of(yard.source(), [yard.topic])
        for thread in threads:
            thread.join(PATIENCE_S)
    yard.run(until=until)

    assert yard.names() == Counter([*numbered(40), *numbered(40, "live")])
    assert sorted(each.letter.id for some in done for each in some) == sorted(range(1, 41))
    assert yard.column(sa.select(sa.func.count()).select_from(letters.letter_acts)) == [40]
    assert states(yard) == {State.READ: 40}


def test_kill_9_in_the_middle_leaves_each_letter_as_it_was_or_done(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A redrive killed again and again, then let through: every name once, and one act and one outcome for each."""
    make_acts(yard)
    yard.make_topic()
    yard.put([*[(b"k", b"{", message("x")[2])] * 250, message("a")])
    yard.run_to_the_end(dead_letters_in_a_row=1000)
    for letter, name in zip(open_letters(yard.engine), numbered(250), strict=True):
        yard.execute(
            sa.update(ledger.dead_letters).where(ledger.dead_letters.c.id == letter.id).values(value=message(name)[1])
        )
    command = [sys.executable, "-m", "tests.redriving", yard.url, yard.topic]
    for _ in range(4):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(random.randrange(1, 40)):
                process.stdout.readline()
            process.kill()  # it is in the middle of the transaction that follows
        done, left = len(yard.names()) - 1, len(open_letters(yard.engine))
        assert 0 < done < 250
        assert (done + left, done % CHUNK) == (250, 0)

    redrive(yard)

    assert yard.names() == Counter([*numbered(250), "a"])
    assert yard.outcomes() == Counter(recorded=251)
    acts = yard.column(sa.select(letters.letter_acts.c.offset).order_by(letters.letter_acts.c.offset))
    assert (acts, states(yard)) == ([*range(250)], Counter({State.READ: 250}))
