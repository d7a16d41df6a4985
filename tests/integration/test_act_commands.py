"""
What operators do for one customer: from the command line, through a real Kafka and the consumers, to an answer.

Long because each command is refused in several ways.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from consumers.log import Source
from entitlements import ledger
from entitlements.domain.acts import Block, ManualGrant, ManualRevocation, Unblock
from entitlements.orgs import set_org
from ops.catalog_commands import who
from ops.operator_log import make_topics, publish, publish_catalog, published_facts
from ops.settings import BadSetting
from ops.stack import running
from schemas.operator_acts import CustomerBlocked, encode_act, rfc3339
from schemas.topics import KEEP_FOR_EVER, OPERATOR_COMMANDS, topics
from tests.asking import listening
from tests.operating import Place, called
from tests.pure_core import catalog, plan

PLANS = {"enterprise": plan(calls=1000), "free": plan(prices=[], apis=["status"]) | {"cost": "free"}}
WANTED = topics(event_partitions=1, event_retention_ms=KEEP_FOR_EVER, replication_factor=1, min_insync_replicas=1)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """A Kafka of this module's own, on which a catalog was applied."""
    folder: Path = tmp_path_factory.mktemp("kafka")
    with running(folder, database=False, say=lambda _: None) as stack:
        assert stack.kafka is not None
        source = Source(bootstrap=stack.kafka.address)
        make_topics(source, WANTED, lambda _: None)
        publish_catalog(source, catalog(PLANS), applied_by="ann", in_force_from=None, at=datetime.now(UTC))
        yield source


@pytest.fixture
def place(source: Source, fresh_database: str) -> Iterator[Place]:
    with listening(fresh_database) as api:
        yield Place(source=source, url=fresh_database, api=api)


def test_what_operators_do_is_what_gateways_are_told(place: Place) -> None:
    """Granted, blocked, unblocked, revoked: each counts over HTTP once the consumers have read it, and is listed."""
    customer = ("--customer", "cus_story")
    granted = place.said("grant", *customer, "--plan", "enterprise", "--reason", "a trial")
    after_the_grant = place.answer("cus_story")
    place.said("block", *customer, "--reason", "abuse")
    after_the_block = place.answer("cus_story")
    listed = json.loads(place.entitle("acts", *customer, "--json").stdout)["acts"]
    place.said("unblock", *customer, "--reason", "resolved")
    after_the_unblock = place.reason("cus_story")
    place.said("revoke", granted["act"]["id"], "--reason", "the trial is over")

    assert [(each["type"], each.get("plan"), each["reason"], each["end"]) for each in listed] == [
        ("grant", "enterprise", "a trial", None),
        ("block", None, "abuse", None),
    ]
    assert "no grant and no block is in force" in place.entitle("acts", *customer).stdout
    context = after_the_grant.body["context"]
    assert (after_the_grant.body["decision"], context["reason"], context["plan"]) == (True, "manual", "enterprise")
    assert ([quota["limit"] for quota in context["quotas"]], "until" in context, "invoice" in context) == (
        [1000],
        False,
        False,
    )
    assert (after_the_block.body["decision"], after_the_block.body["context"]["status"]) == (False, 403)
    assert after_the_block.body["context"]["reason"] == "blocked"
    assert (after_the_unblock, place.reason("cus_story")) == ("manual", "not_entitled")


