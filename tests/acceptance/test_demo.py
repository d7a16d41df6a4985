"""`entitle demo`, as a newcomer runs it: right answers are exit code 0, a wrong one is exit code 1."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "ops" / "catalog.example.yaml"


def test_the_story_is_told_and_every_answer_is_right() -> None:
    """With nothing set, the demo starts its own servers, tells the story and exits with 0."""
    done = demo({})

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every answer was as the rules say." in done.stdout
    assert "WRONG" not in done.stdout


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


def demo(settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """One run of the demo."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ENTITLE_")} | settings
    return subprocess.run(
        [sys.executable, "-m", "ops", "demo"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
