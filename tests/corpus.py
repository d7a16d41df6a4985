"""
Stripe's JSON in public projects' test data, where it lies beside the project, and what the program does with each file.

Edge: files. Each goes the whole way, from the body that ingest is sent to the facts that the three consumers state.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from entitlements.domain.facts import Customer
from ingest.delivery import Ignore, Integration, NotAnEvent, Publish, Short, decide, record_of
from ingest.thin import Thin
from schemas.codec import StripeMessage, decode
from schemas.fields import InvalidMessage
from tests.pure_core import DECIDERS
from tests.stripe_builders import Json, event

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"

DELIVERED_AS = {
    "invoice": "invoice.updated",
    "credit_note": "credit_note.updated",
    "invoice_payment": "invoice_payment.paid",
}
"""How an object that was found by itself would come: in an event of a type that changes nothing of it."""


class Outcome(StrEnum):
    """What becomes of a file."""

    READ = "read"
    DECIDES_NOTHING = "decides nothing"
    NOT_TAKEN = "not taken"
    SET_ASIDE = "set aside"
    REFUSED = "refused"


class Realism(StrEnum):
    """How real a file is, in four words for the many of the index."""

    REAL = "real"
    OFFICIAL = "official"
    TEMPLATE = "template"
    FIXTURE = "fixture"


@dataclass(frozen=True, slots=True, kw_only=True)
class Specimen:
    """
    A file of the corpus. *kind* is `event`, or the object's; *type* the event's, or that of `DELIVERED_AS`.

    *version* is the API version that it is in, empty where neither it nor its source says. *why* says, without names,
    what is the matter with what was not read.
    """

    kind: str
    type: str
    version: str
    realism: Realism
    outcome: Outcome
    why: str


def specimens() -> Iterator[Specimen]:
    """Every file that the index names; none where there is no corpus."""
    index = CORPUS / "INDEX.tsv"
    if not index.is_file():
        return
    with index.open(encoding="utf-8") as rows:
        for row in csv.DictReader(rows, delimiter="\t"):
            found = json.loads((CORPUS / row["file"]).read_text(encoding="utf-8"))
            kind = row["kind"]
            whole = found if kind == "event" else event(DELIVERED_AS[kind], found, at="01-01", id="evt_of_an_object")
            outcome, why = outcome_of(whole)
            yield Specimen(
                kind=kind,
                type=str(whole.get("type")),
                version=row["api_version"],
                realism=_realism(row["realism"]),
                outcome=outcome,
                why=why,
            )


def outcome_of(whole: Json) -> tuple[Outcome, str]:
    """What becomes of an event that is sent to an integration of its own mode which takes its account, and why."""
    mode = "live" if whole.get("livemode") else "test"
    account = whole.get("account")
    accounts = frozenset({account} if isinstance(account, str) else ())
    integration = Integration(name="main", mode=mode, signing_secrets=(), accounts=accounts)  # type: ignore[arg-type]
    try:
        match decide(json.dumps(whole).encode(), integration, ""):
            case Ignore(event_type=name, reason=reason):
                return Outcome.NOT_TAKEN, f"{reason} {name}"
            case Publish() as published:
                return _consumed(published)
            case Short(event=short):
                return _consumed(record_of(dict(short), integration.name, None))
            case Thin():
                raise AssertionError("there are no thin events in the corpus yet: say what becomes of them")
    except NotAnEvent as error:
        return Outcome.REFUSED, str(error).removeprefix("the body is not a Stripe event: ")


def _consumed(published: Publish) -> tuple[Outcome, str]:
    """What the three groups make of a record: it is read where any states more than that a customer was named."""
    message = decode(published.topic, published.value, published.headers)
    assert isinstance(message, StripeMessage)
    try:
        facts = [fact for decider in DECIDERS for fact in decider(message)]
    except InvalidMessage as error:
        return Outcome.SET_ASIDE, NAMES.sub("", str(error))
    if any(not isinstance(fact, Customer) for fact in facts):
        return Outcome.READ, ""
    return Outcome.DECIDES_NOTHING, _why_nothing(message.event["data"]["object"])


def _why_nothing(body: Json) -> str:
    match body:
        case {"object": "invoice", "status": "draft" | "deleted"}:
            return "an invoice that is a draft, or was one until it was deleted"
        case {"object": "subscription"}:
            return "a subscription that has not ended: its status is no evidence of payment"
        case {"object": "charge", "amount_refunded": 0 | None}:
            return "a charge of which nothing was refunded"
        case {"object": "invoice_payment"}:
            return "an invoice payment that names no payment"
        case _:
            return f"an object of kind {body.get('object') or 'unknown'}"


NAMES = re.compile(r" (?:\(no id\)|[a-z]+_\w+)")
"""What names an object in a refusal: `invoice in_1 has no status`."""


def _realism(said: str) -> Realism:
    """In the index's own words: `real webhook …`, `official Stripe fixture …`, `Stripe dashboard … template`."""
    for words, realism in (
        ("real", Realism.REAL),
        ("official", Realism.OFFICIAL),
        ("Stripe dashboard", Realism.TEMPLATE),
    ):
        if said.startswith(words):
            return realism
    return Realism.FIXTURE
