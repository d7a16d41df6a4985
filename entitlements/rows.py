"""
Rows for tables, many in one statement that is always the same. Edge: Postgres, on a connection that is handed in.

Those of a table travel as one JSON document, which PostgreSQL takes apart. With a parameter for each value, as
SQLAlchemy's insertmanyvalues sends them, client and server together need three times the CPU. And each connection
prepares each statement once: to plan them anew for a batch of thirty took PostgreSQL as long as to do them.

Statements of which only the last one's result is asked for go to PostgreSQL in one message: a round trip costs both
sides as much as a few rows do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import Any

import msgspec
import psycopg2
from sqlalchemy import ClauseElement, ColumnElement, Connection, CursorResult, Table, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import JSON, Insert, insert
from sqlalchemy.exc import DBAPIError

SEES = "sees"
"""In a connection's `info`: its search_path, where whoever made it has set it (`ops/database.py`)."""


def rows_given(place: int = 1) -> ColumnElement[Any]:
    """The rows in a statement that is going to be prepared: its parameter at *place*, from 1 on."""
    return cast(literal_column(f"${place}"), JSON)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A statement that takes rows of so many *tables* (`rows_given`), and the name that it alone has in a session."""

    name: str
    statement: ClauseElement
    tables: int = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Filled:
    """A statement and, of each of its tables, rows by column name in their order; bytes as `bytea` writes them."""

    prepared: Prepared
    rows: Sequence[Iterable[Mapping[str, Any]]]


def send(connection: Connection, *filled: Filled) -> CursorResult[Any]:
    """
    Run these statements, one at least, in their order and in one message; what the last one returns.

    A session keeps what it has prepared, whatever becomes of the transaction, and reads it anew where tables or the
    search_path have changed since.
    """
    known = connection.info.setdefault("prepared", set())  # lives as long as the session
    message: list[str] = []
    given: dict[str, str] = {}
    for number, each in enumerate(filled):
        prepared = each.prepared
        if prepared.name not in known:
            connection.exec_driver_sql(_preparing(prepared, connection))
            known.add(prepared.name)
        documents = {f"p{number}_{at}": msgspec.json.encode(list(rows)).decode() for at, rows in enumerate(each.rows)}
        message.append(f"EXECUTE {prepared.name} ({', '.join(f'%({name})s' for name in documents)})")
        given |= documents
    return connection.exec_driver_sql("; ".join(message), given)


def run(connection: Connection, prepared: Prepared, rows: Iterable[Mapping[str, Any]]) -> CursorResult[Any]:
    """Run one statement of one table with *rows*, as `send` does."""
    return send(connection, Filled(prepared=prepared, rows=[rows]))


def _preparing(prepared: Prepared, connection: Connection) -> str:
    types = ", ".join(["text"] * prepared.tables)
    return f"PREPARE {prepared.name} ({types}) AS {prepared.statement.compile(connection.engine)}"


_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_IS_PLAIN = re.compile(r"[^\\\t\n\r]*").fullmatch


def copied(value: Any) -> str:
    """A value as COPY's text format has it; bytes and arrays have forms of their own."""
    if value is None:
        return r"\N"
    written = str(value)
    return written if _IS_PLAIN(written) else written.translate(_ESCAPES)


def copy(connection: Connection, statement: str, lines: str) -> None:
    """Run a `COPY … FROM STDIN` with *lines* of its text format. Raises what SQLAlchemy's own statements do."""
    driver: Any = connection.connection.dbapi_connection
    with as_of_a_statement(connection, statement), driver.cursor() as cursor:
        cursor.copy_expert(statement, StringIO(lines))


@contextmanager
def as_of_a_statement(connection: Connection, statement: str) -> Iterator[None]:
    """The driver spoken to directly raises what SQLAlchemy's own statements do, and not psycopg2's errors."""
    try:
        yield
    except psycopg2.Error as error:
        raise DBAPIError.instance(
            statement, None, error, psycopg2.Error, hide_parameters=True, dialect=connection.dialect
        ) from error


def inserting(table: Table, columns: Iterable[str], place: int = 1) -> Insert:
    """`INSERT INTO table (columns) SELECT … FROM` the rows at *place*; what is not among *columns* has its default."""
    names = tuple(columns)
    given = func.json_populate_recordset(literal_column(f"NULL::{table.name}"), rows_given(place)).table_valued(*names)
    return insert(table).from_select(names, select(*(given.c[name] for name in names)))


def bytea(value: bytes) -> str:
    """Bytes as PostgreSQL reads them from a text."""
    return f"\\x{value.hex()}"


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'
