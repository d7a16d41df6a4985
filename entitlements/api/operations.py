"""What operators ask: is it alive, can it decide, how far the consumers are, what is incomplete. Edge: HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from entitlements.api.memory import Memory
from entitlements.api.requests import read_query
from entitlements.api.responses import json_response
from entitlements.api.snapshots import CannotDecide, Snapshot, Snapshots
from entitlements.api.tokens import Token
from entitlements.incomplete import count_incomplete
from entitlements.ledger import positions
from entitlements.letters import open_by_group
from schemas.topics import CONSUMER_GROUPS


async def livez(_: Request) -> Response:
    """`GET /livez`: the process answers."""
    return json_response({"status": "ok"})


def readyz(snapshots: Snapshots, memory: Memory) -> Callable[[Request], Awaitable[Response]]:
    """
    `GET /readyz`: it can decide. 503 while the database is not migrated or has no catalog yet, or is away and nothing
    is remembered; one that is away takes no process out of service that goes on answering whom it knows.
    """

    async def ready(_: Request) -> Response:
        try:
            await snapshots.ask(Snapshot.terms)
        except CannotDecide as error:
            if not memory.knows_anything():
                raise
            return json_response({"status": "degraded", "detail": str(error)})
        return json_response({"status": "ok"})

    return ready


async def progress(request: Request, _token: Token, snapshots: Snapshots) -> Response:
    """`GET /v1/progress`: how far the consumers are; about no marketplace, so any token may ask."""
    read_query(request.scope["query_string"])
    return json_response(await snapshots.ask(lambda snapshot: progress_in(snapshot.connection)))


def progress_in(connection: Connection) -> dict[str, Any]:
    """The next offsets as Postgres has them, and how many invoices lack lines that are to be fetched."""
    return {"groups": next_offsets(connection), "incomplete": {"invoices": count_incomplete(connection)}}


def open_letters(snapshot: Snapshot) -> dict[str, int]:
    """How many dead letters of each consumer group nobody has seen to yet, for `GET /metrics`."""
    return {**dict.fromkeys(CONSUMER_GROUPS, 0), **open_by_group(snapshot.connection)}


def next_offsets(connection: Connection) -> dict[str, dict[str, int]]:
    """By consumer group and `topic-partition`, for the topics that the group reads."""
    groups: dict[str, dict[str, int]] = {group: {} for group in CONSUMER_GROUPS}
    for position in positions(connection, CONSUMER_GROUPS):
        if position.topic in CONSUMER_GROUPS[position.group]:
            groups[position.group][f"{position.topic}-{position.partition}"] = position.next_offset
    return groups
