"""Orgs as operators set them, over HTTP and on the command line, on a real PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from entitlements.orgs import orgs
from entitlements.tables import metadata
from ops.database import migrate
from tests.asking import ADMIN, SETTINGS_SCHEMA, Answer, Api, listening
from tests.servers import new_database
from tests.stated import STORY, catalog, line, named

TWO = (
    catalog(integrations=("main", "other")),
    line("cus_paid"),
    named("cus_paid"),
    line("cus_other", integration="other", price="price_reporting"),
)
"""Two integrations; acme is of main, globex of the other."""


def put(api: Api, org: str, body: Any, token: str = ADMIN) -> Answer:
    """`PUT /v1/orgs/{org}`."""
    headers = {"Content-Type": "application/json"}
    return api.ask("PUT", f"/v1/orgs/{org}", token=token, body=json.dumps(body).encode(), headers=headers)


def customer_of(api: Api, org: str, query: str = "") -> str | None:
    """The customer that an admin is told the org is; None where there is no such org."""
    answer = api.ask("GET", f"/v1/orgs/{org}{query}", token=ADMIN)
    assert answer.status in (200, 404), answer
    return None if answer.status == 404 else answer.body["customer"]


def test_an_org_is_whom_it_was_set_to_last(fresh_database: str) -> None:
    """201 for a new name, 200 from then on; gateways and portals are answered for the customer at once."""
    with listening(fresh_database, *STORY) as api:
        before = api.reason("hooli", subject_type="org")
        first, again = put(api, "hooli", {"customer": "cus_open"}), put(api, "hooli", {"customer": "cus_open"})
        owing = api.reason("hooli", subject_type="org")
        moved = put(api, "hooli", {"customer": "cus_paid", "integration": "main", "marketplace": "acme"})
        shown = api.ask("GET", "/v1/orgs/hooli", token=ADMIN)

        assert [first.status, again.status, moved.status, shown.status] == [201, 200, 200, 200]
        assert first.body == again.body
        assert shown.body == moved.body
        assert {name: moved.body[name] for name in ("org", "customer", "integration", "from", "set_by")} == {
            "org": "hooli",
            "customer": "cus_paid",
            "integration": "main",
            "from": "setting",
            "set_by": "an admin token",
        }
        assert moved.body["set_at"].endswith("Z")
        assert (before, owing, api.reason("hooli", subject_type="org")) == (
            "unknown_subject",
            "payment_required",
            "paid",
        )
        portal = api.ask("GET", "/v1/orgs/hooli/entitlements")
        assert (portal.body["org"], portal.body["customer"]) == ("hooli", "cus_paid")


def test_a_removed_org_is_nobody(fresh_database: str) -> None:
    """204, then 404 for everyone; the name may be set anew, and every row of what was said stays."""
    with listening(fresh_database, *STORY) as api:
        put(api, "hooli", {"customer": "cus_paid"})
        removed = api.ask("DELETE", "/v1/orgs/hooli", token="admin-of-acme")
        gone = [api.ask("GET", "/v1/orgs/hooli", token=ADMIN), api.ask("DELETE", "/v1/orgs/hooli", token=ADMIN)]
        reason = api.reason("hooli", subject_type="org")
        anew = put(api, "hooli", {"customer": "cus_open"})
        with api.engine.connect() as connection:
            rows = connection.execute(sa.select(orgs.c.customer, orgs.c.set_by).order_by(orgs.c.id)).all()

    assert [removed.status, *(each.status for each in gone)] == [204, 404, 404]
    assert (reason, anew.status) == ("unknown_subject", 201)
    assert [tuple(row) for row in rows] == [
        ("cus_paid", "an admin token"),
        (None, "an admin token of acme"),
        ("cus_open", "an admin token"),
    ]


def test_what_the_catalog_names_it_fixes(fresh_database: str) -> None:
    """409 for another customer and for removal; the same customer is 200, and nothing is stored."""
    with listening(fresh_database, *STORY) as api:
        other, same = put(api, "initech", {"customer": "cus_open"}), put(api, "initech", {"customer": "cus_paid"})
        removed = api.ask("DELETE", "/v1/orgs/initech", token=ADMIN)

        assert (other.status, removed.status) == (409, 409)
        assert "catalog" in other.body["detail"]
        assert (same.status, same.body) == (200, {"org": "initech", "customer": "cus_paid", "from": "catalog"})
        assert api.ask("GET", "/v1/orgs/initech", token=ADMIN).body == same.body
        with api.engine.connect() as connection:
            assert connection.execute(sa.select(sa.func.count()).select_from(orgs)).scalar_one() == 0


def test_a_catalog_that_comes_to_name_an_org_wins(fresh_database: str) -> None:
    """A setting made before is behind the catalog's name, for gateways and for operators."""
    with listening(fresh_database, line("cus_paid"), catalog(), named("cus_paid")) as api:
        with api.engine.begin() as connection:
            rows = [{"integration": "main", "org": "initech", "customer": "cus_open", "set_by": "test"}]
            connection.execute(sa.insert(orgs), rows)

        assert api.reason("initech", subject_type="org") == "paid"
        assert customer_of(api, "initech") == "cus_paid"


