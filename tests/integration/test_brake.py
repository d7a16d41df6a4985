"""The brake on a real Kafka and PostgreSQL: `catalog apply` and `rebuild --swap` refuse, are agreed to, and go on."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.log import Source
from consumers.verdicts import Group
from entitlements.domain.facts import Fact, Grant
from entitlements.domain.period import Period
from entitlements.domain.wording import period
from ops import far_enough
from ops.brake import Braked
from ops.operator_log import make_topics, published_revisions
from ops.stack import running
from schemas.codec import Message
from schemas.stripe_event import InvoiceStatus
from tests.asking import SETTINGS_SCHEMA
from tests.feeding import SCHEMA
from tests.operating import called
from tests.pure_core import catalog, plan
from tests.rebuilding import GROUPS, WANTED, Ground, ground, put
from tests.stripe_builders import Bill, Json, Line, events

BEGAN = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=5)
PAYING, OWING = ("cus_0", "cus_1", "cus_2", "cus_3"), ("cus_4", "cus_5")
FOUR = "it would close access for 4 of the 4 customers with anything open, which is 100.0%; without asking it may be 1%"
MONTH = period(Period(BEGAN, BEGAN + timedelta(days=30)))
SINCE = f"{BEGAN - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"

DAY, END = (f"{BEGAN + timedelta(days=days):%Y-%m-%d}" for days in (0, 30))
BILLS = [
    Bill(
        id=f"in_{customer}",
        customer=customer,
        lines=(Line(id=f"il_{customer}", item=f"si_{customer}", start=DAY, end=END),),
        finalized=DAY,
        paid=DAY if customer in PAYING else None,
    )
    for customer in (*PAYING, *OWING)
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """A Kafka of this module's own, in which four have paid for the present month and two have not."""
    with running(tmp_path_factory.mktemp("kafka"), database=False, say=lambda _: None) as stack:
        assert stack.kafka is not None
        source = Source(bootstrap=stack.kafka.address)
        make_topics(source, WANTED, lambda _: None)
        folder = tmp_path_factory.mktemp("catalog")
        first = called(source, "catalog", "apply", written(folder, catalog()), **AWAY)  # the first closes nothing
        assert first.exit_code == 0, first.output
        put(source, *({**each, "id": f"evt_{number}"} for number, each in enumerate(events(*BILLS))))
        yield source


AWAY = {"ENTITLE_DATABASE_URL": "postgresql://127.0.0.1:1/entitle"}


def written(folder: Path, document: Json, name: str = "catalog.yaml") -> str:
    """The path of a file that has the catalog in it."""
    path = folder / name
    path.write_text(json.dumps(document))  # YAML has JSON in it
    return str(path)


def stopped(place: Ground, *arguments: str, **settings: str) -> list[str]:
    """What the brake says of a command, line by line."""
    with pytest.raises(Braked) as said:
        place.entitle(*arguments, **settings)
    return str(said.value).splitlines()


def test_a_catalog_that_closes_access_for_many_asks_for_their_number(
    source: Source, fresh_database: str, tmp_path: Path
) -> None:
    """One that takes an API back is refused until so many are agreed to; one that opens, or the newest, is not."""
    with ground(source, fresh_database) as place:
        place.consume()
        whole = written(tmp_path, catalog())
        narrower = written(tmp_path, catalog({"enterprise": plan(apis=["orders"])}), "narrower.yaml")
        apply = ("catalog", "apply", narrower, "--from", SINCE)
        published = len(published_revisions(source))
        again = place.entitle("catalog", "apply", whole, **AWAY)
        refused = stopped(place, *apply)
        fewer = stopped(place, *apply, "--yes-close", "3")
        ended = process(place, *apply)
        after_refusals = len(published_revisions(source))
        done = place.entitle(*apply, "--yes-close", "4")
        place.consume()
        wider = place.entitle("catalog", "apply", whole, "--from", SINCE)

    assert "is the newest revision already" in again.output
    assert refused == [
        f"{narrower} is not applied: {FOUR}",
        "  4 lose what is open now or later and 4 have a line whose next cycle opens less",
        *(
            f"  {customer} (main): invoices (acme) {MONTH}, was paid enterprise, because of in_{customer}; and 1 more"
            for customer in PAYING
        ),
        f"If that is meant: entitle catalog apply {narrower} --from {SINCE} --yes-close 4",
    ]
    assert fewer[0].endswith("; --yes-close 3 is fewer")
    assert (ended.returncode, ended.stdout, ended.stderr.splitlines()) == (
        3,
        "",
        [f"entitle: {refused[0]}", *refused[1:]],
    )
    assert after_refusals == published
    assert [each.output.partition(" is ")[2].partition(",")[0] for each in (done, wider)] == [
        f"revision {published + more}" for more in (1, 2)
    ]


def test_what_closes_at_the_next_cycle_and_what_nobody_can_tell_is_asked_about(
    source: Source, fresh_database: str, tmp_path: Path
) -> None:
    """From now on it closes nothing before a month is over; with the database away there is no number to agree to."""
    narrower = written(tmp_path, catalog({"enterprise": plan(apis=["orders"])}))
    with ground(source, fresh_database) as place:
        place.consume()
        at_the_next_cycle = stopped(place, "catalog", "apply", narrower)
        untold = stopped(place, "catalog", "apply", narrower, "--yes-close", "4", **AWAY)
        unset = stopped(place, "catalog", "apply", narrower, ENTITLE_DATABASE_URL="")
        unseen = place.entitle("catalog", "apply", narrower, "--yes-unseen", **AWAY)

    assert at_the_next_cycle[1] == "  4 have a line whose next cycle opens less"
    assert "cannot be told, for the database said: " in untold[0]
    assert untold[1:] == [f"If that is meant all the same: entitle catalog apply {narrower} --yes-unseen"]
    assert "cannot be told, for ENTITLE_DATABASE_URL is not set" in unset[0]
    assert (unseen.exit_code, " is revision " in unseen.output) == (0, True)


