"""
Stripe's API stood in for by a small HTTP server, spoken to by the real library: objects by path, lists in pages of any
size, and the ways in which it can fail. Edge: HTTP on this machine.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "rk_test_standin"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it came, its headers by their names in small letters."""

    path: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is answered instead of what was asked for, with JSON or bytes; *hangs* never answers, until the end."""

    status: int = 200
    body: Any = None
    hangs: bool = False


def refusal(status: int, kind: str = "api_error") -> Reply:
    """An error as Stripe gives it; its message quotes a part of the key, as Stripe's own does."""
    return Reply(status=status, body={"error": {"type": kind, "message": f"of the key {KEY[:8]}****"}})


HANGING = Reply(hangs=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeStandIn:
    """
    What it holds may be changed at any time: *objects* by path, the *lists* that are at a path, of which a page has at
    most *page_size* members. *replies* are given first, one for each request; *always* as long as there is one.
    """

    address: str
    objects: dict[str, Json] = field(default_factory=dict)
    lists: dict[str, list[Json]] = field(default_factory=dict)
    page_size: int = 100
    replies: list[Reply] = field(default_factory=list)
    always: list[Reply] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def holds(self, about: Mapping[str, Any], lines: Sequence[Json] = ()) -> None:
        """Hold an object and all of its lines, of which it shows the first ten."""
        path, lines = f"/v1/{about['object']}s/{about['id']}", deepcopy(lines)
        first = {"object": "list", "data": [*lines[:10]], "has_more": len(lines) > 10, "total_count": len(lines)}
        self.objects[path] = {**about, **({"lines": {**first, "url": f"{path}/lines"}} if lines else {})}
        self.lists[f"{path}/lines"] = [*lines]

    def reply(self, asked: Asked) -> Reply:
        """The answer to a request."""
        self.asked.append(asked)
        if self.replies:
            return self.replies.pop(0)
        if self.always:
            return self.always[0]
        if asked.headers.get("authorization") != f"Bearer {KEY}":
            return refusal(401, "invalid_request_error")
        if asked.path in self.objects:
            return Reply(body=self.objects[asked.path])
        if asked.path in self.lists:
            return Reply(body=self._page(asked))
        return refusal(404, "invalid_request_error")

    def _page(self, asked: Asked) -> Json:
        of = asked.parameters.get("invoice")
        members = [each for each in self.lists[asked.path] if of is None or each.get("invoice") == of]
        after = asked.parameters.get("starting_after")
        start = 0 if after is None else [each["id"] for each in members].index(after) + 1
        end = start + min(self.page_size, int(asked.parameters.get("limit", "10")))
        return {"object": "list", "data": members[start:end], "has_more": end < len(members), "url": asked.path}


@contextmanager
def stripe_stood_in(**given: Any) -> Iterator[StripeStandIn]:
    """A stand-in that listens on this machine as long as the context lasts."""
    made: list[StripeStandIn] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, made))
    server.daemon_threads = True
    stand_in = StripeStandIn(address=f"http://127.0.0.1:{server.server_address[1]}", **given)
    made.append(stand_in)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield stand_in
    finally:
        stand_in.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, stand_in: list[StripeStandIn], *about: Any) -> None:
        self._stand_in = stand_in
        super().__init__(*about)

    def do_GET(self) -> None:
        """Answer one request."""
        url = urlsplit(self.path)
        parameters = {name: values[0] for name, values in parse_qs(url.query).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self._stand_in[0].reply(Asked(path=url.path, parameters=parameters, headers=headers))
        if reply.hangs:
            self._stand_in[0].ended.wait()
            self.close_connection = True
            return
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Request-Id", "req_1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing on stderr."""