def test_what_is_published_says_who_when_and_why(place: Place) -> None:
    """Read back from the topic: the facts that the consumers will record, with all that the operator said."""
    before = datetime.now(UTC)
    granted = place.said(
        *("grant", "--customer", "cus_facts", "--api", "status", "--api", "orders", "--reason", "partner"),
        *("--from", "2026-02-01T01:00:00+01:00", "--until", "2100-01-01T00:00:00Z", "--marketplace", "acme"),
    )
    revoked = place.said("revoke", granted["act"]["id"], "--reason", "ended", "--from", "2099-01-01T00:00:00Z")
    blocked = place.said("block", "--customer", "cus_facts", "--reason", "abuse", "--until", "2100-01-01T00:00:00Z")
    unblocked = place.said("unblock", "--customer", "cus_facts", "--reason", "resolved")

    found = [each for each in published_facts(place.source) if each.customer == "cus_facts"]
    grant, revocation, block, unblock = found
    assert isinstance(grant, ManualGrant)
    assert (grant.integration, grant.plan, grant.apis) == ("main", None, ("orders", "status"))
    assert (grant.start, grant.end) == (datetime(2026, 2, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
    assert isinstance(revocation, ManualRevocation)
    assert (revocation.grant, revocation.since) == (grant.id, datetime(2099, 1, 1, tzinfo=UTC))
    assert isinstance(block, Block)
    assert (block.start, block.end) == (block.at, datetime(2100, 1, 1, tzinfo=UTC))
    assert isinstance(unblock, Unblock)
    assert unblock.since == unblock.at
    assert [(each.by, each.reason) for each in (grant, revocation, block, unblock)] == [
        (who(), reason) for reason in ("partner", "ended", "abuse", "resolved")
    ]
    assert before <= grant.at < revocation.at < block.at < unblock.at <= datetime.now(UTC)
    published = [granted, revoked, blocked, unblocked]
    assert [each["act"]["id"] for each in published] == [grant.id, revocation.id, block.id, unblock.id]
    offsets = [each["offset"] for each in published]
    assert offsets == list(range(offsets[0], offsets[0] + 4))


def test_an_act_leaves_a_trace_in_the_groups_that_read_it(place: Place) -> None:
    """Its id, its type and its customer stand beside the fact; the other of the two groups passed it over."""
    published = place.said("block", "--customer", "cus_trace", "--reason", "abuse")
    place.consume()

    traces = sa.select(ledger.provenance).where(ledger.provenance.c.event_id == published["act"]["id"])
    with place.api.engine.connect() as connection:
        found = {row.consumer_group: row for row in connection.execute(traces)}
        offsets = ledger.positions(connection)
    assert {name: row.outcome for name, row in found.items()} == {"grants": "ignored", "revocations": "recorded"}
    trace = found["revocations"]
    assert (trace.integration, trace.customer, trace.event_type, trace.offset) == (
        "main",
        "cus_trace",
        "entitle.customer.blocked.v1",
        published["offset"],
    )
    assert sorted(each.group for each in offsets if each.topic == OPERATOR_COMMANDS) == ["grants", "revocations"]


def test_a_free_plan_is_given_for_a_while(place: Place) -> None:
    """Nothing but this opens a plan that is never billed; its end is in the answer."""
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    done = place.entitle(
        "grant", "--customer", "cus_free", "--plan", "free", "--until", rfc3339(end), "--reason", "free"
    )

    (line,) = done.stdout.splitlines()
    assert line.startswith(f"cus_free has plan free (status) from now on until {rfc3339(end)}: grant_")
    assert "`entitle revoke grant_" in line
    answer = place.answer("cus_free", "status").body["context"]
    assert (answer["reason"], answer["until"]) == ("manual", rfc3339(end))
    assert place.reason("cus_free", "status", after=timedelta(days=1)) == "not_entitled"


def test_what_is_over_is_not_ended_again(place: Place) -> None:
    """It is said since when and by whom; nothing is published. An earlier moment is another matter."""
    granted = place.said("grant", "--customer", "cus_over", "--plan", "enterprise", "--reason", "a trial")["act"]["id"]
    later = place.said("revoke", granted, "--from", "2100-01-01T00:00:00Z", "--reason", "soon")["act"]["id"]
    again = place.entitle("revoke", granted, "--from", "2101-01-01T00:00:00Z", "--reason", "once more")
    sooner = place.said("revoke", granted, "--reason", "at once")["act"]["id"]
    for_programs = json.loads(place.entitle("revoke", granted, "--reason", "again", "--json").stdout)

    said = f"{granted} is over from 2100-01-01T00:00:00Z on already, by {later} of {who()}; nothing was published\n"
    assert (again.exit_code, again.stdout) == (0, said)
    assert for_programs["published"] is None
    assert f"already, by {sooner} of" in for_programs["because"]
    found = [each for each in published_facts(place.source) if each.customer == "cus_over"]
    assert [each.id for each in found if isinstance(each, ManualRevocation)] == [later, sooner]


def test_a_grant_that_has_ended_is_not_revoked(place: Place) -> None:
    """It says that it is over as it was granted."""
    granted = place.said(
        *("grant", "--customer", "cus_ended", "--plan", "enterprise", "--reason", "a trial"),
        *("--from", "2026-01-01T00:00:00Z", "--until", "2026-01-02T00:00:00Z"),
    )["act"]["id"]

    said = f"{granted} is over from 2026-01-02T00:00:00Z on already, as it was granted; nothing was published\n"
    assert place.entitle("revoke", granted, "--reason", "again").stdout == said


def test_a_block_is_lifted_once_and_may_be_set_twice(place: Place) -> None:
    """One unblock lifts both, the one that is still to begin too; where there is none left, that is said."""
    customer = ("--customer", "cus_twice")
    first = place.entitle("block", *customer, "--reason", "abuse")
    place.said("block", *customer, "--from", "2100-01-01T00:00:00Z", "--reason", "more abuse")
    lifted = place.entitle("unblock", *customer, "--reason", "resolved")
    again = place.entitle("unblock", *customer, "--reason", "resolved")

    assert first.stdout.startswith("cus_twice is blocked from now on: block_")
    assert first.stdout.endswith("Lift it with `entitle unblock --customer cus_twice`.\n")
    assert lifted.stdout.startswith("cus_twice is unblocked from now on: unblock_")
    assert again.stdout.startswith("cus_twice is not blocked from ")
    assert again.stdout.endswith(" on as it is; nothing was published\n")
    assert place.reason("cus_twice") == "not_entitled"
    assert place.reason("cus_twice", after=timedelta(days=365 * 100)) == "not_entitled"


def test_a_block_by_a_clock_that_is_ahead_is_lifted_all_the_same(place: Place) -> None:
    """An unblock is said after what was read when it was said, whatever the clocks are."""
    ahead = datetime.now(UTC) + timedelta(minutes=5)
    act = CustomerBlocked(
        id="block_ahead",
        integration="main",
        customer="cus_ahead",
        start=ahead,
        end=None,
        at=ahead,
        by="bob",
        reason="abuse",
    )
    publish(place.source, encode_act(act), "a block")
    assert place.reason("cus_ahead") == "blocked"

    place.said("unblock", "--customer", "cus_ahead", "--reason", "resolved")

    assert place.reason("cus_ahead") == "not_entitled"


def test_an_org_is_its_customer(place: Place) -> None:
    """As the query side knows it: what an act says is the customer, whatever the org will be later."""
    place.consume()
    with place.api.engine.begin() as connection:
        set_org(connection, integration="main", org="hooli", customer="cus_hooli", set_by="test")

    published = place.said("grant", "--org", "hooli", "--plan", "enterprise", "--reason", "a trial")

    assert published["act"]["customer"] == "cus_hooli"
    assert place.reason("cus_hooli") == "manual"
    with pytest.raises(BadSetting, match="No org nobody is set here"):
        place.entitle("block", "--org", "nobody", "--reason", "abuse")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (
            ["grant", "--customer", "cus_1", "--plan", "gold", "--reason", "r"],
            "integration main has no plan gold; its plans are enterprise and free",
        ),
        (
            ["grant", "--customer", "cus_1", "--api", "gold", "--reason", "r"],
            "no plan of integration main opens gold; its APIs are invoices, orders and status",
        ),
        (
            ["block", "--customer", "cus_1", "--integration", "x", "--reason", "r"],
            "there is no integration x, only main",
        ),
        (["revoke", "grant_gone", "--reason", "r"], "no grant grant_gone was ever published; `entitle grant` prints"),
        (["unblock", "--customer", "cus_never", "--reason", "r"], "cus_never of integration main was never blocked"),
        (
            ["grant", "--customer", "cus_1", "--plan", "free", "--until", "9999-01-01T00:00:00Z", "--reason", "r"],
            "end is in the year 9999",
        ),
    ],
)
def test_what_can_not_be_done_is_not_published(source: Source, arguments: list[str], why: str) -> None:
    """The command line says why, and nobody reads anything of it."""
    before = published_facts(source)

    with pytest.raises(BadSetting) as refusal:
        called(source, *arguments)

    assert why in str(refusal.value)
    assert published_facts(source) == before
