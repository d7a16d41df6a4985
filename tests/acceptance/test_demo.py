"""`entitle demo`, as a newcomer runs it: right answers are exit code 0, a wrong one is exit code 1."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.running import SECRET, TOKEN, up

EXAMPLE = Path(__file__).parents[2] / "ops" / "catalog.example.yaml"


@pytest.fixture(scope="module")
def done() -> subprocess.CompletedProcess[str]:
    """A demo with nothing set, which starts its own servers."""
    return demo({})


def test_the_story_is_told_and_every_answer_is_right(done: subprocess.CompletedProcess[str]) -> None:
    """With nothing set, the demo starts its own servers, tells the story and exits with 0."""
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every answer was as the rules say." in done.stdout
    assert "WRONG" not in done.stdout


def test_the_story_ends_with_why(done: subprocess.CompletedProcess[str]) -> None:
    """Last, the customer's explanation as a person sees it, asked over HTTP: from the answer down to the log."""
    story, asked, explanation = done.stdout.partition("$ entitle explain --customer cus_")
    lines = [line.rstrip() for line in explanation.splitlines()]
    assert asked, done.stdout + done.stderr
    assert "second customer" in story
    assert lines[1].startswith("deny 402 cycle_lapsed: invoice in_")
    assert "What would change it" in lines
    assert sum(" void since 3 Mar 2026 " in line for line in lines) == 1
    assert sum(" invoice.finalized " in line for line in lines) == 3
    assert max(len(line) for line in lines) <= 100
    assert lines[-1] == "Every answer was as the rules say."


def test_a_wrong_answer_is_shown_and_exits_with_1(tmp_path: Path) -> None:
    """Under a catalog whose leeway is a day, the program answers otherwise than the story says: that is told."""
    text = EXAMPLE.read_text(encoding="utf-8")
    assert "renewal_leeway: 2h" in text
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(text.replace("renewal_leeway: 2h", "renewal_leeway: 1d"), encoding="utf-8")

    done = demo({"ENTITLE_CATALOG": str(catalog)})

    assert done.returncode == 1, done.stdout + done.stderr
    assert "WRONG" in done.stdout
    assert "answers were wrong" in done.stdout


def test_the_story_is_told_to_an_installation_that_runs(tmp_path: Path) -> None:
    """With the URLs of its listeners and its secrets, the same story is played to what somebody else has started."""
    with up(tmp_path, {"STRIPE_SIGNING_SECRETS": SECRET}, catalog=None) as running:
        secrets = {"STRIPE_SIGNING_SECRETS": SECRET, "ENTITLE_QUERY_TOKENS": TOKEN}
        done = demo(secrets, "--ingest", running.edge.ingest, "--query", running.edge.query)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every answer was as the rules say." in done.stdout
    assert "PostgreSQL" not in done.stderr


def demo(settings: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """One run of the demo."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ENTITLE_")} | settings
    return subprocess.run(
        [sys.executable, "-m", "ops", "demo", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
