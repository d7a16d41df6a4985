"""A way to the query process that a test can make slow, and on which it counts. Edge: TCP."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ops.settings import Address

CHUNK = 65536


class Passage:
    """
    Passes connections on to *towards*. What comes back waits for *delay_s*.

    It counts its *connections*, and the *questions* that passed it at the mounts.
    """

    def __init__(self, towards: Address) -> None:
        self.delay_s = 0.0
        self.connections = 0
        self.questions = 0
        self.address = towards
        self._towards = towards
        self._open: set[asyncio.StreamWriter] = set()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, started: threading.Event) -> None:
        """Until `stop` is called."""
        self._stop, self._loop = asyncio.Event(), asyncio.get_running_loop()
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.address = Address("127.0.0.1", server.sockets[0].getsockname()[1])
        started.set()
        await self._stop.wait()
        server.close()
        while self._open:
            for writer in self._open:
                writer.transport.abort()
            await asyncio.sleep(0.01)

    def stop(self) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)

    async def _pass_on(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            server, to_server = await asyncio.open_connection(self._towards.host, self._towards.port)
        except OSError:
            to_client.close()
            return
        self._open |= {to_client, to_server}
        await asyncio.gather(self._pump(client, to_server, counts=True), self._pump(server, to_client, counts=False))
        self._open -= {to_client, to_server}

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, counts: bool) -> None:
        with suppress(ConnectionError):
            while data := await source.read(CHUNK):
                if counts:
                    self.questions += data.count(b" /v1/check") + data.count(b" /v1/ext-authz/")
                else:
                    await asyncio.sleep(self.delay_s)
                sink.write(data)
                await sink.drain()
        sink.close()
        with suppress(ConnectionError):
            await sink.wait_closed()


@contextmanager
def passing(towards: Address) -> Iterator[Passage]:
    """A passage, open until the context ends."""
    passage, started = Passage(towards), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(passage.run(started)))
    thread.start()
    try:
        assert started.wait(10)
        yield passage
    finally:
        passage.stop()
        thread.join()
