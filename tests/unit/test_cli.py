"""The command line: help with examples, one line for what a person can cure, exit codes; the supervisor's pauses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from kafka.errors import (
    IllegalStateError,
    KafkaError,
    NodeNotReadyError,
    SaslAuthenticationFailedError,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
)

from consumers.failures import reason
from ops import processes
from ops.cli import entitle, main
from ops.supervisor import pause_after

ROOT = Path(__file__).parents[2]
MISTAKEN = """\
catalog: 1
integrations:
  main: {mode: testing, signing_secrets_env: SECRETS}
marketplaces:
  acme: {integration: nowhere}
products:
  product:
    marketplace: acme
    plans:
      one:
        cost: paid
        stripe_price: [price_1]
        apis: []
      two:
        cost: paid
        stripe_prices: [price_2]
        apis: [orders]
        access: {renewal_leeway: soon}
      three:
        cost: paid
        stripe_prices: [price_2]
        apis: [orders]
"""


def commands(group: click.Group, *names: str) -> Iterator[tuple[str, click.Command]]:
    """Every command of the command line, by its whole name."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *names, name)
        else:
            yield " ".join((*names, name)), command


@pytest.mark.parametrize(("name", "command"), list(commands(entitle)))
def test_every_command_s_help_has_an_example(name: str, command: click.Command) -> None:
    """`--help` of each command shows how it is called."""
    assert re.search(rf"Example: .*entitle {name}\b", command.help or "")


def test_six_mistakes_in_a_catalog_are_six_lines(tmp_path: Path) -> None:
    """`entitle catalog validate` names every mistake with its line, and exits with 2."""
    path = tmp_path / "catalog.yaml"
    path.write_text(MISTAKEN)

    done = run("catalog", "validate", str(path))

    assert done.returncode == 2
    lines = [line.removeprefix(f"{path}:").split(":", 1) for line in done.stderr.splitlines()]
    assert [number for number, _ in lines] == ["3", "5", "12", "13", "18", "21"]
    assert [
        "testing" in lines[0][1],
        "nowhere" in lines[1][1],
        "stripe_prices" in lines[2][1],
        "at least one API" in lines[3][1],
        "soon" in lines[4][1],
        "price_2" in lines[5][1],
    ] == [True] * 6


def test_the_example_catalog_has_no_mistakes() -> None:
    """What `make demo` uses, and a newcomer copies, is valid."""
    done = run("catalog", "validate", str(ROOT / "ops" / "catalog.example.yaml"))

    assert (done.returncode, done.stderr) == (0, "")
    assert "analytics, enterprise" in done.stdout


@pytest.mark.parametrize(
    ("command", "setting"),
    [
        ("ingest", "ENTITLE_CATALOG"),
        ("consume grants", "ENTITLE_KAFKA"),
        ("consume grants invoices", "ENTITLE_KAFKA"),
        ("query", "ENTITLE_QUERY_TOKENS"),
        ("migrate", "ENTITLE_DATABASE_URL"),
        ("progress", "ENTITLE_DATABASE_URL"),
        ("complete", "ENTITLE_CATALOG"),
        ("catalog diff ops/catalog.example.yaml", "ENTITLE_DATABASE_URL"),
        ("orgs", "ENTITLE_DATABASE_URL"),
        ("orgs set initech cus_1", "ENTITLE_DATABASE_URL"),
        ("grant --customer cus_1 --plan enterprise --reason trial", "ENTITLE_KAFKA"),
        ("revoke grant_1 --reason over", "ENTITLE_KAFKA"),
        ("block --customer cus_1 --reason abuse", "ENTITLE_KAFKA"),
        ("unblock --customer cus_1 --reason resolved", "ENTITLE_KAFKA"),
    ],
)
def test_a_missing_setting_is_one_line_and_exit_code_2(command: str, setting: str) -> None:
    """What is missing is named before anything is opened."""
    done = run(*command.split())

    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert done.stderr.startswith(f"entitle: {setting} is not set: ")


@pytest.mark.parametrize("error", [NodeNotReadyError, TopicAuthorizationFailedError, SaslAuthenticationFailedError])
def test_what_a_person_can_cure_of_kafka_is_one_line(
    error: type[KafkaError], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is away, or does not let us in."""
    with pytest.raises(SystemExit) as ended:
        relay_that_raises(error("so it is"), monkeypatch)

    assert ended.value.code == 1
    assert capsys.readouterr().err.splitlines() == [
        f"entitle: Kafka, which is where ENTITLE_KAFKA says, did not do what it was asked: {reason(error('so it is'))}"
    ]


@pytest.mark.parametrize("error", [IllegalStateError, UnsupportedCodecError, KafkaError])
def test_a_bug_that_kafka_s_client_tells_of_keeps_its_traceback(
    error: type[KafkaError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line would hide where it is."""
    with pytest.raises(error):
        relay_that_raises(error("so it is"), monkeypatch)


def relay_that_raises(error: KafkaError, monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(_: object) -> None:
        raise error

    monkeypatch.setattr(processes, "relay", raises)
    monkeypatch.setattr(sys, "argv", ["entitle", "relay"])
    main()


@pytest.mark.parametrize(("deaths", "seconds"), [(1, 0.1), (2, 0.2), (3, 0.4), (6, 3.2), (7, 5.0), (1000, 5.0)])
def test_the_pause_before_a_restart_grows_to_five_seconds(deaths: int, seconds: float) -> None:
    """Each death in a row doubles the pause, up to the bound."""
    assert pytest.approx(seconds) == pause_after(deaths)


def test_readme_names_every_setting_that_is_read() -> None:
    """README's table and the code agree on the settings, both ways."""
    table = re.findall(r"`(ENTITLE_[A-Z_]+)`", (ROOT / "README.md").read_text(encoding="utf-8"))
    read = re.findall(r'"(ENTITLE_[A-Z_]+)"', (ROOT / "ops" / "settings.py").read_text(encoding="utf-8"))

    assert sorted(set(read)) == sorted(set(table))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`entitle` with these arguments, in an environment without any of its settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ENTITLE_")}
    return subprocess.run(
        [sys.executable, "-m", "ops", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=ROOT,
    )
