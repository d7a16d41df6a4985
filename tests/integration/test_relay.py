"""
The relay and the boundaries at work, on a real PostgreSQL and a real Kafka: one at a time, and nothing is lost.

Long because each way in which the relay can lose its place or its servers has a test here.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from kafka.errors import KafkaError, NodeNotReadyError
from kafka.producer.transaction_manager import TransactionalRequestResult

from consumers import relay
from consumers.feed_topic import FeedTopic
from consumers.telling import Health
from consumers.told import Catalogs
from entitlements import feed
from entitlements.domain.catalog import Revisions
from ops.stack import running
from schemas.access_change import AccessChange
from tests.descriptors import beyond_select
from tests.feeding import behind, disagreements, learnt
from tests.relaying import PATIENCE_S, Ground, end_sessions, grounded, wait_until
from tests.stated import line, unpaid


@pytest.fixture
def ground(kafka: str, fresh_database: str) -> Iterator[Ground]:
    with grounded(kafka, fresh_database) as made:
        yield made


def latest(states: list[AccessChange]) -> dict[str, AccessChange]:
    """The last value of each key, as compaction leaves it."""
    return {each.customer: each for each in states}


def test_the_topic_ends_as_the_table_stands(ground: Ground) -> None:
    """The last value of each key is the customer's row, in order of the numbers; and both say what would be decided."""
    with ground.relaying() as said:
        for number in range(30):
            learnt(
                ground.engine, line(f"cus_{number % 7}", invoice=f"in_{number}", line=f"il_{number}", quantity=number)
            )
        learnt(ground.engine, *unpaid("cus_owing"))
        wait_until(ground.all_is_published, "all is published")
    published = ground.published()

    assert latest(published) == {each.customer: each for each in behind(ground.engine)}
    assert len(latest(published)) == 8
    for customer in latest(published):
        numbers = [each.seq for each in published if each.customer == customer]
        assert numbers == sorted({*numbers})
    assert disagreements(ground.engine, latest(published).values(), datetime.now(UTC)) == []
    assert said[-1] == Health(ready=True, detail="at work")


