"""The OpenAPI document is true: every page is in it, and answers what it says, whatever it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from prometheus_client import CollectorRegistry
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from entitlements.api.app import pages
from entitlements.api.metrics import Metrics
from entitlements.api.openapi import document
from tests.asking import ADMIN, ANY, NOW, Api, listening
from tests.asking_gateways import make
from tests.feeding import settled
from tests.mounting import Known
from tests.openapi_document import text
from tests.servers import new_database
from tests.stated import STORY

ROOT = Path(__file__).resolve().parents[2]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 25
TOO_LONG = (413, 414)
"""Refusals that schemathesis does not take for ones."""

AT_A_MOUNT = 3
"""Of each method; there are thirty-two of them."""

Operation = APIOperation[Any, Any, Any, Any]
OPERATIONS: list[Operation] = [
    each.ok() for each in schemathesis.openapi.from_dict(document()).get_all_operations() if isinstance(each, Ok)
]


@pytest.fixture(scope="module")
def api(database_url: str) -> Iterator[tuple[Api, str]]:
    """An API that whatever is asked may change, and a key that opens something."""
    with new_database(database_url) as url, listening(url, *STORY) as started:
        settled(started.engine, NOW)  # or /v1/changes would wait
        yield started, make(started, "orgs/initech").body["key"]


def test_the_document_in_docs_is_the_one_that_is_served(api: tuple[Api, str]) -> None:
    """`python -m tests.openapi_document > docs/openapi.json` writes it anew."""
    assert (ROOT / "docs" / "openapi.json").read_text(encoding="utf-8") == text()
    assert api[0].ask("GET", "/openapi.json").body == document()


def test_every_page_is_in_the_document_and_no_other() -> None:
    """With each of its methods; what the mounts are is in their own tests."""
    metrics = Metrics(CollectorRegistry())
    served = {
        (route.path, method.lower())
        for route in pages((), (), None, Known(), None, metrics, None)  # type: ignore[arg-type]
        for method in route.methods or ()
        if method != "HEAD"
    }
    told = {
        (path, method)
        for path, operations in document()["paths"].items()
        for method in operations
        if not path.startswith(("/v1/check", "/v1/ext-authz"))
    }

    assert told == served


@pytest.mark.parametrize("operation", OPERATIONS, ids=[each.label for each in OPERATIONS])
def test_pages_answer_what_the_document_says(api: tuple[Api, str], operation: Operation) -> None:
    """Status, content type, headers and body, for requests that fit the document."""
    is_mount = "gateways" in (operation.tags or ())
    assert asked(api, operation, GenerationMode.POSITIVE, AT_A_MOUNT if is_mount else EXAMPLES) >= 1


@pytest.mark.parametrize(
    "operation",
    [each for each in OPERATIONS if each.body or each.query],
    ids=[each.label for each in OPERATIONS if each.body or each.query],
)
def test_pages_refuse_what_the_document_does_not_allow(api: tuple[Api, str], operation: Operation) -> None:
    """And say so in a way that it allows."""
    assert asked(api, operation, GenerationMode.NEGATIVE, EXAMPLES, negative_data_rejection) >= 1


def asked(api: tuple[Api, str], operation: Operation, mode: GenerationMode, examples: int, *more: Any) -> int:
    """How many requests to an operation were made and found to be answered as they should be."""
    listener, key = api
    names = {name for scheme in operation.definition.raw.get("security", []) for name in scheme}
    headers = {"Authorization": f"Bearer {ADMIN if 'admin' in names else ANY}"}
    if "gateway" in names:
        headers = {"Entitlement-Gateway-Token": ANY, "X-Api-Key": key}
    made = 0

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: Case[Any]) -> None:
        nonlocal made
        response = case.call(base_url=f"http://127.0.0.1:{listener.port}", headers=headers, timeout=30)
        case.validate_response(response, checks=[*CHECKS, *(() if response.status_code in TOO_LONG else more)])
        made += 1

    ask()
    return made
