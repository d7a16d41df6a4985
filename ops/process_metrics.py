"""What every process of ours tells of itself: version, restarts, CPU, memory. Edge: the process."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, disable_created_metrics

from ops.settings import Environment
from ops.supervisor import RESTARTS


def process_registry(environment: Environment, program: str) -> CollectorRegistry:
    """A registry of this process's own, to which its parts add what they count; *program* says what runs in it."""
    # Else each counter and histogram has a second series, which says when it began.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    Gauge(
        "entitle_build_info",
        "1, and which program of which version this is.",
        ("program", "version"),
        registry=registry,
    ).labels(program, _version()).set(1)
    restarts = Counter("entitle_restarts", "How often the supervisor has started it again.", registry=registry)
    restarts.inc(int(environment.get(RESTARTS, "0") or 0))
    return registry


def _version() -> str:
    try:
        return version("entitlement-worker")
    except PackageNotFoundError:
        return "not installed"
