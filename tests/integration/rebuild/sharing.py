"""Who was misread, a swap in this process, and processes of their own. Edge: processes, Kafka, Postgres."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from entitlements.beside import Names
from ops import rebuild_place
from ops.rebuild_swap import Swapping
from ops.settings import Environment
from tests.feeding import SCHEMA, SETTINGS_SCHEMA
from tests.rebuilding import REBUILD, Ground
from tests.yard import PATIENCE_S

CUSTOMERS, INVOICES = 10, 60
MANY = 50
"""Invoices, each of two events: more than are read while everybody waits, where a test says that these are few."""

WRONG = ("cus_3", "cus_7")
MISSED = "cus_5"
"""Whom the version that misreads has never named to anybody."""

JANUARY = datetime(2026, 1, 15, tzinfo=UTC)
LIVE = Names(live=SCHEMA)


def swapping(place: Ground, **given: Any) -> Swapping:
    """A swap in this process."""
    url = sa.make_url(place.url).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
    variables = {"ENTITLE_KAFKA": place.source.bootstrap, "ENTITLE_DATABASE_URL": url, "ENTITLE_SCHEMA": SCHEMA}
    return Swapping(place=rebuild_place.place(Environment(variables=variables)), coming=REBUILD, **given)


def environment(place: Ground) -> dict[str, str]:
    """What a process of its own is given to find that log and that database."""
    return {
        **os.environ,
        "ENTITLE_KAFKA": place.source.bootstrap,
        "ENTITLE_DATABASE_URL": place.url,
        "ENTITLE_SCHEMA": SCHEMA,
        "ENTITLE_SETTINGS_SCHEMA": SETTINGS_SCHEMA,
    }


def process(place: Ground, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own."""
    line, given = [sys.executable, *command], environment(place) | settings
    return subprocess.run(line, env=given, check=False, capture_output=True, text=True, timeout=PATIENCE_S)


def killing(place: Ground, before: str, *arguments: str) -> int:
    """`entitle rebuild` in a process of its own, which kills itself before a statement that matches; its exit code."""
    program = (
        "import os, re, signal, sys; from sqlalchemy import Engine, event; from ops import cli\n"
        "@event.listens_for(Engine, 'before_cursor_execute')\n"
        "def before(connection, cursor, statement, *_):\n"
        f"    if re.search({before!r}, statement): os.kill(os.getpid(), signal.SIGKILL)\n"
        "cli.main()"
    )
    return process(place, "-c", program, "rebuild", *arguments).returncode
