"""Reading bodies, query strings and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements.api.answers import rfc3339
from entitlements.api.requests import decode_object, read_query, read_time
from entitlements.api.responses import Problem

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-06-15T12:00:00Z", NOON),
        ("2026-06-15t12:00:00z", NOON),
        ("2026-06-15T14:00:00+02:00", NOON),
        ("2026-06-15T12:00:00-00:00", NOON),
        ("2026-06-15T05:00-07:00", NOON),
        ("2026-06-15T12:00:00.25Z", NOON + timedelta(milliseconds=250)),
        ("2026-06-15T12:00:00.0000000001Z", NOON),
    ],
)
def test_a_time_is_read(text: str, moment: datetime) -> None:
    """RFC 3339 in any offset, and AuthZEN's own examples, which leave out the seconds."""
    assert read_time(text, "at") == moment


@pytest.mark.parametrize(
    "value",
    [
        "2026-06-15T12:00:00",
        "2026-06-15",
        "20260615T120000Z",
        "2026-W25-1T12:00:00Z",
        "2026-06-15 12:00:00Z",
        "2026-06-15T14:00:00 02:00",
        "2026-06-31T12:00:00Z",
        "2026-06-15T24:30:00Z",
        "2026-06-15T12:00:60Z",
        "2026-06-15T12:00:00+25:00",
        "２026-06-15T12:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59Z",
        "1750000000",
        "now",
        "",
        1,
        None,
        True,
    ],
)
def test_what_is_no_time_is_refused(value: object) -> None:
    """A time without its zone, of another format, or that calculating with would overflow."""
    with pytest.raises(Problem, match="at must be a time of RFC 3339"):
        read_time(value, "at")


@given(st.datetimes(max_value=datetime(8999, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001
def test_times_are_written_as_they_are_read(moment: datetime) -> None:
    """Whatever we write, a client can ask about."""
    assert read_time(rfc3339(moment), "at") == moment


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nonsense", b"\xff", b'"\xff"', b'{"a": NaN}', b'"\\ud800"', b"[" * 60_000, b"1e999"]
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    """Including what is too deep, out of range, or not UTF-8."""
    with pytest.raises(Problem, match="The body is not JSON"):
        decode_object(body)


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"1", b"null", b"true"])
def test_json_that_is_no_object_is_refused(body: bytes) -> None:
    """The top level must be an object."""
    with pytest.raises(Problem, match="must be a JSON object"):
        decode_object(body)


def test_a_query_string_is_read() -> None:
    """Parameters are decoded; one that is left empty stands there empty."""
    parameters = read_query(b"at=2026-06-15T14%3A00%3A00%2B02:00&marketplace=", "at", "marketplace")

    assert parameters == {"at": "2026-06-15T14:00:00+02:00", "marketplace": ""}


@pytest.mark.parametrize(
    ("query", "status", "fault"),
    [
        (b"att=1", 400, "Unknown query parameter 'att'; known here: at"),
        (b"at=1&at=2", 400, "at stands there twice"),
        (b"at=" + b"1" * 5_000, 414, "longer than 4096 bytes"),
    ],
)
def test_a_query_string_that_is_not_understood_is_refused(query: bytes, status: int, fault: str) -> None:
    """A misspelt parameter is not ignored: the answer would be about another moment than was meant."""
    with pytest.raises(Problem, match=fault) as refusal:
        read_query(query, "at")

    assert refusal.value.status == status
