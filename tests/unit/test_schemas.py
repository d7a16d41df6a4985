"""The contracts as data: whole, backed by examples, and asking for exactly what the readers need."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entitlements.domain.catalog_document import read_catalog
from ingest.delivery import is_published
from ingest.redaction import redacted
from schemas.access_change import ACCESS_CHANGED, AccessChange, encode_access_change
from schemas.codec import CATALOG_APPLIED, CatalogApplied, Message, StripeMessage, decode, decode_change
from schemas.fields import InvalidMessage
from schemas.operator_acts import ACT_TYPES
from schemas.stripe_event import InvoiceStatus, read_invoice
from schemas.topics import CHANGES, EVENTS, OPERATOR_COMMANDS
from tests.contracts import Contract, contracts, faults
from tests.house_rules.files import ROOT

FOLDER = ROOT / "schemas"
KNOWN = {(contract.message, contract.version): contract for contract in contracts(FOLDER)}
STRIPE_EVENT = KNOWN["stripe-event", 1]
CATALOG = KNOWN["catalog-applied", 1]

TYPES: dict[type, str] = {CatalogApplied: CATALOG_APPLIED, **ACT_TYPES, AccessChange: ACCESS_CHANGED}
NAMES = {StripeMessage: "stripe-event"} | {
    kind: ce_type.removeprefix("entitle.").removesuffix(".v1").replace(".", "-") for kind, ce_type in TYPES.items()
}
HEADERS = {"stripe-event": [("ce_integration", b"main")]} | {
    NAMES[kind]: [("ce_type", ce_type.encode())] for kind, ce_type in TYPES.items()
}
TOPICS = {"stripe-event": EVENTS} | {NAMES[kind]: OPERATOR_COMMANDS for kind in TYPES}
TOPICS[NAMES[AccessChange]] = CHANGES

EXAMPLES = [
    pytest.param(contract, example, id=f"{contract.name}/{name}")
    for contract in KNOWN.values()
    for name, example in contract.examples.items()
]


def read(contract: Contract, value: Any) -> Message | AccessChange:
    """*value* as its readers read it, as far as the schema promises to them; raises `InvalidMessage`."""
    topic, written, headers = TOPICS[contract.message], json.dumps(value).encode(), HEADERS[contract.message]
    if topic == CHANGES:
        return decode_change(written, headers)
    message = decode(topic, written, headers)
    if isinstance(message, StripeMessage):
        assert message.head
        read_invoice(message.event)
    return message


def is_readable(contract: Contract, value: Any) -> bool:
    try:
        read(contract, value)
    except InvalidMessage:
        return False
    return True


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one contract that is whole: `ping`, version 1."""
    write(tmp_path, "json/ping.v1.schema.json", {"type": "object", "required": ["id"]})
    write(tmp_path, "examples/ping/v1/first.json", {"id": 1, "more": 2})
    return tmp_path


def write(folder: Path, place: str, value: Any) -> None:
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_text(json.dumps(value))


def test_the_contracts_are_whole() -> None:
    """Schemas and examples belong together, versions have no gaps, newer versions read what older ones wrote."""
    assert faults(FOLDER) == []


def test_every_message_has_a_contract() -> None:
    """What the codec can read has a schema, and there is none for anything else."""
    assert NAMES.keys() == {*get_args(Message), AccessChange}
    assert set(NAMES.values()) == {message for message, _ in KNOWN}


@pytest.mark.parametrize(("contract", "example"), EXAMPLES)
def test_an_example_is_read(contract: Contract, example: Any) -> None:
    """Every example is what the codec and the readers take, on the topic that its schema names."""
    assert contract.schema["x-topic"] == TOPICS[contract.message]
    headers = {name: value.decode() for name, value in HEADERS[contract.message]}
    assert contract.schema["x-headers"].keys() == headers.keys()
    assert contract is STRIPE_EVENT or contract.schema["x-headers"] == headers
    assert NAMES[type(read(contract, example))] == contract.message


@pytest.mark.parametrize("name", KNOWN["access-changed", 1].examples)
def test_an_access_change_is_written_as_it_was_read(name: str) -> None:
    """Its key and headers name it, and what is written again says the same."""
    example = KNOWN["access-changed", 1].examples[name]
    change = decode_change(json.dumps(example).encode(), HEADERS["access-changed"])

    key, written, headers = encode_access_change(change)
    assert key.decode() == f"{example['integration']}|{example['customer']}"
    assert dict(headers)["ce_seq"] == str(example["seq"]).encode()
    assert decode_change(written, headers) == change


