"""A listener's health and metrics, as a probe and as Prometheus read them. Edge: HTTP."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from ops.settings import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Scraped:
    """A page of metrics; the samples by name and labels."""

    content_type: str
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]

    def value(self, name: str, **labels: str) -> float | None:
        """That sample's value; None where there is none."""
        return self.samples.get((name, frozenset(labels.items())))

    def total(self, name: str, **labels: str) -> float:
        """The sum over the samples of that name that have at least these labels."""
        return sum(
            value for (each, had), value in self.samples.items() if each == name and had >= frozenset(labels.items())
        )


def probe(address: Address | str, path: str) -> tuple[int, dict[str, Any]]:
    """Status and JSON of `/livez` or `/readyz`."""
    status, _, text = _get(address, path)
    return status, json.loads(text)


def scrape(address: Address | str) -> Scraped:
    """What `/metrics` says, with no token."""
    status, content_type, text = _get(address, "/metrics")
    assert status == 200, text
    samples = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    return Scraped(content_type=content_type, samples=samples)


def _get(address: Address | str, path: str) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection(str(address), timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.headers["content-type"], answer.read().decode()
    finally:
        connection.close()
