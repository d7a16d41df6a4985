"""
The command line of operators on a log, a database that the consumers fill from it, and the query API on that.

Edge: Kafka, Postgres, HTTP.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from click.testing import CliRunner, Result

from consumers.extent import ends_of
from consumers.log import Source
from consumers.runner import run
from ops.cli import entitle
from ops.processes import group
from schemas.operator_acts import rfc3339
from schemas.topics import CONSUMER_GROUPS, EVENTS, OPERATOR_COMMANDS
from tests.asking import SETTINGS_SCHEMA, Answer, Api


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A log, a database that the consumers fill from it, and the query API on it."""

    source: Source
    url: str
    api: Api

    def entitle(self, *arguments: str) -> Result:
        """The command line; what it raises is raised here."""
        return called(self.source, *arguments, ENTITLE_DATABASE_URL=self.url)

    def said(self, *arguments: str) -> dict[str, Any]:
        """What a command has published, as it says with --json."""
        published = json.loads(self.entitle(*arguments, "--json").stdout)["published"]
        assert isinstance(published, dict)
        return published

    def consume(self) -> None:
        """All groups read the log to its end."""
        until = ends_of(self.source, [EVENTS, OPERATOR_COMMANDS])
        run([group(name) for name in CONSUMER_GROUPS], self.source, self.api.engine, "public", until=until)

    def answer(self, customer: str, api: str = "orders", *, after: timedelta = timedelta(hours=1)) -> Answer:
        """What a gateway is told about a moment *after* now, once the consumers have read everything."""
        self.consume()
        return self.api.evaluate(customer, api, at=rfc3339(datetime.now(UTC) + after))

    def reason(self, customer: str, api: str = "orders", **asked: Any) -> str:
        return str(self.answer(customer, api, **asked).body["context"]["reason"])


def called(source: Source, *arguments: str, **more: str) -> Result:
    environment = {
        "ENTITLE_KAFKA": source.bootstrap,
        "ENTITLE_SCHEMA": "public",
        "ENTITLE_SETTINGS_SCHEMA": SETTINGS_SCHEMA,
        **more,
    }
    done = CliRunner(env=environment).invoke(entitle, list(arguments))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done
