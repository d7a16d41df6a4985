"""
The relay: what is committed becomes the numbered change feed, and the feed its topic. Edge: Kafka and Postgres.

Two steps, each safe to be killed in. First what is to be told of the customers whom changes concern is numbered and
written, in the transaction that marks the changes. Then all that is behind *published* goes to Kafka, and *published*
moves: after a crash between the two it goes there again, the same states under the same numbers.

One relay is at work. It holds a lock that belongs to its database session, and does all its work in that session: who
loses it can commit nothing. Another stands by until the session is gone. Long because all steps share that session.
"""

from __future__ import annotations

import logging
import select
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from kafka.errors import KafkaError, ProducerFencedError
from sqlalchemy import Connection, Engine, text

from consumers.failures import Server, is_transient, reason, server_of
from consumers.feed_metrics import RelayMetrics
from consumers.feed_topic import FeedTopic
from consumers.telling import STARTING, Health
from consumers.told import Catalogs, Step, take_step
from entitlements import feed
from entitlements.ledger import CHANGES_CHANNEL
from entitlements.rows import as_of_a_statement

logger = logging.getLogger(__name__)

POLL_S = 0.2
"""How long changes may wait that nobody notified."""

STAND_BY_S = 0.5
AGAIN_S = 1.0
"""Pauses: before asking again whether another relay is still at work, and after a server was away."""

STEP = timedelta(seconds=1)
"""
How long a step goes on with further customers, from its first one on: a swap waits for its tables, and gateways for all
that is in it.
"""

LOOK_EVERY = timedelta(seconds=1)
TIDY_EVERY = timedelta(minutes=1)
CHANGES_KEPT = timedelta(days=1)
"""How long changes stay that are relayed, for people who look."""

PUBLISHED_AT_ONCE = 200

STOPPED_AFTER_S = 15
"""A session that asks nothing for so long is of a relay that was stopped, and Postgres ends it for its successor."""

_TAKE_LOCK = text("SELECT pg_try_advisory_lock(hashtext('entitle relay'), hashtext(current_schema()))")
_LISTEN = text(f"LISTEN {CHANGES_CHANNEL}")
_IDLE = text(f"SET idle_session_timeout = '{STOPPED_AFTER_S}s'")


def run(
    database: Engine,
    topic: Callable[[str], FeedTopic],
    *,
    clock: Callable[[], datetime],
    retention: timedelta,
    stop: threading.Event,
    counting: RelayMetrics,
    on_health: Callable[[Health], None] = lambda _: None,
    on_round: Callable[[], object] = lambda: None,
) -> None:
    """
    Relay until *stop* is set. *topic* opens the topic for the feed of that identity, *clock* gives the moment.

    Numbers older than *retention* are no place to go on from. *database* needs the search_path of the schemas of facts
    and of settings. While a server is away it waits, and goes on by itself. Raises whatever is a bug.
    """
    relay = _Relay(
        database=database,
        open_topic=topic,
        clock=clock,
        retention=retention,
        stop=stop,
        counting=counting,
        on_health=on_health,
        on_round=on_round,
    )
    try:
        relay.work()
    finally:
        relay.leave()


