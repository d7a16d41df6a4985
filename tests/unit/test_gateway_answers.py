"""How long gateways may keep an answer, and how names stand in headers."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from entitlements.api.answering import Answer
from entitlements.api.gateway_answers import cache_control, decided, rate_limit_policy, same_until
from entitlements.api.gateway_headers import Manners, as_http
from entitlements.api.subjects import Subject, SubjectType
from entitlements.domain.access import ALLOW_MAX_AGE
from entitlements.domain.catalog import Enforcement
from entitlements.domain.quotas import QuotaAllowed
from tests.mounting import NOW, OWED, PAID


def seconds(header: str) -> dict[str, int]:
    """A Cache-Control's directives."""
    return {name: int(value) for name, _, value in (each.strip().partition("=") for each in header.split(","))}


@pytest.mark.parametrize(
    ("left", "header"),
    [
        (timedelta(days=9), "max-age=10, stale-if-error=300"),
        (timedelta(minutes=5), "max-age=10, stale-if-error=289"),
        (timedelta(seconds=11), "max-age=10, stale-if-error=0"),
        (timedelta(seconds=10, milliseconds=999), "max-age=9, stale-if-error=0"),
        (timedelta(seconds=3, milliseconds=500), "max-age=2, stale-if-error=0"),
        (timedelta(seconds=1, milliseconds=999), "max-age=0, stale-if-error=0"),
        (timedelta(milliseconds=1), "max-age=0, stale-if-error=0"),
        (timedelta(seconds=-1), "max-age=0, stale-if-error=0"),
    ],
)
def test_an_allowance_is_kept_no_longer_than_it_holds(left: timedelta, header: str) -> None:
    """Ten seconds, cut where the grant ends, and a second before that for caches that count whole seconds."""
    assert cache_control(replace(PAID, until=NOW + left), NOW) == header


def test_an_allowance_without_an_end_is_kept_as_long_as_any() -> None:
    """A manual grant without `until`."""
    assert cache_control(replace(PAID, until=None), NOW) == "max-age=10, stale-if-error=300"


@given(st.integers(0, 400_000_000), st.integers(0, 10_000_000))
def test_no_cache_outlives_a_grant(left_us: int, asked_us: int) -> None:
    """A cache that rounds up to a whole second is done with it before it ends, stale or not, whenever it asked."""
    until = NOW + timedelta(microseconds=left_us)
    now = NOW + timedelta(microseconds=asked_us)
    decision = replace(PAID, until=until, max_age=min(ALLOW_MAX_AGE, until - NOW))
    kept = sum(seconds(cache_control(decision, now)).values())

    assert kept == 0 or now + timedelta(seconds=kept + 1) <= until


@pytest.mark.parametrize(
    ("left", "header"),
    [
        (None, "max-age=2, stale-if-error=300"),
        (timedelta(days=9), "max-age=2, stale-if-error=300"),
        (timedelta(minutes=5), "max-age=2, stale-if-error=297"),
        (timedelta(seconds=3), "max-age=2, stale-if-error=0"),
        (timedelta(seconds=2, milliseconds=999), "max-age=1, stale-if-error=0"),
        (timedelta(milliseconds=1), "max-age=0, stale-if-error=0"),
    ],
)
def test_a_denial_is_kept_no_longer_than_it_holds(left: timedelta | None, header: str) -> None:
    """Two seconds, and while nobody answers until the next moment at which time alone may open, a second before it."""
    assert cache_control(replace(OWED, opens=None if left is None else NOW + left), NOW) == header


@given(st.integers(0, 400_000_000), st.integers(0, 10_000_000))
def test_no_cache_keeps_a_denial_into_the_next_cycle(left_us: int, asked_us: int) -> None:
    """A cache that rounds up to a whole second is done with it before a cycle that is paid ahead begins."""
    opens = NOW + timedelta(microseconds=left_us)
    now = NOW + timedelta(microseconds=asked_us)
    kept = sum(seconds(cache_control(replace(OWED, opens=opens), now)).values())

    assert kept == 0 or now + timedelta(seconds=kept + 1) <= opens


@given(st.booleans(), st.integers(0, 400_000_000))
def test_what_was_written_out_is_sent_again_only_while_it_is_the_same(is_paid: bool, left_us: int) -> None:
    """Until `same_until` the header is word for word what would be written then."""
    boundary = NOW + timedelta(microseconds=left_us)
    decision = replace(PAID, until=boundary) if is_paid else replace(OWED, opens=boundary)
    last = same_until(decision, NOW + timedelta(seconds=90)) - timedelta.resolution

    assert last < NOW or cache_control(decision, last) == cache_control(decision, NOW)


@example("none")
@given(st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=30))
def test_any_name_can_stand_in_a_header_and_be_read_back(name: str) -> None:
    """Visible ASCII alone, never `none` or empty, and percent-decoding gives the name."""
    answer = Answer(decision=PAID, subject=Subject(type=SubjectType.ORG, id=name), customer=name)
    headers = dict(as_http(decided(answer, name, NOW), Manners(vary=b"")).headers)

    for header in (b"entitlement-org", b"entitlement-customer", b"entitlement-api"):
        value = headers[header].decode("ascii")
        assert value.isprintable()
        assert " " not in value
        assert value not in ("", "none")
        assert unquote(value) == name


@pytest.mark.parametrize(
    ("quota", "policy"),
    [
        ({"name": "calls"}, '"calls";q=1000'),
        ({"name": "calls", "per": "day"}, '"calls";q=1000;w=86400'),
        ({"name": "calls", "per": "month"}, '"calls";q=1000'),
        ({"name": 'a"b\\é', "unit": "lines"}, '"a\\"b\\\\?";q=1000;qu="lines"'),
    ],
)
def test_a_quota_is_told_as_the_draft_writes_it(quota: dict[str, str], policy: str) -> None:
    """A structured field; a window only where it has always as many seconds."""
    given = {"unit": "requests", "limit": 1000, "per": "cycle", "enforcement": Enforcement.STRICT} | quota
    assert rate_limit_policy(QuotaAllowed(**given)) == policy  # type: ignore[arg-type]


def test_an_address_that_cannot_stand_in_a_header_does_not() -> None:
    """Whatever a payload says, no header is split by it."""
    answer = Answer(
        decision=replace(OWED, pay_at="https://x/\r\nSet-Cookie: a"),
        subject=Subject(type=SubjectType.ORG, id="o"),
        customer=None,
    )

    assert dict(as_http(decided(answer, "orders", NOW), Manners(vary=b"")).headers)[b"entitlement-pay-at"] == b"none"


def test_nothing_is_kept_from_before_now() -> None:
    """A clock that went back makes no long-lived answer."""
    assert cache_control(PAID, datetime.max.replace(tzinfo=NOW.tzinfo)) == "max-age=0, stale-if-error=0"
