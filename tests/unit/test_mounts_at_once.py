"""What a mount answers at once is what it answers when it is asked as any page, by cases."""

from __future__ import annotations

import logging

import pytest

from entitlements.api.snapshots import CannotDecide
from tests.mounting import KEY, OTHER_KEY, OWED, PAID, Known, ask, forwarded, mounts, scope_of

REMEMBERING = Known(decisions={"orders": PAID, "reports": OWED}, remembers=True)
OWN_LINE = [(name, value) for name, value in forwarded() if not name.startswith(b"X-Forwarded")]
REPORTS = forwarded("/reports/1", more={"X-Request-ID": "asked-1"})

Asked = tuple[str, bytes, list[tuple[bytes, bytes]]]
AT_HAND: list[Asked] = [
    ("GET", b"/v1/check?x=1", forwarded()),
    ("HEAD", b"/v1/check", REPORTS),
    ("POST", b"/v1/check", forwarded(method="POST")),
    ("GET", b"/v1/check", REPORTS),
    ("GET", b"/v1/check-403", REPORTS),
    ("GET", b"/v1/ext-authz/reports/7?x=1", OWN_LINE),
    ("DELETE", b"/v1/ext-authz-403/reports/7", OWN_LINE),
]
NOT_AT_HAND: list[Asked] = [
    ("GET", b"/v1/check", forwarded(token="wrong")),
    ("GET", b"/v1/check", forwarded(token=None)),
    ("GET", b"/v1/check", forwarded(key=None)),
    ("GET", b"/v1/check", forwarded(key=OTHER_KEY)),
    ("GET", b"/v1/check", [*forwarded(), (b"X-Api-Key", KEY.encode())]),
    ("GET", b"/v1/check", forwarded("/nowhere")),
    ("GET", b"/v1/checks", forwarded()),
    ("GET", b"/v1/ext-authz", OWN_LINE),
]


@pytest.mark.parametrize("asked", AT_HAND)
def test_what_is_at_hand_is_told_at_once_and_as_else(asked: Asked) -> None:
    """Status, headers in their order, and body; HEAD has none."""
    at_once = mounts(REMEMBERING).at_once(scope_of(*asked))
    as_else = ask(mounts(REMEMBERING).before(_nothing), *asked)

    assert at_once is not None
    assert (at_once[0], list(at_once[1]), at_once[2]) == (as_else.status, as_else.headers, as_else.body)
    assert REMEMBERING.asked == []


@pytest.mark.parametrize("asked", NOT_AT_HAND)
def test_everything_else_is_left_to_be_asked(asked: Asked) -> None:
    """What is refused, nobody's, no API's or no mount's."""
    assert mounts(REMEMBERING).at_once(scope_of(*asked)) is None


@pytest.mark.parametrize("known", [Known(), Known(remembers=True, failure=CannotDecide("no catalog"))])
def test_who_remembers_nothing_is_asked(known: Known) -> None:
    """Nor is a failure told at once."""
    assert mounts(known).at_once(scope_of("GET", b"/v1/check", forwarded())) is None


def test_decisions_that_are_logged_are_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    """Each has its line while they are wanted."""
    caplog.set_level(logging.DEBUG, "entitlements.api.mounts")

    assert mounts(REMEMBERING).at_once(scope_of("GET", b"/v1/check", forwarded())) is None


async def _nothing(*_: object) -> None:
    raise AssertionError("a mount is asked")
