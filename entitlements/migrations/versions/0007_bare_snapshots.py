"""What an invoice's snapshot says of its status, its times and its plan, though no line of it states anything."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0004"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
