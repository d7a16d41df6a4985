"""
`entitlements.changes.v1` as the relay writes it: in order, all or none, and by one relay at a time. Edge: Kafka.

A relay that was stopped in the middle of sending, and wakes after another has taken its place, must not put an older
state behind a newer one of the same customer: compaction would keep the older. So it writes in Kafka's transactions:
whoever begins under the same transactional id fences all that began before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError

from consumers.log import Source, connected
from schemas.access_change import AccessChange, encode_access_change
from schemas.topics import CHANGES, MAX_MESSAGE_BYTES

CONFIRM_S = 4.5
"""How long brokers may take to confirm what was sent."""

BLOCK_MS = 4_000
TRANSACTION_MS = 10_000


class FeedTopic:
    """
    The one writer of *topic* among all of this *identity*; those before it fail from now on.

    Raises a KafkaError, retriable while no broker answers; then close it, and open another.
    """

    def __init__(self, source: Source, identity: str, *, topic: str = CHANGES) -> None:
        self._topic = topic
        self._producer: Any = connected(
            KafkaProducer,
            source,
            acks="all",
            enable_idempotence=True,
            transactional_id=f"entitle-relay-{identity}",
            transaction_timeout_ms=TRANSACTION_MS,
            max_request_size=MAX_MESSAGE_BYTES,
            max_block_ms=BLOCK_MS,
            request_timeout_ms=BLOCK_MS,
            delivery_timeout_ms=int(CONFIRM_S * 1000),
            linger_ms=1,
            batch_size=512 * 1024,
            compression_type="gzip",
            metrics_enabled=False,
        )
        try:
            with _unknown_reasons_told_as_a_timeout():
                self._producer.init_transactions()
        except BaseException:
            self.close()
            raise

    def publish(self, states: Sequence[AccessChange]) -> None:
        """Put *states* on the topic in their order; returns once the brokers have all of them."""
        with _unknown_reasons_told_as_a_timeout():
            self._producer.begin_transaction()
            sent = []
            for state in states:
                key, value, headers = encode_access_change(state)
                sent.append(self._producer.send(self._topic, key=key, value=value, headers=headers))
            for each in sent:
                each.get(timeout=CONFIRM_S)
            self._commit()

    def _commit(self) -> None:
        """As `commit_transaction` does, which in kafka-python 3.0 waits for ever where no answer comes."""
        committed = self._producer._transaction_manager.begin_commit()
        self._producer._sender.wakeup()
        if not committed.wait(timeout_ms=int(CONFIRM_S * 1000)):
            raise KafkaTimeoutError(f"Kafka did not commit within {CONFIRM_S} s")

    def close(self) -> None:
        """Disconnect; what was not confirmed is given up."""
        with contextlib.suppress(KafkaError):
            self._producer.close(timeout=1)


@contextlib.contextmanager
def _unknown_reasons_told_as_a_timeout() -> Iterator[None]:
    """
    A broker that hangs in the middle of a transaction is told by kafka-python 3.0 as a bare KafkaError, "could not
    execute transactional request for unknown reasons", which is no more final than its timeout: another producer helps.
    """
    try:
        yield
    except KafkaError as error:
        if type(error) is KafkaError:
            raise KafkaTimeoutError(str(error)) from error
        raise
