"""The story of `entitle demo` on its way to an installation that runs already. Edge: settings, HTTP."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from ops import catalog_file, settings
from ops.asking import Edge
from ops.demo import INTEGRATION, Telling
from ops.settings import BadSetting, Environment
from ops.up import NotReady

LOOK_S = 0.05


def telling(environment: Environment, *, ingest: str | None, query: str | None, console: Console) -> Telling:
    """
    The story for the listeners at the URLs *ingest* and *query*, signed and asked with the secrets of the settings.

    Raises `BadSetting` where a URL or a secret is missing, `NotReady` where a listener is not.
    """
    if ingest is None or query is None:
        raise BadSetting("--ingest and --query: the story needs both listeners' URLs")
    catalog = catalog_file.load(Path(environment.get("ENTITLE_CATALOG") or settings.EXAMPLE_CATALOG)).catalog
    integrations = settings.integrations(environment, catalog)
    if INTEGRATION not in integrations:
        raise BadSetting(f"ENTITLE_CATALOG: the story needs an integration {INTEGRATION}; unset it for the example")
    edge = Edge(ingest=ingest.rstrip("/"), query=query.rstrip("/"), token=settings.query_tokens(environment)[0].value)
    if waiting := edge.ready():
        raise NotReady("; ".join(waiting))
    secret = integrations[INTEGRATION].signing_secrets[0]
    return Telling(edge=edge, secret=secret, console=console, pause=lambda: time.sleep(LOOK_S))
