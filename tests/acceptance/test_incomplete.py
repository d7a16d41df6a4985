"""The whole program while Stripe's API comes and goes: what events leave out is fetched, then or later, and counts."""

from __future__ import annotations

import json
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.topics import EVENTS
from tests.acceptance.plant import Plant, wait_until
from tests.acceptance.running import CATALOG, SECRET
from tests.ingesting import Told, records
from tests.stripe_api import KEY, StripeStandIn, refusal, stripe_stood_in
from tests.stripe_builders import Bill, Line, Shape, event, on, snapshot
from tests.taking_back import charge, dispute
from tests.webhooks import body_of, thin

AWAY = refusal(503)
BETWEEN = {"api_version": "2025-04-30.basil"}
MONTH = [Line(id=f"il_{number}", price="price_of_nothing", item=f"si_{number}") for number in range(11)]
SOLD = Line(id="il_sold", price="price_strict", item="si_sold")


@pytest.fixture
def stripes() -> Iterator[StripeStandIn]:
    with stripe_stood_in(always=[AWAY]) as found:
        yield found


@pytest.fixture
def asking(plant: Plant, stripes: StripeStandIn, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The settings with which ingest may ask the stand-in; the plant is as it was in the end."""
    catalog = tmp_path / "catalog.yaml"
    named = "signing_secrets_env: TEST_SIGNING_SECRETS"
    text = CATALOG.read_text(encoding="utf-8").replace(named, f"{named}, api_key_env: TEST_STRIPE_API_KEY")
    catalog.write_text(text, encoding="utf-8")
    settings = {"ENTITLE_CATALOG": str(catalog), "TEST_STRIPE_API_KEY": KEY, "ENTITLE_STRIPE_API": stripes.address}
    plant.end("ingest")
    plant.start("ingest", **settings)
    plant.wait_until_ready()
    yield settings
    plant.end("ingest")
    plant.start("ingest")
    plant.wait_until_ready()


def sold(stripes: StripeStandIn) -> tuple[str, dict[str, Any]]:
    """A customer, and the event of a paid invoice whose twelfth line is the only one of a plan: it carries ten."""
    customer = f"cus_{uuid.uuid4().hex}"
    bill = Bill(id=f"in_{customer}", customer=customer, lines=(*MONTH, SOLD), finalized="01-01", paid="01-01")
    about = snapshot(bill, "paid")
    stripes.holds(about, about["lines"]["data"])
    short = stripes.objects[f"/v1/invoices/{bill.id}"]
    return customer, event("invoice.paid", short, at="01-01", id=f"evt_{customer}")


def deliver(plant: Plant, sent: dict[str, Any]) -> Told:
    return plant.ingest.deliver(body_of(sent), SECRET)


def is_open(plant: Plant, customer: str) -> bool:
    told = plant.edge.evaluate(customer=customer, api="orders", at=on("01-15"))
    assert told.status == 200, told
    return bool(told.body["decision"])


def lacking(plant: Plant) -> int:
    """How many invoices lack lines, as `entitle progress` says."""
    done = plant.entitle("progress", "--json")
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["incomplete"]["invoices"])


def marks(plant: Plant, event_id: str) -> list[bytes | None]:
    """What each record of the event in the log says that it lacks."""
    found = (dict(record.headers) for record in records(plant.kafka, EVENTS))
    return [each.get("ce_incomplete") for each in found if each["ce_id"] == event_id.encode()]


def test_lines_are_fetched_once_stripe_is_back(plant: Plant, stripes: StripeStandIn, asking: dict[str, str]) -> None:
    """200 while Stripe is away; ingest completes the event by itself, under its id, and the API opens."""
    customer, sent = sold(stripes)

    told = deliver(plant, sent)
    plant.catch_up()

    assert (told.status, told.body["incomplete"]) == (200, "lines")
    assert (is_open(plant, customer), lacking(plant)) == (False, 1)
    explained = plant.entitle("explain", "--customer", customer, "--api", "orders", "--at", "2026-01-15T00:00:00Z")
    assert f"in_{customer}" in explained.stdout
    assert "left lines out" in explained.stdout

    stripes.always.clear()
    wait_until(lambda: is_open(plant, customer), "the twelfth line is paid for")

    plant.catch_up()
    assert (marks(plant, sent["id"]), lacking(plant)) == ([b"lines", None], 0)
    assert {asked.headers["stripe-version"] for asked in stripes.asked} == {"2022-11-15"}


def disputed_unseen(stripes: StripeStandIn) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """
    A customer, the event of an invoice paid, and those of a charge that is disputed; which of them belong together only
    Stripe can say.
    """
    customer = f"cus_{uuid.uuid4().hex}"
    bill = Bill(id=f"in_{customer}", customer=customer, lines=(SOLD,), finalized="01-01", paid="01-01")
    payment, charged = f"pi_{customer}", f"ch_{customer}"
    stripes.lists["/v1/invoice_payments"] = [
        {
            "id": f"inpay_{customer}",
            "object": "invoice_payment",
            "invoice": bill.id,
            "payment": {"type": "payment_intent", "payment_intent": payment},
            "status": "paid",
        }
    ]
    said = [
        event("invoice.paid", snapshot(bill, "paid", shape=Shape.NEW), at="01-01", id=f"evt_{customer}"),
        charge(at="01-01", id=charged, customer=customer, payment_intent=payment, invoice=None)
        | {"id": f"evt_ch_{customer}"},
        dispute("needs_response", at="01-06", id=f"du_{customer}", charge=charged, payment_intent=payment)
        | {"id": f"evt_du_{customer}"},
    ]
    paid, *rest = [each | BETWEEN for each in said]
    return customer, paid, rest


def test_a_dispute_reaches_an_invoice_that_only_stripe_can_link(
    plant: Plant, stripes: StripeStandIn, asking: dict[str, str]
) -> None:
    """Between 2025-03-31 and 2025-05-28: shown as not linked while Stripe is away; asked for, it suspends."""
    customer, paid, disputed = disputed_unseen(stripes)
    told = [deliver(plant, sent) for sent in (paid, *disputed)]
    plant.catch_up()

    assert [each.body.get("incomplete") for each in told] == ["payments", None, None]
    assert is_open(plant, customer)
    explained = plant.entitle("explain", "--customer", customer, "--api", "orders", "--at", "2026-01-15T00:00:00Z")
    assert "no event has said yet which invoice was paid with it" in " ".join(explained.stdout.split())

    stripes.always.clear()
    wait_until(lambda: not is_open(plant, customer), "the dispute has reached its invoice")

    plant.catch_up()
    assert marks(plant, paid["id"]) == [b"payments", None]
    assert lacking(plant) == 0


def test_what_ingest_left_when_it_was_killed_is_completed(
    plant: Plant, stripes: StripeStandIn, asking: dict[str, str]
) -> None:
    """Nothing is lost with the process: `entitle complete` finds it in the database and the log, and says so."""
    customer, sent = sold(stripes)
    assert deliver(plant, sent).body["incomplete"] == "lines"
    plant.signal("ingest", signal.SIGKILL)
    plant.ended("ingest")
    plant.catch_up()
    with_key = Plant(folder=plant.folder, environment={**plant.environment, **asking}, edge=plant.edge, health={})

    keyless = plant.entitle("complete")
    away = with_key.entitle("complete")
    stripes.always.clear()
    done = with_key.entitle("complete", "--json")
    plant.catch_up()
    again = with_key.entitle("complete")

    assert (keyless.returncode, away.returncode, done.returncode, again.returncode) == (1, 1, 0, 0)
    assert "main has no key for Stripe's API" in keyless.stdout
    assert "not completed: " in away.stdout
    assert "Stripe's API failed (503)" in away.stdout
    told = json.loads(done.stdout)
    assert (told["invoices"], [each["event"] for each in told["completed"]], told["failed"]) == (1, [sent["id"]], [])
    assert again.stdout == "no invoice lacks lines\n"
    assert (is_open(plant, customer), lacking(plant)) == (True, 0)
    plant.start("ingest")


def test_what_paid_an_invoice_is_asked_for_once_more_by_hand(
    plant: Plant, stripes: StripeStandIn, asking: dict[str, str]
) -> None:
    """What ingest was killed before it had is in no table: `entitle complete --payments` finds the mark in the log."""
    customer, paid, disputed = disputed_unseen(stripes)
    told = [deliver(plant, sent) for sent in (paid, *disputed)]
    assert told[0].body["incomplete"] == "payments"
    plant.signal("ingest", signal.SIGKILL)
    plant.ended("ingest")
    plant.catch_up()
    with_key = Plant(folder=plant.folder, environment={**plant.environment, **asking}, edge=plant.edge, health={})

    of_lines = plant.entitle("complete")
    away = with_key.entitle("complete", "--payments")
    was_open = is_open(plant, customer)
    stripes.always.clear()
    done = with_key.entitle("complete", "--payments", "--json")
    plant.catch_up()
    again = with_key.entitle("complete", "--payments")

    assert (of_lines.stdout, away.returncode, done.returncode, again.returncode) == (
        "no invoice lacks lines\n",
        1,
        0,
        0,
    )
    assert "1 invoices lack what paid them: 0 events completed, 1 not" in away.stdout
    assert [each["event"] for each in json.loads(done.stdout)["completed"]] == [paid["id"]]
    assert again.stdout == "no invoice lacks what paid it\n"
    assert (was_open, is_open(plant, customer)) == (True, False)
    plant.start("ingest")


def test_a_thin_event_opens_the_api(plant: Plant, stripes: StripeStandIn, asking: dict[str, str]) -> None:
    """503 while Stripe is away, and nothing of it in the log; then its invoice, whole, under its twin's id."""
    customer, twin = sold(stripes)
    sent = thin(about=("invoice", f"in_{customer}"), snapshot_event=twin["id"], id=f"evt_thin_{customer}")

    away = deliver(plant, sent)
    assert (away.status, away.headers["retry-after"], marks(plant, twin["id"])) == (503, "60", [])
    assert "Stripe's API failed (503)" in away.body["detail"]

    stripes.always.clear()
    told = deliver(plant, sent)
    plant.catch_up()

    assert (told.status, told.body["event"], told.body.get("incomplete")) == (200, twin["id"], None)
    assert (is_open(plant, customer), marks(plant, twin["id"]), lacking(plant)) == (True, [None], 0)
