"""Where an event's or a customer's records are: by provenance, else by reading the log. Edge: Kafka, Postgres."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import closing

from sqlalchemy import Connection

from consumers.log import Source
from consumers.provenance import shown_by
from consumers.record import Record
from entitlements import evidence, known
from entitlements.evidence import address
from entitlements.reading import facts_of
from entitlements.replays import Span
from ops.log_records import Address, records_in
from schemas.codec import InvalidMessage, decode

AT_ONCE = 500


def recorded_of_events(connection: Connection, events: Collection[str]) -> frozenset[Address]:
    """The records that carry one of these events or operators' messages, as far as provenance has them."""
    return frozenset(address(each) for each in evidence.carrying(connection, events))


def recorded_of_customer(connection: Connection, customer: str) -> frozenset[Address]:
    """
    The records that name the customer or state something about its payments, in any integration, as far as provenance
    has them.
    """
    naming = evidence.naming(connection, customer)
    found = {address(each) for each in naming}
    for integration in {each.integration for each in naming if each.integration is not None}:
        facts = facts_of(connection, integration=integration, customer=customer)
        found |= {address(each) for each in known.records_of(connection, integration, customer, facts)}
    return frozenset(found)


def scanned(
    source: Source, spans: Sequence[Span], matches: Callable[[Record], bool], on_records: Callable[[int], None]
) -> frozenset[Address]:
    """The records of *spans* that match; *on_records* is told how many were looked at. Raises `LogUnavailable`."""
    found: set[Address] = set()
    seen = 0
    start = spans[0].start if spans else 0
    with closing(records_in(source, spans, first=0, next_offset=start, most=AT_ONCE)) as reading:
        for _, _, records in reading:
            found |= {(each.topic, each.partition, each.offset) for each in records if matches(each)}
            seen += len(records)
            on_records(seen)
    return frozenset(found)


def carries(events: Collection[str]) -> Callable[[Record], bool]:
    """Whether a record carries one of these events, by its headers."""
    ids = {each.encode() for each in events}
    return lambda record: dict(record.headers).get("ce_id") in ids


def names(customer: str) -> Callable[[Record], bool]:
    """
    Whether a record names the customer, by its key or in its object. One that names a payment alone does not: it is
    only found by provenance.
    """

    def does(record: Record) -> bool:
        if record.key == customer.encode():
            return True
        try:
            message = decode(record.topic, record.value, record.headers)
        except InvalidMessage:
            return False
        return bool(shown_by(message)["customer"] == customer)

    return does
