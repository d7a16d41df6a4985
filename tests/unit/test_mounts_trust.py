"""Who is asking at a mount and for which API, by the headers that the settings trust."""

from __future__ import annotations

import pytest

from entitlements.api.credentials import Source, SourceKind, Trust, parse_credentials
from entitlements.api.subjects import Subject, SubjectType
from tests.mounting import INITECH, KEY, OTHER_KEY, OWED, Known, ask, forwarded, mounted

TRUSTING = Trust(
    sources=parse_credentials("subject:Entitlement-Subject,key:X-Api-Key,bearer"), api_header="Entitlement-Api"
)


@pytest.mark.parametrize(
    ("more", "key", "status", "about"),
    [
        ({}, KEY, 200, INITECH),
        ({"Entitlement-Subject": "org:hooli"}, KEY, 200, Subject(type=SubjectType.ORG, id="hooli")),
        ({"Entitlement-Subject": "customer:cus_9"}, None, 200, Subject(type=SubjectType.CUSTOMER, id="cus_9")),
        ({"Entitlement-Subject": ""}, KEY, 200, INITECH),
        ({"Entitlement-Subject": "user:alice"}, KEY, 401, None),
        ({"Entitlement-Subject": "org:"}, KEY, 401, None),
        ({"Entitlement-Subject": "hooli"}, KEY, 401, None),
        ({"Authorization": f"Bearer {OTHER_KEY}"}, KEY, 200, INITECH),
        ({"Authorization": f"Bearer {KEY}"}, None, 200, INITECH),
        ({"Authorization": f"bEARER  {KEY}"}, None, 200, INITECH),
        ({"Authorization": f"Basic {KEY}"}, None, 401, None),
        ({"Authorization": f"Bearer {KEY} x"}, None, 401, None),
    ],
)
def test_the_first_credential_that_is_there_counts(
    more: dict[str, str], key: str | None, status: int, about: Subject | None
) -> None:
    """In the order of the settings; one that is there and says nothing usable is not passed over for the next."""
    answering = Known()
    answer = ask(mounted(answering, TRUSTING), "GET", b"/v1/check", forwarded(key=key, more=more))

    assert answer.status == status
    assert [subject for subject, _ in answering.asked] == ([] if about is None else [about])


def test_by_default_nobody_is_believed_who_he_says_he_is() -> None:
    """Headers by which a gateway could name caller and API are not read unless the settings say so."""
    answering = Known(decisions={"gold": OWED})
    more = {"Entitlement-Subject": "org:hooli", "Entitlement-Api": "orders"}

    asked = (forwarded(key=None, more=more), forwarded("/nothing", more=more))
    assert [ask(mounted(answering), "GET", b"/v1/check", headers).status for headers in asked] == [401, 403]
    assert answering.asked == []


@pytest.mark.parametrize(
    ("uri", "api", "status"),
    [("/nothing", "orders", 200), ("/orders/7", "reports", 200), ("/nothing", "", 403), ("/nothing", "a\tb", 403)],
)
def test_a_trusted_header_names_the_api_where_no_route_does(uri: str, api: str, status: int) -> None:
    """The catalog's routes come first."""
    answer = ask(mounted(Known(), TRUSTING), "GET", b"/v1/check", forwarded(uri, more={"Entitlement-Api": api}))

    assert answer.status == status
    assert answer["Entitlement-Api"] == ("orders" if status == 200 else "none")


def test_vary_names_what_the_settings_read() -> None:
    """All of it, and short enough for nginx, which keeps nothing whose Vary is longer than 128 bytes."""
    vary = ask(mounted(Known(), TRUSTING), "GET", b"/v1/check", forwarded())["Vary"]

    assert vary == (
        "Entitlement-Subject, X-Api-Key, Authorization, Entitlement-Api, X-Forwarded-Method, X-Forwarded-Host, "
        "X-Forwarded-Uri"
    )
    assert len(vary) <= 128


def test_a_source_of_each_kind() -> None:
    """The setting's words."""
    assert parse_credentials(" subject:X-Who , bearer,key:X-Key") == (
        Source(kind=SourceKind.SUBJECT, header="X-Who"),
        Source(kind=SourceKind.BEARER, header="Authorization"),
        Source(kind=SourceKind.KEY, header="X-Key"),
    )
