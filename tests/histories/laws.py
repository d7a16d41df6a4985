"""The two laws that every history keeps, however it is told and delivered; what breaks one is an AssertionError."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from entitlements.domain.catalog import Revisions
from entitlements.domain.decision import Decision
from tests.histories.deliveries import IN_ORDER, Arrival, Delivery, Sent, arranged, arrivals
from tests.histories.model import History
from tests.histories.oracle import Answer, Oracle
from tests.histories.program import ELSEWHERE, INTEGRATION, NOW, Program, messages_of
from tests.histories.rendering import Json, events_of
from tests.histories.strategies import APIS, CUSTOMERS, histories
from tests.histories.telling import in_words, moment, told


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Play:
    """A history, what happened *elsewhere* in another integration with the same ids, and how all of that arrives."""

    history: History
    elsewhere: History | None
    arrival: Arrival

    @property
    def events(self) -> list[Sent]:
        """All that Stripe tells, in order."""
        elsewhere = [] if self.elsewhere is None else events_of(self.elsewhere)
        told_elsewhere = [Sent(integration=ELSEWHERE, event=event) for event in elsewhere]
        return [Sent(integration=INTEGRATION, event=event) for event in events_of(self.history)] + told_elsewhere

    def delivery(self, arrival: Arrival) -> Delivery:
        """All of it as it arrives."""
        return arranged(arrival, self.events, len(messages_of(self.history)))

    def __repr__(self) -> str:
        return told(self.history, self.elsewhere, self.events, self.delivery(self.arrival))

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        printer.text(repr(self))


@st.composite
def plays(draw: st.DrawFn) -> Play:
    """The arrival first, so that it stays what it is while histories shrink."""
    arrival, history = draw(arrivals()), draw(histories())
    return Play(history=history, elsewhere=draw(histories()) if draw(st.integers(0, 7)) == 7 else None, arrival=arrival)


def check_laws(program: Program, play: Play) -> None:
    """Whatever the delivery, the facts are those of the in-order run; and the answers are the oracle's."""
    program.deliver(play.history, play.delivery(IN_ORDER))
    expected = program.tables()
    delivery = play.delivery(play.arrival)
    program.deliver(play.history, delivery)
    found = program.tables()
    astray = program.astray(delivery)
    assert not astray, "\n".join(astray)
    assert found == expected, _differing(json.loads(expected), json.loads(found))
    revisions = program.revisions()
    for customer in CUSTOMERS:
        check_answers(program, play.history, customer, revisions)


def check_answers(program: Program, history: History, customer: str, revisions: Revisions) -> None:
    """At every moment at which anything may change, and a second to either side, the answers are the oracle's."""
    oracle = Oracle(history, customer, int(NOW.timestamp()))
    moments = sorted({boundary + by for boundary in (*oracle.boundaries, int(NOW.timestamp())) for by in (-1, 0, 1)})
    questions = [(api, at) for api in APIS for at in (moments if api in oracle.apis else moments[:1])]
    decisions = program.answers(customer, questions, revisions)
    wrong = []
    for (api, at), decision in zip(questions, decisions, strict=True):
        wanted = oracle.answer(api, at)
        given = _as_answer(decision, wanted)
        if given != wanted:
            wrong.append(
                f"{customer}, {api}, {moment(at)}\n  oracle:  {in_words(wanted)}\n  program: {in_words(given)}"
            )
    assert not wrong, "\n".join(wrong[:3])


def _as_answer(decision: Decision, wanted: Answer) -> Answer:
    """A decision as the oracle puts it; of the invoices that may be named for it, it has to name one."""
    named = decision.invoice is None or decision.invoice in wanted.because
    return Answer(
        reason=decision.reason.value,
        until=None if decision.until is None else int(decision.until.timestamp()),
        quotas=tuple((quota.name, quota.limit) for quota in decision.quotas),
        because=wanted.because if named else frozenset({decision.invoice or ""}),
    )


def _differing(expected: Json, found: Json) -> str:
    """The first rows that are in one of the two only, or not the same in both: what they say, without what is null."""
    lines: list[str] = []
    for table in expected:
        in_order, delivered = ({row["digest"]: row for row in each[table] or []} for each in (expected, found))
        for digest in sorted(in_order.keys() | delivered.keys()):
            one, other = in_order.get(digest, {}), delivered.get(digest, {})
            if one != other:
                lines += [f"{table}:", f"  in order:  {_unlike(one, other)}", f"  delivered: {_unlike(other, one)}"]
    return "\n".join(lines[:9])


def _unlike(row: Json, other: Json) -> str:
    said = {name: value for name, value in row.items() if value is not None and value != other.get(name)}
    return ", ".join(f"{name}={value}" for name, value in said.items() if name != "digest") or "no such row"
