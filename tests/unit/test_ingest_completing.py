"""
What was published incomplete is completed later: when, how often, how many, and what becomes of it at the end.

Long because whatever Stripe or Kafka may answer meanwhile is a test of its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from ingest import completing
from ingest.completing import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Completing
from ingest.delivery import Publish, record_of
from ingest.fetching import Fetching
from ingest.questions import PAYMENTS_PATH, Question
from ingest.stripe_api import NotFetched, Outcome
from ingest.under_way import Published, PublishFailed
from schemas.codec import decode
from schemas.fields import Json
from tests.pure_core import DECIDERS
from tests.stripe_builders import Line, events, paid
from tests.webhooks import INVOICE, event

AWAY = NotFetched(Outcome.UNREACHABLE, "Stripe's API did not answer")
BY_THEMSELVES = {"in_gone": Outcome.MISSING, "in_barred": Outcome.REFUSED, "in_odd": Outcome.MALFORMED}
"""Invoices that Stripe answers otherwise than all others, whenever it is asked."""
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LINES = [{"id": f"il_{number}"} for number in range(12)]
CREDIT = Line(id="il_credit", amount=-500, proration=True)
MANY = 10_000


class Scripted:
    """Stripe's API that is away *away* times, and a log that refuses *refusing* records; pauses take no time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, away: int = 0, refusing: int = 0) -> None:
        self.away, self.refusing = away, refusing
        self.asked: list[str] = []
        self.pauses: list[float] = []
        self.published: list[Publish] = []
        self.completing = Completing(Fetching(self, lambda *_: None), self.publish)
        self.turn = asyncio.sleep

        async def sleep(seconds: float) -> None:
            self.pauses.append(seconds)
            await self.turn(0)

        monkeypatch.setattr("ingest.completing.asyncio.sleep", sleep)

    def version(self, integration: str) -> str:
        return {"main": "2022-11-15"}[integration]

    def has_key(self, integration: str) -> bool:
        return integration == "main"

    async def get(self, integration: str, question: Question, **parameters: str | int) -> Json:
        if not self.has_key(integration):
            raise NotFetched(Outcome.NO_KEY, "there is no key")
        assert parameters == {"limit": 100}
        self.asked.append(question.path.split("/")[3 if question.path.endswith("/lines") else 2])
        if question.path == PAYMENTS_PATH:
            raise NotFetched(Outcome.REFUSED, "the key may not read invoice payments")
        if self.away > 0:
            self.away -= 1
            raise AWAY
        if question.path.endswith("in_bad/lines"):
            raise AWAY
        if (outcome := BY_THEMSELVES.get(self.asked[-1])) is not None:
            raise NotFetched(outcome, "of this one alone")
        return {"object": "list", "data": LINES, "has_more": False}

    async def publish(self, record: Publish) -> Published:
        if self.refusing > 0:
            self.refusing -= 1
            raise PublishFailed("Kafka is away")
        self.published.append(record)
        return Published(topic="billing.events.v1", partition=0, offset=len(self.published))

    def run(self, *records: Publish, until: Callable[[], bool]) -> None:
        """Keep *records*, and complete them until it is so, or many turns of the loop have passed."""

        async def run() -> None:
            self.completing.start()
            for record in records:
                self.completing.keep(record, "main")
            for _ in range(MANY):
                if until():
                    break
                await self.turn(0)
            await self.completing.close()

        asyncio.run(run())


def incomplete(number: int = 1, invoice: str = "in_1") -> Publish:
    """The record of an event about an invoice of twelve lines of which it carries none."""
    about: dict[str, Any] = {**INVOICE, "id": invoice, "lines": {"object": "list", "data": [], "has_more": True}}
    return record_of(event(id=f"evt_{number}", about=about), "main", TRACEPARENT, incomplete="lines")


