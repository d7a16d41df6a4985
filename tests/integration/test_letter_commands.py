"""`entitle dead-letters` as an operator calls it, on a real PostgreSQL that a misreading consumer has filled."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from consumers.batch import Recorder, take
from consumers.record import Record
from consumers.verdicts import Group, Positions
from entitlements import ledger
from entitlements.domain.facts import Fact
from entitlements.ledger import Position
from ops.catalog_commands import who
from ops.cli import entitle
from ops.processes import group
from ops.settings import BadSetting
from schemas.codec import CatalogApplied, InvalidMessage, Message, decode, encode_catalog, encode_stripe
from schemas.stripe_event import InvoiceStatus
from schemas.topics import CONSUMER_GROUPS, EVENTS, OPERATOR_COMMANDS
from tests.asking import NOW, SETTINGS_SCHEMA, Api, listening
from tests.pure_core import catalog
from tests.stripe_builders import events, paid

MISREAD = "line il_1 of invoice in_1 has no period"
BILLS = [paid(), paid(id="in_2", customer="cus_2")]


def log() -> list[Record]:
    """A catalog, two paid invoices, and what is no message."""
    applied = CatalogApplied(number=1, in_force_from=None, applied_by="ann", document=catalog())
    encoded = [(OPERATOR_COMMANDS, encode_catalog(applied, at=NOW))]
    encoded += [(EVENTS, encode_stripe(integration="main", event=each)) for each in events(*BILLS)]
    encoded += [(EVENTS, (b"k", b"{", [("ce_id", b"evt_bad"), ("ce_type", b"invoice.paid")]))]
    return [
        Record(
            topic=topic,
            partition=0,
            offset=offset if topic == EVENTS else 0,
            timestamp=1_780_000_000_000 + offset,
            key=key,
            value=value,
            headers=tuple(headers),
        )
        for offset, (topic, (key, value, headers)) in enumerate(encoded, start=-1)
    ]


def misreading(of: Group[Any]) -> Group[Any]:
    """The group in a version that can't read an invoice of which a line was paid."""

    def decide(message: Message) -> Sequence[Fact]:
        facts = of.decide(message)
        if any(getattr(fact, "status", None) == InvoiceStatus.PAID for fact in facts):
            raise InvalidMessage(MISREAD)
        return facts

    return replace(of, decide=decide)


def consume(engine: sa.Engine, *groups: Group[Any]) -> None:
    """As consumers would have, from the beginning of the log."""
    places = [(each.name, (topic, 0)) for each in groups for topic in CONSUMER_GROUPS[each.name]]
    held: Positions = {
        (name, place): Position(
            group=name, topic=place[0], partition=0, next_offset=0, cluster_id="cluster", topic_id="topic"
        )
        for name, place in places
    }
    with engine.begin() as connection:
        ledger.begin(connection, list(held.values()))
    take(Recorder(transaction=engine.begin, decode=decode, groups=groups, limit=100), log(), held)


@contextmanager
def misread(url: str) -> Iterator[Api]:
    """An API on what such a consumer has made of the log."""
    with listening(url) as api:
        consume(api.engine, misreading(group("grants")), group("revocations"), misreading(group("invoices")))
        yield api


