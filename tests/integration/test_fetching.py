"""Ingest fetches the lines that events leave out, before it publishes them: the real stripe library asks."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator

import pytest

from ingest import fetching
from ingest.fetching import MOST_WAITING
from tests.fetching import BILL, BROKEN, LINES, Ingest, holding_an_invoice, ids, short
from tests.ingest_in_memory import living
from tests.stripe_api import HANGING, Reply, StripeStandIn, refusal
from tests.stripe_builders import event, snapshot
from tests.webhooks import body_of, thin


@pytest.fixture
def stripes() -> Iterator[StripeStandIn]:
    with holding_an_invoice() as found:
        yield found


def test_an_invoice_is_published_with_all_of_its_lines(stripes: StripeStandIn) -> None:
    """Three pages in their order in place of the first ten lines; redacted, and else as Stripe sent it."""
    ingest = Ingest(stripes)

    (told,) = ingest.deliver(short())

    (found,) = ingest.published
    lines = found["data"]["object"].pop("lines")
    assert (told.status, told.body["status"], told.body.get("incomplete")) == (200, "published", None)
    assert [line["id"] for line in lines["data"]] == [line["id"] for line in LINES]
    assert (lines["has_more"], lines["total_count"], ingest.marks) == (False, 25, [None])
    about = {name: value for name, value in snapshot(BILL, "paid").items() if name != "lines"}
    assert found == event("invoice.paid", about, at="01-01", id="evt_1")
    assert [asked.parameters.get("starting_after") for asked in stripes.asked] == [None, "il_9", "il_19"]
    assert {asked.parameters["limit"] for asked in stripes.asked} == {"100"}
    assert ingest.fetches("lines", "fetched") == 1


def test_lines_have_the_shape_of_their_event(stripes: StripeStandIn) -> None:
    """The version asked for is the event's, never the integration's or the library's; a Connect account's are its."""
    ingest = Ingest(stripes, version="2026-10-28.endive")

    ingest.deliver(short(account="acct_1", api_version="2025-05-28.basil"))

    assert {asked.headers["stripe-version"] for asked in stripes.asked} == {"2025-05-28.basil"}
    assert {asked.headers["stripe-account"] for asked in stripes.asked} == {"acct_1"}


def test_what_was_fetched_is_redacted(stripes: StripeStandIn) -> None:
    """Free text on a fetched line and on a fetched object goes no further than in a webhook."""
    for line in stripes.lists["/v1/invoices/in_1/lines"]:
        line["description"] = "for Ada Lovelace"
    ingest = Ingest(stripes)

    ingest.deliver(short(), thin(snapshot_event="evt_2"))

    assert len(ingest.published) == 2
    assert b"Ada" not in b"".join(value for _, value, _ in ingest.publisher.records)
    assert b"ada@" not in b"".join(value for _, value, _ in ingest.publisher.records)


def test_more_lines_than_counted_are_published(stripes: StripeStandIn) -> None:
    """Stripe's list is the list, however many the event counted."""
    ingest = Ingest(stripes)
    sent = short()
    sent["data"]["object"]["lines"]["total_count"] = 12

    ingest.deliver(sent)

    assert len(ids(ingest.published[0])) == 25
    assert ingest.published[0]["data"]["object"]["lines"]["total_count"] == 25


def test_a_draft_is_not_asked_for(stripes: StripeStandIn) -> None:
    """It decides nothing, so it is published as it is, and is not incomplete."""
    ingest = Ingest(stripes)

    (told,) = ingest.deliver(short("invoice.created", "draft"))

    assert (told.body.get("incomplete"), ingest.marks, stripes.asked) == (None, [None], [])


@pytest.mark.parametrize(("outcome", "reply"), BROKEN.values(), ids=BROKEN)
def test_what_stripe_does_not_give_is_published_incomplete(
    stripes: StripeStandIn, monkeypatch: pytest.MonkeyPatch, outcome: str, reply: Reply
) -> None:
    """200 for what is there, marked, soon enough for the webhook; counted under what came of it."""
    monkeypatch.setattr(fetching, "FETCH_SECONDS", 1.0)
    stripes.always.append(reply)
    ingest = Ingest(stripes)
    began = time.monotonic()

    (told,) = ingest.deliver(short())

    assert time.monotonic() - began < 2.5
    assert (told.status, told.body["status"], told.body["incomplete"]) == (200, "published", "lines")
    assert (ingest.marks, len(ids(ingest.published[0]))) == ([b"lines"], 10)
    assert ingest.published[0]["data"]["object"]["lines"]["has_more"] is True
    assert ingest.fetches("lines", outcome) == 1
    webhooks = {"integration": "main", "outcome": "published", "cause": "incomplete"}
    assert ingest.registry.get_sample_value("entitle_ingest_webhooks_total", webhooks) == 1
    assert ingest.registry.get_sample_value("entitle_ingest_incomplete") == 1


