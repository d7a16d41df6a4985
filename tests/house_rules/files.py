"""The project's own files: what git knows or would add or, where there is no git, all that isn't made. Edge: files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

MADE = ("__pycache__", "build", "dist", "node_modules")
HIDDEN_BUT_OURS = (".ci", ".github")


def project_files(root: Path) -> list[str]:
    """The paths of the project's files, relative to *root* and in order; in a clone, new files are among them."""
    return _known_to_git(root) or walked(root)


def walked(root: Path) -> list[str]:
    """The same from the folders themselves: all but hidden ones and what tools make."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if _is_ours(name)]
        found += [(Path(folder) / name).relative_to(root).as_posix() for name in names]
    return sorted(found)


def text_of(path: Path) -> str | None:
    """The text of a file, or None for one that isn't text."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def _known_to_git(root: Path) -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        return []
    found = sorted({name for name in listed.split("\0") if name and (root / name).is_file()})
    return found if "pyproject.toml" in found else []  # unpacked inside of somebody else's clone


def _is_ours(folder: str) -> bool:
    if folder.startswith("."):
        return folder in HIDDEN_BUT_OURS
    return folder not in MADE and not folder.endswith(".egg-info")
