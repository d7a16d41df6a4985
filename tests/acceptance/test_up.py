"""`entitle up` itself: settings checked before anything is opened, all of it stopped in order, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ops.settings import free_address
from tests.acceptance.running import CATALOG, SECRET, TOKEN, up
from tests.processes import alive, children_of

SAME = str(free_address())
SHADOW = "print('SHADOWED'); raise SystemExit(9)"


def test_interrupting_twice_stops_everything_in_order(tmp_path: Path) -> None:
    """Ctrl-C ends servers and programs, and a second one does not hurry it; exit code 0."""
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "__main__.py").write_text(SHADOW)  # another `ops` where it is called from is not run
    with up(tmp_path, {}) as running:
        children = children_of(running.process.pid)
        assert len(children) == 5
        running.process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        running.process.send_signal(signal.SIGINT)

        assert 0 == running.process.wait(40)
        assert [] == [pid for pid in children if alive(pid)]
    said = (tmp_path / "said.txt").read_text(encoding="utf-8")
    assert said.endswith("stopped\n")
    assert "Traceback" not in said


def test_nothing_outlives_a_kill_and_it_starts_again(tmp_path: Path) -> None:
    """After kill -9 of `entitle up` no server and no program is left, and the next start finds its data."""
    with up(tmp_path, {}) as running:
        before = running.edge.next_offsets()["grants"]
        children = children_of(running.process.pid)
        running.process.kill()
        running.process.wait()
        deadline = time.monotonic() + 30
        while any(alive(pid) for pid in children):
            assert time.monotonic() < deadline, "some children outlived it"
            time.sleep(0.1)

    with up(tmp_path, {}) as running:
        assert before.keys() == running.edge.next_offsets()["grants"].keys()
        assert "revision 2" not in (tmp_path / "said.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ENTITLE_KAFKA": "nonsense"}, "ENTITLE_KAFKA is 'nonsense'"),
        ({"ENTITLE_SCHEMA": "Bad-Name"}, "ENTITLE_SCHEMA is 'Bad-Name'"),
        ({"ENTITLE_DATABASE_URL": "mysql://x/y"}, "ENTITLE_DATABASE_URL is for mysql"),
        ({"ENTITLE_CATALOG": "missing.yaml"}, "missing.yaml: cannot be read"),
        ({"ENTITLE_INGEST_ADDRESS": "127.0.0.1"}, "ENTITLE_INGEST_ADDRESS is '127.0.0.1'"),
        (dict.fromkeys(("ENTITLE_INGEST_ADDRESS", "ENTITLE_QUERY_ADDRESS"), SAME), "ENTITLE_QUERY_ADDRESS: cannot"),
    ],
)
def test_a_wrong_setting_is_found_first(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    """Before anything is opened: one clear line, exit code 2, and no folder of servers has been made."""
    done = refused(tmp_path, settings)

    assert (2, "", 1) == (done.returncode, done.stdout, len(done.stderr.splitlines())), done.stderr
    assert said in done.stderr
    assert not (tmp_path / ".entitle" / "servers").exists()


def test_the_catalog_s_path_may_be_named_in_a_file(tmp_path: Path) -> None:
    """ENTITLE_CATALOG_FILE does for `up` what ENTITLE_CATALOG does."""
    (tmp_path / "where").write_text(f"{CATALOG}\n")
    with up(tmp_path, {"ENTITLE_CATALOG_FILE": str(tmp_path / "where")}, catalog=None) as running:
        assert () == running.edge.ready()


def refused(folder: Path, settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """An `entitle up` that is expected to end at once."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ENTITLE_")}
    environment |= {
        "ENTITLE_CATALOG": str(CATALOG),
        "ENTITLE_QUERY_TOKENS": TOKEN,
        "TEST_SIGNING_SECRETS": SECRET,
        "ENTITLE_INGEST_ADDRESS": str(free_address()),
        "ENTITLE_QUERY_ADDRESS": str(free_address()),
    }
    return subprocess.run(
        [sys.executable, "-P", "-m", "ops", "up"],
        cwd=folder,
        env=environment | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
