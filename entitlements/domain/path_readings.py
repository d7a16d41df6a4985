"""
What a request's path may mean to whoever reads it: servers differ over percent-encoding, slashes, dots and parameters.

An API is named by what stands behind the gateway, so a path counts as some API's only if it is that API's in every
reading. What no two servers agree on has no reading at all. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

LONGEST_PATH = 8 * 1024
"""As long as common servers take; what is longer has no reading."""

LONGEST_NOT_PLAIN = 2 * 1024
"""The same for a path that may be read in several ways: to find them all takes time, and clients write it."""

_OF_A_NAME = r"A-Za-z0-9_~!$&'()*+,=:@\-"
PLAIN = re.compile(rf"/|(?:/[{_OF_A_NAME}](?:[{_OF_A_NAME}.]*[{_OF_A_NAME}])?)+/?")
"""Paths that everybody reads the same: nothing encoded, no parameters, no empty, hidden or dotted segments."""

_AS_SENT = re.compile(r"/[!-\[\]-~]*")
"""Visible ASCII but the backslash, which some servers take for a slash."""

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_ENCODED_SLASH = re.compile(r"%2[Ff]")
_ENDING_IN_NOTHING = re.compile(r"(?<=[^/. ])[. ]+(?=/|$)")
_PARAMETERS = re.compile(r";[^/]*")
_SLASHES = re.compile(r"/{2,}")

_MARK = "\0"
"""Where an encoded slash was; a path with a real NUL has no reading."""


def readings(path: str) -> frozenset[str]:
    """
    All that *path*, as it was sent and without its query, may be read as, decoded; none where it can't be trusted.

    So are what doesn't begin with a slash, holds control characters, white space, a backslash or a fragment, is encoded
    twice or wrongly, or isn't UTF-8.
    """
    if PLAIN.fullmatch(path):
        return frozenset((path,)) if len(path) <= LONGEST_PATH else frozenset()
    if len(path) > LONGEST_NOT_PLAIN or not _AS_SENT.fullmatch(path) or "#" in path or _BROKEN_ESCAPE.search(path):
        return frozenset()
    try:
        text = decoded(_ENCODED_SLASH.sub(_MARK, path))
    except UnicodeDecodeError:
        return frozenset()
    texts = {text, unicodedata.normalize("NFKC", text)}  # a full-width slash is a slash to some
    if "%00" in path or any(_is_untrustworthy(each) for each in texts):
        return frozenset()
    return frozenset(_all_ways(texts))


def decoded(path: str) -> str:
    """Without percent-encoding. Raises `UnicodeDecodeError` where that is not UTF-8."""
    latin = _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), path.encode().decode("latin-1"))
    return latin.encode("latin-1").decode()


def is_decodable(path: str) -> bool:
    """Whether each percent-escape in it is one, and they are UTF-8 together."""
    try:
        decoded(path)
    except UnicodeDecodeError:
        return False
    return not _BROKEN_ESCAPE.search(path)


def _is_untrustworthy(text: str) -> bool:
    """Whether a decoded text would be decoded again by some, or means something else than text to some."""
    return bool(_ESCAPE.search(text)) or any(
        character == "\\" or (character != _MARK and unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp"))
        for character in text
    )


def _all_ways(texts: Iterable[str]) -> set[str]:
    """Each step is taken by some servers and not by others; they take them in this order."""
    found = {text.replace(_MARK, slash) for text in texts for slash in ("/", "%2F")}
    for step in STEPS:
        found |= {step(text) for text in found}
    return found


def without_query(path: str) -> str:
    """Cut where a question mark or a number sign was encoded."""
    return re.split("[?#]", path, maxsplit=1)[0]


def without_parameters(path: str) -> str:
    """Without `;…` at the ends of segments, as Java's servers read paths."""
    return _PARAMETERS.sub("", path)


def without_ends(path: str) -> str:
    """Without dots and blanks at the ends of segments, as Windows reads names."""
    return _ENDING_IN_NOTHING.sub("", path)


def without_empty_segments(path: str) -> str:
    """Several slashes as one, as nginx and many routers read them."""
    return _SLASHES.sub("/", path)


def without_dot_segments(path: str) -> str:
    """`.` and `..` resolved (RFC 3986, section 5.2.4)."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments and segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


STEPS: tuple[Callable[[str], str], ...] = (
    without_query,
    without_parameters,
    without_ends,
    without_empty_segments,
    without_dot_segments,
)
