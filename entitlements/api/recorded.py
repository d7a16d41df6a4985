"""The records of the log that an explanation rests on, and which of them belong to which invoice. Edge: Postgres."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from entitlements import evidence
from entitlements.domain.catalog import Revision
from entitlements.domain.explanation import Explanation
from entitlements.domain.traces import Traces
from entitlements.evidence import Stated


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """*stripe* are the records of Stripe's events, *operators* those of what operators did, *catalogs* of catalogs."""

    traces: Traces
    stripe: tuple[Stated, ...] = ()
    operators: tuple[Stated, ...] = ()
    catalogs: tuple[Stated, ...] = ()

    def about(self, invoice: str) -> tuple[Stated, ...]:
        """The events about an invoice, its payments, and the refunds, disputes and credit notes of these."""
        return tuple(record for record in self.stripe if invoice in self._invoices(record))

    @property
    def others(self) -> tuple[Stated, ...]:
        """What operators did, and the events that are of no invoice of the explanation."""
        return (*(record for record in self.stripe if not self._invoices(record)), *self.operators)

    def _invoices(self, record: Stated) -> frozenset[str]:
        linked = (self.traces.links[digest] for digest in record.facts if digest in self.traces.links)
        return self.traces.objects.get(record.about or "", frozenset()).union(linked)


def recorded(connection: Connection, integration: str, explanation: Explanation) -> Recorded:
    """What the log has of all that the explanation rests on."""
    traces = explanation.traces
    stripe = evidence.about(connection, integration=integration, objects={*traces.objects, *traces.ended})
    if traces.links:
        stripe += evidence.of_links(connection, integration=integration, links=traces.links)
    operators: tuple[Stated, ...] = ()
    if traces.messages:
        operators = evidence.of_messages(connection, integration=integration, messages=traces.messages)
    return Recorded(
        traces=traces,
        stripe=_in_order(record for record in stripe if _matters(record, traces)),
        operators=operators,
        catalogs=evidence.of_operators(connection, [message_of(each) for each in explanation.revisions]),
    )


def message_of(revision: Revision) -> str:
    """The id of the message that applied a catalog revision."""
    return f"catalog-{revision.number}"


def _in_order(records: Iterable[Stated]) -> tuple[Stated, ...]:
    """By `created` and place in the log, each once; what has no `created` comes last."""
    each_once = {evidence.address(record): record for record in records}
    return tuple(
        sorted(each_once.values(), key=lambda each: (each.created is None, each.created, evidence.address(each)))
    )


def _matters(record: Stated, traces: Traces) -> bool:
    """Much is said of a subscription that decides nothing: of it, only the end matters, and what was set aside."""
    if record.about in traces.objects or record.about not in traces.ended:
        return True
    return not traces.ends.isdisjoint(record.facts) or any(each.set_aside is not None for each in record.readings)
