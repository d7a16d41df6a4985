"""Explanations of what events and operators say, as values, as JSON and on a terminal, from the pure core. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from rich.console import Console

from consumers.provenance import shown_by
from entitlements.api.explained import document
from entitlements.api.recorded import Recorded
from entitlements.api.subjects import Subject, SubjectType
from entitlements.domain.access import Scope, apis_of, standing
from entitlements.domain.catalog import Revisions
from entitlements.domain.explanation import Explanation
from entitlements.domain.facts import Fact
from entitlements.domain.what_if import Case
from entitlements.domain.why import explain
from entitlements.evidence import Reading, Stated
from entitlements.ledger import Outcome
from ops.explained import shown
from schemas.codec import Message, StripeMessage
from schemas.operator_acts import OperatorAct
from schemas.topics import EVENTS, OPERATOR_COMMANDS
from tests.pure_core import DECIDERS, INTEGRATION, Memory, catalog, facts_of, remember, revisions
from tests.stripe_builders import CUSTOMER, Bill, Json, events, on

NOW = "12-31"

TERMINAL_WIDTH = 100

Known = Bill | Json | OperatorAct
"""What can become known: what became of an invoice, another event of Stripe's, what an operator did."""


def messages(known: Iterable[Known]) -> list[Message]:
    """What travels: Stripe's events, those about invoices first, then what operators did."""
    everything = list(known)
    about_invoices = events(*(each for each in everything if isinstance(each, Bill)))
    others = [each for each in everything if isinstance(each, dict)]
    acts = [each for each in everything if not isinstance(each, Bill | dict)]
    return [*(StripeMessage(integration=INTEGRATION, event=each) for each in (*about_invoices, *others)), *acts]


def case_of(
    *known: Known,
    at: str,
    api: str = "orders",
    terms: Revisions | None = None,
    customer: str = CUSTOMER,
    scope: Scope | None = None,
) -> Case:
    """A question about *api* at a moment, all of this being known."""
    memory: Memory = {}
    for message in messages(known):
        for decide in DECIDERS:
            remember(memory, decide(message))
    facts = facts_of(memory, customer)
    scope = scope or Scope(integration=INTEGRATION)
    terms = terms or revisions(catalog())
    there = standing(facts, scope, terms)
    apis = apis_of(there, scope, terms, on(NOW))
    return Case(facts=facts, standing=there, scope=scope, revisions=terms, known_apis=apis, api=api, at=on(at))


def explained(*known: Known, now: str | None = None, customer: str = CUSTOMER, **asked: Any) -> Explanation:
    """Why the answer is as it is; *asked* as `case_of` takes it, *now* (None: the moment asked about) when it is."""
    case = case_of(*known, customer=customer, **asked)
    return explain(case, customer, case.at if now is None else on(now))


def told(explanation: Explanation) -> list[str]:
    """How each grant spoke, those that spoke marked: `"* il_1 paid"`."""
    return [f"{'*' if grant.spoke else '-'} {grant.cycle.line.id} {grant.how}" for grant in explanation.grants]


def stated(*known: Known) -> tuple[Stated, ...]:
    """The records of partition 0 of each topic that carry all this, in order, as the three groups have read them."""
    offsets: dict[str, Iterator[int]] = defaultdict(count)
    found = (_stated(message, offsets) for message in messages(known))
    return tuple(sorted(found, key=lambda each: (each.created or on(NOW), each.topic, each.offset)))


def _stated(message: Message, offsets: Mapping[str, Iterator[int]]) -> Stated:
    topic = EVENTS if isinstance(message, StripeMessage) else OPERATOR_COMMANDS
    offset = next(offsets[topic])
    shown = shown_by(message)
    event = f"evt_{offset}" if topic == EVENTS else shown["event_id"]
    return Stated(
        integration=shown["integration"],
        event=event,
        type=shown["event_type"],
        created=shown["event_created"],
        about=shown["object_id"],
        topic=topic,
        partition=0,
        offset=offset,
        appended_at=on(NOW),
        readings=tuple(_reading(name, decide, message) for name, decide in zip(GROUPS, DECIDERS, strict=True)),
    )


def log_of(explanation: Explanation, *known: Known) -> Recorded:
    """What is found in the log for an explanation, where all this is in it."""
    traces, records = explanation.traces, stated(*known)
    objects = {*traces.objects, *traces.ended}
    return Recorded(
        traces=traces,
        stripe=tuple(each for each in records if each.about in objects or not each.facts.isdisjoint(traces.links)),
        operators=tuple(each for each in records if each.event in traces.messages),
    )


GROUPS = ("grants", "revocations", "invoices")
"""The consumer groups, in the order of `DECIDERS`."""


def _reading(group: str, decide: Callable[[Message], Sequence[Fact]], message: Message) -> Reading:
    facts = frozenset(fact.digest for fact in decide(message))
    outcome = Outcome.RECORDED if facts else Outcome.IGNORED
    return Reading(group=group, outcome=outcome, facts=facts, recorded_at=on(NOW), set_aside=None)


def document_of(*known: Known, **asked: Any) -> dict[str, Any]:
    """An explanation with its evidence, as programs are given it."""
    explanation = explained(*known, **asked)
    log = log_of(explanation, *known)
    return document(explanation, Subject(type=SubjectType.CUSTOMER, id="cus_1"), "cus_1", log)


def text(*known: Known, **asked: Any) -> str:
    """What is shown of an explanation, without the spaces at the ends of lines."""
    found = document_of(*known, **asked)
    console = Console(width=TERMINAL_WIDTH, color_system=None)
    with console.capture() as captured:
        console.print(shown(found))
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
