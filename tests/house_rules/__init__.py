"""
The house rules, as functions over a file's path and text. Pure, but for `files.py`, which lists the project's files.

Standard-library `ast` only. What is allowed where stands in tables; to allow more is to change a table, in review, and
no comment in a file excuses it. Names are followed through imports, so an alias hides nothing; `getattr` still would.
"""

from __future__ import annotations

from tests.house_rules.append_only import APPEND_ONLY_RULES
from tests.house_rules.edges import EDGE_RULES
from tests.house_rules.prose import PROSE_RULES
from tests.house_rules.rooms import ROOM_RULES
from tests.house_rules.shape import SHAPE_RULES
from tests.house_rules.source import Violation, parse
from tests.house_rules.standard_library import STANDARD_LIBRARY_RULES
from tests.house_rules.tests import TEST_RULES
from tests.house_rules.text import TEXT_RULES

SOURCE_RULES = (
    *ROOM_RULES,
    *STANDARD_LIBRARY_RULES,
    *EDGE_RULES,
    *APPEND_ONLY_RULES,
    *SHAPE_RULES,
    *PROSE_RULES,
    *TEST_RULES,
)


def violations(path: str, text: str) -> list[Violation]:
    """Everything that is wrong with one file of ours; *path* is relative to the project, with slashes."""
    found = [violation for rule in TEXT_RULES for violation in rule(path, text)]
    if path.endswith(".py"):
        source = parse(path, text)
        found += [violation for rule in SOURCE_RULES for violation in rule(source)]
    return sorted(found)