@dataclass(slots=True, kw_only=True)
class _Relay:
    database: Engine
    open_topic: Callable[[str], FeedTopic]
    clock: Callable[[], datetime]
    retention: timedelta
    stop: threading.Event
    counting: RelayMetrics
    on_health: Callable[[Health], None]
    on_round: Callable[[], object]
    session: Connection | None = None
    topic: FeedTopic | None = None
    catalogs: Catalogs = field(default_factory=Catalogs)
    health: Health = STARTING
    publish_at: datetime | None = None
    looked_at: datetime | None = None
    tidied_at: datetime | None = None

    def work(self) -> None:
        """Round after round, until stopped."""
        while not self.stop.is_set():
            self.on_round()
            try:
                self._round()
            except Exception as error:
                if not is_transient(error):
                    raise
                self._lose(error)
                self.stop.wait(AGAIN_S)

    def leave(self) -> None:
        """Give the lock back, so that another takes over at once."""
        if self.topic is not None:
            self.topic.close()
            self.topic = None
        if self.session is not None:
            self.session.invalidate()  # not back to the pool: the session holds the lock
            self.session.close()
            self.session = None
        self.counting.at_work(False)

    def _round(self) -> None:
        session = self._seat()
        if session is None:
            self._is(Health(ready=True, detail="stands by: another relay is at work"))
            self.stop.wait(STAND_BY_S)
            return
        step = self._number(session)
        all_is_there = self._publish(session)
        self._look(session)
        if all_is_there:
            self._is(Health(ready=True, detail="at work"))
        if not step.more:
            _wait(session, POLL_S)

    def _seat(self) -> Connection | None:
        """The session at work; None while another relay has the lock."""
        if self.session is not None:
            return self.session
        session = self.database.connect()
        try:
            with session.begin():
                if not session.execute(_TAKE_LOCK).scalar_one():
                    session.invalidate()
                    session.close()
                    return None
                session.execute(_LISTEN)
                session.execute(_IDLE)
        except BaseException:
            session.invalidate()
            session.close()
            raise
        self.session = session
        self.counting.at_work(True)
        logger.info("this relay is at work")
        return session

    def _number(self, session: Connection) -> Step:
        now = self.clock()
        with session.begin():
            step = take_step(session, self.catalogs, now, begin=self._time)
        self.counting.numbered(told=step.told, same=step.same)
        if step.told:
            took = round((self.clock() - now).total_seconds() * 1000)
            said = {"told": step.told, "same": step.same, "head": step.position.head, "ms": took}
            logger.info("told", extra=said)
        return step

    def _time(self) -> Callable[[], bool]:
        """The time of a step has begun; what says whether some of it is left."""
        over = self.clock() + STEP
        return lambda: self.clock() < over

    def _publish(self, session: Connection) -> bool:
        """Whether all that is numbered is on the topic; Kafka away holds up nobody who asks for changes."""
        if self.publish_at is not None and self.clock() < self.publish_at:
            return False
        try:
            while self._publish_some(session):
                pass
        except KafkaError as error:
            # Fenced though at work: by one that was stopped as it opened the topic, and woke. It is opened anew.
            if not (is_transient(error) or isinstance(error, ProducerFencedError)):
                raise
            self.publish_at = self.clock() + timedelta(seconds=AGAIN_S)
            if self.topic is not None:
                self.topic.close()
                self.topic = None
            self._is(Health(ready=False, detail=reason(error), away=Server.KAFKA))
            return False
        self.publish_at = None
        return True

    def _publish_some(self, session: Connection) -> bool:
        if self.topic is None:  # before any state is read: what is read before it fences others may be older
            with session.begin():
                identity = feed.identity(session)
            self.topic = self.open_topic(identity)
        with session.begin():
            position = feed.position(session)
            states = feed.behind(session, position.published, most=PUBLISHED_AT_ONCE)
        if not states:
            return False
        self.topic.publish(states)
        with session.begin():
            feed.published(session, states[-1].seq)
        self.counting.published(len(states))
        return len(states) == PUBLISHED_AT_ONCE

    def _look(self, session: Connection) -> None:
        """What waits, for whoever watches; and now and then what is old is let go."""
        now = self.clock()
        if self.looked_at is not None and now - self.looked_at < LOOK_EVERY:
            return
        self.looked_at = now
        with session.begin():
            if self.tidied_at is None or now - self.tidied_at >= TIDY_EVERY:
                feed.keep_from(session, feed.oldest_kept(session, now, self.retention))
                feed.forget(session, now - CHANGES_KEPT)
                self.tidied_at = now
            self.counting.stands(feed.position(session), feed.backlog(session), now)

    def _lose(self, error: BaseException) -> None:
        self.leave()
        self.catalogs = Catalogs()  # what it has noticed may have been rolled back
        self._is(Health(ready=False, detail=reason(error), away=server_of(error)))

    def _is(self, health: Health) -> None:
        if health != self.health:
            self.health = health
            (logger.info if health.ready else logger.warning)(health.detail)
            self.counting.away(health.away)
            self.on_health(health)


def _wait(session: Connection, seconds: float) -> None:
    """Until somebody notifies of a change, or so many seconds; raises as a statement does where the session is lost."""
    driver: Any = session.connection.driver_connection
    poll = select.poll()
    poll.register(driver, select.POLLIN)
    poll.poll(seconds * 1000)
    with as_of_a_statement(session, "LISTEN"):
        driver.poll()
    driver.notifies.clear()
