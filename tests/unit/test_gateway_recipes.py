"""The recipes of deploy/gateways/ name every header of the interface; gateways themselves run in acceptance tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from entitlements.api.gateway_headers import NAMES

RECIPES = Path(__file__).parents[2] / "deploy" / "gateways"


@pytest.mark.parametrize("name", NAMES)
def test_nginx_takes_every_header_from_the_answer(name: str) -> None:
    """nginx knows no headers by their prefix: one that is missing here would reach the API as the client wrote it."""
    variable = name.lower().replace("-", "_")
    protect = (RECIPES / "nginx" / "protect.conf").read_text(encoding="utf-8")

    assert f"auth_request_set $entitlement_{variable} $upstream_http_entitlement_{variable};" in protect
    assert re.search(rf"(?m)^proxy_set_header Entitlement-{name} \$entitle(ment)?_{variable};$", protect)


@pytest.mark.parametrize("name", NAMES)
def test_caddy_takes_every_header_from_the_answer(name: str) -> None:
    """Caddy copies headers of an answer one by one."""
    recipe = (RECIPES / "caddy" / "Caddyfile").read_text(encoding="utf-8")

    assert f"request_header Entitlement-{name} {{rp.header.Entitlement-{name}}}\n" in recipe


def test_no_recipe_keeps_an_answer_for_longer_than_it_says() -> None:
    """nginx' own ways to keep an answer know nothing of the end of a paid cycle."""
    said = [line.partition("#")[0] for file in (RECIPES / "nginx").iterdir() for line in file.read_text().splitlines()]

    assert not [line for line in said if "proxy_cache_valid" in line or "proxy_cache_use_stale" in line]
    assert [line for line in said if "proxy_cache_key" in line]