def test_a_page_that_fails_leaves_the_event_as_it_came(stripes: StripeStandIn) -> None:
    """Two pages of three are no list of lines: none of what they brought is published."""
    page = {"object": "list", "has_more": True}
    stripes.replies.extend(Reply(body={**page, "data": LINES[start : start + 10]}) for start in (0, 10))
    stripes.always.append(refusal(429))
    ingest = Ingest(stripes)

    ingest.deliver(short())

    assert (ids(ingest.published[0]), ingest.marks) == ([line["id"] for line in LINES[:10]], [b"lines"])


def test_a_list_that_goes_round_is_given_up(stripes: StripeStandIn) -> None:
    """A page that brings nothing new, or nothing at all, and says that more follow, is the last one asked for."""
    for data, asked in ((LINES, 2), ([], 1)):
        stripes.asked.clear()
        stripes.always[:] = [Reply(body={"object": "list", "data": data, "has_more": True})]
        ingest = Ingest(stripes)

        ingest.deliver(short())

        assert (len(stripes.asked), ingest.fetches("lines", "malformed")) == (asked, 1)


def test_without_a_key_what_is_there_is_published(stripes: StripeStandIn, caplog: pytest.LogCaptureFixture) -> None:
    """Marked, said in the log, and not kept: this process will never have a key."""
    caplog.set_level(logging.INFO, "ingest")
    ingest = Ingest(stripes, key=None)

    (told,) = ingest.deliver(short())

    assert (told.status, told.body["incomplete"], ingest.marks) == (200, "lines", [b"lines"])
    assert (stripes.asked, ingest.fetches("lines", "no_key")) == ([], 1)
    assert ingest.registry.get_sample_value("entitle_ingest_incomplete") == 0
    (warning,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert (warning.getMessage(), warning.__dict__["event_id"]) == ("incomplete", "evt_1")
    assert "api_key_env" in warning.__dict__["detail"]


def test_what_waits_for_stripe_is_bounded(stripes: StripeStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound a thin event is refused at once, and lines are left for later, while others wait on."""
    monkeypatch.setattr(fetching, "FETCH_SECONDS", 1.0)
    monkeypatch.setattr(fetching, "MOST_WAITING", 2)
    stripes.always.append(HANGING)
    ingest = Ingest(stripes)

    told = ingest.deliver(*(thin(id=f"evt_{number}") for number in range(3)), short(id="evt_3"))

    assert [each.status for each in told] == [503, 503, 503, 200]
    assert "2 answers of Stripe's API are being waited for" in told[2].body["detail"]
    assert (ingest.fetches("object", "late"), ingest.fetches("object", "busy")) == (2, 1)
    assert ingest.fetches("lines", "busy") == 1


def test_a_hanging_stripe_holds_up_nobody_else(stripes: StripeStandIn) -> None:
    """While as many thin events as may wait are waiting, ordinary ones are answered as ever."""
    stripes.always.append(HANGING)
    ingest = Ingest(stripes)
    whole = [event("invoice.paid", snapshot(BILL, "paid"), at="01-02", id=f"evt_o{n}") for n in range(100)]
    took: list[float] = []

    async def all_of_them() -> list[int]:
        async with living(ingest.app) as deliver:
            waiting = [asyncio.create_task(deliver(body_of(thin(id=f"evt_{n}")))) for n in range(MOST_WAITING)]
            await asyncio.sleep(0.2)
            for each in whole:
                began = time.monotonic()
                assert (await deliver(body_of(each))).status == 200
                took.append(time.monotonic() - began)
            assert not any(each.done() for each in waiting)
            return [(await each).status for each in waiting]

    assert set(asyncio.run(all_of_them())) == {503}
    ingest.api.close()
    assert max(took) < 0.25
