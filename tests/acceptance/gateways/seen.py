"""The API behind the gateways, which answers with what reached it, and the client before them. Edge: HTTP."""

from __future__ import annotations

import hashlib
import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ops.settings import Address
from tests.acceptance.gateways.recipes import Gateway

LONGEST_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as the API got it; names of headers are lower case, *body* is its digest."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a client was told, after how long; *reached* is its request as the API got it, None if it never did."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    reached: Request | None

    @property
    def degraded(self) -> bool:
        """Whether the API was told that nobody could be asked."""
        return self.reached is not None and self.reached.headers.get("entitlement-degraded") == "1"

    @property
    def problem(self) -> Mapping[str, Any]:
        """The body of a denial."""
        assert self.headers.get("content-type") == "application/problem+json", (self.headers, self.body)
        found: Mapping[str, Any] = json.loads(self.body)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """An API that answers 200, or what `X-Answer-With` says, with the request as it got it; it keeps all of them."""

    address: Address
    requests: list[Request] = field(default_factory=list)


@contextmanager
def listening() -> Iterator[Api]:
    """An API on an address of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *connection: _Echo(api, *connection))
    server.daemon_threads = True
    api = Api(address=Address("127.0.0.1", server.server_port))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(
    gateway: Gateway,
    path: str = "/orders/1",
    *,
    method: str = "GET",
    key: str | None = None,
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    body: bytes | None = None,
) -> Told:
    """One request through a gateway, with an API key."""
    given = [*(headers.items() if isinstance(headers, Mapping) else headers)]
    given += [] if key is None else [("X-Api-Key", key)]
    given += [] if body is None else [("Content-Length", str(len(body)))]
    begun = time.monotonic()
    with closing(http.client.HTTPConnection(gateway.address.host, gateway.address.port, timeout=LONGEST_S)) as client:
        client.putrequest(method, path, skip_host=any(name.lower() == "host" for name, _ in given))
        for name, value in given:
            client.putheader(name, value)
        client.endheaders(body)
        answer = client.getresponse()
        text = answer.read()
    answered = {name.lower(): value for name, value in answer.getheaders()}
    return Told(
        status=answer.status,
        headers=answered,
        body=text,
        seconds=time.monotonic() - begun,
        reached=_reached(answered),
    )


def digest(body: bytes) -> str:
    """A body in few words, since the API says in a header what it got."""
    return f"{len(body)} bytes, {hashlib.sha256(body).hexdigest()[:16]}"


def _reached(headers: Mapping[str, str]) -> Request | None:
    """What the API said in a header that it got: a header, since HEAD has no body."""
    said = headers.get("x-reached")
    return None if said is None else Request(**json.loads(said))


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    disable_nagle_algorithm = True

    def __init__(self, api: Api, *connection: Any) -> None:
        self._api = api
        super().__init__(*connection)

    def handle(self) -> None:
        with suppress(ConnectionError):  # a gateway that is stopped, or checks our health, breaks connections off
            super().handle()

    def _echo(self) -> None:
        body = digest(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            known = headers.get(name.lower())
            headers[name.lower()] = value if known is None else f"{known}, {value}"
        got = Request(method=self.command, path=self.path, headers=headers, body=body)
        self._api.requests.append(got)
        said = {"method": got.method, "path": got.path, "headers": headers, "body": body}
        self.send_response(int(headers.get("x-answer-with", 200)))
        self.send_header("X-Reached", json.dumps(said))
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_PUT = do_HEAD = do_OPTIONS = do_DELETE = _echo  # noqa: N815  # the library's own names

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # the library's own name
        """Say nothing: a line for each request would drown what the tests say."""
