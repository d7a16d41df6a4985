"""The database as operators hand it down: an engine on one schema, and that schema migrated. Edge: Postgres."""

from __future__ import annotations

from importlib.resources import files

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.schema import CreateSchema

MIGRATION_LOCK = 7_301_544_208_113
"""The advisory lock that one migration at a time holds; any number will do, as long as it is always this one."""


def engine(url: str, schema: str, *, connections: int = 5, statement_timeout_s: float = 30.0) -> Engine:
    """
    An engine whose connections see *schema* first, and give up on a statement after *statement_timeout_s* seconds.

    A server that does not answer at all is given up after 5 s to connect, and noticed by TCP within about 15 s later.
    """
    options = f"-csearch_path={schema} -cstatement_timeout={int(statement_timeout_s * 1000)} -ctimezone=UTC"
    return create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=5,
        pool_pre_ping=True,
        hide_parameters=True,  # they are payload, and an error's text is logged
        connect_args={
            "options": options,
            "connect_timeout": 5,
            "application_name": "entitle",
            "keepalives_idle": 5,
            "keepalives_interval": 3,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
        },
    )


def migrate(on: Engine, schema: str) -> None:
    """Make *schema* if it is not there, and bring its tables up to date; several processes may do so at once."""
    with on.connect() as connection:
        connection.execute(text("select pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
        try:
            connection.execute(CreateSchema(schema, if_not_exists=True))
            connection.commit()
            configuration = Config()
            where = str(files("entitlements") / "migrations")
            configuration.set_main_option("script_location", where.replace("%", "%%"))
            configuration.attributes |= {"connection": connection, "schema": schema}
            command.upgrade(configuration, "head")
            connection.commit()
        finally:
            connection.rollback()
            connection.execute(text("select pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})
            connection.commit()
