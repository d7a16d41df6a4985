"""
Kafka's brokers, in an event loop: what is known of a topic, and one question to one of them. Edge: sockets.

The loop itself drives kafka-python's network layer, which connects, logs in, keeps metadata and speaks the protocol.
`KafkaProducer` has a thread for that, and the turns that the two took at one interpreter lock were dearer than all that
the thread did (DECISIONS 71).
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from selectors import DefaultSelector
from typing import Any

from kafka import errors
from kafka.future import Future
from kafka.net import KafkaConnectionManager, KafkaNetSocket, NetworkSelector
from kafka.structs import TopicPartition

TURN_SECONDS = 0.05
"""How often kafka-python's own timers are looked at; what a socket has to say is heard at once."""

ANSWER_MS = 4_000
"""How long a broker may take to answer before the connection to it is given up."""

CONNECT_MS = 2_000
"""
How long a connection may take to come about; kafka-python would wait for 10 to 30 s. While one is being made, it is
asked before all others, which are busier: a broker that hangs would leave us without metadata, and all of them away.
"""

KEEP_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 3),  # seconds
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
"""
A host that vanished is noticed after 6 s where we wait for it to speak, as in a TLS hello, for which kafka-python has
no limit of time. Elsewhere in the protocol `ANSWER_MS` is sooner.
"""

SETTINGS: Mapping[str, Any] = {
    "api_version": (4, 0),  # what is spoken to the brokers
    "proxy_url": "aside://",  # no proxy, but `_AddressesAside`
    "request_timeout_ms": ANSWER_MS,
    "socket_options": [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), *KEEP_ALIVE],
    "socket_connection_setup_timeout_ms": CONNECT_MS,
    "socket_connection_setup_timeout_max_ms": CONNECT_MS,
    "max_in_flight_requests_per_connection": 1_000,  # who asks has one for each partition: bound enough
    "metadata_max_age_ms": 1_000,
    "reconnect_backoff_max_ms": 1_000,
}


class Brokers:
    """
    One topic's brokers, from the running event loop. Connects by itself, again and again, until it is closed.

    *security* are kafka-python's `security_protocol`, `sasl_*` and `ssl_*`.
    """

    def __init__(self, bootstrap_servers: Sequence[str], topic: str, security: Mapping[str, Any]) -> None:
        self._topic = topic
        self._loop = asyncio.get_running_loop()
        self._made_at = self._heard_at = self._loop.time()
        selector = DefaultSelector()
        self._wire = selector.fileno()  # readable while a socket that it watches is ready
        self._net = NetworkSelector(selector=lambda: selector)
        self._connections = KafkaConnectionManager(
            self._net, bootstrap_servers=list(bootstrap_servers), **SETTINGS, **security
        )
        self._cluster = self._connections.cluster
        self._cluster.config["allow_auto_create_topics"] = False  # which nobody passes on
        self._cluster.add_listener(self._heard)
        self._cluster.add_topic(topic)
        self._is_closed = False
        self._loop.add_reader(self._wire, self._take_turn)
        self._turns = asyncio.create_task(self._take_turns())

    def age(self) -> float:
        """Seconds since they were looked for first."""
        return self._loop.time() - self._made_at

    def silent_for(self) -> float:
        """Seconds since they answered, or since they were looked for first."""
        return self._loop.time() - self._heard_at

    def have_topic(self) -> bool:
        """Whether the topic was there when they answered last."""
        return bool(self._cluster.partitions_for_topic(self._topic))

    def partitions(self) -> Sequence[int]:
        """The topic's partitions that have a leader; all of them, should none have one."""
        known = self._cluster.partitions_for_topic(self._topic)
        return sorted(self._cluster.available_partitions_for_topic(self._topic) or known or ())

    async def ask(self, request: Any) -> Any:
        """What any of them answers. Raises `KafkaError`."""
        return await self._ask(request, self._connections.least_loaded_node())

    async def ask_leader(self, partition: int, request: Any) -> Any:
        """What the partition's leader answers. Raises `KafkaError`, and has the leaders looked up anew then."""
        leader = self._cluster.leader_for_partition(TopicPartition(self._topic, partition))
        if leader is None or leader < 0:
            raise errors.LeaderNotAvailableError(f"{self._topic}-{partition} has no leader")
        return await self._ask(request, leader)

    def look_up_leaders(self) -> None:
        """Ask for the metadata now, for they seem to be out of date."""
        if not self._is_closed:
            self._cluster.request_update()

    async def _ask(self, request: Any, node: Any) -> Any:
        if self._is_closed:
            raise errors.KafkaError("these brokers were let go of")
        answer = self._loop.create_future()

        def answered(told: Any) -> None:
            if not answer.done():
                answer.set_result(told)

        def failed(error: BaseException) -> None:
            if not answer.done():
                answer.set_exception(error)

        self._connections.send(request, node_id=node).add_callback(answered).add_errback(failed)
        self._take_turn()  # to write it is waited for the socket,
        self._take_turn()  # which is ready, as a rule
        return await answer

    def _take_turn(self) -> None:
        """Let kafka-python do all that it can do without waiting."""
        if self._is_closed:  # by what this turn itself woke, or before a question
            return
        self._net.poll(timeout_ms=0)
        self._net.drain()

    async def _take_turns(self) -> None:
        while True:
            self._take_turn()
            await asyncio.sleep(TURN_SECONDS)

    def _heard(self, _cluster: Any) -> None:
        self._heard_at = self._loop.time()

    def close(self) -> None:
        """Let go of the brokers; whoever waits for an answer is told so."""
        self._turns.cancel()
        self._loop.remove_reader(self._wire)
        for connection in [*self._connections._conns.values()]:
            connection.close(errors.KafkaConnectionError("let go of"))
        self._take_turn()
        self._is_closed = True
        self._connections.close()
        self._net.close()


class _AddressesAside(KafkaNetSocket):  # type: ignore[misc]  # kafka-python, which has no types, finds it by its scheme
    """Asks for a broker's addresses on a thread: a name server that is silent must not stop the event loop."""

    SCHEMES = ("aside",)

    def dns_lookup(self, host: str, port: int, **_: Any) -> list[tuple[str, int]]:
        """What `connect` is called with, in place of an address."""
        return [(host, port)]

    async def connect(
        self, net: Any, addrinfo: tuple[str, int], socket_options: Any = (), timeout_at: float | None = None
    ) -> Any:
        """A socket that is connected to the first address that answers. Raises `KafkaConnectionError`."""
        found = Future()

        def look_up() -> None:
            try:
                addresses = super(_AddressesAside, self).dns_lookup(*addrinfo)
            except (OSError, ValueError):  # no name at all, such as one with an empty label
                addresses = []
            with suppress(RuntimeError):  # closed meanwhile
                net.call_soon_threadsafe(lambda: found.success(addresses))

        threading.Thread(target=look_up, daemon=True).start()
        failure: Exception = errors.KafkaConnectionError("no address is known of {}:{}".format(*addrinfo))
        for address in await found:
            with ExitStack() as unless_connected:
                unless_connected.callback(lambda: self._made.close())
                try:
                    connected = await super().connect(net, address, socket_options, timeout_at=timeout_at)
                except (OSError, errors.KafkaConnectionError) as error:
                    failure = error
                else:
                    unless_connected.pop_all()
                    return connected
        raise failure

    def socket(self, family: int, sock_type: int, proto: int) -> Any:
        """One that is closed if nothing comes of it; kafka-python leaves that to the garbage collector."""
        self._made = super().socket(family, sock_type, proto)
        return self._made
