"""
What other roles may do with the tables of one schema, given to those of another. Edge: Postgres, on a connection that
is handed in.

PostgreSQL keeps privileges with a table, not with its name: a schema that takes another's place would lock out whoever
was granted something there, and let in again whoever was denied it since.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, text

from entitlements.rows import quoted


@dataclass(frozen=True, slots=True, kw_only=True)
class Privilege:
    """One role's, on a table or a sequence of that name, or on the schema itself; *role* is None for everybody."""

    kind: str
    name: str
    role: str | None
    right: str
    may_grant: bool


def hand_on(connection: Connection, of: str, to: str) -> int:
    """
    From now on roles may do in the schema *to* what they may do in *of*, no more and no less; how many privileges that
    changes. Its owner's own are left alone, and so are those on columns.
    """
    wanted, there = (set(_privileges(connection, schema, owner_of=to)) for schema in (of, to))
    common = _names(connection, of) & _names(connection, to)
    changed = [(each, True) for each in there - wanted] + [(each, False) for each in wanted - there]
    statements = [
        _statement(each, to, is_taken=is_taken)
        for each, is_taken in sorted(changed, key=lambda change: (not change[1], str(change[0])))
        if (each.kind, each.name) in common
    ]
    for statement in statements:
        connection.exec_driver_sql(statement)
    return len(statements)


def _statement(privilege: Privilege, schema: str, *, is_taken: bool) -> str:
    role = "PUBLIC" if privilege.role is None else quoted(privilege.role)
    name = quoted(schema) if privilege.kind == "SCHEMA" else f"{quoted(schema)}.{quoted(privilege.name)}"
    if is_taken:
        return f"REVOKE {privilege.right} ON {privilege.kind} {name} FROM {role}"
    option = " WITH GRANT OPTION" if privilege.may_grant else ""
    return f"GRANT {privilege.right} ON {privilege.kind} {name} TO {role}{option}"


def _privileges(connection: Connection, schema: str, *, owner_of: str) -> Iterator[Privilege]:
    """All in *schema* but for those of who owns the schema *owner_of*."""
    for row in connection.execute(_GRANTED, {"schema": schema, "owner_of": owner_of}):
        yield Privilege(kind=row.kind, name=row.name, role=row.role, right=row.right, may_grant=row.may_grant)


def _names(connection: Connection, schema: str) -> set[tuple[str, str]]:
    return {(row.kind, row.name) for row in connection.execute(_NAMED, {"schema": schema})}


_THERE = """
SELECT 'SCHEMA' AS kind, '' AS name, coalesce(nspacl, acldefault('n', nspowner)) AS granted
FROM pg_namespace WHERE nspname = :schema
UNION ALL
SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, relname::text,
    coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r'::"char" END, relowner))
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = :schema AND relkind IN ('r', 'S')
"""
_NAMED = text(f"SELECT kind, name FROM ({_THERE}) AS there")  # noqa: S608
_GRANTED = text(f"""
SELECT kind, name, CASE each.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(each.grantee)::text END AS role,
    each.privilege_type AS right, each.is_grantable AS may_grant
FROM ({_THERE}) AS there CROSS JOIN LATERAL aclexplode(there.granted) AS each
WHERE each.grantee <> (SELECT nspowner FROM pg_namespace WHERE nspname = :owner_of)
""")  # noqa: S608