def test_a_record_is_completed_under_its_own_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same event and trace, all lines, and no mark; after a short pause, since Stripe has just failed."""
    scripted = Scripted(monkeypatch)

    scripted.run(incomplete(), until=lambda: not scripted.completing)

    (found,) = scripted.published
    about = json.loads(found.value)["data"]["object"]
    assert (found.event_id, found.incomplete, dict(found.headers)["traceparent"]) == ("evt_1", "", TRACEPARENT.encode())
    assert "ce_incomplete" not in dict(found.headers)
    assert (about["lines"]["data"], about["lines"]["has_more"]) == (LINES, False)
    assert scripted.pauses == [FIRST_PAUSE_SECONDS]


def unlinked() -> Publish:
    """The same of an API version of which no event says what paid an invoice; it was paid, and marked `lines` alone."""
    about: dict[str, Any] = {**INVOICE, "id": "in_1", "lines": {"object": "list", "data": [], "has_more": True}}
    about |= {"amount_paid": 100, "payment_intent": None, "charge": None}
    of = event(id="evt_1", about=about, api_version="2025-04-30.basil")
    return record_of(of, "main", TRACEPARENT, incomplete="lines")


def test_lines_are_published_though_payments_are_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, marked with what is lacking still; that alone is asked for again, and let go after its tries."""
    scripted = Scripted(monkeypatch)

    scripted.run(unlinked(), until=lambda: not scripted.completing)

    (found,) = scripted.published
    about = json.loads(found.value)["data"]["object"]
    assert (about["lines"]["data"], found.incomplete) == (LINES, "payments")
    assert dict(found.headers)["ce_incomplete"] == b"payments"
    assert scripted.asked == ["in_1"] + ["invoice_payments"] * 4
    assert caplog.messages[-1] == "incomplete, and let go: run `entitle complete --payments` once that is mended"


@pytest.mark.parametrize("integration", ["main", "without a key any more"])
def test_what_gains_nothing_is_not_published_again(monkeypatch: pytest.MonkeyPatch, integration: str) -> None:
    """A record that lacks payments is not whole because they are refused, or because the key is gone."""
    scripted = Scripted(monkeypatch)
    lacking = unlinked()
    about = json.loads(lacking.value)
    about["data"]["object"]["lines"] = {"object": "list", "data": LINES, "has_more": False}

    with pytest.raises(NotFetched):
        asyncio.run(
            Fetching(scripted, lambda *_: None).completed(json.dumps(about).encode(), lacking.headers, integration)
        )


def test_pauses_grow_until_stripe_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is twice the one before, up to a bound; once one is completed, the others follow without any."""
    scripted = Scripted(monkeypatch, away=10)

    scripted.run(*(incomplete(number) for number in range(5)), until=lambda: not scripted.completing)

    doubled = [FIRST_PAUSE_SECONDS * 2**number for number in range(11)]
    assert scripted.pauses == [min(pause, LONGEST_PAUSE_SECONDS) for pause in doubled]
    assert LONGEST_PAUSE_SECONDS in scripted.pauses
    assert sorted(record.event_id for record in scripted.published) == [f"evt_{number}" for number in range(5)]


def test_pauses_begin_anew_after_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept after an outage is not made to wait as long as the outage was."""
    scripted = Scripted(monkeypatch, away=4)

    def again() -> bool:
        if len(scripted.published) == 1 and not scripted.completing:
            scripted.completing.keep(incomplete(2), "main")
        return len(scripted.published) == 2

    scripted.run(incomplete(1), until=again)

    assert scripted.pauses[-1] == FIRST_PAUSE_SECONDS


def test_one_that_never_succeeds_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others have their turn before it has its next."""
    scripted = Scripted(monkeypatch)

    scripted.run(
        incomplete(0, "in_bad"), *(incomplete(number) for number in (1, 2, 3)), until=lambda: len(scripted.asked) > 6
    )

    assert scripted.asked[:5] == ["in_bad", "in_1", "in_1", "in_1", "in_bad"]
    assert len(scripted.published) == 3


@pytest.mark.parametrize("invoice", BY_THEMSELVES)
def test_what_fails_by_itself_makes_no_other_wait(monkeypatch: pytest.MonkeyPatch, invoice: str) -> None:
    """A 404, a refusal, an odd answer say nothing of the next record: it has its turn at once, not after a pause."""
    scripted = Scripted(monkeypatch)
    bad, good = [incomplete(number, invoice) for number in (1, 2)], [incomplete(number) for number in (3, 4)]

    scripted.run(*bad, *good, until=lambda: len(scripted.published) == 2)

    assert scripted.asked[:4] == [invoice, invoice, "in_1", "in_1"]
    assert set(scripted.pauses) == {FIRST_PAUSE_SECONDS}


def test_what_fails_by_itself_is_let_go_after_a_few_tries(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each try after a longer pause; then it makes room, and the log says what is left to `entitle complete`."""
    bad = incomplete(0, "in_gone")
    monkeypatch.setattr(completing, "MOST_KEPT_BYTES", len(bad.value))
    scripted = Scripted(monkeypatch)

    def again() -> bool:
        if not scripted.completing:
            scripted.completing.keep(incomplete(1), "main")
        return bool(scripted.published)

    scripted.run(bad, until=again)

    assert scripted.asked == ["in_gone"] * 3 + ["in_1"]
    assert scripted.pauses[:3] == [FIRST_PAUSE_SECONDS * 2**number for number in range(3)]
    assert caplog.messages[0] == "incomplete, and let go: run `entitle complete` once that is mended"


