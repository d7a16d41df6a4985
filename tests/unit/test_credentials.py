"""Which settings say how callers are known, and which are refused."""

from __future__ import annotations

import pytest

from entitlements.api.credentials import parse_credentials, parse_header


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "'' is none of"),
        ("key", "'key' is none of"),
        ("key:", "'' is no header's name"),
        ("key:X Api", "'X Api' is no header's name"),
        ("token:X-Api-Key", "'token:X-Api-Key' is none of"),
        ("bearer:X-Api-Key", "'bearer:X-Api-Key' is none of"),
        ("bearer,", "'' is none of"),
        ("bearer,bearer", "the header authorization stands there twice"),
        ("key:X-Api-Key,subject:x-api-key", "the header x-api-key stands there twice"),
        ("key:Authorization", "the header Authorization means something else already"),
        ("subject:Host", "the header Host means something else already"),
        ("subject:X-Forwarded-User", "the header X-Forwarded-User means something else already"),
        ("key:Entitlement-Gateway-Token", "the header Entitlement-Gateway-Token means something else already"),
    ],
)
def test_a_setting_that_says_nothing_clear_is_refused(text: str, fault: str) -> None:
    """The text names what is wrong."""
    with pytest.raises(ValueError, match=fault):
        parse_credentials(text)


def test_a_header_of_ones_own_is_taken() -> None:
    """Those that the documents propose."""
    assert [parse_header(name) for name in ("Entitlement-Api", "X-Api-Key")] == ["Entitlement-Api", "X-Api-Key"]