def test_a_step_has_its_time_and_commits_what_it_has(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no time for a second customer each is told in a transaction of its own, and all are."""
    monkeypatch.setattr(relay, "STEP", timedelta(0))
    learnt(ground.engine, *(line(f"cus_{number}") for number in range(5)))
    with ground.relaying():
        wait_until(ground.all_is_published, "all is published")
        with ground.engine.connect() as connection:
            transactions = connection.exec_driver_sql("SELECT count(DISTINCT xmin::text) FROM feed").scalar_one()

    assert transactions == len(behind(ground.engine)) == 5


def test_what_a_step_reads_first_takes_none_of_its_time(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the database finds out whom it concerns: each step would else tell one customer, and read again."""
    revisions = Catalogs.revisions

    def slowly(catalogs: Catalogs, connection: sa.Connection) -> Revisions:
        time.sleep(0.5)
        return revisions(catalogs, connection)

    monkeypatch.setattr(Catalogs, "revisions", slowly)
    monkeypatch.setattr(relay, "STEP", timedelta(seconds=0.4))
    learnt(ground.engine, *(line(f"cus_{number}") for number in range(5)))
    with ground.relaying():
        wait_until(ground.all_is_published, "all is published")
        with ground.engine.connect() as connection:
            transactions = connection.exec_driver_sql("SELECT count(DISTINCT xmin::text) FROM feed").scalar_one()

    assert transactions < len(behind(ground.engine)) == 5


def test_a_second_relay_stands_by_until_the_first_is_gone(ground: Ground) -> None:
    """One is at work; ended, its lock is free at once, and the other goes on where it was."""
    with ground.relaying() as first:
        wait_until(lambda: bool(first), "the first is at work")
        with ground.relaying() as second:
            wait_until(lambda: bool(second), "the second stands by")
            assert (first[-1].detail, second[-1].detail[:9]) == ("at work", "stands by")
            assert second[-1].ready
            learnt(ground.engine, line("cus_1"))
            wait_until(ground.all_is_published, "the first tells")
            assert len(second) == 1
            end_sessions(ground)
            wait_until(lambda: len(second) > 1 or len(first) > 2, "one of them goes on")
            learnt(ground.engine, line("cus_2"))
            wait_until(lambda: len(behind(ground.engine)) == 2, "cus_2 is told")
            wait_until(ground.all_is_published, "and published")

    assert [each.seq for each in sorted(ground.published(), key=lambda each: each.seq)] == [1, 2]


def test_a_relay_that_is_stopped_loses_its_place(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Postgres ends the session of one that asks nothing any more; another works, and awake it stands by."""
    monkeypatch.setattr(relay, "_IDLE", sa.text("SET idle_session_timeout = '2s'"))
    goes_on = threading.Event()
    goes_on.set()
    with ground.relaying(on_round=lambda: goes_on.wait(PATIENCE_S)) as stopped:
        wait_until(lambda: bool(stopped), "the first is at work")
        goes_on.clear()
        with ground.relaying() as other:
            learnt(ground.engine, line("cus_1"))
            wait_until(ground.all_is_published, "the other has its place")
            wait_until(lambda: bool(other) and other[-1].detail == "at work", "and says so")
            goes_on.set()
            wait_until(lambda: stopped[-1].detail.startswith("stands by"), "the first stands by")

    assert [each.customer for each in ground.published()] == ["cus_1"]


def test_a_relay_that_was_overtaken_can_publish_no_more(ground: Ground) -> None:
    """It wakes after another has begun to write, and Kafka refuses it: no older state comes behind a newer one."""
    with ground.relaying():
        learnt(ground.engine, line("cus_1"))
        wait_until(ground.all_is_published, "published")
    with ground.engine.begin() as connection:
        identity = feed.identity(connection)
    stale = FeedTopic(ground.source, identity, topic=ground.topic)
    [state] = behind(ground.engine)
    with ground.relaying():
        learnt(ground.engine, line("cus_2"))
        wait_until(ground.all_is_published, "published by its successor")
        with pytest.raises(KafkaError):
            stale.publish([state])
    stale.close()

    assert [each.customer for each in sorted(ground.published(), key=lambda each: each.seq)] == ["cus_1", "cus_2"]


def test_a_commit_that_nobody_confirms_holds_up_nobody_for_ever(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where kafka-python would wait for ever, the topic is opened anew, and all is published."""
    opened: list[FeedTopic] = []

    def unconfirmed_at_first(identity: str) -> FeedTopic:
        topic = FeedTopic(ground.source, identity, topic=ground.topic)
        if not opened:
            monkeypatch.setattr(topic._producer._transaction_manager, "begin_commit", TransactionalRequestResult)
        opened.append(topic)
        return topic

    learnt(ground.engine, line("cus_1"))
    with ground.relaying(open_topic=unconfirmed_at_first) as said:
        wait_until(ground.all_is_published, "published")

    assert len(opened) == 2
    assert "KafkaTimeoutError: Kafka did not commit within 4.5 s" in {each.detail for each in said}
    assert {each.customer for each in ground.published()} == {"cus_1"}


def test_a_relay_that_wakes_while_it_opens_the_topic_publishes_nothing_older(ground: Ground) -> None:
    """What it publishes it reads behind the fence: its successor's newer state stays the last of its key."""
    is_opening, goes_on = threading.Event(), threading.Event()

    def slowly(identity: str) -> FeedTopic:
        if not is_opening.is_set():
            is_opening.set()
            goes_on.wait(PATIENCE_S)
        return FeedTopic(ground.source, identity, topic=ground.topic)

    learnt(ground.engine, line("cus_1"))
    with ground.relaying(open_topic=slowly) as stopped:
        wait_until(is_opening.is_set, "the first opens the topic")
        end_sessions(ground)
        with ground.relaying():
            wait_until(ground.all_is_published, "its successor publishes what there was")
            learnt(ground.engine, line("cus_1", invoice="in_2", line="il_2", quantity=2))
            wait_until(lambda: [each.seq for each in behind(ground.engine)] == [2], "cus_1 is told anew")
            wait_until(ground.all_is_published, "and published")
            goes_on.set()
            wait_until(lambda: bool(stopped) and stopped[-1].detail.startswith("stands by"), "the first stands by")
            learnt(ground.engine, line("cus_2"))
            wait_until(lambda: len(behind(ground.engine)) == 2, "cus_2 is told")
            wait_until(ground.all_is_published, "its successor goes on, fenced as it was")

    numbers = [each.seq for each in ground.published() if each.customer == "cus_1"]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 2


def test_a_relay_listens_also_where_many_files_are_open(ground: Ground) -> None:
    """A descriptor from 1024 on is waited for as any other."""
    with beyond_select(), ground.relaying() as said:
        wait_until(lambda: bool(said), "it is at work")
        learnt(ground.engine, line("cus_1"))
        wait_until(ground.all_is_published, "published")


def test_killed_between_kafka_and_the_table_it_publishes_again(ground: Ground) -> None:
    """The same states under the same numbers: whoever reads by key is none the wiser."""
    with ground.relaying():
        learnt(ground.engine, line("cus_1"), line("cus_2"))
        wait_until(ground.all_is_published, "published")
    with ground.engine.begin() as connection:
        feed.published(connection, 1)
    with ground.relaying():
        learnt(ground.engine, line("cus_3"))
        wait_until(ground.all_is_published, "published again")

    assert sorted((each.customer, each.seq) for each in ground.published()) == [
        ("cus_1", 1),
        ("cus_2", 2),
        ("cus_2", 2),
        ("cus_3", 3),
    ]


def test_kafka_away_holds_up_nobody_who_asks(ground: Ground) -> None:
    """The table goes on while nothing can be published; it is all published once Kafka is back."""
    away = threading.Event()
    away.set()

    def open_topic(identity: str) -> FeedTopic:
        if away.is_set():
            raise NodeNotReadyError("no broker answers")
        return FeedTopic(ground.source, identity, topic=ground.topic)

    with ground.relaying(open_topic=open_topic) as said:
        learnt(ground.engine, line("cus_1"))
        wait_until(lambda: len(behind(ground.engine)) == 1, "told")
        wait_until(lambda: bool(said) and not said[-1].ready, "not ready")
        learnt(ground.engine, line("cus_2"))
        wait_until(lambda: len(behind(ground.engine)) == 2, "told")
        assert not ground.all_is_published()
        away.clear()
        wait_until(ground.all_is_published, "published")
        wait_until(lambda: said[-1].ready, "ready again")

    assert len(ground.published()) == 2


def test_a_kafka_that_hangs_ends_no_relay(fresh_database: str, stack_folder: Path) -> None:
    """In the middle of its transactions; the relay goes on numbering, and publishes once Kafka goes on."""
    with (
        running(stack_folder, database=False, say=lambda _: None) as stack,
        grounded(stack.kafka.address if stack.kafka else "", fresh_database) as ground,
        ground.relaying() as said,
    ):
        pid = stack.kafka.pid if stack.kafka else None
        assert pid is not None
        learnt(ground.engine, line("cus_1"))
        wait_until(ground.all_is_published, "published")
        os.kill(pid, signal.SIGSTOP)
        try:
            learnt(ground.engine, line("cus_2"))
            wait_until(lambda: bool(said) and not said[-1].ready, "not ready")
            learnt(ground.engine, line("cus_3"))
            wait_until(lambda: len(behind(ground.engine)) == 3, "told")
            assert not ground.all_is_published()
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_until(ground.all_is_published, "published")
        assert latest(ground.published()).keys() == {"cus_1", "cus_2", "cus_3"}


def test_postgres_back_again_it_goes_on(ground: Ground) -> None:
    """Its session ended by somebody, a relay takes its lock anew, and tells what became due meanwhile."""
    with ground.relaying(), ground.announcing():
        learnt(ground.engine, line("cus_1"))
        wait_until(ground.all_is_published, "published")
        end_sessions(ground)
        soon = datetime.now(UTC) + timedelta(seconds=2)
        learnt(ground.engine, line("cus_2", subscription_item=None, subscription=None, period_end=soon))
        wait_until(lambda: any(each.boundaries for each in behind(ground.engine)), "its cycle's end is announced")


def test_a_boundary_is_announced_within_a_second_of_its_moment(ground: Ground) -> None:
    """A cycle ends without traffic: the feed says so, soon after, with the moment; and only once."""
    soon = datetime.now(UTC) + timedelta(seconds=2)
    with ground.relaying(), ground.announcing(), ground.announcing():
        learnt(ground.engine, line("cus_1", subscription_item=None, subscription=None, period_end=soon))
        wait_until(lambda: any(each.boundaries for each in behind(ground.engine)), "it is announced")
        late = datetime.now(UTC) - soon
        time.sleep(0.5)
        wait_until(ground.all_is_published, "published")

    told = [(each.at, each.change, each.after) for state in ground.published() for each in state.boundaries]
    assert told == [(soon, "closed", "cycle_lapsed")]
    assert late < timedelta(seconds=1.5)
