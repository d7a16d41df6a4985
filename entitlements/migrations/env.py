"""Alembic's entry: migrates the schema of the connection that it is handed, and nothing else. Edge: Postgres."""

from __future__ import annotations

from alembic import context

from entitlements import feed

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=feed.feed.metadata,
    version_table="migrations",
    version_table_schema=context.config.attributes["schema"],
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
