"""The database as operators hand it down: an engine on its schemas, and those migrated. Edge: Postgres."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from importlib.resources import files

import psycopg2
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Dialect, Engine, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.schema import CreateSchema

from entitlements.api.snapshots import NOT_MIGRATED
from entitlements.rows import SEES

FACTS, SETTINGS = "versions", "settings"
"""The two shapes a schema may have, by the folder of `entitlements/migrations` that has the steps to it."""

MIGRATION_LOCK = 7_301_544_208_113
"""The advisory lock that one migration at a time holds; any number will do, as long as it is always this one."""

LATELY_S = 1.0
"""After how long without use a connection is tried before it is handed out."""

USED_AT = "used at"
"""In a connection's `info`: when it came back, by the monotonic clock."""

IDLE_IN_TRANSACTION_S = 10
"""
How long a process may stand still in the middle of a transaction (stopped, swapped out, its machine gone) until
Postgres ends it: it holds rows that its successor waits for.
"""


def engine(
    url: str,
    schema: str,
    *,
    settings_schema: str | None = None,
    connections: int = 5,
    ask_first: bool = True,
    statement_timeout_s: float = 30.0,
    application: str = "entitle",
    commits_later: bool = False,
) -> Engine:
    """
    An engine whose connections see *schema* first and, unless None, *settings_schema* behind it, and give up on a
    statement after *statement_timeout_s* seconds. With *ask_first* a connection that was not in use a moment ago is
    tried before it is handed out: a round trip, which those do without that try again anyway. *application* is what
    Postgres shows of them. Where one *commits_later*, its last commits are lost, whole, should Postgres be killed: for
    who goes on from what is there.

    A server that does not answer at all is given up after 5 s to connect, and noticed by TCP within about 15 s later.
    """
    path = schema if settings_schema is None else f"{schema},{settings_schema}"
    its_settings = {
        "search_path": path,
        "statement_timeout": f"{int(statement_timeout_s * 1000)}",
        "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_S * 1000}",
        "timezone": "UTC",
        **({"synchronous_commit": "off"} if commits_later else {}),
    }
    made = create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=5,
        pool_use_lifo=True,  # what a few sessions have prepared is used again, and the others end their days unused
        hide_parameters=True,  # they are payload, and an error's text is logged
        connect_args={
            "connect_timeout": 5,
            "application_name": application,
            "keepalives_idle": 5,
            "keepalives_interval": 3,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
        },
    )
    event.listen(made, "connect", partial(_set_up, its_settings))
    if ask_first:
        event.listen(made, "checkin", _note_use)
        event.listen(made, "checkout", partial(_try_out, made.dialect))
    return made


def _set_up(its_settings: Mapping[str, str], connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    """By a statement, not by the connection's options: a pooler in between may keep those to itself."""
    with closing(connection.cursor()) as cursor:
        told = "SELECT set_config(name, value, false) FROM json_each_text(%s) AS given (name, value)"
        cursor.execute(told, [json.dumps(its_settings)])
    connection.commit()
    record.info[SEES] = its_settings["search_path"]


def _note_use(_: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    record.info[USED_AT] = time.monotonic()


def _try_out(dialect: Dialect, connection: DBAPIConnection, record: ConnectionPoolEntry, _: object) -> None:
    """SQLAlchemy's `pool_pre_ping`, but for what was in use a moment ago: that is seldom dead, and then all are."""
    used_at = record.info.get(USED_AT)  # none where it was just made
    if used_at is None or time.monotonic() - used_at < LATELY_S:
        return
    try:
        dialect.do_ping(connection)
    except psycopg2.Error as error:
        raise InvalidatePoolError from error


def complaint(error: DBAPIError) -> str:
    """What the database said, in one line, and what to do where its tables are not those of this version."""
    hint = "; run `entitle migrate`" if getattr(error.orig, "pgcode", None) in NOT_MIGRATED else ""
    return f"the database said: {str(error.orig).strip().splitlines()[0]}{hint}"


def newest_step(steps: str = FACTS) -> str:
    """The last migration that this version has."""
    return str(ScriptDirectory.from_config(_configuration(steps)).get_current_head())


def migrate(on: Engine, schema: str, steps: str = FACTS) -> None:
    """
    Make *schema* if it is not there, and bring its tables up to date by *steps*, whatever schema the engine is on.

    Several processes may do so at once.
    """
    with on.connect() as connection:
        connection.execute(text("select pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
        try:
            connection.execute(CreateSchema(schema, if_not_exists=True))
            connection.commit()
            connection.execute(text("select set_config('search_path', :schema, true)"), {"schema": schema})
            configuration = _configuration(steps)
            configuration.attributes |= {"connection": connection, "schema": schema}
            command.upgrade(configuration, "head")
            connection.commit()
        finally:
            connection.rollback()
            connection.execute(text("select pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})
            connection.commit()


def _configuration(steps: str) -> Config:
    configuration = Config()
    where = files("entitlements") / "migrations"
    configuration.set_main_option("path_separator", "newline")
    for option, path in (("script_location", where), ("version_locations", where / steps)):
        configuration.set_main_option(option, str(path).replace("%", "%%"))
    return configuration
