"""So many open files that whatever is opened next has a descriptor that `select` does not take. Edge: the system."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

SELECT_TAKES = 1024


@contextmanager
def beyond_select() -> Iterator[None]:
    """While the context lasts, new descriptors are numbered from 1024 on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4 * SELECT_TAKES), hard))
    taken: list[int] = []
    try:
        while not taken or taken[-1] < SELECT_TAKES:
            taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for each in taken:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
