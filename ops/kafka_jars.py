"""
Apache Kafka's jars: fetched once per user from Maven Central, checked against what is pinned. An edge: network, files.

`mvn` resolves `kafka-pom.xml` where it is installed, honouring the user's mirrors and proxies. Else `jgo` fetches the
pinned jars one by one. It is not asked to resolve: for this pom its version 3.2 chose kafka-clients 3.9.1 beside a
broker 4.3.1. Either way the outcome must be the very files of `kafka-jars.sha256`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ops.server import StackUnavailable

VERSION = "4.3.1"
POM = Path(__file__).with_name("kafka-pom.xml")
PINNED = Path(__file__).with_name("kafka-jars.sha256")
COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

Fetch = Callable[[Sequence["Jar"], Path, Callable[[int], None]], None]
"""Fetches jars into a folder, reporting now and then how many are there."""


class FetchFailed(Exception):
    """One way of fetching the jars did not work; the next may. The text says what that tool said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jar:
    """A file in Maven's terms, and what it must contain."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def pinned(text: str) -> tuple[Jar, ...]:
    """The jars listed in *text*, one `SHA-256  group:artifact:version` a line."""
    jars = []
    for line in text.splitlines():
        sha256, coordinates = line.split()
        group, artifact, version = coordinates.split(":")
        jars.append(Jar(group=group, artifact=artifact, version=version, sha256=sha256))
    return tuple(jars)


def cache_folder() -> Path:
    """Where this user's jars are kept; another list of jars is another folder."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(home) if home.startswith("/") else Path.home() / ".cache"  # the XDG specification ignores relative ones
    return root / "entitle" / f"kafka-{VERSION}-{hashlib.sha256(PINNED.read_bytes()).hexdigest()[:8]}"


def cached() -> bool:
    """Whether all jars are there. They are checked when fetched, not at every start."""
    folder = cache_folder()
    return all((folder / jar.file).is_file() for jar in pinned(PINNED.read_text()))


def fetchers(java: Path) -> dict[str, Fetch]:
    """The ways to fetch that this machine has, in the order to try them; mvn is run by *java* if it finds no other."""
    found: dict[str, Fetch] = {}
    if mvn := shutil.which("mvn"):
        found["mvn"] = lambda jars, folder, have: _with_mvn(mvn, java, jars, folder, have)
    if find_spec("jgo") is not None:
        found["jgo"] = _with_jgo
    return found


def class_path(java: Path, say: Callable[[str], None]) -> str:
    """
    The class path of the broker, fetching what is missing.

    Raises `StackUnavailable` if it can't be fetched, or is not what was pinned.
    """
    folder = cache_folder()
    jars = pinned(PINNED.read_text())
    if not cached():
        _fetch(jars, folder, fetchers(java), say)
    return os.pathsep.join(str(folder / jar.file) for jar in jars)


def _fetch(jars: Sequence[Jar], folder: Path, ways: dict[str, Fetch], say: Callable[[str], None]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    reasons = []
    for tool, fetch in ways.items():
        say(f"fetching Apache Kafka {VERSION} ({len(jars)} jars, 44 MB, this once) with {tool} into {folder}")
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetching-") as staging:
            try:
                with _progress(len(jars)) as have:
                    fetch(jars, Path(staging), have)
                _check(jars, Path(staging))
            except FetchFailed as error:
                reasons.append(f"{tool}: {error}")
                continue
            # Kafka may be running from here for someone else: files are replaced one by one, never taken away.
            folder.mkdir(exist_ok=True)
            for jar in jars:
                (Path(staging) / jar.file).replace(folder / jar.file)
            return
    raise StackUnavailable(
        f"Apache Kafka {VERSION} could not be fetched from Maven Central.\n"
        + "".join(f"  {reason}\n" for reason in reasons)
        + "Check the network and, for mvn, the proxy or mirror in its settings.xml; or set ENTITLE_KAFKA."
    )


def _with_mvn(mvn: str, java: Path, jars: Sequence[Jar], folder: Path, have: Callable[[int], None]) -> None:
    wanted = {jar.file for jar in jars}
    command = [
        mvn,
        "--batch-mode",
        "--color=never",
        f"--file={POM}",
        # Maven waits for half an hour on a silent server: 3.8 and 3.9 on call this bound by different names.
        "-Dmaven.wagon.rto=60000",
        "-Daether.connector.requestTimeout=60000",
        "--update-snapshots",  # means: try again what failed before, which Maven remembers for a day
        COPY_JARS,
        "-DincludeScope=runtime",
        f"-DoutputDirectory={folder}",
    ]
    environment = {"JAVA_HOME": str(java.parent.parent)} | os.environ
    complaint = last = ""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        for line in process.stdout or ():
            if "Downloaded from" in line:
                wanted -= {name for name in wanted if f"/{name} " in line}
                have(len(jars) - len(wanted))
            elif line.startswith("[ERROR]") and not complaint:
                complaint = line.removeprefix("[ERROR]").strip()
            last = line.strip() or last
    if process.returncode != 0:
        raise FetchFailed(complaint or last or f"ended with exit code {process.returncode}")
    have(len(jars))


def _with_jgo(jars: Sequence[Jar], folder: Path, have: Callable[[int], None]) -> None:
    from jgo.maven import MavenContext

    maven = MavenContext(repo_cache=folder / "repository", timeout=60)
    for number, jar in enumerate(jars, start=1):
        component = maven.project(jar.group, jar.artifact).at_version(jar.version)
        try:
            path = component.artifact().resolve()
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors; "not found" is a RuntimeError
            raise FetchFailed(f"{jar.file}: {error}") from error
        path.replace(folder / jar.file)
        have(number)


def _check(jars: Sequence[Jar], folder: Path) -> None:
    for jar in jars:
        path = folder / jar.file
        if not path.is_file():
            raise FetchFailed(f"{jar.file} is not among what it fetched")
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != jar.sha256:
            raise FetchFailed(f"{jar.file} is not the file that was pinned: SHA-256 {found}, expected {jar.sha256}")


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr for people, with the number of jars that are there; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("jars"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"Apache Kafka {VERSION}", total=total)
        yield lambda number: progress.update(task, completed=number)
