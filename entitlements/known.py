"""
What was known of a customer at a moment: as the log stood then, by when the broker had each record. Edge: Postgres.

A fact was known as soon as one record that states it was in the log, and `stated_at` is the smallest `created` among
the records that were: so a record that came later leaks nothing back, however old its event is. All this is in
`provenance`, and what facts say is in the tables of facts: the answer is exact, and Kafka need not be asked. What the
consumers had made of the log by then, and how far behind they were, is no part of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from entitlements import evidence
from entitlements.domain.acts import Block, ManualGrant, ManualRevocation, Unblock
from entitlements.domain.facts import CatalogRevision, Customer, CustomerFacts, Fact
from entitlements.evidence import Stated
from entitlements.reading import every_catalog_revision, facts_of
from entitlements.store import one_of_each_number

LISTS = tuple(each.name for each in fields(CustomerFacts) if each.name != "named")
"""The kinds of facts that a customer has."""

OBJECTS = ("invoice", "charge", "payment_intent", "refund", "dispute", "credit_note", "subscription")
"""What facts name that may be the object of the events that state them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What a record that came later said that was not known, or not since as early."""

    record: Stated
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """
    What was known of a customer, what came later, in the order of the log's times, and the facts of which no record is
    known, so that nobody can say when they came.
    """

    facts: CustomerFacts
    learnt: tuple[Learnt, ...]
    undated: tuple[Fact, ...]


def records_of(connection: Connection, integration: str, customer: str, facts: CustomerFacts) -> tuple[Stated, ...]:
    """Every record that states one of these facts, each once."""
    every: tuple[Fact, ...] = tuple(fact for name in LISTS for fact in getattr(facts, name))
    objects = {getattr(fact, name, None) for fact in every for name in OBJECTS} | {customer}
    acts = [fact.id for fact in every if isinstance(fact, ManualGrant | ManualRevocation | Block | Unblock)]
    links = [link.digest for link in facts.payment_links]
    found = [*evidence.about(connection, integration=integration, objects=[each for each in objects if each])]
    if links:
        found += evidence.of_links(connection, integration=integration, links=links)
    if acts:
        found += evidence.of_messages(connection, integration=integration, messages=acts)
    return tuple({evidence.address(each): each for each in found}.values())


def known_of(connection: Connection, integration: str, customer: str, at: datetime) -> Known:
    """What was known of the customer at that moment, and what has been learnt since."""
    facts = facts_of(connection, integration=integration, customer=customer)
    records = records_of(connection, integration, customer, facts)
    name = Customer(integration=integration, customer=customer)
    if facts.named and not any(name.digest in each.facts and _was_there(each, at) for each in records):
        # The one fact that may rest on records of objects that no other fact names, such as a subscription's.
        records += evidence.naming(connection, customer, integration=integration)
    return as_of(facts, name, records, at)


def as_of(facts: CustomerFacts, name: Customer, records: Iterable[Stated], at: datetime) -> Known:
    """The same, from all *records* that state something about the customer."""
    stating: dict[bytes, list[Stated]] = {}
    for record in records:
        for digest in record.facts:
            stating.setdefault(digest, []).append(record)
    lists: dict[str, Any] = {}
    later: dict[tuple[str, int, int], list[Fact]] = {}
    undated: list[Fact] = []
    for each in LISTS:
        then: list[Fact] = []
        for fact in getattr(facts, each):
            by = stating.get(fact.digest, [])
            if not by:
                undated.append(fact)
                continue
            was = _as_of(fact, by, at)
            then += [] if was is None else [was]
            for record in _news(was, by, at):
                later.setdefault(evidence.address(record), []).append(fact)
        lists[each] = tuple(then)
    naming = stating.get(name.digest, [])
    named = any(_was_there(record, at) for record in naming)
    by_address = {evidence.address(record): record for some in stating.values() for record in some}
    learnt = [Learnt(record=by_address[place], facts=tuple(said)) for place, said in later.items()]
    return Known(
        facts=CustomerFacts(named=named, **lists),
        learnt=tuple(sorted(learnt, key=lambda each: (each.record.appended_at, evidence.address(each.record)))),
        undated=tuple(undated),
    )


def revisions_known(connection: Connection, at: datetime) -> tuple[CatalogRevision, ...]:
    """The catalog revisions that counted then, by number."""
    every = every_catalog_revision(connection)
    records = evidence.of_operators(connection, [message_of(each.number) for each in every])
    there: Mapping[bytes, bool] = {digest: True for each in records if _was_there(each, at) for digest in each.facts}
    return one_of_each_number(each for each in every if each.digest in there)


def message_of(number: int) -> str:
    """The id of the message that applied a catalog revision."""
    return f"catalog-{number}"


def _as_of(fact: Fact, records: Sequence[Stated], at: datetime) -> Fact | None:
    """The fact as it was known: None where no record was there, else since the earliest event among those that were."""
    there = [record for record in records if _was_there(record, at)]
    if not there:
        return None
    created = [record.created for record in there if record.created is not None]
    if not created or not hasattr(fact, "stated_at"):
        return fact
    dated: Any = fact  # not every kind of fact has the moment, so its type has not
    return replace(dated, stated_at=min(created))  # type: ignore[no-any-return]


def _news(was: Fact | None, records: Iterable[Stated], at: datetime) -> Iterable[Stated]:
    """The records that came later and said something: the first of all, and each that knew it to be older."""
    since = None if was is None else getattr(was, "stated_at", None)
    is_known = was is not None
    later = [record for record in records if not _was_there(record, at)]
    for record in sorted(later, key=lambda each: (each.appended_at, evidence.address(each))):
        is_older = since is not None and record.created is not None and record.created < since
        if not is_known or is_older:
            yield record
            since = record.created if since is None or is_older else since
            is_known = True


def _was_there(record: Stated, at: datetime) -> bool:
    """A record without its time, which the broker always gives, is taken to have been there."""
    return record.appended_at is None or record.appended_at <= at
