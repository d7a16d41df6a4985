"""Prints the query listener's OpenAPI document, for docs/openapi.json: `python -m tests.openapi_document`."""

from __future__ import annotations

import json
import sys

from entitlements.api.openapi import document


def text() -> str:
    """The document as it stands in docs/openapi.json."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
