"""
Rows for a table, many in one statement that is always the same. Pure: builds statements and texts, and runs none.

They travel as one JSON document, which PostgreSQL takes apart. With a parameter for each value, as SQLAlchemy's
insertmanyvalues sends them, client and server together need three times the CPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import Table, Text, bindparam, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import JSON, Insert, insert

ROWS = "rows"
"""The statement's one parameter: what `as_json` makes."""


def inserting(table: Table, columns: Iterable[str]) -> Insert:
    """`INSERT INTO table (columns) SELECT … FROM` the rows; what is not among *columns* has its default."""
    names = tuple(columns)
    document = cast(bindparam(ROWS, type_=Text), JSON)
    given = func.json_populate_recordset(literal_column(f"NULL::{table.name}"), document).table_valued(*names)
    return insert(table).from_select(names, select(*(given.c[name] for name in names)))


def as_json(rows: Iterable[Mapping[str, Any]]) -> str:
    """*rows* by column name, in their order; bytes are given as `bytea` writes them."""
    return msgspec.json.encode(list(rows)).decode()


def bytea(value: bytes) -> str:
    """Bytes as PostgreSQL reads them from a text."""
    return f"\\x{value.hex()}"
