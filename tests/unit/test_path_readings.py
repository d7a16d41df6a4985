"""What a request's path may be read as, by servers that differ over it."""

from __future__ import annotations

import itertools
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements.domain.path_readings import LONGEST_NOT_PLAIN, LONGEST_PATH, STEPS, readings


@pytest.mark.parametrize(
    "path", ["/", "/orders", "/orders/", "/orders/7", "/a.b/c~d/e-f_g", "/users/@me:likes,all+more"]
)
def test_what_everybody_reads_the_same_has_one_reading(path: str) -> None:
    """Plain paths are themselves, and cost no more."""
    assert readings(path) == {path}


@pytest.mark.parametrize(
    ("path", "several"),
    [
        ("/%6Frders/caf%C3%A9", {"/orders/café"}),
        ("/a//b", {"/a//b", "/a/b"}),
        ("/a/./b", {"/a/./b", "/a/b"}),
        ("/a/../b", {"/a/../b", "/b"}),
        ("/a/%2e%2E/b", {"/a/../b", "/b"}),
        ("/../a", {"/../a", "/a"}),
        ("/a/..", {"/a/..", "/"}),
        ("/a/b/..", {"/a/b/..", "/a/"}),
        ("/a/.", {"/a/.", "/a/"}),
        ("/a%2Fb", {"/a/b", "/a%2Fb"}),
        ("/a;v=1/b", {"/a;v=1/b", "/a/b"}),
        ("/a%3Fx/b", {"/a?x/b", "/a"}),
        ("/a%23x", {"/a#x", "/a"}),
        ("/a./b", {"/a./b", "/a/b"}),
        ("/a%20", {"/a ", "/a"}),
        ("/a//../b", {"/a//../b", "/a/../b", "/a/b", "/b"}),
        ("/a/..;/b", {"/a/..;/b", "/a/../b", "/b"}),
        ("/a%EF%BC%8Fb", {"/a／b", "/a/b"}),
        ("/a/%E2%80%A5/b", {"/a/‥/b", "/a/../b", "/b"}),
    ],
)
def test_what_servers_differ_over_has_several(path: str, several: set[str]) -> None:
    """Each is one that some server is known for: nginx, Java's, Windows', Unicode's compatibility."""
    assert readings(path) == several


@pytest.mark.parametrize(
    "path",
    [
        "",
        "orders",
        "*",
        "http://api.example.com/orders",
        "api.example.com:443",
        "/a b",
        "/a\tb",
        "/a\\b",
        "/a%5Cb",
        "/a%5cb",
        "/a#b",
        "/a%0Ab",
        "/a%00",
        "/a%E2%80%A8b",
        "/a%E2%80%A9b",
        "/%7F",
        "/a%",
        "/a%2",
        "/a%zz",
        "/%252e%252e/a",
        "/a%2541",
        "/%C0%AF",
        "/%FF",
        "/é",
        "/a%E2%80%8B",
        "/a%EF%BC%BCb",
        "/a" * LONGEST_PATH,
        "/a;b" * (LONGEST_NOT_PLAIN // 4 + 1),
    ],
)
def test_what_cannot_be_trusted_has_none(path: str) -> None:
    """Not a path, not text, encoded twice or wrongly, with a backslash or what nobody sees, or too long."""
    assert readings(path) == frozenset()


def test_the_longest_paths_are_still_read() -> None:
    """A limit is the length of the longest that is taken."""
    plain, other = "/" + "a" * (LONGEST_PATH - 1), "/;" + "a" * (LONGEST_NOT_PLAIN - 2)

    assert (readings(plain), readings(plain + "a")) == (frozenset({plain}), frozenset())
    assert (readings(other), readings(other + "a")) == (frozenset({other, "/"}), frozenset())


SEGMENTS = st.sampled_from(
    ["", "a", "b.", "..", ".", "a;b", "..;", "a%2Fb", "%2e%2e", "%61", "x%3Fy", "z%20", "%C2%A0"]
)
PATHS = st.lists(SEGMENTS, max_size=5).map(lambda segments: "/" + "/".join(segments))


@given(PATHS)
def test_whichever_steps_a_server_takes_its_reading_is_among_them(path: str) -> None:
    """All of two to the fifth ways, with and without encoded slashes, worked out one by one."""
    for slash in ("/", "%252F"):
        text = unquote(path.replace("%2F", slash))
        for steps in itertools.product((False, True), repeat=len(STEPS)):
            read = text
            for taken, step in zip(steps, STEPS, strict=True):
                read = step(read) if taken else read
            assert read in readings(path)


@given(st.text(st.characters(max_codepoint=0x17F), max_size=40))
def test_no_text_breaks_it(path: str) -> None:
    """Whatever comes has readings that begin with a slash, or none."""
    assert all(read.startswith("/") for read in readings("/" + path) | readings(path))
