"""
`entitle demo`: plays the story against the whole pipeline, and says beside each answer what it should be. Edge: HTTP.

The webhooks are really signed and go in over HTTP; the answers come out over HTTP, as a gateway gets them.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from entitlements.api.answers import rfc3339
from ops import explained
from ops.asking import Edge, Told, passed, wait_for
from ops.story import Question, customer_of, story
from schemas.topics import CONSUMER_GROUPS

INTEGRATION = "main"
CATCH_UP_S = 30.0


class StoryFailed(Exception):
    """The story could not be told to its end: the text says where it stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a gateway was told, in short, and whether that was right: to be paid means to be told where."""

    status: int | None
    reason: str | None
    pay_at: str | None

    @classmethod
    def of(cls, told: Told) -> Answer:
        context = told.body.get("context", {})
        return cls(status=context.get("status"), reason=context.get("reason"), pay_at=context.get("pay_at"))

    def is_right(self, question: Question) -> bool:
        where = question.reason != "payment_required" or (self.pay_at or "").startswith("https://")
        return where and (self.status, self.reason) == (question.status, question.reason)

    def __str__(self) -> str:
        return f"{self.status} {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """The story on its way to one set of listeners."""

    edge: Edge
    secret: str
    console: Console
    pause: Callable[[], None]

    def play(self) -> int:
        """Tell it to two customers, and return how many answers were wrong."""
        name, other = (f"demo-{secrets.token_hex(6)}" for _ in range(2))
        wrong = self._told_in_order(name) + self._told_at_random(name, other)
        self._explained(name)
        if wrong:
            self.console.print(f"[bold red]{wrong} answers were wrong.[/]")
        else:
            self.console.print("[bold green]Every answer was as the rules say.[/]")
        return wrong

    def _told_in_order(self, name: str) -> int:
        wrong = 0
        customer = customer_of(name)
        for number, step in enumerate(story(name), 1):
            before = [self._ask(customer, question) for question in step.questions]
            self._deliver(step.events)
            after = [self._ask(customer, question) for question in step.questions]
            table = _table(f"{number}. {step.title}", "before", "after", "should be")
            for question, was, answer in zip(step.questions, before, after, strict=True):
                right = answer.is_right(question)
                wrong += not right
                table.add_row(*_asked(question), str(was), *_verdict(answer, question))
            self.console.print(table)
            for page in sorted({answer.pay_at for answer in after if answer.pay_at}):
                self.console.print(f"  to be paid at {page}", highlight=False)
        return wrong

    def _told_at_random(self, name: str, other: str) -> int:
        """Everything again, shuffled and doubled, to a second customer: its answers beside the first one's."""
        events = [event for step in story(other) for event in step.events] * 2
        random.SystemRandom().shuffle(events)
        self._deliver(events)
        number = len(story(other)) + 1
        title = f"{number}. The same {len(events) // 2} events, each sent twice and all shuffled, to a second customer"
        table = _table(title, "first customer", "second customer", "should be")
        wrong = 0
        for question in (question for step in story(other) for question in step.questions):
            first, second = (self._ask(customer_of(each), question) for each in (name, other))
            wrong += not (first.is_right(question) and second.is_right(question))
            table.add_row(*_asked(question), str(first), *_verdict(second, question))
        self.console.print(table)
        return wrong

    def _explained(self, name: str) -> None:
        """Why the story's last answer is as it is."""
        customer, question = customer_of(name), story(name)[-1].questions[-1]
        told = self.edge.explain(customer=customer, api=question.api, at=question.at)
        if told.status != 200:
            raise StoryFailed(f"the query listener answered HTTP {told.status}: {told.body.get('detail', '')}")
        asked = f"--customer {customer} --api {question.api} --at {rfc3339(question.at)}"
        self.console.print(Text(f"$ entitle explain {asked}", style="bold"))
        self.console.print(explained.shown(told.body))

    def _ask(self, customer: str, question: Question) -> Answer:
        told = self.edge.evaluate(customer=customer, api=question.api, at=question.at)
        if told.status != 200:
            raise StoryFailed(f"the query listener answered HTTP {told.status}: {told.body.get('detail', '')}")
        return Answer.of(told)

    def _deliver(self, events: Iterable[dict[str, Any]]) -> None:
        """Send the events and wait until every consumer group has passed the last of them."""
        last: dict[str, int] = {}
        for event in events:
            told = self.edge.deliver(event, integration=INTEGRATION, secret=self.secret, at=datetime.now(UTC))
            if told.status != 200 or told.body.get("status") != "published":
                raise StoryFailed(f"{event['type']} was answered {told.status} {dict(told.body)}")
            place = f"{told.body['topic']}-{told.body['partition']}"
            last[place] = max(told.body["offset"], last.get(place, -1))

        def caught_up() -> bool:
            reached = self.edge.next_offsets()
            return all(passed(reached, tuple(CONSUMER_GROUPS), place, offset) for place, offset in last.items())

        if not wait_for(caught_up, seconds=CATCH_UP_S, pause=self.pause):
            raise StoryFailed(
                f"the consumers did not reach {last} within {CATCH_UP_S:.0f} s: {self.edge.next_offsets()}"
            )


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", show_edge=False, pad_edge=False)
    for column in ("asked about", "API", *columns, ""):
        table.add_column(column, no_wrap=True)
    return table


def _asked(question: Question) -> tuple[str, str]:
    return f"{question.at:%d %b %H:%M}", question.api


def _verdict(answer: Answer, question: Question) -> tuple[str, str, str]:
    mark = "[green]right[/]" if answer.is_right(question) else "[bold red]WRONG[/]"
    return str(answer), f"{question.status} {question.reason}", mark
