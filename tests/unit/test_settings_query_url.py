"""`ENTITLE_QUERY_URL`: what it takes, and what is made of it."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from ops import settings
from ops.settings import BadSetting, Environment


def environment(**variables: str) -> Environment:
    return Environment(variables=MappingProxyType(variables))


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("https://pdp.example.com", "https://pdp.example.com"),
        ("https://pdp.example.com:8443/entitle/", "https://pdp.example.com:8443/entitle"),
        ("http://[::1]:8081", "http://[::1]:8081"),
    ],
)
def test_the_base_that_gateways_ask_under(given: str, base: str) -> None:
    """A URL of a host, perhaps with a port and a path, without the slash at its end; none where it is not set."""
    assert settings.query_url(environment(ENTITLE_QUERY_URL=given)) == base
    assert settings.query_url(environment()) is None


@pytest.mark.parametrize(
    "given", ["pdp.example.com", "https://h?a=b", "https://user:secret@h", "https://h#a", "ftp://h"]
)
def test_what_is_no_base_is_refused(given: str) -> None:
    """The refusal begins with the setting's name and says what it takes."""
    with pytest.raises(BadSetting, match=r"^ENTITLE_QUERY_URL is .*: it takes https://host, "):
        settings.query_url(environment(ENTITLE_QUERY_URL=given))
