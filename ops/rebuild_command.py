"""
`entitle rebuild`: the log from its beginning into a schema beside the live one, and the two exchanged. An edge: the
command line.

Without a flag it builds and follows; each flag is another thing to do with what was built. What is done is in
`rebuild.py` (building), `rebuild_swap.py` (exchanging) and `entitlements/beside.py` (what there is).
"""

from __future__ import annotations

import json
from typing import Any

import click

from ops.settings import BadSetting

WAYS = ("status", "swap", "swap_back", "discard", "drop")


@click.command()
@click.option("--status", is_flag=True, help="Say what there is: the rebuild, how far it is, what was swapped out.")
@click.option("--swap", is_flag=True, help="Put the rebuild in the place of what serves, which is kept.")
@click.option("--swap-back", is_flag=True, help="Exchange what serves and what was swapped out; again: forth.")
@click.option("--discard", is_flag=True, help="Drop the rebuild.")
@click.option("--drop", is_flag=True, help="Drop what was swapped out.")
@click.option("--processes", type=click.IntRange(1, 64), help="How many read side by side; default: one a core.")
@click.option("--no-follow", is_flag=True, help="End once caught up with the log.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="What was done, for programs; with --yes.")
def rebuild(processes: int | None, no_follow: bool, yes: bool, as_json: bool, **ways: bool) -> None:
    """
    Read the whole log again, by this version, into a schema beside the live one, which serves on; then follow it.

    Example: entitle rebuild --processes 2
    """
    asked = [name for name in WAYS if ways[name]]
    if len(asked) > 1:
        raise click.UsageError(f"Say one of {', '.join('--' + name.replace('_', '-') for name in asked)}.")
    raise BadSetting("not built yet")


def said(document: dict[str, Any], as_json: bool, lines: str) -> None:
    """What was done, for programs or for people."""
    click.echo(json.dumps(document) if as_json else lines)
