"""Metrics and health over HTTP: a real ingest, a real query, and a real consumer whose servers come and go."""

from __future__ import annotations

import gc
import logging
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from consumers.extent import ends_of
from consumers.metrics import Metrics
from ops.health import Condition, answering
from ops.settings import Address, free_address
from tests import asking, toys
from tests.ingesting import Ingest, ingesting, ingesting_apart, is_ready, new_topic, until
from tests.scraping import Scraped, probe, scrape
from tests.stated import STORY
from tests.toys import Toy, message
from tests.webhooks import body_of, event
from tests.yard import PATIENCE_S, Yard, wait_until


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A consumer's address, and its samples by the partition's label."""

    yard: Yard
    address: Address

    def ready(self) -> tuple[int, Any]:
        status, body = probe(self.address, "/readyz")
        return status, body.get("detail")

    def lives(self) -> tuple[int, Any]:
        status, body = probe(self.address, "/livez")
        return status, body.get("detail")

    def lag(self, unit: str) -> float | None:
        labels = {"group": "toys", "topic": self.yard.topic, "partition": "0"}
        return scrape(self.address).value(f"entitle_consumer_lag_{unit}", **labels)


@contextmanager
def watched(yard: Yard, *groups: Any, hung_after_s: float = 60.0) -> Iterator[Watched]:
    """The runner on *yard*, with the listener that `entitle consume` has."""
    address, registry = free_address(), CollectorRegistry()
    condition = Condition(time.monotonic, hung_after_s=hung_after_s)
    counting = Metrics(registry, lambda: ends_of(yard.source(), [yard.topic]), time.time)
    with (
        answering(address, condition, registry),
        yard.running(*groups, on_health=condition.is_now, on_round=condition.comes_round, counting=counting),
    ):
        wait_until(lambda: listens(address), "it listens")
        yield Watched(yard=yard, address=address)


def listens(address: Address) -> bool:
    try:
        probe(address, "/livez")
    except ConnectionRefusedError:
        return False
    return True


def webhooks(page: Scraped, outcome: str, cause: str = "", integration: str = "main") -> float:
    return page.total("entitle_ingest_webhooks_total", outcome=outcome, cause=cause, integration=integration)


def test_ingest_counts_what_it_answered(kafka: str) -> None:
    """Published, ignored and refused webhooks are counted, publications timed; scraping needs no token."""
    with ingesting(kafka, new_topic(kafka)) as ingest:
        until(lambda: is_ready(ingest))
        statuses = [
            ingest.deliver(body_of(event())).status,
            ingest.deliver(body_of(event())).status,
            ingest.deliver(body_of(event("plan.created"))).status,
            ingest.deliver(body_of(event()), "whsec_foreign").status,
            ingest.deliver(body_of(event()), to="nobody").status,
        ]
        page = scrape(f"127.0.0.1:{ingest.port}")

    assert statuses == [200, 200, 200, 400, 404]
    assert page.content_type.startswith("text/plain")
    assert webhooks(page, "published") == 2
    assert webhooks(page, "ignored", "type") == 1
    assert webhooks(page, "refused", "400") == 1
    assert webhooks(page, "refused", "404", integration="-") == 1
    assert page.value("entitle_ingest_publish_seconds_count") == 2
    assert (page.value("entitle_ingest_publish_seconds_sum") or 0) > 0
    assert (page.value("entitle_ingest_in_flight"), page.value("entitle_kafka_away")) == (0, 0)


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_ingest_says_that_kafka_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """With no Kafka a webhook is refused and counted under 503, and the gauge says why; livez stays 200."""
    caplog.set_level(logging.CRITICAL, "kafka")  # what it logs holds the exceptions, and those hold the sockets
    with ingesting("127.0.0.1:1", "events") as ingest:
        refused = ingest.deliver(body_of(event())).status
        page = scrape(f"127.0.0.1:{ingest.port}")
        healthy = [ingest.ask("GET", path).status for path in ("/livez", "/readyz")]
    gc.collect()  # kafka-python leaves the sockets of failed attempts to the collector, which warns of each

    assert (refused, healthy) == (503, [200, 503])
    assert webhooks(page, "refused", "503") == 1
    assert page.value("entitle_kafka_away") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ingest_ends_with_exit_code_0_when_it_is_told_to(kafka: str, number: signal.Signals) -> None:
    """An orderly end looks like one to whoever started the process."""
    with ingesting_apart(kafka, new_topic(kafka)) as (process, ingest):
        until(lambda: answers(ingest))
        process.send_signal(number)

        assert process.wait(PATIENCE_S) == 0


def answers(ingest: Ingest) -> bool:
    return ingest.ask("GET", "/livez").status == 200


def test_query_counts_decisions_by_reason(fresh_database: str) -> None:
    """Each decision is counted by its reason, timed unless it was made before; other answers by their status."""
    with asking.listening(fresh_database, *STORY) as api:
        told = [api.reason("cus_paid"), api.reason("cus_paid"), api.reason("cus_open")]
        api.ask("GET", "/livez")
        api.ask("GET", "/nowhere")
        api.evaluate(token="wrong")
        page = scrape(f"127.0.0.1:{api.port}")

    def decisions(reason: str) -> float | None:
        return page.value("entitle_query_decisions_total", reason=reason)

    def count(status: str) -> float | None:
        return page.value("entitle_query_answers_total", status=status)

    assert told == ["paid", "paid", "payment_required"]
    assert (decisions("paid"), decisions("payment_required"), decisions("blocked")) == (2, 1, 0)
    assert (count("200"), count("401"), count("404")) == (3, 1, 1)
    assert page.value("entitle_query_decision_seconds_count") == 2
    assert page.value("entitle_database_away") == 0


def test_query_says_that_the_database_is_away() -> None:
    """A question that nobody could decide is counted under 503, and the gauge says why."""
    with asking.listening("postgresql://nobody@127.0.0.1:1/nothing", tables=False) as api:
        status = api.evaluate().status
        page = scrape(f"127.0.0.1:{api.port}")

    assert status == 503
    assert page.value("entitle_query_answers_total", status="503") == 1
    assert page.value("entitle_database_away") == 1


def test_a_consumer_says_how_far_it_is(yard: Yard) -> None:
    """Records by outcome, facts by kind, batches, dead letters in a row, and no lag once all is read."""
    yard.make_topic()
    yard.put([message("a"), message("a"), message("x", kind="toy.ignored"), message("unreadable")])

    with watched(yard) as consumer:
        wait_until(lambda: yard.next_offsets() == [4], "all is read")
        wait_until(lambda: consumer.lag("seconds") == 0, "it has caught up")
        page = scrape(consumer.address)

    outcomes = ("recorded", "duplicate", "ignored", "dead_letter")
    counts = [page.total("entitle_consumer_records_total", group="toys", outcome=each) for each in outcomes]
    assert counts == [1, 1, 1, 1]
    assert page.value("entitle_consumer_facts_total", group="toys", kind="toy") == 1
    assert page.value("entitle_consumer_batch_records_sum", group="toys") == 4
    assert (page.value("entitle_consumer_batch_seconds_sum", group="toys") or 0) > 0
    assert page.total("entitle_consumer_dead_letters_in_a_row") == 1
    assert page.total("entitle_consumer_lag_records", topic=yard.topic) == 0
    assert page.value("entitle_consumer_ready") == 1


def test_a_consumer_without_postgres_says_so_and_is_ready_again(yard: Yard) -> None:
    """While Postgres is away: not ready, with the reason; alive all the same; the lag grows; then all is well again."""
    yard.make_topic()

    with watched(yard) as consumer:
        wait_until(lambda: consumer.lag("seconds") == 0, "it has its partition")
        assert consumer.ready() == (200, None)
        with yard.without_database():
            yard.put([message("a")])
            wait_until(lambda: consumer.ready()[0] == 503, "not ready")
            away, living, page = consumer.ready(), consumer.lives(), scrape(consumer.address)
            wait_until(lambda: (consumer.lag("seconds") or 0) > 1, "the lag grows while it waits")
            lag = consumer.lag("records")
        wait_until(lambda: consumer.ready() == (200, None), "ready again")
        wait_until(lambda: consumer.lag("records") == 0, "no lag any more")
        healed = scrape(consumer.address)

    assert away[1].startswith("OperationalError: ")
    assert (living, lag) == ((200, None), 1)
    assert (page.value("entitle_database_away"), page.value("entitle_consumer_ready")) == (1, 0)
    assert page.total("entitle_consumer_dropped_batches_total", cause="database") > 0
    assert (healed.value("entitle_database_away"), healed.value("entitle_consumer_ready")) == (0, 1)


def test_a_consumer_without_kafka_is_alive_and_not_ready(yard: Yard) -> None:
    """Nobody at Kafka's address: readyz says so, livez does not ask for a restart that would cure nothing."""
    with watched(yard) as consumer:  # of a topic that is not there
        wait_until(lambda: yard.topic in str(consumer.ready()[1]), "it says which topic")
        page = scrape(consumer.address)

        assert consumer.lives() == (200, None)
    assert page.value("entitle_kafka_away") == 1
    assert page.total("entitle_consumer_lag_records") == 0


def test_a_consumer_that_hangs_is_not_alive(yard: Yard) -> None:
    """A loop that stands still is told by livez, from its own thread, with the lag; and by nothing once it goes on."""
    yard.make_topic()
    entered, may_go_on = threading.Event(), threading.Event()

    def record_in_the_end(connection: sa.Connection, facts: Sequence[Toy]) -> frozenset[bytes]:
        entered.set()
        may_go_on.wait(PATIENCE_S)
        return toys.record(connection, facts)

    with watched(yard, toys.group(yard.topic, record=record_in_the_end), hung_after_s=1.5) as consumer:
        wait_until(lambda: consumer.lag("seconds") == 0, "it has its partition")
        yard.put([message("a")])
        entered.wait(PATIENCE_S)
        wait_until(lambda: consumer.lives()[0] == 503, "it hangs")
        hung, ready, lag = consumer.lives()[1], consumer.ready(), consumer.lag("records")
        may_go_on.set()
        wait_until(lambda: consumer.lives() == (200, None), "it goes on")
        wait_until(lambda: consumer.ready() == (200, None), "and is ready")

    assert hung.startswith("The loop has not come round for ")
    assert (ready[0], lag) == (503, 1)