def test_a_database_that_has_not_read_the_log_cannot_tell(
    source: Source, fresh_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empty, or behind: nobody in it loses anything, so it is not asked; consumers at work are waited for."""
    monkeypatch.setattr(far_enough, "PATIENCE_S", 0.3)
    narrower = written(tmp_path, catalog({"enterprise": plan(apis=["invoices"])}))
    apply = ("catalog", "apply", narrower, "--from", SINCE)
    with ground(source, fresh_database) as place:
        empty = stopped(place, *apply)
        place.consume()
        read = stopped(place, *apply)
        put(source, {**events(*BILLS[:1])[0], "id": "evt_one_more"})
        behind = stopped(place, *apply, "--yes-close", "100")
        monkeypatch.setattr(far_enough, "PATIENCE_S", 30.0)
        with place.consuming():
            waited_for = stopped(place, *apply)

    cannot = r"is not applied: whom it would close access for cannot be told, for grants has {} of the log .*"
    assert re.search(cannot.format(r"\d+ records"), empty[0])
    behind_too = r", revocations has 1 record .* and invoices has 1 record .*`entitle progress`"
    assert re.search(cannot.format("1 record") + behind_too, behind[0])
    assert empty[1] == behind[1] == f"If that is meant all the same: {' '.join(('entitle', *apply))} --yes-unseen"
    assert [each[0].partition(", which")[0] for each in (read, waited_for)] == [
        f"{narrower} is not applied: {FOUR.partition(', which')[0]}"
    ] * 2


def test_orgs_that_are_taken_away_are_counted_and_routes_are_named(
    source: Source, fresh_database: str, tmp_path: Path
) -> None:
    """Who is no longer found by an org's name loses access by it; of a route nobody knows whom it closes for."""
    orgs = {f"org_{customer}": {"customer": customer} for customer in (*PAYING, *OWING)}
    routes = [{"path": "/orders/**", "api": "orders"}]
    with ground(source, fresh_database) as place:
        place.consume()
        named = place.entitle("catalog", "apply", written(tmp_path, {**catalog(), "orgs": orgs, "routes": routes}))
        place.consume()
        without = written(tmp_path, catalog(), "without.yaml")
        refused = stopped(place, "catalog", "apply", without)
        redirected = {**orgs, "org_cus_0": {"customer": "cus_1"}}
        one_alone = written(tmp_path, {**catalog(), "orgs": redirected}, "one.yaml")
        done = place.entitle("catalog", "apply", one_alone)

    assert named.exit_code == done.exit_code == 0
    assert refused[:3] == [
        f"{without} is not applied: {FOUR}",
        "  4 are no longer found by an org's name",
        "  cus_0 (main): no longer found as org org_cus_0",
    ]
    assert refused[-2].startswith("  not counted: requests by 1 route are no longer its API's")
    assert refused[-1] == f"If that is meant: entitle catalog apply {without} --yes-close 4"
    assert done.stderr.startswith("not counted: requests by 1 route are no longer its API's")


def test_a_swap_that_closes_access_for_many_asks_for_their_number(source: Source, fresh_database: str) -> None:
    """A version let two in who had not paid: to put that right closes for them, and nothing is swapped unasked."""
    with ground(source, fresh_database) as place:
        place.consume(generous())
        place.built()
        compared = place.entitle("rebuild", "--diff")
        refused = stopped(place, "rebuild", "--swap", "--yes")
        before = place.schemas()
        place.rebuild("--swap", "--yes-close", "2")
        back = place.entitle("rebuild", "--swap-back", "--diff", "--json")

    assert compared.exit_code == 1
    assert "  a swap would ask for --yes-close 2" in [each.rstrip() for each in compared.output.splitlines()]
    assert refused[0].startswith("Nothing is swapped: it would close access for 2 of at most 6 customers")
    assert [each.split(":")[0] for each in refused[2:4]] == [f"  {customer} (main)" for customer in OWING]
    assert refused[4:] == ["If that is meant: entitle rebuild --swap --yes-close 2"]
    assert before == {SCHEMA, f"{SCHEMA}_rebuild"}
    customers = json.loads(back.stdout)["customers"]
    assert [(each["customer"], [it["change"] for it in each["access"]][:1]) for each in customers] == [
        *((customer, []) for customer in PAYING),  # their invoice was taken for paid before it was: it is all the same
        *((customer, ["opened"]) for customer in OWING),
    ]


def generous() -> tuple[Group[Any], ...]:
    """All groups, of which `grants` is of a version that takes every invoice for paid."""

    def decided(message: Message) -> Sequence[Fact]:
        return [
            replace(fact, status=InvoiceStatus.PAID, paid_at=fact.finalized_at) if isinstance(fact, Grant) else fact
            for fact in of_now(message)
        ]

    (of_now,) = (each.decide for each in GROUPS if each.name == "grants")
    return tuple(replace(each, decide=decided) if each.name == "grants" else each for each in GROUPS)


def process(place: Ground, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command, as its process ends."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ENTITLE_")}
    environment |= {
        "ENTITLE_KAFKA": place.source.bootstrap,
        "ENTITLE_DATABASE_URL": place.url,
        "ENTITLE_SCHEMA": SCHEMA,
        "ENTITLE_SETTINGS_SCHEMA": SETTINGS_SCHEMA,
    }
    command = [sys.executable, "-m", "ops", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
