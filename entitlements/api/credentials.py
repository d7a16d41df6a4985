"""
Who is asking at a gateway's mount, by the headers that the settings name, in their order. Pure.

By default a caller is whoever holds an API key. A header that names the caller outright is trusted only where the
settings say so: the gateway must take it away from its clients first, and one that forgets would let anyone be anyone.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum

from entitlements.api.requests import LONGEST_ID
from entitlements.api.subjects import Subject, SubjectType
from entitlements.api.tokens import Token

GATEWAY_TOKEN = b"entitlement-gateway-token"
"""By which the gateway itself is known: `Authorization` is its client's."""

KEY_PREFIX = "entkey_"
_KEY = re.compile(rf"{KEY_PREFIX}[A-Za-z0-9_-]{{43}}".encode())
"""A key as it is made: 32 random bytes in base64url behind a prefix by which secret scanners can know it."""

_BEARER = re.compile(rb"bearer +(?P<key>\S+)", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")
TAKEN = frozenset({"authorization", "connection", "content-length", "content-type", "cookie", "host", "vary"})
TAKEN_PREFIXES = ("x-forwarded-", "entitlement-gateway-")

Headers = Mapping[bytes, bytes | None]
"""Those of a request that count, by lower-case name; None is one that stands there several times."""


class SourceKind(StrEnum):
    """How a caller can be known."""

    KEY = "key"
    BEARER = "bearer"
    SUBJECT = "subject"


class Unidentified(Enum):
    """Why nobody is known to be asking."""

    NO_CREDENTIAL = "no_credential"
    UNKNOWN_CREDENTIAL = "unknown_credential"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One way to know a caller, and the header that says it."""

    kind: SourceKind
    header: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """
    What is believed at the mounts: *sources* in order, the first that is there counts; *api_header*, where it is not
    None, names the API of a request that no route matches.
    """

    sources: tuple[Source, ...]
    api_header: str | None = None


DEFAULT_CREDENTIALS = "key:X-Api-Key,bearer"


def parse_credentials(text: str) -> tuple[Source, ...]:
    """
    The sources in a setting: `key:HEADER`, `bearer` and `subject:HEADER`, comma-separated, in their order.

    Raises `ValueError`, whose text says what is wrong with which.
    """
    sources = tuple(_source(part.strip()) for part in text.split(","))
    headers = [source.header.lower() for source in sources]
    for header in headers:
        if headers.count(header) > 1:
            raise ValueError(f"the header {header} stands there twice")
    return sources


def parse_header(name: str) -> str:
    """A header's name in a setting. Raises `ValueError` for what is none, or means something already."""
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no header's name: letters, digits and hyphens")
    if name.lower() in TAKEN or name.lower().startswith(TAKEN_PREFIXES):
        raise ValueError(f"the header {name} means something else already: name one of your own")
    return name


def identify(trust: Trust, headers: Headers) -> bytes | Subject | Unidentified:
    """
    The SHA-256 of the API key that was presented, or whom a trusted header names; or why nobody is known.

    The first source whose header is there and not empty counts, whatever the others say.
    """
    for source in trust.sources:
        value = headers.get(source.header.lower().encode(), b"")
        if value is None:  # the gateway's own beside its client's, or two to choose from: not for us to choose
            return Unidentified.UNKNOWN_CREDENTIAL
        if source.kind is SourceKind.BEARER:
            bearer = _BEARER.fullmatch(value)
            value = bearer["key"] if bearer else b""
        if value:
            return _named(value) if source.kind is SourceKind.SUBJECT else digest(value)
    return Unidentified.NO_CREDENTIAL


def digest(key: bytes) -> bytes | Unidentified:
    """The SHA-256 by which a key is looked up; what was never a key of ours is not looked up."""
    return hashlib.sha256(key).digest() if _KEY.fullmatch(key) else Unidentified.UNKNOWN_CREDENTIAL


def _named(value: bytes) -> Subject | Unidentified:
    """`org:initech` or `customer:cus_…`."""
    try:
        kind, _, name = value.decode().partition(":")
        subject_type = SubjectType(kind)
    except ValueError:
        return Unidentified.UNKNOWN_CREDENTIAL
    if not 1 <= len(name) <= LONGEST_ID or not name.isprintable():
        return Unidentified.UNKNOWN_CREDENTIAL
    return Subject(type=subject_type, id=name)


def _source(text: str) -> Source:
    kind, colon, header = text.partition(":")
    if text == SourceKind.BEARER:
        return Source(kind=SourceKind.BEARER, header="Authorization")
    if kind in (SourceKind.KEY, SourceKind.SUBJECT) and colon:
        return Source(kind=SourceKind(kind), header=parse_header(header))
    raise ValueError(f"{text!r} is none of key:HEADER, bearer and subject:HEADER")


def token_in(headers: Headers, tokens: tuple[Token, ...]) -> Token | None:
    """The gateway's token; compared with all, each in constant time, so that how long it takes tells nothing."""
    given = headers.get(GATEWAY_TOKEN) or b""
    matching = [token for token in tokens if hmac.compare_digest(token.value.encode(), given)]
    return matching[0] if matching else None


def named_api(value: bytes | None) -> str | None:
    """The API that a trusted header names; None for none, several, and what is no name."""
    try:
        name = (value or b"").decode()
    except UnicodeDecodeError:
        return None
    return name if 1 <= len(name) <= LONGEST_ID and name.isprintable() else None