def test_an_org_belongs_to_an_integration(fresh_database: str) -> None:
    """The same name in two integrations is two orgs; which is meant has to be said, or follows from the token."""
    with listening(fresh_database, *TWO) as api:
        unclear = put(api, "hooli", {"customer": "cus_paid"})
        of_main = put(api, "hooli", {"customer": "cus_paid"}, token="admin-of-acme")
        of_other = put(api, "hooli", {"customer": "cus_other", "marketplace": "globex"})
        by_name = put(api, "pied-piper", {"customer": "cus_other", "integration": "other"})

        assert (unclear.status, "several integrations" in unclear.body["detail"]) == (400, True)
        assert [each.status for each in (of_main, of_other, by_name)] == [201, 201, 201]
        assert [each.body["integration"] for each in (of_main, of_other, by_name)] == ["main", "other", "other"]
        assert customer_of(api, "hooli", "?integration=main") == "cus_paid"
        assert customer_of(api, "hooli", "?marketplace=globex") == "cus_other"
        assert customer_of(api, "pied-piper", "?integration=main") is None
        assert api.reason("hooli", subject_type="org", token="of-acme") == "paid"
        assert api.reason("hooli", "reports", subject_type="org", token="of-globex") == "paid"
        assert api.reason("pied-piper", subject_type="org", token="of-acme") == "unknown_subject"


@pytest.fixture(scope="module")
def untouched(database_url: str) -> Iterator[Api]:
    """An API in which no test stores anything."""
    with new_database(database_url) as url, listening(url, *TWO) as started:
        yield started


@pytest.mark.parametrize(
    ("token", "body", "status"),
    [
        ("admin-of-acme", {"integration": "other"}, 403),
        ("admin-of-acme", {"integration": "nowhere"}, 403),
        ("admin-of-acme", {"marketplace": "globex"}, 403),
        ("admin-of-nothing", {}, 403),
        ("admin", {"integration": "nowhere"}, 400),
        ("admin", {"marketplace": "nowhere"}, 400),
        ("admin", {"integration": "main", "marketplace": "globex"}, 400),
        ("admin", {"integration": "main", "customer": ""}, 400),
        ("admin", {"integration": "main", "customer": None}, 400),
        ("admin", {"integration": 7}, 400),
        ("admin", {"integration": "main", "customr": "cus_1"}, 400),
    ],
)
def test_what_is_outside_a_token_or_makes_no_sense_is_refused(
    untouched: Api, token: str, body: dict[str, Any], status: int
) -> None:
    """403 for another integration than the token's, 400 for what has to be written differently; nothing is stored."""
    answer = put(untouched, "hooli", {"customer": "cus_paid", **body}, token=token)

    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    with untouched.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(orgs)).scalar_one() == 0


