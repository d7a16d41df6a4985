"""Only what Stripe signed passes, and saying why not gives nothing away."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.signature import SignatureRejected, verify
from tests.webhooks import SECRET, signature

BODY = b'{"id": "evt_1", "name": "J\xc3\xb6rg"}'


def passes(header: bytes, *secrets: str) -> bool:
    try:
        verify(BODY, header, secrets)
    except SignatureRejected:
        return False
    return True


def test_a_signature_by_the_secret_passes() -> None:
    """What Stripe signs with the endpoint's secret passes."""
    assert passes(signature(BODY), SECRET)


@pytest.mark.parametrize("secrets", [["whsec_new", SECRET], [SECRET, "whsec_old"]], ids=["old", "new"])
def test_any_of_several_secrets_passes(secrets: list[str]) -> None:
    """While a secret is rolled, deliveries signed with either pass."""
    assert passes(signature(BODY), *secrets)


def test_any_of_several_signatures_passes() -> None:
    """While Stripe signs with two secrets, knowing one of them is enough."""
    assert passes(signature(BODY, "whsec_old", SECRET), SECRET)


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (None, "no Stripe-Signature header"),
        (b"", "no Stripe-Signature header"),
        (b"nonsense", "Unable to extract timestamp and signatures"),
        (b"t=now,v1=00", "Unable to extract timestamp and signatures"),
        (b"t=" + b"9" * 5000 + b",v1=00", "Unable to extract timestamp and signatures"),
        (b"v1=00", "Unable to extract timestamp and signatures"),
        (b"t=1767225600", "No signatures found with expected scheme v1"),
        (b"t=1767225600,v1=", "No signatures found matching"),
        (b"t=1767225600,v1=\xe9", "not ASCII"),
        (signature(BODY, scheme="v0"), "No signatures found with expected scheme v1"),
        (signature(BODY, "whsec_other"), "No signatures found matching"),
        (signature(BODY + b" "), "No signatures found matching"),
        (signature(BODY, age=310), "Timestamp outside the tolerance zone"),
    ],
    ids=itertools.count(),  # a name with the time in it would be another one in each worker
)
def test_what_is_wrong_with_a_signature_is_said(header: bytes | None, why: str) -> None:
    """A missing, malformed, foreign or old signature is rejected with what is wrong with it."""
    with pytest.raises(SignatureRejected, match=re.escape(why)):
        verify(BODY, header, [SECRET])


@pytest.mark.parametrize("age", [290, -86_400], ids=["almost too old", "of tomorrow"])
def test_a_timestamp_within_the_tolerance_or_ahead_passes(age: int) -> None:
    """300 seconds are tolerated, and Stripe's library lets a timestamp ahead of our clock pass."""
    assert passes(signature(BODY, age=age), SECRET)


def test_being_too_old_is_said_even_where_another_secret_does_not_match() -> None:
    """With two secrets, an old signature is called old, not only foreign."""
    with pytest.raises(SignatureRejected, match="tolerance"):
        verify(BODY, signature(BODY, age=310), [SECRET, "whsec_other"])


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_a_blank_secret_verifies_nothing(blank: str) -> None:
    """A blank secret, with which anybody could sign, never passes."""
    assert not passes(signature(BODY, blank), blank)


def test_without_secrets_nothing_passes() -> None:
    """An integration without a secret takes nothing."""
    with pytest.raises(SignatureRejected, match="no signing secret"):
        verify(BODY, signature(BODY), [])


def test_a_body_that_is_not_utf_8_is_rejected() -> None:
    """Stripe signs text: bytes that are none are rejected, even rightly signed."""
    with pytest.raises(SignatureRejected, match="the body is not UTF-8"):
        verify(b"\xff", signature(b"\xff"), [SECRET])


@given(body=st.binary(), header=st.none() | st.binary() | st.from_regex(rb"t=\d+,v1=.*"))
def test_nothing_else_is_raised_and_nothing_given_away(body: bytes, header: bytes | None) -> None:
    """Whatever comes, the only refusal is `SignatureRejected`, and it holds neither payload nor header nor secret."""
    with pytest.raises(SignatureRejected) as rejected:
        verify(b"payload" + body, header, [SECRET])

    assert "payload" not in str(rejected.value).replace("for payload", "")
    assert SECRET not in repr(rejected.value)
    assert rejected.value.__cause__ is None
