"""
The messages' JSON Schemas and examples as a folder holds them, and everything that is wrong with them. Edge: files.

A folder has `json/<message>.v<number>.schema.json` for each version of a message, and its examples in
`examples/<message>/v<number>/*.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match

SCHEMA_NAME = re.compile(r"(?P<message>[a-z]+(?:-[a-z]+)*)\.v(?P<version>[1-9][0-9]*)\.schema\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One version of a message: its schema, and its examples by file name."""

    message: str
    version: int
    schema: dict[str, Any]
    examples: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.message}.v{self.version}"

    def fault(self, value: Any) -> str | None:
        """Why *value* is no such message, at the place where it matters most; None if it is one."""
        error = best_match(Draft202012Validator(self.schema).iter_errors(value))
        return None if error is None else f"{error.json_path}: {error.message}"


def contracts(folder: Path) -> list[Contract]:
    """Every version of every message, in order."""
    found = []
    for path in (folder / "json").glob("*.schema.json"):
        if named := SCHEMA_NAME.fullmatch(path.name):
            examples = (folder / "examples" / named["message"] / f"v{named['version']}").glob("*.json")
            found.append(
                Contract(
                    message=named["message"],
                    version=int(named["version"]),
                    schema=json.loads(path.read_text(encoding="utf-8")),
                    examples={each.name: json.loads(each.read_text(encoding="utf-8")) for each in sorted(examples)},
                )
            )
    return sorted(found, key=lambda contract: (contract.message, contract.version))


def faults(folder: Path) -> list[str]:
    """What is wrong with a folder's contracts, each fault in a line; nothing, if they are whole."""
    found = contracts(folder)
    broken = [fault for contract in found if (fault := _schema_fault(contract))]
    return [*_orphans(folder, found), *_gaps(found), *(broken or _refusals(found))]


def _orphans(folder: Path, found: list[Contract]) -> Iterator[str]:
    known = {f"examples/{contract.message}/v{contract.version}" for contract in found}
    for path in sorted(path for part in ("json", "examples") for path in (folder / part).rglob("*") if path.is_file()):
        place = path.relative_to(folder)
        if place.parts[0] == "json" and not SCHEMA_NAME.fullmatch(path.name):
            yield f"{place} is not named <message>.v<number>.schema.json"
        if place.parts[0] == "examples" and (place.parent.as_posix() not in known or path.suffix != ".json"):
            yield f"{place} is an example of no schema"
    yield from (f"{contract.name} has no example" for contract in found if not contract.examples)


def _gaps(found: list[Contract]) -> Iterator[str]:
    for message in sorted({contract.message for contract in found}):
        versions = [contract.version for contract in found if contract.message == message]
        if versions != list(range(1, len(versions) + 1)):
            yield f"{message} has the versions {versions}: they must run 1, 2, 3"


def _schema_fault(contract: Contract) -> str | None:
    try:
        Draft202012Validator.check_schema(contract.schema)
    except SchemaError as error:
        return f"{contract.name} is no JSON Schema: {error.json_path}: {error.message}"
    return None


def _refusals(found: list[Contract]) -> Iterator[str]:
    """Examples that their schema refuses, or a newer one: what is in the log once must stay readable."""
    for contract in found:
        for newer in found:
            if newer.message != contract.message or newer.version < contract.version:
                continue
            for name, example in contract.examples.items():
                if fault := newer.fault(example):
                    yield f"{newer.name} refuses the example {contract.name}/{name}: {fault}"
