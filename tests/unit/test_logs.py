"""Log lines: what they look like, and what never stands in one."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from ops.logs import Lines, LogFormat

BREAKS = """
import logging
from ops import logs
logs.set_up(logs.LogFormat("json"), logging.INFO)
logging.getLogger("consumers").debug("unheard")
logging.getLogger("consumers").info("heard", extra={"offset": 7})
try:
    int("seven")
except ValueError as error:
    raise RuntimeError("it broke") from error
"""


def line(form: LogFormat, message: str = "published", error: BaseException | None = None, **fields: Any) -> str:
    """The line of one record, made in the first second of 2026."""
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("ingest.app", logging.INFO, "", 0, message, (), exc_info)
    record.created = 1767225600.0625
    vars(record).update(fields)
    return Lines(form).format(record)


def test_json_has_a_member_for_each_field() -> None:
    """Time in UTC, level, logger, message, and what came in `extra`, with its types."""
    found = msgspec.json.decode(line(LogFormat.JSON, integration="main", offset=7, ms=1.5))

    assert found == {
        "time": "2026-01-01T00:00:00.062Z",
        "level": "INFO",
        "logger": "ingest.app",
        "message": "published",
        "integration": "main",
        "offset": 7,
        "ms": 1.5,
    }


def test_text_is_the_same_for_people() -> None:
    """What would not be one word is quoted."""
    said = line(LogFormat.TEXT, event_id="evt_1", detail='two "words"', offset=7, next="t-0:5 t-1:6")

    assert said == (
        "2026-01-01T00:00:00.062Z INFO ingest.app: published "
        'event_id=evt_1 detail="two \\"words\\"" offset=7 next="t-0:5 t-1:6"'
    )


@pytest.mark.parametrize("form", LogFormat)
def test_no_field_forges_a_line(form: LogFormat) -> None:
    """Line breaks, terminal escapes and halves of surrogate pairs are spelled out, in messages and in fields."""
    said = line(form, "one\ntwo", id="a\r\n2026-01-01T00:00:00Z INFO forged", odd="\x1b[2J", half="\ud800")

    assert said.isprintable()
    assert said.encode().decode() == said


@pytest.mark.parametrize("form", LogFormat)
def test_an_exception_is_told_with_what_caused_it(form: LogFormat) -> None:
    """Causes first; of each its first line alone: the next ones are where PostgreSQL quotes rows."""
    row = "ada at example.com".replace(" at ", "@")
    try:
        try:
            raise ValueError(f"cause\nDETAIL: Failing row contains ({row})")
        except ValueError as error:
            raise RuntimeError("consequence") from error
    except RuntimeError as error:
        said = line(form, error=error)

    assert said.index("ValueError: cause") < said.index("RuntimeError: consequence")
    assert "test_logs.py" in said
    assert row not in said


def test_what_ends_a_program_unforeseen_is_a_line_too() -> None:
    """Also the fault that ends a process is one record of JSON, with its traceback; DEBUG is not heard at INFO."""
    ended = subprocess.run([sys.executable, "-c", BREAKS], capture_output=True, text=True, check=False, timeout=60)

    heard, fault = (json.loads(each) for each in ended.stderr.splitlines())
    assert ended.returncode == 1
    assert (heard["message"], heard["offset"]) == ("heard", 7)
    assert (fault["level"], fault["message"]) == ("CRITICAL", "ended by a fault of the program")
    assert "RuntimeError: it broke" in fault["exception"]
    assert "invalid literal" in fault["exception"]


def test_a_command_warns_with_all_fields() -> None:
    """One that sets up no log, as a rebuild of what is set aside: a message alone would not say what it is about."""
    program = (
        "import logging; from ops import logs; logs.warn_whole(); "
        "logging.getLogger('consumers').error('dead letter', extra={'offset': 2, 'reason': 'no status'})"
    )

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stderr

    assert said.endswith(' ERROR consumers: dead letter offset=2 reason="no status"\n')
