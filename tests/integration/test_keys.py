"""API keys as portals and operators make them, on a real PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from entitlements.keys import api_keys, end_key, key_named
from entitlements.orgs import SETTINGS_CHANNEL, orgs
from tests.asking import ADMIN, SETTINGS_SCHEMA, Answer, Api, listening
from tests.asking_gateways import check, make, post, reason
from tests.servers import new_database
from tests.stated import STORY


@pytest.fixture(scope="module")
def api(database_url: str) -> Iterator[Api]:
    """An API whose facts all tests of this module share; keys are each test's own."""
    with new_database(database_url) as url, listening(url, *STORY) as started:
        yield started


def test_a_rotated_key_goes_on_until_its_grace_is_over(api: Api) -> None:
    """Its successor has the same holder; with no grace it is over at once."""
    first = make(api, "orgs/initech", {"label": "a"}).body
    second = post(api, f"/v1/keys/{first['id']}/rotate", {"grace": "24h"})
    third = post(api, f"/v1/keys/{second.body['id']}/rotate", {"grace": "0s"}).body

    assert (second.status, second.body["label"], second.body["org"]) == (201, "a", "initech")
    assert second.body["replaces"] == {"id": first["id"], "valid_until": "2026-06-16T12:00:00Z"}
    assert [check(api, each["key"]).status for each in (first, second.body, third)] == [200, 401, 200]
    assert post(api, f"/v1/keys/{second.body['id']}/rotate", {}).status == 404


def test_a_rotation_beside_a_revocation_revives_nothing(api: Api) -> None:
    """Both read the key before either wrote: the earliest end counts, whoever commits last."""
    made = make(api, "orgs/initech").body
    with api.engine.begin() as connection:
        key = key_named(connection, made["id"])
    assert key is not None
    with api.engine.begin() as connection:
        end_key(connection, key, valid_until=key.set_at, set_by="who revokes")
    with api.engine.begin() as connection:
        end_key(connection, key, valid_until=key.set_at + timedelta(days=3650), set_by="who rotates")
        after = key_named(connection, made["id"])

    assert after is not None
    assert after.valid_until == key.set_at


def test_a_revoked_key_is_nobodys(api: Api) -> None:
    """401 from then on; the second time there is nothing left to revoke; all that was said stays."""
    made = make(api, "orgs/initech").body
    revoked = api.ask("DELETE", f"/v1/keys/{made['id']}", token=ADMIN)
    again = api.ask("DELETE", f"/v1/keys/{made['id']}", token=ADMIN)
    listed = api.ask("GET", "/v1/orgs/initech/keys", token=ADMIN).body["keys"]

    assert (revoked.status, again.status) == (204, 404)
    assert reason(check(api, made["key"])) == (401, "unknown_credential")
    assert [each["is_valid"] for each in listed if each["id"] == made["id"]] == [False]
    with api.engine.connect() as connection:
        rows = connection.execute(sa.select(api_keys.c.valid_until).where(api_keys.c.key == made["id"])).all()
    assert len(rows) == 2


def test_a_key_is_kept_as_its_digest_alone(api: Api) -> None:
    """Neither the tables nor later answers have what opens anything."""
    made = make(api, "customers/cus_paid").body
    listed = api.ask("GET", "/v1/customers/cus_paid/keys", token=ADMIN).body
    with api.engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT row_to_json(api_keys)::text FROM api_keys")).scalars().all()

    assert made["key"].startswith("entkey_")
    assert made["id"] in "".join(rows)
    assert made["key"] not in json.dumps(listed) + "".join(rows)


def test_an_admin_of_one_marketplace_sees_its_own_keys_alone(fresh_database: str) -> None:
    """Others' are neither listed, rotated nor revoked."""
    with listening(fresh_database, *STORY) as api:
        own = make(api, "orgs/initech", token="admin-of-acme").body
        others = make(api, "orgs/initech").body
        listed = api.ask("GET", "/v1/orgs/initech/keys", token="admin-of-acme").body["keys"]
        all_listed = api.ask("GET", "/v1/orgs/initech/keys", token=ADMIN).body["keys"]
        refused = [
            api.ask("DELETE", f"/v1/keys/{others['id']}", token="admin-of-acme"),
            post(api, f"/v1/keys/{others['id']}/rotate", {}, token="admin-of-acme"),
            make(api, "orgs/initech", {"marketplace": "globex"}, token="admin-of-acme"),
        ]

    assert [each["id"] for each in listed] == [own["id"]]
    assert {each["id"] for each in all_listed} == {own["id"], others["id"]}
    assert [each.status for each in refused] == [404, 404, 403]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/orgs/initech/keys", b"{}", 401),
        ("GET", "/v1/orgs/initech/keys", b"", 401),
        ("DELETE", "/v1/keys/key_1", b"", 401),
        ("POST", "/v1/keys/key_1/rotate", b"{}", 401),
    ],
)
def test_only_admins_have_to_do_with_keys(api: Api, method: str, path: str, body: bytes, status: int) -> None:
    """A gateway's token makes, lists and revokes none."""
    assert api.ask(method, path, body=body, headers={"Content-Type": "application/json"}).status == status


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/orgs/initech/keys", {"labl": "x"}, 400),
        ("/v1/orgs/initech/keys", {"label": ""}, 400),
        ("/v1/orgs/initech/keys", {"integration": "nowhere"}, 400),
        ("/v1/orgs/initech/keys?integration=main", {}, 400),
        ("/v1/keys/key_1/rotate", {}, 404),
        ("/v1/keys/key_1/rotate", {"grace": "soon"}, 400),
        ("/v1/keys/key_1/rotate", {"grace": 24}, 400),
    ],
)
def test_what_makes_no_sense_about_keys_is_refused(api: Api, path: str, body: Any, status: int) -> None:
    """As a problem that names it."""
    answer = post(api, path, body)

    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")