def called(url: str, *arguments: str) -> Result:
    environment = {
        "ENTITLE_DATABASE_URL": url,
        "ENTITLE_SCHEMA": "public",
        "ENTITLE_SETTINGS_SCHEMA": SETTINGS_SCHEMA,
    }
    done = CliRunner(env=environment).invoke(entitle, ["dead-letters", *arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def answered(url: str, *arguments: str) -> Any:
    return json.loads(called(url, *arguments, "--json").stdout)


def open_letters(api: Api) -> dict[str, float]:
    """What `/metrics` says."""
    page = api.ask("GET", "/metrics").body
    lines = [line for line in page.splitlines() if line.startswith("entitle_dead_letters_open{")]
    return {line.split('"')[1]: float(line.rpartition(" ")[2]) for line in lines}


def test_a_misread_invoice_opens_its_api_once_its_letter_is_redriven(fresh_database: str) -> None:
    """Listed, shown, tried and done: the customer is denied before, and allowed after, in one transaction."""
    with misread(fresh_database) as api:
        asked = {"at": "2026-01-15T00:00:00Z"}
        before = api.reason("cus_1", **asked), open_letters(api)
        listed = answered(fresh_database, "list", "--group", "grants")["reasons"]
        [first, *_] = answered(fresh_database, "list", "--each", "--because", "no period")["letters"]
        shown = answered(fresh_database, "show", str(first["id"]))
        tried = called(fresh_database, "redrive", "--because", "no period", "--dry-run")
        still = api.reason("cus_1", **asked)
        done = called(fresh_database, "redrive", "--because", "no period")
        again = called(fresh_database, "redrive", "--group", "grants")
        after = api.reason("cus_1", **asked), open_letters(api)

    assert before == ("payment_required", {"grants": 3.0, "revocations": 1.0, "invoices": 3.0})
    assert [(each["count"], each["reason"][:12]) for each in listed] == [(2, MISREAD[:12]), (1, "the value is")]
    assert (first["event"], first["offset"], first["reason"]) == (json.loads(shown["value"])["id"], 1, MISREAD)
    assert "InvalidMessage" in shown["detail"]
    assert dict(shown["headers"])["ce_type"] == "invoice.paid"
    assert (tried.stdout.splitlines()[0], tried.exit_code, still) == ("4 letters: 4 recorded", 0, "payment_required")
    assert (done.stdout, done.exit_code) == ("4 letters: 4 recorded\n", 0)
    assert (again.stdout.splitlines()[0], again.exit_code) == ("1 letter: none read, 1 can't be read yet", 1)
    assert after == ("paid", {"grants": 1.0, "revocations": 1.0, "invoices": 1.0})


def test_what_is_given_up_is_kept_with_who_and_why(fresh_database: str) -> None:
    """It is open no longer, is there still, and can be redriven by its id."""
    with misread(fresh_database) as api:
        [bad] = answered(fresh_database, "list", "--each", "--group", "invoices", "--because", "not JSON")["letters"]
        done = answered(fresh_database, "discard", str(bad["id"]), "--reason", "a load test")
        left = open_letters(api)
        kept = answered(fresh_database, "show", str(bad["id"]))
        with pytest.raises(BadSetting, match=rf"not open: {bad['id']} \(discarded\)"):
            called(fresh_database, "discard", str(bad["id"]), "--reason", "twice")
        redriven = answered(fresh_database, "redrive", str(bad["id"]))["redriven"]

    assert done == {"discarded": [bad["id"]]}
    assert (left["invoices"], kept["state"]) == (2.0, "discarded")
    assert [(each["act"], each["reason"], each["by"]) for each in kept["done"]] == [("discarded", "a load test", who())]
    assert [each["came_to"] for each in redriven] == ["dead_letter"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("redrive",), "Say which letters"),
        (("discard", "--reason", "x"), "Say which letters"),
        (("discard", "1"), "--reason"),
        (("redrive", "1", "--group", "grants"), "not by both"),
        (("redrive", "4711"), "4711 (no such letter)"),
        (("show", "4711"), "there is no dead letter 4711"),
    ],
)
def test_what_is_unclear_is_said_and_nothing_is_done(
    fresh_database: str, arguments: tuple[str, ...], said: str
) -> None:
    """Nothing is chosen by default, and an id that is not open is named."""
    with misread(fresh_database) as api:
        try:
            done = called(fresh_database, *arguments)
            complaint, code = done.stderr, done.exit_code
        except BadSetting as error:
            complaint, code = str(error), 2
        left = open_letters(api)

    assert (code, said in complaint, left["grants"]) == (2, True, 3.0)
