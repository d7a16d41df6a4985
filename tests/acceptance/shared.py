"""
`python -m tests.acceptance.shared` plays the scenarios of `../shared/acceptance` against a running program.

They belong to the project's owner and are not part of this repository. Where they are not there it says so: then these
scenarios were not run, and the tests beside this file cover the same rules.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.acceptance.running import TOKEN, up
from tests.servers import Servers, new_database

SHARED = Path(__file__).parents[3] / "shared" / "acceptance"
SECRET = "whsec_acceptance"


def main() -> int:
    """Exit code 0 if every scenario was answered as it says, or if they are not here."""
    if not (SHARED / "run.py").is_file():
        print("The scenarios of ../shared/acceptance are not here and were not run.")
        return 0
    with ExitStack() as until_end:
        servers = Servers(say=print, until_end=until_end)
        folder = until_end.enter_context(tempfile.TemporaryDirectory(prefix="entitle-shared-"))
        settings = {
            "ENTITLE_DATABASE_URL": until_end.enter_context(new_database(servers.database_url())),
            "ENTITLE_KAFKA": servers.kafka(),
            "ACCEPTANCE_SIGNING_SECRETS": SECRET,
        }
        program = until_end.enter_context(up(Path(folder), settings, catalog=SHARED / "catalog.yaml"))
        command = [sys.executable, str(SHARED / "run.py"), "--shuffles", "10", "--secret", SECRET, "--token", TOKEN]
        command += ["--ingest", program.edge.ingest, "--query", program.edge.query]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