def test_listeners_hear_of_every_change_of_settings(fresh_database: str) -> None:
    """Once it is committed, and each row says whose transaction it is of."""
    with (
        listening(fresh_database, *STORY) as api,
        api.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        connection.exec_driver_sql(f"LISTEN {SETTINGS_CHANNEL}")
        raw: Any = connection.connection.dbapi_connection
        made = make(api, "orgs/hooli").body
        headers = {"Content-Type": "application/json"}
        changes: tuple[Callable[[], Answer], ...] = (
            lambda: post(api, f"/v1/keys/{made['id']}/rotate", {}),
            lambda: api.ask("DELETE", f"/v1/keys/{made['id']}", token=ADMIN),
            lambda: api.ask("PUT", "/v1/orgs/hooli", token=ADMIN, body=b'{"customer": "cus_paid"}', headers=headers),
            lambda: api.ask("DELETE", "/v1/orgs/hooli", token=ADMIN),
            lambda: api.ask("GET", "/v1/orgs/initech", token=ADMIN),
            lambda: api.ask("DELETE", "/v1/orgs/hooli", token=ADMIN),
        )
        heard = []
        for change in changes:
            connection.exec_driver_sql("SELECT 1")
            heard.append(len(raw.notifies))
            raw.notifies.clear()
            assert change().status < 500
        connection.exec_driver_sql("SELECT 1")
        heard.append(len(raw.notifies))
        transactions = [
            connection.execute(sa.select(sa.func.count(sa.distinct(sa.cast(table.c.xid, sa.Text))))).scalar_one()
            for table in (api_keys, orgs)
        ]

    assert heard == [1, 1, 1, 1, 1, 0, 0]  # a rotation is two rows of one transaction
    assert transactions == [3, 2]


def test_the_command_line_makes_lists_rotates_and_revokes(fresh_database: str) -> None:
    """The key alone is on stdout, once; what is wrong is one line and exit code 2."""
    with listening(fresh_database, *STORY) as api:
        made = entitle(fresh_database, "add", "--org", "initech", "--label", "ci")
        listed = json.loads(entitle(fresh_database, "list", "--json").stdout)["keys"]
        opened = check(api, made.stdout.strip())
        rotated = entitle(fresh_database, "rotate", listed[0]["id"], "--grace", "0s")
        opened_too = check(api, rotated.stdout.strip())
        both = json.loads(entitle(fresh_database, "list", "--org", "initech", "--json").stdout)["keys"]
        [successor] = [each["id"] for each in both if each["is_valid"]]
        revoked = entitle(fresh_database, "revoke", successor)
        again = entitle(fresh_database, "revoke", successor)
        unclear = [entitle(fresh_database, "add"), entitle(fresh_database, "list", "--marketplace", "acme")]
        lines = entitle(fresh_database, "list").stdout.splitlines()

    assert [each.returncode for each in (made, rotated, revoked)] == [0, 0, 0]
    assert (reason(opened), reason(opened_too)) == ((200, "paid"), (200, "paid"))
    assert "once" in made.stderr
    assert (listed[0]["org"], listed[0]["label"], len(listed)) == ("initech", "ci", 1)
    assert {each["id"]: each["is_valid"] for each in both} == {listed[0]["id"]: False, successor: True}
    assert (again.returncode, again.stderr) == (2, f"entitle: No API key {successor} is valid here.\n")
    assert [(each.returncode, "--org or --customer" in each.stderr) for each in unclear] == [(2, True)] * 2
    assert [("org initech" in each, "over" in each) for each in lines] == [(True, True), (True, True)]


def entitle(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`entitle keys` on the database that the API reads."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ENTITLE_")}
    environment |= {
        "ENTITLE_DATABASE_URL": url,
        "ENTITLE_SCHEMA": "public",
        "ENTITLE_SETTINGS_SCHEMA": SETTINGS_SCHEMA,
    }
    return subprocess.run(
        [sys.executable, "-m", "ops", "keys", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