@pytest.mark.parametrize("token", [None, "any", "of-acme"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_admins_administer(untouched: Api, method: str, token: str | None) -> None:
    """401 that names the setting, for a gateway's token as for none; and an admin's token asks nothing else."""
    refused = untouched.ask(method, "/v1/orgs/hooli", token=token)
    asked = untouched.ask("GET", "/v1/orgs/initech/entitlements", token=ADMIN)

    assert (refused.status, asked.status) == (401, 401)
    assert "ENTITLE_ADMIN_TOKENS" in refused.body["detail"]
    assert "ENTITLE_QUERY_TOKENS" in asked.body["detail"]


def test_a_database_that_cannot_be_written_to_is_503(fresh_database: str) -> None:
    """An org is stored, or the answer says to try again; afterwards it works."""
    with listening(fresh_database, *STORY) as api:
        with api.engine.begin() as connection:
            connection.execute(sa.text("LOCK TABLE orgs IN ACCESS EXCLUSIVE MODE"))
            away = put(api, "hooli", {"customer": "cus_paid"})

        assert (away.status, away.headers["retry-after"]) == (503, "1")
        assert put(api, "hooli", {"customer": "cus_paid"}).status == 201


def test_settings_outlive_the_facts(fresh_database: str) -> None:
    """The schema of the facts may be dropped and made anew: the org is there again."""
    with listening(fresh_database, *STORY) as api:
        put(api, "hooli", {"customer": "cus_paid"})
        with api.engine.begin() as connection:
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        migrate(api.engine, "public")
        with api.engine.begin() as connection:
            assert "orgs" not in metadata.tables
            assert connection.execute(sa.select(orgs.c.customer)).scalar_one() == "cus_paid"


def test_the_command_line_says_the_same(fresh_database: str) -> None:
    """`entitle orgs` sets, lists and removes what the API then answers with, and says who did it."""
    with listening(fresh_database, *STORY) as api:
        done = entitle(fresh_database, "set", "hooli", "cus_open")
        owing = api.reason("hooli", subject_type="org")
        listed = json.loads(entitle(fresh_database, "--json").stdout)["orgs"]
        lines = entitle(fresh_database).stdout.splitlines()
        fixed = entitle(fresh_database, "set", "initech", "cus_open")
        removed = entitle(fresh_database, "remove", "hooli")
        again = entitle(fresh_database, "remove", "hooli")
        after = api.reason("hooli", subject_type="org")

    assert (done.returncode, done.stdout, owing) == (0, "hooli is cus_open now\n", "payment_required")
    assert [(each["org"], each["customer"], each["from"]) for each in listed] == [
        ("ghost", "cus_ghost", "catalog"),
        ("initech", "cus_paid", "catalog"),
        ("hooli", "cus_open", "setting"),
    ]
    assert (listed[2]["integration"], bool(listed[2]["set_by"])) == ("main", True)
    assert [each.split()[:2] for each in lines] == [
        ["ghost", "cus_ghost"],
        ["initech", "cus_paid"],
        ["hooli", "cus_open"],
    ]
    assert (fixed.returncode, "catalog" in fixed.stderr, len(fixed.stderr.splitlines())) == (2, True, 1)
    assert (removed.returncode, after) == (0, "unknown_subject")
    assert (again.returncode, again.stderr) == (2, "entitle: No org hooli is set here.\n")


def entitle(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`entitle orgs` on the database that the API reads."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ENTITLE_")}
    environment |= {
        "ENTITLE_DATABASE_URL": url,
        "ENTITLE_SCHEMA": "public",
        "ENTITLE_SETTINGS_SCHEMA": SETTINGS_SCHEMA,
    }
    return subprocess.run(
        [sys.executable, "-m", "ops", "orgs", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
