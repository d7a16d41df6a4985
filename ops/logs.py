"""
The log of a process: one line a record on stderr, for people or as JSON. Edge: the process's own logging.

What a record says beside its message travels in `extra` and is written field by field: names, ids, addresses, outcomes,
durations; never a payload or a secret.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import Any

import msgspec

from consumers.failures import reason

log = logging.getLogger(__name__)

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}
OURS = ("schemas", "ingest", "entitlements", "consumers", "ops")
QUIET = {"kafka": logging.CRITICAL}
"""Libraries that say at length what our own lines say once; kafka-python at DEBUG writes whole records."""

_NOT_OURS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What `logging` keeps in every record for itself."""

_is_bare = re.compile(r"[\w.:/@+*-]+").fullmatch
"""Whether a text needs no quotes to be one value; how a number is written never does."""


class LogFormat(StrEnum):
    """How a line looks."""

    TEXT = "text"
    JSON = "json"


def set_up(form: LogFormat, level: int) -> None:
    """Write what this process logs, and what ends it unforeseen, to stderr; to be called once, by a program."""
    # Who logged where, in which thread and process, is asked of the system at each record and never written.
    logging._srcfile = None  # as the standard library's own guide to logging has it
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(form))
    logging.basicConfig(level=max(level, logging.INFO), handlers=[handler])
    for name, least in {**dict.fromkeys(OURS, level), **QUIET}.items():
        logging.getLogger(name).setLevel(least)
    sys.excepthook = _ended_by
    threading.excepthook = lambda ended: _ended_by(ended.exc_type, ended.exc_value, ended.exc_traceback)


def warn_whole() -> None:
    """Have a command that sets up no log write what it warns of with its fields: which dead letter, and why."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(Lines(LogFormat.TEXT))


class Lines(logging.Formatter):
    """Records as lines: their time in UTC, level, logger and message, then the fields that came in `extra`."""

    def __init__(self, form: LogFormat) -> None:
        super().__init__()
        self._line = _json if form is LogFormat.JSON else _text
        self._second = (0, "")

    def format(self, record: logging.LogRecord) -> str:
        head = {
            "time": self._time(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields = {name: value for name, value in vars(record).items() if name not in _NOT_OURS}
        if record.exc_info and record.exc_info[1] is not None:
            fields["exception"] = "\n".join(_told(record.exc_info[1]))
        return self._line(head, fields)

    def _time(self, created: float) -> str:
        second = int(created)
        if second != self._second[0]:  # a busy process writes hundreds of lines in one
            self._second = second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._second[1]}.{int(created * 1000) % 1000:03d}Z"


def _json(head: Mapping[str, str], fields: Mapping[str, Any]) -> str:
    said = {**head, **fields}
    try:
        return msgspec.json.encode(said, enc_hook=str).decode()
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can write
        return json.dumps(said, default=str)


def _text(head: Mapping[str, str], fields: Mapping[str, Any]) -> str:
    """One line whatever it says; only where the program is at fault do more follow, indented."""
    message = head["message"]
    words = [
        f"{head['time']} {head['level']} {head['logger']}: {message if message.isprintable() else _quoted(message)}"
    ]
    trace = ""
    for name, value in fields.items():
        if name == "exception":
            trace = f"\n{value}".replace("\n", "\n    ")
        else:
            text = str(value)
            words.append(f"{name}={text if _is_bare(text) else _quoted(text)}")
    return " ".join(words) + trace


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _told(error: BaseException, seen: frozenset[int] = frozenset()) -> Iterator[str]:
    """Where *error* came from and what it is, causes first; in `reason`'s words, for a server's own quote rows."""
    seen |= {id(error)}
    parts = getattr(error, "exceptions", ())  # of a group
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    for earlier in (*parts, cause):
        if earlier is not None and id(earlier) not in seen:
            yield from _told(earlier, seen)
            yield "and so:"
    yield from "".join(traceback.format_tb(error.__traceback__)).splitlines()
    yield reason(error)


def _ended_by(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    log.critical("ended by a fault of the program", exc_info=(kind, error or kind(), trace))
