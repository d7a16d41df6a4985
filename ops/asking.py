"""The program seen from outside, as Stripe and gateways see it: webhooks sent, questions asked. An edge: HTTP."""

from __future__ import annotations

import hashlib
import hmac
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from entitlements.api.answers import rfc3339

PATIENCE_S = 15.0
"""How long an answer is waited for, where nothing else is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What was answered: the HTTP status and the JSON of the body, empty where there was none."""

    status: int
    body: Mapping[str, Any]


class NoAnswer(Exception):
    """A listener of ours did not answer: the text says which, and why not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """Both listeners, what is needed to be let in, and for how long an answer is waited for."""

    ingest: str
    query: str
    token: str
    patience_s: float = PATIENCE_S

    def deliver(self, event: Mapping[str, Any], *, integration: str, secret: str, at: datetime) -> Told:
        """Send a Stripe event as Stripe does, signed at *at*."""
        body = json.dumps(event, indent=2).encode()
        headers = {"Content-Type": "application/json", "Stripe-Signature": signature(body, secret, at)}
        return self._ask("POST", f"{self.ingest}/webhooks/stripe/{integration}", body, headers)

    def evaluate(self, *, customer: str, api: str, at: datetime) -> Told:
        """Ask as a gateway does (AuthZEN), about a moment."""
        question = {
            "subject": {"type": "customer", "id": customer},
            "action": {"name": "invoke"},
            "resource": {"type": "api", "id": api},
            "context": {"time": rfc3339(at)},
        }
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        return self._ask("POST", f"{self.query}/access/v1/evaluation", json.dumps(question).encode(), headers)

    def explain(self, *, customer: str, api: str, at: datetime) -> Told:
        """Ask why, about a moment."""
        question = urllib.parse.urlencode({"customer": customer, "api": api, "at": rfc3339(at)})
        return self._ask("GET", f"{self.query}/v1/explain?{question}", None, {"Authorization": f"Bearer {self.token}"})

    def next_offsets(self) -> Mapping[str, Mapping[str, int]]:
        """How far each consumer group is, by `topic-partition`."""
        told = self._ask("GET", f"{self.query}/v1/progress", None, {"Authorization": f"Bearer {self.token}"})
        groups: Mapping[str, Mapping[str, int]] = told.body.get("groups", {})
        return groups

    def ready(self) -> tuple[str, ...]:
        """What is not ready yet, in words; nothing if all is."""
        waiting = []
        for name, url in (("ingest", self.ingest), ("query", self.query)):
            try:
                told = self._ask("GET", f"{url}/readyz", None, {})
            except NoAnswer:
                waiting.append(f"{name} does not answer yet")
            else:
                if told.status != 200:
                    waiting.append(f"{name}: {told.body.get('detail') or told.body.get('status') or told.status}")
        return tuple(waiting)

    def _ask(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Told:
        request = urllib.request.Request(url, data=body, headers=dict(headers), method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=self.patience_s) as answer:  # noqa: S310  # our own listeners' URLs
                return Told(status=answer.status, body=_json(answer.read()))
        except urllib.error.HTTPError as error:
            with error:
                return Told(status=error.code, body=_json(error.read()))
        except (OSError, urllib.error.URLError) as error:
            raise NoAnswer(f"{url} does not answer: {error}") from error


def signature(body: bytes, secret: str, at: datetime) -> str:
    """The `Stripe-Signature` header of a body signed at *at* (Stripe's scheme v1: HMAC-SHA256 of `t.body`)."""
    seconds = int(at.timestamp())
    digest = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def passed(
    next_offsets: Mapping[str, Mapping[str, int]], group_names: tuple[str, ...], place: str, offset: int
) -> bool:
    """Whether every group has passed the record at *offset* of *place* (`topic-partition`)."""
    return all(next_offsets.get(name, {}).get(place, 0) > offset for name in group_names)


def wait_for(what: Callable[[], bool], *, seconds: float, pause: Callable[[], None]) -> bool:
    """Whether *what* came true within about *seconds*; *pause* is called between two tries and should take 50 ms."""
    for _ in range(int(seconds / 0.05)):
        if what():
            return True
        pause()
    return what()


def _json(text: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
