"""What kind of failure an exception is, and what is said of it."""

from __future__ import annotations

import kafka.errors
import pytest
import sqlalchemy.exc as sa
from hypothesis import given
from hypothesis import strategies as st

from consumers.failures import LONGEST_REASON, Failure, classify, detail, reason, storable
from entitlements.ledger import Fenced
from schemas.codec import InvalidMessage


class Refusal(Exception):
    """What psycopg2 raises, as far as it is looked at; without a SQLSTATE where PostgreSQL was never reached."""

    def __init__(self, text: str = "no", pgcode: str | None = None, primary: str | None = None) -> None:
        super().__init__(text)
        self.pgcode = pgcode
        self.diag = type("Diagnostics", (), {"message_primary": primary})()


def from_database(pgcode: str | None, kind: type[sa.DBAPIError] = sa.OperationalError) -> sa.DBAPIError:
    return kind("insert into facts", {}, Refusal(pgcode=pgcode))


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(from_database(None), id="cannot connect"),
        pytest.param(from_database(None, sa.InterfaceError), id="connection is closed"),
        pytest.param(from_database("57P01"), id="admin shutdown"),
        pytest.param(from_database("57P03"), id="starting up"),
        pytest.param(from_database("57014"), id="statement timeout"),
        pytest.param(from_database("40001"), id="serialization failure"),
        pytest.param(from_database("40P01"), id="deadlock"),
        pytest.param(from_database("53100"), id="disk full"),
        pytest.param(from_database("53300"), id="too many connections"),
        pytest.param(from_database("25006", sa.InternalError), id="read-only in a failover"),
        pytest.param(from_database("25P03", sa.InternalError), id="idle in a transaction for too long"),
        pytest.param(from_database("08006"), id="connection failure"),
        pytest.param(sa.TimeoutError("no connection is free"), id="pool is exhausted"),
        pytest.param(Fenced("another was faster", [("grants", "t", 0)]), id="fenced"),
        pytest.param(kafka.errors.KafkaTimeoutError("nobody there"), id="Kafka is away"),
        pytest.param(kafka.errors.NodeNotReadyError("1"), id="broker is away"),
        pytest.param(kafka.errors.UnknownTopicOrPartitionError("no topic"), id="topic is not there yet"),
    ],
)
def test_what_waiting_cures_is_transient(error: Exception) -> None:
    """A server that is away, busy, or has another owner's answer."""
    assert classify(error) is Failure.TRANSIENT


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(InvalidMessage("not JSON"), id="unreadable"),
        pytest.param(from_database("22003", sa.DataError), id="integer out of range"),
        pytest.param(from_database("22021", sa.DataError), id="NUL, said by the server"),
        pytest.param(ValueError("A string literal cannot contain NUL (0x00) characters."), id="NUL, said by psycopg2"),
        pytest.param(UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), id="half a surrogate pair"),
        pytest.param(from_database("23514", sa.IntegrityError), id="check violated"),
        pytest.param(from_database("23502", sa.IntegrityError), id="not null violated"),
        pytest.param(from_database("54000"), id="too long for an index, which psycopg2 calls operational"),
        pytest.param(sa.StatementError("no", "", {}, InvalidMessage("in a type")), id="wrapped"),
    ],
)
def test_what_is_one_records_fault_is_poison(error: Exception) -> None:
    """Its neighbours can be recorded, and it never will be."""
    assert classify(error) is Failure.POISON


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(KeyError("id"), id="key"),
        pytest.param(ValueError("NUL"), id="another ValueError"),
        pytest.param(AssertionError(), id="assertion"),
        pytest.param(from_database("42P01", sa.ProgrammingError), id="no such table"),
        pytest.param(from_database("21000", sa.ProgrammingError), id="one statement, one row twice"),
        pytest.param(from_database("25P02", sa.InternalError), id="transaction is aborted"),
        pytest.param(kafka.errors.TopicAuthorizationFailedError("no"), id="not allowed to read"),
        pytest.param(MemoryError(), id="memory"),
    ],
)
def test_all_else_is_a_bug(error: Exception) -> None:
    """What nobody foresaw is neither waited for nor set aside."""
    assert classify(error) is Failure.BUG


def test_the_reason_quotes_no_content() -> None:
    """PostgreSQL quotes the failing row below its first line; that goes into the dead letter, not into the log."""
    cause = Refusal("null value\nDETAIL: Failing row contains (jane@example.com).", "23502", primary="null value")
    error = sa.IntegrityError("insert", {"email": "jane@example.com"}, cause)

    assert reason(error) == "IntegrityError: null value"
    assert "jane@example.com" in detail(error)


def test_a_reason_has_an_end() -> None:
    """However much an error quotes, a line of the log stays a line; what is short is said in full."""
    assert len(reason(InvalidMessage("x" * 10_000))) == LONGEST_REASON
    assert reason(InvalidMessage("x" * LONGEST_REASON)) == "x" * LONGEST_REASON
    assert reason(UnicodeDecodeError("utf-8", b"jane@\xff", 5, 6, "invalid start byte")) == (
        "UnicodeDecodeError: invalid start byte"
    )


@pytest.mark.parametrize("error", [InvalidMessage(""), InvalidMessage("\n \n"), KeyError(), Refusal("")])
def test_a_reason_is_never_empty(error: Exception) -> None:
    """The table demands one."""
    assert reason(error)


@given(st.text(st.characters()))
def test_what_is_storable_is_so_whatever_it_was(text: str) -> None:
    """No NUL and no half of a surrogate pair is left, and what PostgreSQL can hold stays as it is."""
    found = storable(text)

    found.encode()
    assert "\x00" not in found
    assert storable(found) == found