@pytest.mark.parametrize("name", STRIPE_EVENT.examples)
def test_a_stripe_example_is_as_it_travels(name: str) -> None:
    """An example is of a type that ingest publishes, named for it, and holds no personal data."""
    example = STRIPE_EVENT.examples[name]

    assert is_published(example["type"])
    assert name.startswith(f"{example['type']}.")
    assert redacted(deepcopy(example))[0] == example


@pytest.mark.parametrize("name", CATALOG.examples)
def test_a_catalog_example_is_a_catalog(name: str) -> None:
    """The document of an example has no mistake."""
    _, mistakes = read_catalog(CATALOG.examples[name]["document"])

    assert mistakes == ()


def test_the_examples_show_every_status() -> None:
    """There is an invoice of every status among the examples."""
    shown = {example["data"]["object"].get("status") for example in STRIPE_EVENT.examples.values()}

    assert set(InvoiceStatus) <= shown


def test_two_shapes_of_one_event_are_read_alike() -> None:
    """The same invoice in the old shape, the new one, and both at once is one invoice."""
    shapes = ("2022-11-15", "2025-05-28.basil", "2022-11-15-rendered-today")
    old, new, both = (read_invoice(STRIPE_EVENT.examples[f"invoice.paid.{shape}.json"]) for shape in shapes)

    assert old is not None
    assert new is not None
    assert both == old
    assert (new.id, new.status, new.subscription, new.paid_at) == (old.id, old.status, old.subscription, old.paid_at)
    assert [line.price for line in new.lines] == [line.price for line in old.lines] == ["price_enterprise"]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a JSON value: what holds it, and its key or index there."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


ANYTHING = st.sampled_from(
    (None, True, False, 0, 1, -1, 2**63 - 1, 2**63, -(2**63), 10**12, 0.5, "", "x", "2", [], ["x"], {}, {"id": "x"})
)


@pytest.mark.parametrize("contract", KNOWN.values(), ids=lambda contract: contract.name)
@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_a_schema_asks_for_what_the_readers_need(contract: Contract, data: st.DataObject) -> None:
    """However an example is changed, its schema takes it exactly where the readers can read it."""
    changed = deepcopy(contract.examples[data.draw(st.sampled_from(sorted(contract.examples)))])
    for _ in range(data.draw(st.integers(1, 2))):
        holder, key = data.draw(st.sampled_from(list(places(changed))))
        if data.draw(st.booleans()):
            holder[key] = deepcopy(data.draw(ANYTHING))
        else:
            del holder[key]

    assert (contract.fault(changed) is None) == is_readable(contract, changed)


def broken_example(folder: Path) -> None:
    write(folder, "examples/ping/v1/second.json", {"number": 1})


def incompatible_version(folder: Path) -> None:
    write(folder, "json/ping.v2.schema.json", {"type": "object", "required": ["id", "name"]})
    write(folder, "examples/ping/v2/first.json", {"id": 1, "name": "a"})


def schema_without_example(folder: Path) -> None:
    write(folder, "json/pong.v1.schema.json", {"type": "object"})


def example_without_schema(folder: Path) -> None:
    write(folder, "examples/pong/v1/first.json", {})


def example_of_no_version(folder: Path) -> None:
    write(folder, "examples/ping/v2/first.json", {"id": 1})


def gap(folder: Path) -> None:
    write(folder, "json/ping.v3.schema.json", {"type": "object"})
    write(folder, "examples/ping/v3/first.json", {"id": 1})


def misnamed_schema(folder: Path) -> None:
    write(folder, "json/ping-1.json", {"type": "object"})


def misspelt_schema(folder: Path) -> None:
    write(folder, "json/ping.v1.schema.json", {"type": "objekt"})


PLANTED = [
    (broken_example, "ping.v1 refuses the example ping.v1/second.json: $: 'id' is a required property"),
    (incompatible_version, "ping.v2 refuses the example ping.v1/first.json: $: 'name' is a required property"),
    (schema_without_example, "pong.v1 has no example"),
    (example_without_schema, "examples/pong/v1/first.json is an example of no schema"),
    (example_of_no_version, "examples/ping/v2/first.json is an example of no schema"),
    (gap, "ping has the versions [1, 3]: they must run 1, 2, 3"),
    (misnamed_schema, "json/ping-1.json is not named <message>.v<number>.schema.json"),
    (misspelt_schema, "ping.v1 is no JSON Schema: $.type: 'objekt' is not valid under any of the given schemas"),
]


@pytest.mark.parametrize(("plant", "fault"), PLANTED, ids=lambda each: getattr(each, "__name__", ""))
def test_a_planted_fault_is_found(folder: Path, plant: Callable[[Path], None], fault: str) -> None:
    """A folder that is whole has no fault, and each thing that can be wrong with it is one."""
    assert faults(folder) == []

    plant(folder)

    assert faults(folder) == [fault]
