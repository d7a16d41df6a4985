"""
Looking for what was committed: at once when PostgreSQL notifies, now and then all the same. Edge: Postgres, a thread.

The thread waits for the connection that listens, and looks on that very connection. It is a thread and no callback of
the event loop, since to connect anew takes as long as names and networks do, and answers from memory wait for neither.
A notification is only a reason to look sooner: one that is lost costs the time to the next look. A connection that is
lost is made anew, after a pause that grows to a second; what it missed, the next look finds.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg2
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from entitlements.feed import FED_CHANNEL
from entitlements.ledger import CHANGES_CHANNEL
from entitlements.orgs import SETTINGS_CHANNEL
from entitlements.tail import Learnt, Seen, look

log = logging.getLogger(__name__)

APART_S = 0.004
"""Looks that notifications are the reason for are so far apart: commits that follow closely are seen in one look."""

SHORTEST_S = 0.001
"""From the end of a look to the next one, however long it took: the thread that answers needs its turns."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """
    What was *learnt* by a look, the last number that the feed had given (*head*), and when the look began: at *began*
    of the monotonic clock, *at* of the other one.
    """

    learnt: Learnt
    head: int
    began: float
    at: datetime


class Listening:
    """
    One connection, one thread. *told* is called in that thread after every look; looks are *every_s* apart at most.
    While the feed *is_followed*, a new number of it is a reason to look, too.
    """

    __slots__ = (
        "_clock",
        "_ending",
        "_engine",
        "_every_s",
        "_is_followed",
        "_monotonic",
        "_seen",
        "_thread",
        "_told",
        "_troubled",
        "_wake",
        "_waking",
    )

    def __init__(
        self,
        engine: Engine,
        told: Callable[[Look], None],
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        every_s: float,
        is_followed: Callable[[], bool],
    ) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._told = told
        self._clock = clock
        self._monotonic = monotonic
        self._every_s = every_s
        self._is_followed = is_followed
        self._seen: Seen | None = None
        self._ending = threading.Event()
        self._wake: tuple[int, int] | None = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._waking = threading.Lock()
        self._troubled = False
        self._thread = threading.Thread(target=self._run, name="listening", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def hurry(self) -> None:
        """Look at once, unless it has ended."""
        with self._waking, contextlib.suppress(BlockingIOError):  # full: it is being hurried enough
            if self._wake is not None:
                os.write(self._wake[1], b".")

    def stop(self) -> None:
        """Returns at once; the thread ends as soon as the database lets go of it."""
        self._ending.set()
        self.hurry()

    def _run(self) -> None:
        try:
            self._look_on()
        finally:
            with self._waking:
                for end in self._wake or ():
                    os.close(end)
                self._wake = None

    def _look_on(self) -> None:
        pause = FIRST_PAUSE_S
        while not self._ending.is_set():
            try:
                with self._engine.connect() as connection:
                    try:
                        for channel in (CHANGES_CHANNEL, SETTINGS_CHANNEL, FED_CHANNEL):
                            connection.execute(text(f"LISTEN {channel}"))
                        while not self._ending.is_set():
                            began = self._look(connection)
                            pause = FIRST_PAUSE_S
                            self._wait(connection, began)
                    finally:
                        connection.invalidate()  # nobody else is to be given one that listens
            except (SQLAlchemyError, psycopg2.Error, OSError, ValueError) as error:
                self._note(error)
                self._ending.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)

    def _look(self, connection: Connection) -> float:
        """Look and tell; when it began, by the monotonic clock."""
        began, at = self._monotonic(), self._clock()
        self._seen, learnt = look(connection, self._seen)
        self._note(None)
        self._told(Look(learnt=learnt, head=self._seen.head, began=began, at=at))
        return began

    def _wait(self, connection: Connection, looked_at: float) -> None:
        """For a notification that is a reason to look, for being hurried, or for as long as looks may be apart."""
        not_before = max(looked_at + APART_S, self._monotonic() + SHORTEST_S)
        listener: Any = connection.connection.dbapi_connection
        woken = self._wake[0] if self._wake else -1
        poll = select.poll()  # not select.select, which takes no descriptor from 1024 on
        poll.register(listener, select.POLLIN)
        poll.register(woken, select.POLLIN)
        until = self._monotonic() + self._every_s
        while not self._is_called(listener) and (left := until - self._monotonic()) > 0:
            hurried = woken in (descriptor for descriptor, _ in poll.poll(left * 1000))
            listener.poll()  # raises where the connection is lost
            if hurried:
                os.read(woken, 4096)
                return
        self._ending.wait(max(0.0, not_before - self._monotonic()))
        listener.poll()
        listener.notifies.clear()

    def _is_called(self, listener: Any) -> bool:
        """Whether a notification has come that is a reason to look; others are forgotten."""
        is_called = any(each.channel != FED_CHANNEL or self._is_followed() for each in listener.notifies)
        listener.notifies.clear()
        return is_called

    def _note(self, error: Exception | None) -> None:
        """One line when looking fails first, and one when it works again."""
        if error is not None and not self._troubled:
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()
            log.error("can't look for changes: %s", reason[0] if reason else type(error).__name__)
        elif error is None and self._troubled:
            log.info("looking for changes again")
        self._troubled = error is not None
