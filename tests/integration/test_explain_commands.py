"""`entitle explain` and `entitle event` as an operator calls them, on a real PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import pytest

from entitlements.domain.facts import CatalogRevision
from entitlements.domain.identity import canonical_json
from tests.asking import SETTINGS_SCHEMA, Api, listening
from tests.pure_core import catalog
from tests.recording import reached, read
from tests.renewals import renewal
from tests.stripe_builders import event, paid, snapshot

CATALOG = CatalogRevision(number=1, in_force_from=None, applied_by="ann", document=canonical_json(catalog()))
PAID = event("invoice.paid", snapshot(paid(), "paid"), at="01-01", id="evt_paid")
TWIN = event("invoice.payment_succeeded", snapshot(paid(), "paid"), at="01-01", id="evt_twin")
SUBSCRIPTION = event("customer.subscription.updated", {"id": "sub_1", "object": "subscription"}, at="01-01", id="evt_s")
JANUARY = ("--customer", "cus_1", "--api", "orders", "--at", "2026-01-15T00:00:00Z")


@contextmanager
def recorded(url: str) -> Iterator[Api]:
    """An API on a database whose groups have read what `PAID` and its like say."""
    with listening(url, CATALOG) as api:
        read(api.engine, [PAID, TWIN, PAID, SUBSCRIPTION], partition=3)
        yield api


def test_what_is_printed_for_programs_is_what_the_api_answers(fresh_database: str) -> None:
    """`entitle explain --json` and `GET /v1/explain` give the same, and an answer of no is exit code 0."""
    with recorded(fresh_database) as api:
        read(api.engine, [event("invoice.finalized", snapshot(renewal(), "open"), at="02-01T01:00")], partition=1)
        asked = {"customer": "cus_1", "api": "orders", "at": "2026-02-14T00:00:00Z"}
        answered = api.ask("GET", f"/v1/explain?{urlencode(asked)}").body
        done = entitle(fresh_database, "explain", *JANUARY[:5], "2026-02-14T00:00:00Z", "--json")

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == answered
    assert answered["context"]["reason"] == "payment_required"


def test_what_is_printed_for_people_fits_a_page(fresh_database: str) -> None:
    """The answer is the first line, the log's addresses are there, and no line is longer than 100 columns."""
    with recorded(fresh_database):
        done = entitle(fresh_database, "explain", *JANUARY)

    lines = [line.rstrip() for line in done.stdout.splitlines()]
    wanted = "allow 200 paid: invoice in_1 for 1 Jan – 1 Feb 2026 is paid; open until 1 Feb 2026 00:00 UTC"
    assert (done.returncode, done.stderr, lines[0]) == (0, "", wanted)
    assert "  = 1 Jan 2026 00:00 invoice.payment_succeeded evt_twin 3 @ 1" in lines
    assert max(len(line) for line in lines) <= 100


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--api", "orders"), "one of --customer and --org"),
        ((*JANUARY, "--org", "initech"), "one of --customer and --org"),
        ((*JANUARY, "--marketplace", "gone"), "no marketplace 'gone'"),
        (("--customer", "", "--api", "orders"), "--customer must be a text"),
    ],
)
def test_a_question_that_is_unclear_is_exit_code_2(fresh_database: str, arguments: tuple[str, ...], said: str) -> None:
    """What is wrong is said on stderr, and nothing on stdout."""
    with recorded(fresh_database):
        done = entitle(fresh_database, "explain", *arguments)

    assert (done.returncode, done.stdout, said in done.stderr) == (2, "", True)


