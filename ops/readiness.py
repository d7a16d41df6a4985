"""
Asks a listener of ours whether it is ready, for health checks: `python -m ops.readiness HOST:PORT`. An edge: HTTP.

Not a command of `entitle`, which would spend a second of CPU on imports at each look.
"""

from __future__ import annotations

import sys
from http.client import HTTPConnection, HTTPException

PATIENCE_S = 3


def main() -> None:
    """Say what `/readyz` at the address in the first argument answers; exit 0 only if that is 200."""
    address = sys.argv[1]
    connection = HTTPConnection(address, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        print(answer.status, answer.read().decode(errors="replace"))
    except (OSError, HTTPException) as error:
        sys.exit(f"{address} does not answer: {error}")
    sys.exit(0 if answer.status == 200 else 1)


if __name__ == "__main__":
    main()
