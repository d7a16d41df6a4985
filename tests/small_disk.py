"""
A server on a disk of so many mebibytes, which is filled and emptied on command. Edge: the operating system (Linux).

`python -m tests.small_disk FOLDER MEBIBYTES database|kafka`, run by `on_a_small_disk` as root of a user and a mount
namespace of its own, so that anyone may mount a tmpfs: what is written to it beyond its size fails with ENOSPC, as on
any disk. Nobody else sees that disk, and it is gone with the process.
"""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ops.server import Server
from ops.stack import running

NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
FILLER = "filler"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnSmallDisk:
    """A server on a small disk, at *address*."""

    address: str
    process: subprocess.Popen[str]

    def fill(self) -> None:
        """Leave not a byte free."""
        self._do("fill")

    def make_room(self) -> None:
        """Take away what filled the disk."""
        self._do("room")

    def start(self) -> None:
        """Start the server if it has ended, and wait until it answers."""
        self._do("start")

    def runs(self) -> bool:
        return self._do("runs") == "True"

    def _do(self, command: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        return _line(self.process.stdout)


@contextmanager
def on_a_small_disk(folder: Path, mebibytes: int, kind: str) -> Iterator[OnSmallDisk]:
    """A server of *kind* (`database` or `kafka`) with its data on a disk of that size, while the context lasts."""
    command = [*NAMESPACE, sys.executable, "-m", "tests.small_disk", str(folder), str(mebibytes), kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield OnSmallDisk(address=_line(process.stdout), process=process)
        finally:
            assert process.stdin is not None
            process.stdin.close()  # which ends it


def _line(output: IO[str] | None) -> str:
    line = output.readline() if output is not None else ""
    assert line, "the small disk's process has ended: user namespaces may be forbidden here; its stderr says more"
    return line.strip()


def main() -> None:
    """Mount, run the server, do as told line by line, until nobody is left to tell."""
    folder, mebibytes, kind = sys.argv[1:]
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", folder], check=True)
    with running(Path(folder), database=kind == "database", kafka=kind == "kafka", say=_say) as stack:
        server = stack.database or stack.kafka
        assert server is not None
        _say(server.address, sys.stdout)
        for line in sys.stdin:
            _say(_done(line.strip(), server, Path(folder) / FILLER), sys.stdout)


def _done(command: str, server: Server, filler: Path) -> str:
    match command:
        case "fill":
            _fill(filler)
        case "room":
            filler.unlink()
        case "start":
            server.start()
    return str(server.pid is not None)


def _fill(filler: Path) -> None:
    with filler.open("ab", buffering=0) as file:
        for size in (1 << 20, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError as error:
                full = error
    assert full.errno == errno.ENOSPC, full


def _say(line: str, to: IO[str] = sys.stderr) -> None:
    to.write(f"{line}\n")
    to.flush()


if __name__ == "__main__":
    main()