def test_an_event_is_traced_through_every_group(fresh_database: str) -> None:
    """Where it stands, what each group made of it in words, and which events say the same."""
    with recorded(fresh_database) as api:
        reached(api.engine, next_offset=3, partition=3)
        done = entitle(fresh_database, "event", "evt_paid")

    assert (done.returncode, done.stderr) == (0, "")
    assert [line.rstrip() for line in done.stdout.splitlines()] == [
        "evt_paid of integration main: invoice.paid, about in_1, created 1 Jan 2026 00:00 UTC",
        "billing.events.v1-3 offset 0, appended 28 May 2026 20:26:40 UTC",
        "  grants: recorded",
        "    line il_1 of in_1, price_enterprise, for 1 Jan – 1 Feb 2026: paid",
        "  invoices: recorded",
        "    Stripe names customer cus_1",
        "    invoice in_1 is paid, 25.00 usd, 0.00 usd to be paid",
        "  revocations: ignored: it states nothing for this group",
        "  the same is said by evt_twin (invoice.payment_succeeded), billing.events.v1-3 offset 1",
        "",
        "evt_paid of integration main: invoice.paid, about in_1, created 1 Jan 2026 00:00 UTC",
        "billing.events.v1-3 offset 2, appended 28 May 2026 20:26:40 UTC",
        "  grants: duplicate: all of it was known",
        "    line il_1 of in_1, price_enterprise, for 1 Jan – 1 Feb 2026: paid",
        "  invoices: duplicate: all of it was known",
        "    Stripe names customer cus_1",
        "    invoice in_1 is paid, 25.00 usd, 0.00 usd to be paid",
        "  revocations: ignored: it states nothing for this group",
        "  the same is said by evt_twin (invoice.payment_succeeded), billing.events.v1-3 offset 1",
        "",
    ]


def test_what_a_group_has_not_read_or_set_aside_is_said(fresh_database: str) -> None:
    """A dead letter has its reason; a group that is behind has its next offset; one that passed it without a trace."""
    with listening(fresh_database, CATALOG) as api:
        read(api.engine, [PAID], partition=3, groups=["grants"], set_aside="line il_1 has no period")
        before = traced(fresh_database, "evt_paid")
        reached(api.engine, next_offset=7, partition=3)
        after = traced(fresh_database, "evt_paid")
        shown = entitle(fresh_database, "event", "evt_paid").stdout

    [behind], [passed] = ([dict(group) for group in each["groups"][1:2]] for each in (before, after))
    assert (before["groups"][0]["outcome"], before["groups"][0]["set_aside"]) == (
        "dead_letter",
        "line il_1 has no period",
    )
    assert (behind["group"], behind["outcome"], behind["next_offset"]) == ("invoices", None, None)
    assert (passed["outcome"], passed["next_offset"]) == (None, 7)
    assert "grants: set aside as a dead letter: line il_1 has no period" in shown
    assert "invoices: has passed it without a trace (next offset 7)" in shown


def test_an_event_of_several_integrations_is_shown_in_each(fresh_database: str) -> None:
    """Ids belong to an integration: each record says which, and `--integration` asks about one."""
    integrations = {name: {"mode": "test", "signing_secrets_env": "SECRETS"} for name in ("main", "other")}
    both = CatalogRevision(
        number=1,
        in_force_from=None,
        applied_by="ann",
        document=canonical_json(catalog() | {"integrations": integrations}),
    )
    with listening(fresh_database, both) as api:
        read(api.engine, [PAID])
        read(api.engine, [PAID, TWIN], integration="other", partition=1)
        every = json.loads(entitle(fresh_database, "event", "evt_paid", "--json").stdout)["records"]
        one = traced(fresh_database, "evt_paid", "--integration", "other")

    assert [(each["integration"], each["partition"]) for each in every] == [("main", 0), ("other", 1)]
    assert [len(each["twins"]) for each in every] == [0, 1]
    assert one == every[1]


def test_an_event_that_no_group_has_read_is_exit_code_1(fresh_database: str) -> None:
    """It is said that it is not recorded, and where to look."""
    with recorded(fresh_database):
        done = entitle(fresh_database, "event", "evt_gone")
        for_programs = entitle(fresh_database, "event", "evt_gone", "--json")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("entitle: no consumer group has read evt_gone in any integration")
    assert "entitle progress" in done.stderr
    assert (for_programs.returncode, json.loads(for_programs.stdout)) == (1, {"event": "evt_gone", "records": []})


def traced(url: str, *arguments: str) -> dict[str, Any]:
    """The one record of an event, as JSON."""
    [record] = json.loads(entitle(url, "event", *arguments, "--json").stdout)["records"]
    assert isinstance(record, dict)
    return record


def entitle(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line on the database that the API reads."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ENTITLE_")}
    environment |= {
        "ENTITLE_DATABASE_URL": url,
        "ENTITLE_SCHEMA": "public",
        "ENTITLE_SETTINGS_SCHEMA": SETTINGS_SCHEMA,
    }
    return subprocess.run(
        [sys.executable, "-m", "ops", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
