"""
What kind of failure an exception is, and what is said of a record that is set aside. Pure.

Transient: a server is away or busy; waiting cures it. Poison: this record will never be read or stored, and its
neighbours will. Bug: all else; nothing is committed and the process ends, for guessing costs a customer's access.
"""

from __future__ import annotations

import traceback
from enum import StrEnum

from kafka.errors import KafkaError
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from consumers.record import Partition, Record
from entitlements.ledger import Fenced
from schemas.codec import InvalidMessage

LONGEST_REASON = 500
"""Characters of a reason: more would be a quotation, whoever wrote the text."""


class Failure(StrEnum):
    """The three kinds of failure."""

    TRANSIENT = "transient"
    POISON = "poison"
    BUG = "bug"


class Server(StrEnum):
    """What a consumer waits for when it is away."""

    KAFKA = "kafka"
    DATABASE = "database"


class AnotherLog(Exception):
    """The offsets in Postgres belong to another log than the one in Kafka; a person has to say which one is meant."""


class OffsetOutOfRange(Exception):
    """Kafka no longer has, or never had, the record that comes next; a person has to say where to go on."""


class TooManyDeadLetters(Exception):
    """
    So many records in a row could not be read that the program is to blame; those up to the limit are set aside.

    The next one is at *offset* of the partition *source*; from there on nothing of it was recorded. *what* happened is
    the text without what to do about it.
    """

    def __init__(self, what: str, cure: str, *, source: Partition, offset: int) -> None:
        super().__init__(f"{what} {cure}")
        self.what = what
        self.source = source
        self.offset = offset


_SQLSTATE_KIND = {
    "08": Failure.TRANSIENT,  # connection lost
    "22": Failure.POISON,  # a value that its column can't hold
    "23": Failure.POISON,  # a constraint says no to this record
    "40": Failure.TRANSIENT,  # serialization failure, deadlock
    "53": Failure.TRANSIENT,  # disk full, out of memory, too many connections
    "54": Failure.POISON,  # over a limit: a key too long for its index (psycopg2 calls it operational)
    "55": Failure.TRANSIENT,  # a lock is not free
    "57": Failure.TRANSIENT,  # shut down, starting, statement cancelled
    "58": Failure.TRANSIENT,  # input/output error outside of the database
    "25006": Failure.TRANSIENT,  # read-only: a failover is under way
    "25P03": Failure.TRANSIENT,  # stopped in mid-transaction for so long that Postgres ended the session
}


def classify(error: BaseException) -> Failure:
    """
    The kind of failure that *error* is.

    psycopg2's classes are too coarse to decide by: what is decisive is PostgreSQL's SQLSTATE, where there is one.
    """
    match error:
        case InvalidMessage():
            return Failure.POISON
        case Fenced() | NoConnectionFree():
            return Failure.TRANSIENT
        case DBAPIError():
            return _of_database(error)
        case StatementError(orig=BaseException() as cause):
            return classify(cause)
        case KafkaError():
            return Failure.TRANSIENT if error.retriable else Failure.BUG
        case UnicodeEncodeError():  # half of a surrogate pair: JSON can say it, UTF-8 can't
            return Failure.POISON
        case ValueError() if "NUL (0x00)" in str(error):  # psycopg2 refuses it before PostgreSQL sees it
            return Failure.POISON
        case _:
            return Failure.BUG


def is_transient(error: BaseException) -> bool:
    """Whether waiting cures it."""
    return classify(error) is Failure.TRANSIENT


def server_of(error: BaseException) -> Server | None:
    """The server whose absence a transient *error* tells of; None for `Fenced`, which tells of another instance."""
    match error:
        case Fenced():
            return None
        case KafkaError():
            return Server.KAFKA
        case _:
            return Server.DATABASE


def reason(error: BaseException) -> str:
    """One line for people that says what is wrong, without the record's content: it is logged."""
    match error:
        case InvalidMessage() | KafkaError():  # kafka-python's texts begin with the class
            said = str(error)
        case DBAPIError(orig=BaseException() as cause):
            primary = getattr(getattr(cause, "diag", None), "message_primary", None)
            said = f"{type(error).__name__}: {primary or cause}"
        case StatementError(orig=BaseException() as cause):
            said = reason(cause)
        case UnicodeEncodeError() | UnicodeDecodeError():
            said = f"{type(error).__name__}: {error.reason}"
        case _:
            said = f"{type(error).__name__}: {error}"
    line = storable(said.strip().partition("\n")[0] or type(error).__name__)
    return line if len(line) <= LONGEST_REASON else f"{line[: LONGEST_REASON - 1]}…"


def detail(error: BaseException) -> str:
    """Traceback and cause, for the dead letter alone: what the database says quotes the record."""
    if isinstance(error, StatementError) and error.orig is not None:
        return storable(str(error.orig))
    return storable("".join(traceback.format_exception(error)))


def too_many(group: str, record: Record, in_a_row: int, error: Exception) -> TooManyDeadLetters:
    """That *record* is one more than may be set aside after *in_a_row* of them, and what a person can do."""
    where = f"{record.topic}-{record.partition}"
    return TooManyDeadLetters(
        f"{group} has set aside {in_a_row} records in a row of {where}, and the next one can't be read either (offset "
        f"{record.offset}: {reason(error)}).",
        f"Rather the program is wrong than all of them. See `entitle dead-letters list --group {group}`. If the "
        "program is wrong, start a version that can read them, then `entitle dead-letters redrive --group "
        f"{group}`. If they are really bad, `entitle dead-letters discard --group {group} --reason …` lets it go on.",
        source=record.source,
        offset=record.offset,
    )


def storable(text: str) -> str:
    """*text* as PostgreSQL can hold it: NUL and halves of surrogate pairs are spelled out."""
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def _of_database(error: DBAPIError) -> Failure:
    code = getattr(error.orig, "pgcode", None)
    if error.connection_invalidated:
        return Failure.TRANSIENT
    if code is not None:
        return _SQLSTATE_KIND.get(code) or _SQLSTATE_KIND.get(code[:2], Failure.BUG)
    if isinstance(error, OperationalError | InterfaceError):  # it never came as far as PostgreSQL
        return Failure.TRANSIENT
    return Failure.POISON if isinstance(error, DataError) else Failure.BUG