def test_an_outage_lets_nothing_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often Stripe was away, or Kafka did not take it: that is not of the record's own."""
    scripted = Scripted(monkeypatch, away=5, refusing=5)

    scripted.run(incomplete(), until=lambda: bool(scripted.published))

    assert len(scripted.asked) == 11


def test_what_kafka_does_not_take_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record is done with once the log has it."""
    scripted = Scripted(monkeypatch, refusing=2)

    scripted.run(incomplete(), until=lambda: not scripted.completing)

    assert (len(scripted.asked), len(scripted.published), len(scripted.pauses)) == (3, 1, 3)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """By number and by bytes; an event that came twice is kept once; what no key can complete is not."""
    size = len(incomplete().value)
    monkeypatch.setattr(completing, "MOST_KEPT", 3)
    monkeypatch.setattr(completing, "MOST_KEPT_BYTES", 3 * size)
    by_number, by_bytes = Scripted(monkeypatch).completing, Scripted(monkeypatch).completing

    for number in (1, 1, 2, 3, 4):
        by_number.keep(incomplete(number), "main")
    by_number.keep(incomplete(5), "without a key")
    for _ in range(2):
        by_bytes.keep(incomplete(1), "main")
    monkeypatch.setattr(completing, "MOST_KEPT_BYTES", 2 * size - 1)
    by_bytes.keep(incomplete(2), "main")

    assert (len(by_number), len(by_bytes)) == (3, 1)
    assert [record.getMessage() for record in caplog.records].count(
        "too many records are incomplete to keep this one: run `entitle complete` later"
    ) == 2


def test_what_was_completed_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes count no longer."""
    monkeypatch.setattr(completing, "MOST_KEPT_BYTES", len(incomplete().value))
    scripted = Scripted(monkeypatch)

    def again() -> bool:
        if len(scripted.published) == 1:
            scripted.completing.keep(incomplete(2), "main")
        return len(scripted.published) == 2

    scripted.run(incomplete(1), until=again)

    assert len(scripted.published) == 2


def test_it_stops_at_once_and_says_what_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In the middle of a pause: nobody waits for it, and the log says how many are left to `entitle complete`."""
    scripted = Scripted(monkeypatch, away=MANY)

    scripted.run(incomplete(1), incomplete(2), until=lambda: len(scripted.pauses) > 3)

    assert (len(scripted.completing), scripted.published) == (2, [])
    assert caplog.messages[-1] == "stopped with 2 records incomplete: run `entitle complete`"


def test_a_fault_of_ours_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It ends the completing, not the webhooks; the log says so at once."""
    caplog.set_level(logging.CRITICAL)
    scripted = Scripted(monkeypatch)
    monkeypatch.setattr(scripted, "publish", None)
    scripted.completing = Completing(Fetching(scripted, lambda *_: None), scripted.publish)

    with pytest.raises(TypeError):
        scripted.run(incomplete(), until=lambda: bool(caplog.records))

    assert "nothing is completed any more" in caplog.text


def test_what_is_completed_states_what_a_whole_event_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both records together: the grants and revocations of the whole event, and that a snapshot lacked lines."""
    *_, whole = events(paid(*(Line(id=f"il_{n}") for n in range(12)), CREDIT))
    lines = whole["data"]["object"]["lines"]
    listing = {**lines, "data": lines["data"][:10], "has_more": True}
    short = {**whole, "data": {"object": {**whole["data"]["object"], "lines": listing}}}
    scripted = Scripted(monkeypatch)
    monkeypatch.setattr("tests.unit.test_ingest_completing.LINES", lines["data"])

    first = record_of(short, "main", TRACEPARENT, incomplete="lines")

    scripted.run(first, until=lambda: bool(scripted.published))

    (second,) = scripted.published
    wanted = stated(record_of(whole, "main", TRACEPARENT))
    found = stated(first) | stated(second)
    (more,) = found - wanted
    assert wanted < found
    assert (more[0], len(stated(first))) == ("InvoiceSnapshot", 10 + 2)


def stated(record: Publish) -> set[tuple[str, bytes]]:
    """What all consumers find in a record, by kind and digest."""
    message = decode(record.topic, record.value, record.headers)
    return {(type(fact).__name__, fact.digest) for decide in DECIDERS for fact in decide(message)}
