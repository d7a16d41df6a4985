"""`entitle catalog diff` on a real PostgreSQL: what it foretells, for whom, and what it says when it can't."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from entitlements.api.snapshots import reading
from entitlements.domain.facts import CatalogRevision, Fact
from entitlements.everyone import CustomerName, customers_behind
from ops.catalog_file import load
from ops.comparing import AT_ONCE, customers_compared, proposed
from ops.database import migrate
from tests.asking import SETTINGS_SCHEMA, listening, on, write
from tests.stated import JUNE, STORY, catalog, line, named, unpaid

LATE = line("cus_late", price="price_new")
PEOPLE: tuple[Fact, ...] = (
    catalog(),
    line("cus_paid"),
    named("cus_paid"),
    *unpaid("cus_open"),
    LATE,
    line("cus_reader", price="price_reporting"),
    named("cus_nothing"),
)
"""One has paid, one owes, one has a price that no plan names yet, one a plan of another marketplace, one nothing."""


def changed(path: Path, revision: CatalogRevision, **plan: Any) -> Path:
    """The revision's catalog in a file, its plan `enterprise` changed."""
    document = json.loads(revision.document)
    document["products"]["monetized-product"]["plans"]["enterprise"] |= plan
    path.write_text(json.dumps(document, indent=1))  # YAML has JSON in it
    return path


@contextmanager
def recorded(url: str, *facts: Fact) -> Iterator[sa.Engine]:
    """A migrated database that knows the facts."""
    with on(url) as engine:
        migrate(engine, "public")
        write(engine, *facts)
        yield engine


def test_what_it_foretells_is_what_is_answered_afterwards(fresh_database: str, tmp_path: Path) -> None:
    """The price named late and the API taken back: before and after the revision, gateways are told just that."""
    path = changed(
        tmp_path / "catalog.yaml", catalog(), apis=["orders"], stripe_prices=["price_enterprise", "price_new"]
    )
    since = JUNE - timedelta(days=1)
    with listening(fresh_database, *PEOPLE) as api:
        done = diff(fresh_database, str(path), "--from", "2026-05-31T00:00:00Z", "--json")
        asked = [(who, what) for who in ("cus_paid", "cus_open", "cus_late") for what in ("orders", "invoices")]
        before = [api.reason(*each) for each in asked]
        write(
            api.engine,
            replace(catalog(number=2, in_force_from=since), document=json.dumps(json.loads(path.read_text()))),
        )
        foretold = ["paid", "unknown_api", "payment_required", "unknown_api", "paid", "unknown_api"]
        deadline = time.monotonic() + 10
        while (after := [api.reason(*each) for each in asked]) != foretold and time.monotonic() < deadline:
            time.sleep(0.1)  # until the memory has looked at what is new

    told = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (1, "")
    assert told["revision"] == {"number": 2, "in_force_from": "2026-05-31T00:00:00Z"}
    assert [
        (each["customer"], [(it["change"], it["api"], it["start"], it["end"], it["invoices"]) for it in each["access"]])
        for each in told["customers"]
        if each["access"]
    ] == [
        ("cus_late", [("opened", "orders", "2026-06-01T00:05:00Z", "2026-07-01T02:00:00Z", ["in_cus_late"])]),
        ("cus_paid", [("closed", "invoices", "2026-06-01T00:05:00Z", "2026-07-01T02:00:00Z", ["in_cus_paid"])]),
    ]
    assert (before, after) == (
        ["paid", "paid", "payment_required", "payment_required", "not_entitled", "not_entitled"],
        foretold,
    )


def test_counts_are_of_all_customers(fresh_database: str, tmp_path: Path) -> None:
    """Whoever was ever named is compared, once; who changes is counted by API."""
    path = changed(tmp_path / "catalog.yaml", catalog(), apis=["orders"])
    with recorded(fresh_database, *PEOPLE):
        counts = json.loads(diff(fresh_database, str(path), "--from", "2026-05-31T00:00:00Z", "--json").stdout)[
            "counts"
        ]

    assert (counts["compared"], counts["differing"], counts["closed"], counts["opened"]) == (5, 1, 1, 0)
    assert counts["by_api"] == [{"marketplace": "acme", "api": "invoices", "closed": 1, "opened": 0, "changed": 0}]


