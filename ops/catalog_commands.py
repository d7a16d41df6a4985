"""
`entitle catalog`: check the catalog. An edge: the command line.

`catalog_apply.py` publishes it, `catalog_difference.py` says beforehand what that would change.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from ops import catalog_file
from ops.catalog_file import CatalogMistakes


class Moment(click.ParamType[datetime]):
    """A time as RFC 3339 writes it, such as 2026-02-01T00:00:00Z."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a time; write it as 2026-02-01T00:00:00Z", param, ctx)
        if found.tzinfo is None:
            self.fail(f"{value!r} has no time zone; write it as 2026-02-01T00:00:00Z", param, ctx)
        return found.astimezone(UTC)


@click.group()
def catalog() -> None:
    """Check and publish the catalog of products, plans and terms."""


@catalog.command("validate")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help='{"mistakes": [{"line": 12, "text": "…"}]}')
def catalog_validate(path: Path, as_json: bool) -> None:
    """
    Name every mistake in a catalog, each with its line; exit 2 if there are any.

    Example: entitle catalog validate catalog.yaml
    """
    try:
        loaded = catalog_file.load(path).catalog
    except CatalogMistakes as error:
        if not as_json:
            raise
        click.echo(json.dumps({"mistakes": [{"line": line, "text": text} for line, text in error.mistakes]}))
        sys.exit(2)
    plans = ", ".join(sorted(loaded.plans))
    click.echo(json.dumps({"mistakes": []}) if as_json else f"{path}: no mistakes; plans: {plans}")


def who() -> str:
    """Who calls this, for the record: the user's name or, in a container that has none, the number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
