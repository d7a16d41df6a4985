"""
`entitle complete`: fetches what records of the log lack, and publishes them whole. An edge: the command line.

Ingest does so by itself as long as it runs; this is for what was left when it ended, or before there was a key. What to
complete is in the database, the records are in the log, the rest is asked of Stripe; nothing is remembered in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click
from sqlalchemy import Engine

from consumers.log import Source
from consumers.record import Record
from entitlements.incomplete import IncompleteInvoice
from ingest.delivery import NotAnEvent
from ingest.fetching import Fetching
from ingest.publisher import KafkaPublisher
from ingest.stripe_api import NotFetched, Outcome
from ingest.under_way import Overloaded, PublishFailed
from ops import catalog_file, settings
from ops.incomplete_records import Lacking, chunks, in_log, lacking_lines, lacking_payments
from ops.inspect_commands import database
from ops.log_records import Address
from ops.processes import stripe_api
from ops.settings import Environment
from schemas.topics import EVENTS

AT_ONCE = 4
"""Records that are completed at once: it leaves ingest most of what Stripe allows in a second."""

OF_ITS_KEY = frozenset({Outcome.NO_KEY, Outcome.REFUSED, Outcome.LIMITED})
"""What comes of one question because of the integration's key, and so would come of its next."""

OF_STRIPE = frozenset({Outcome.UNREACHABLE, Outcome.LATE})
"""What comes of one question because of Stripe, and so would come of any next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of a record: where it is whole, or why it is not; *outcome* is of asking Stripe, if that failed."""

    lacking: Lacking
    at: Address | None = None
    why_not: str = ""
    outcome: Outcome | None = None

    @property
    def document(self) -> dict[str, Any]:
        """For programs."""
        of = {"integration": self.lacking.integration, "invoice": self.lacking.invoice, "event": self.lacking.event}
        if self.at is None:
            return {**of, "why_not": self.why_not}
        return {**of, **dict(zip(("topic", "partition", "offset"), self.at, strict=True))}

    @property
    def line(self) -> str:
        """For people."""
        of = f"{self.lacking.event} of invoice {self.lacking.invoice} ({self.lacking.integration})"
        if self.at is None:
            return f"not completed: {of}: {self.why_not}"
        topic, partition, offset = self.at
        return f"completed: {of}: {topic} {partition} @ {offset}"


@click.command()
@click.option(
    "--payments", "of_payments", is_flag=True, help="What paid invoices, where records are marked as lacking that."
)
@click.option("--json", "as_json", is_flag=True, help='{"invoices": n, "completed": [{"event": …}], "failed": […]}')
def complete(of_payments: bool, as_json: bool) -> None:
    """
    Fetch the lines that invoices in the log lack, and publish their events whole; exit 1 if some still lack them.

    With --payments: what paid them, in its place. To find out which lack that, it reads the records of every paid
    invoice that nothing links to a payment.

    Example: STRIPE_API_KEY=rk_live_… entitle complete
    """
    environment = Environment()
    catalog = catalog_file.load(settings.catalog_path(environment)).catalog
    source, engine = settings.kafka(environment), database()
    with contextlib.closing(stripe_api(environment, catalog)) as api:
        fetching = Fetching(api, lambda *_: None)
        found = lacking_payments(engine, source) if of_payments else lacking_lines(engine)

        def say(done: Done) -> None:
            if not as_json:
                click.echo(done.line)

        results = asyncio.run(_complete(fetching, engine, source, found, say))
    failed = [done for done in results if done.at is None]
    untried = len(found) - len({(done.lacking.integration, done.lacking.invoice) for done in results})
    if as_json:
        whole = [done.document for done in results if done.at is not None]
        told = {"invoices": len(found), "completed": whole, "failed": [done.document for done in failed]}
        click.echo(json.dumps(told))
    else:
        lack = "what paid them" if of_payments else "lines"
        click.echo(_summary(lack, len(found), len(results) - len(failed), len(failed), untried))
    sys.exit(1 if failed or untried else 0)


def _summary(lack: str, invoices: int, whole: int, failed: int, untried: int) -> str:
    if not invoices:
        return f"no invoice lacks {lack.replace('them', 'it')}"
    left = f"; of {untried} invoices nothing was tried" if untried else ""
    return f"{invoices} invoices lack {lack}: {whole} events completed, {failed} not{left}"


async def _complete(
    fetching: Fetching,
    engine: Engine,
    source: Source,
    invoices: Sequence[IncompleteInvoice],
    say: Callable[[Done], None],
) -> list[Done]:
    """What became of each record that was tried."""
    publisher = KafkaPublisher(source.bootstrap, EVENTS, security=source.security)

    async def found_in_log(some: Sequence[IncompleteInvoice]) -> list[tuple[Lacking, Record | None]]:
        return await asyncio.to_thread(in_log, engine, source, some)

    async def completed(lacking: Lacking, record: Record | None) -> Done:
        done = await _completed(fetching, publisher, lacking, record)
        say(done)
        return done

    await publisher.start()
    try:
        return await each_tried(invoices, found_in_log, completed)
    finally:
        await publisher.close()


async def each_tried(
    invoices: Sequence[IncompleteInvoice],
    found_in_log: Callable[[Sequence[IncompleteInvoice]], Awaitable[Sequence[tuple[Lacking, Record | None]]]],
    completed: Callable[[Lacking, Record | None], Awaitable[Done]],
) -> list[Done]:
    """
    What became of each record, `AT_ONCE` of them together.

    Where the key fails for all that are asked together, the rest of its integration is left; where Stripe does, all is.
    """
    results: list[Done] = []
    left: set[str] = set()
    for some in chunks(invoices):
        integration = some[0].integration
        records = [] if integration in left else await found_in_log(some)
        for start in range(0, len(records), AT_ONCE):
            done = await asyncio.gather(*(completed(*each) for each in records[start : start + AT_ONCE]))
            results += done
            if all(each.outcome in OF_STRIPE for each in done):
                return results
            if all(each.outcome in OF_ITS_KEY for each in done):
                left.add(integration)
                break
    return results


async def _completed(fetching: Fetching, publisher: KafkaPublisher, lacking: Lacking, record: Record | None) -> Done:
    if record is None or record.value is None or dict(record.headers).get("ce_id") != lacking.event.encode():
        return Done(lacking=lacking, why_not="the log has the record no longer; deliver the event again from Stripe")
    try:
        whole = await fetching.completed(record.value, list(record.headers), lacking.integration)
        at = await publisher.publish(key=whole.key, value=whole.value, headers=whole.headers)
    except NotFetched as error:
        return Done(lacking=lacking, why_not=str(error), outcome=error.outcome)
    except (NotAnEvent, Overloaded, PublishFailed) as error:
        return Done(lacking=lacking, why_not=str(error))
    return Done(lacking=lacking, at=(at.topic, at.partition, at.offset))
