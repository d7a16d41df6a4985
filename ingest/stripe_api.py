"""
Stripe's API for an event loop: what an integration's restricted key may read, asked in threads. Edge: HTTP.

The library is synchronous as it is installed, so each question takes one of a few threads; the loop only waits, and no
longer than it likes: a thread that Stripe leaves hanging is let go of, and comes back by its own timeouts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import Any, Protocol

import msgspec
import stripe
from stripe import RequestsClient, StripeClient, StripeError

from ingest.questions import PLAIN, Question
from schemas.fields import Json

AT_ONCE = 16
"""Questions that are with Stripe at once; at 0.3 s each that is half of what it allows in a second."""

CONNECT_SECONDS = 1.0
READ_SECONDS = 2.5
"""Longest silence of Stripe before and within an answer."""

RETRIES = 1
"""Half a second later, after a broken connection or a 5xx: the webhook itself would come again only minutes later."""

NEWEST_VERSION = stripe.api_version
"""The API version that the library speaks where none is asked for."""

stripe.enable_telemetry = False  # else it writes a file into the home folder, and tells Stripe about the machine


class Outcome(StrEnum):
    """What became of a question."""

    FETCHED = "fetched"
    NO_KEY = "no_key"
    REFUSED = "refused"
    MISSING = "missing"
    LIMITED = "limited"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    LATE = "late"
    BUSY = "busy"
    MALFORMED = "malformed"


class NotFetched(Exception):
    """
    Stripe did not give what was asked for. The text says why and what an operator can do; no key, no payload.

    Ask again later, but for `NO_KEY` and `REFUSED`, which wait for an operator.
    """

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome


class Api(Protocol):
    """Who is asked; `StripeApi` in production."""

    def version(self, integration: str) -> str: ...
    def has_key(self, integration: str) -> bool: ...
    async def get(self, integration: str, question: Question, **parameters: str | int) -> Json: ...


class StripeApi:
    """
    Stripe's API by the keys of the integrations that have one, in the API versions that they name (else the library's).

    *address* is where it is, `https://…`; None is Stripe's own.
    """

    __slots__ = ("_clients", "_threads", "_versions")

    def __init__(
        self, keys: Mapping[str, str], versions: Mapping[str, str | None], *, address: str | None = None
    ) -> None:
        # At INFO the library writes what Stripe says of an error, which quotes the key; at DEBUG whole objects.
        library = logging.getLogger("stripe")
        library.setLevel(max(library.getEffectiveLevel(), logging.WARNING))
        self._versions = {name: version or NEWEST_VERSION for name, version in versions.items()}
        connections = RequestsClient(timeout=(CONNECT_SECONDS, READ_SECONDS))  # a session for each thread
        self._clients = {
            name: StripeClient(
                key,
                stripe_version=self.version(name),
                base_addresses={} if address is None else {"api": address},
                max_network_retries=RETRIES,
                http_client=connections,
            )
            for name, key in keys.items()
        }
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="stripe")

    def version(self, integration: str) -> str:
        """The API version that its objects are fetched in."""
        return self._versions.get(integration, NEWEST_VERSION)

    def has_key(self, integration: str) -> bool:
        """Whether it can ask at all."""
        return integration in self._clients

    async def get(self, integration: str, question: Question, **parameters: str | int) -> Json:
        """The object that Stripe answers; raises `NotFetched`, within seconds where Stripe is away."""
        client = self._clients.get(integration)
        if client is None:
            detail = f"the integration {integration} has no key for Stripe's API: name one in the catalog (api_key_env)"
            raise NotFetched(Outcome.NO_KEY, detail)
        if PLAIN.fullmatch(question.path) is None:
            raise NotFetched(Outcome.MALFORMED, "an id in the event is not one that Stripe's API can be asked for")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _get, client, question, parameters)

    def close(self) -> None:
        """Take no more questions; those that are with Stripe end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _get(client: StripeClient, question: Question, parameters: Mapping[str, Any]) -> Json:
    """On a thread of its own. What the library says of an error may hold part of the key or of the payload."""
    options = {
        "stripe_version": question.version,
        "stripe_account": question.account,
        "stripe_context": question.context,
    }
    given = {name: value for name, value in options.items() if value is not None}
    try:
        answer = client.raw_request("get", question.path, **given, **dict(question.parameters), **parameters)
        # Not `answer.data`: its objects are of another type than dict, which redaction does not look into.
        found = msgspec.json.decode(answer.body)
    except StripeError as error:
        raise _not_fetched(error) from None
    except (ValueError, RecursionError):  # not JSON, not UTF-8, nested too deeply
        raise NotFetched(Outcome.MALFORMED, "what Stripe's API answered is not JSON") from None
    if not isinstance(found, dict):
        raise NotFetched(Outcome.MALFORMED, "what Stripe's API answered is not an object")
    return found


def _not_fetched(error: StripeError) -> NotFetched:
    match error.http_status:
        case None:
            return NotFetched(Outcome.UNREACHABLE, "Stripe's API did not answer")
        case 401 | 403:
            detail = f"Stripe's API refused the key ({error.http_status}): compare it, its account and what it may read"
            return NotFetched(Outcome.REFUSED, detail)
        case 404:
            detail = "Stripe's API has no such object (404): it was deleted, or the key is of another account or mode"
            return NotFetched(Outcome.MISSING, detail)
        case 429:
            return NotFetched(Outcome.LIMITED, "Stripe's API is asked too often (429)")
        case status if status >= 500:
            return NotFetched(Outcome.FAILED, f"Stripe's API failed ({status})")
        case status if status >= 300:
            return NotFetched(Outcome.REFUSED, f"Stripe's API refused the question ({status})")
        case _:
            return NotFetched(Outcome.MALFORMED, "what Stripe's API answered is not JSON")
