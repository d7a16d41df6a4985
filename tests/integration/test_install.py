"""Installing, on a real virtual environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ops.install import make_environment


def test_an_environment_that_python_made_is_kept(tmp_path: Path) -> None:
    """`make` also installs into a .venv that was made with `python -m venv`, and what was in it stays."""
    folder = tmp_path / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    kept = folder / "kept"
    kept.touch()

    make_environment(folder)

    pip = subprocess.run([folder / "bin" / "python", "-m", "pip", "--version"], capture_output=True, check=True)
    assert str(folder) in pip.stdout.decode()
    assert kept.exists()