def test_what_was_billed_stays_as_it_was(fresh_database: str, tmp_path: Path) -> None:
    """Without --from a changed plan changes no cycle that is billed; 0 where nobody goes on under it either."""
    path = changed(tmp_path / "catalog.yaml", catalog(), apis=["orders"])
    past = replace(line("cus_past"), period_start=JUNE - timedelta(days=900), period_end=JUNE - timedelta(days=870))
    with recorded(fresh_database, catalog(), past):
        done = diff(fresh_database, str(path))

    lines = [each.rstrip() for each in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[0].startswith(f"{path} would be revision 2, in force from ")
    assert lines[1:] == [
        "",
        "The catalog",
        "  plan enterprise: apis − invoices",
        "",
        "Access",
        "  1 customer compared; the access of 0 changes",
        "  0 of the 0 with anything open from now on would lose some of it (0.0%)",
    ]


def test_the_newest_catalog_again_is_no_revision(fresh_database: str, tmp_path: Path) -> None:
    """As `apply` would publish nothing, nothing is compared: exit code 0."""
    path = tmp_path / "catalog.yaml"
    path.write_text(catalog().document)
    with recorded(fresh_database, *STORY):
        done, for_programs = diff(fresh_database, str(path)), diff(fresh_database, str(path), "--json")

    assert (done.returncode, done.stdout) == (
        0,
        f"{path} is the newest revision already; nothing would be published\n",
    )
    told = json.loads(for_programs.stdout)
    assert (for_programs.returncode, told["revision"], told["newest"], told["customers"]) == (0, None, 1, [])


def test_before_the_first_catalog_nothing_is_open(fresh_database: str, tmp_path: Path) -> None:
    """The first holds from the beginning of time, so it opens what was paid before it."""
    path = tmp_path / "catalog.yaml"
    path.write_text(catalog().document)
    with recorded(fresh_database, line("cus_paid")):
        done = diff(fresh_database, str(path))

    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == f"{path} would be revision 1, in force from the beginning of time"
    assert "1 customer compared; the access of 1 changes" in done.stdout


def test_however_many_customers_there_are_each_comes_once(fresh_database: str, tmp_path: Path) -> None:
    """Read batch by batch, of several integrations and from several tables, in order; none twice, none left out."""
    path = changed(tmp_path / "catalog.yaml", catalog(), stripe_prices=[])
    names = [f"cus_{number:03}" for number in range(2 * AT_ONCE)]
    facts: list[Fact] = [catalog(), *(line(name) for name in names), *(named(name) for name in names[::3])]
    facts += [named("cus_zero"), line("cus_001", integration="elsewhere")]
    with recorded(fresh_database, *facts) as engine:
        told = json.loads(diff(fresh_database, str(path), "--from", "2026-05-31T00:00:00Z", "--json").stdout)
        with engine.connect() as connection:
            behind = CustomerName(integration="main", customer="cus_097")
            last = customers_behind(connection, behind, most=2)
            rest = customers_behind(connection, last[-1], most=2)

    assert [each["customer"] for each in told["customers"]] == names
    assert told["counts"]["compared"] == len(names) + 2
    assert [each.customer for each in (*last, *rest)] == ["cus_098", "cus_099", "cus_zero"]


def test_a_batch_of_customers_is_read_in_two_statements(fresh_database: str, tmp_path: Path) -> None:
    """To plan one for each customer took most of the time: 1.5 of 4 ms a customer, and 0.1 ms together."""
    path = changed(tmp_path / "catalog.yaml", catalog(), apis=["orders"])
    asked: list[str] = []
    with recorded(fresh_database, catalog(), *(line(f"cus_{number:03}") for number in range(2 * AT_ONCE))) as engine:
        since = JUNE - timedelta(days=1)
        proposal = proposed(reading(engine), load(path), applied_by="x", in_force_from=since, at=JUNE)
        sa.event.listen(engine, "before_cursor_execute", lambda *said: asked.append(said[2]))
        found = [each.name.customer for each in customers_compared(reading(engine), proposal, JUNE) if each.differs]

    assert (len(found), len(set(found))) == (2 * AT_ONCE, 2 * AT_ONCE)
    assert len([each for each in asked if not each.startswith("LOCK TABLE")]) == 2 + 2 + 1


MISTAKEN = "catalog: 1\nintegrations:\n  main: {mode: testing, signing_secrets_env: SECRETS}\n"


def test_a_mistaken_catalog_is_exit_code_2(fresh_database: str, tmp_path: Path) -> None:
    """Every mistake with its line, and nothing is compared."""
    path = tmp_path / "catalog.yaml"
    path.write_text(MISTAKEN)
    done = diff(fresh_database, str(path))

    assert (done.returncode, done.stdout) == (2, "")
    assert f"{path}:3: " in done.stderr


@pytest.mark.parametrize(("is_away", "said"), [(True, "refused"), (False, "run `entitle migrate`")])
def test_a_database_that_does_not_answer_is_exit_code_2(
    fresh_database: str, tmp_path: Path, is_away: bool, said: str
) -> None:
    """Away, or without tables: one line that says so, and never the code that means a difference."""
    path = tmp_path / "catalog.yaml"
    path.write_text(catalog().document)
    url = sa.make_url(fresh_database)
    done = diff((url.set(port=1) if is_away else url).render_as_string(hide_password=False), str(path))

    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert done.stderr.startswith("entitle: the database said: ")
    assert said in done.stderr


def diff(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`entitle catalog diff` on the database at *url*."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ENTITLE_")}
    environment |= {
        "ENTITLE_DATABASE_URL": url,
        "ENTITLE_SCHEMA": "public",
        "ENTITLE_SETTINGS_SCHEMA": SETTINGS_SCHEMA,
    }
    return subprocess.run(
        [sys.executable, "-m", "ops", "catalog", "diff", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
