"""
`entitle grant`, `revoke`, `block` and `unblock`: what operators do for one customer (contract, R10). An edge: the
command line.

Each publishes one message on the operators' topic, and it counts once the consumers have read it there. Nothing is ever
taken out of the log: what takes an act back is another act.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from entitlements.domain.acts import Block, ManualGrant, ManualRevocation, Unblock
from entitlements.domain.facts import CustomerFacts, Fact
from entitlements.domain.manual import blocked
from entitlements.domain.wording import listed
from ops import settings
from ops.catalog_commands import Moment, who
from ops.operator_log import publish, published_facts
from ops.settings import BadSetting, Environment
from ops.whom import NAME, Whom, about_whom, apis_opened, customer_of, integration_of, newest_catalog, printable
from schemas.codec import decode
from schemas.fields import InvalidMessage
from schemas.operator_acts import (
    ACT_TYPES,
    AccessGranted,
    AccessRevoked,
    CustomerBlocked,
    CustomerUnblocked,
    OperatorAct,
    encode_act,
    rfc3339,
)
from schemas.topics import OPERATOR_COMMANDS

REASON = click.option("--reason", required=True, callback=printable(1000), help="Why, for the record.")
FROM = click.option("--from", "start", type=Moment(), help="From this moment on; default now.")
UNTIL = click.option("--until", "end", type=Moment(), help="To this moment, exclusive; without it, until taken back.")
AS_JSON = click.option(
    "--json", "as_json", is_flag=True, help='{"published": {"type": …, "topic": …, "offset": …, "act": {…}}}'
)

AFact = TypeVar("AFact", bound=Fact)


@click.command()
@about_whom
@click.option("--plan", callback=NAME, help="The plan whose APIs are opened, with its quotas.")
@click.option("--api", "apis", multiple=True, callback=NAME, help="An API, in place of a plan; may be given again.")
@FROM
@UNTIL
@REASON
@AS_JSON
def grant(
    whom: Whom,
    plan: str | None,
    apis: tuple[str, ...],
    start: datetime | None,
    end: datetime | None,
    reason: str,
    as_json: bool,
) -> None:
    """
    Open a plan, or single APIs, to a customer by hand, whatever is paid. Free plans (cost: free) are given so too.

    A plan is given on the terms of the catalog that is in force now, whatever is applied later.

    Example: entitle grant --customer cus_123 --plan enterprise --until 2026-03-01T00:00:00Z --reason "a trial"
    """
    if (plan is None) == (not apis):
        raise click.UsageError("Say what is granted, with one of --plan and --api.")
    now = _now_within(start, end)
    source = settings.kafka(Environment())
    catalog = newest_catalog(published_facts(source))
    integration = integration_of(whom, catalog)
    opened = apis_opened(catalog, integration, whom.marketplace, plan=plan, apis=apis)
    act = AccessGranted(
        **_said("grant", integration, customer_of(whom, integration), now, reason),
        plan=plan,
        apis=opened if plan is None else (),
        start=start or now,
        end=end,
    )
    what = listed(opened, "and") if plan is None else f"plan {plan} ({listed(opened, 'and')})"
    _publish(
        act,
        f"{act.customer} has {what} {_during(start, end)}: {act.id}. Take it back with `entitle revoke {act.id}`.",
        as_json,
    )


@click.command()
@click.argument("grant_id", callback=NAME)
@click.option("--from", "since", type=Moment(), help="Over from this moment on; default now.")
@REASON
@AS_JSON
def revoke(grant_id: str, since: datetime | None, reason: str, as_json: bool) -> None:
    """
    End what `entitle grant` opened, by the id that it printed; what is paid stays open.

    Example: entitle revoke grant_0b6f4a3f9c1e4d2a8f70c5b1e2d3a4f5 --reason "the trial is over"
    """
    facts, now = published_facts(settings.kafka(Environment())), datetime.now(UTC)
    found = next((each for each in _of_kind(ManualGrant, facts) if each.id == grant_id), None)
    if found is None:
        raise BadSetting(f"no grant {grant_id} was ever published; `entitle grant` prints the id of what it grants")
    over = [
        (each.since, f"by {each.id} of {each.by}")
        for each in _of_kind(ManualRevocation, facts)
        if (each.integration, each.customer, each.grant) == (found.integration, found.customer, found.id)
    ]
    if found.end is not None:
        over.append((found.end, "as it was granted"))
    if over and min(over)[0] <= (since or now):
        _say_nothing_is_published(f"{grant_id} is over {_since(min(over)[0])} already, {min(over)[1]}", as_json)
        return
    act = AccessRevoked(
        **_said("revocation", found.integration, found.customer, now, reason), grant=grant_id, since=since or now
    )
    line = (
        f"{grant_id} of {act.customer} is over {_since(since)}: {act.id}. Only another `entitle grant` opens it again."
    )
    _publish(act, line, as_json)


@click.command()
@about_whom
@FROM
@UNTIL
@REASON
@AS_JSON
def block(whom: Whom, start: datetime | None, end: datetime | None, reason: str, as_json: bool) -> None:
    """
    Let a customer call nothing, whatever is paid or granted, in every marketplace of the integration.

    Example: entitle block --customer cus_123 --until 2026-03-01T00:00:00Z --reason "abuse, ticket 4711"
    """
    now = _now_within(start, end)
    facts = published_facts(settings.kafka(Environment()))
    catalog = newest_catalog(facts)
    integration = integration_of(whom, catalog)
    customer = customer_of(whom, integration)
    lifted = (
        each.at for each in _of_kind(Unblock, facts) if (each.integration, each.customer) == (integration, customer)
    )
    # Said after every lifting that is read here, whose clock may have been ahead: else it would be lifted already.
    at = max(now, *(each + timedelta(microseconds=1) for each in lifted), now)
    act = CustomerBlocked(**_said("block", integration, customer, at, reason), start=start or now, end=end)
    where = f" --integration {integration}" if len(catalog.integrations) > 1 else ""
    undo = f"Lift it with `entitle unblock --customer {act.customer}{where}`."
    _publish(act, f"{act.customer} is blocked {_during(start, end)}: {act.id}. {undo}", as_json)


@click.command()
@about_whom
@click.option("--from", "since", type=Moment(), help="Unblocked from this moment on; default now.")
@REASON
@AS_JSON
def unblock(whom: Whom, since: datetime | None, reason: str, as_json: bool) -> None:
    """
    Lift every block of a customer that was ever set, also one that is still to begin.

    Example: entitle unblock --customer cus_123 --reason "ticket 4711 is resolved"
    """
    facts, now = published_facts(settings.kafka(Environment())), datetime.now(UTC)
    integration = integration_of(whom, newest_catalog(facts))
    customer = customer_of(whom, integration)
    own = [each for each in facts if (each.integration, each.customer) == (integration, customer)]
    blocks = _of_kind(Block, own)
    if not blocks:
        raise BadSetting(f"{customer} of integration {integration} was never blocked")
    periods = blocked(CustomerFacts(named=True, blocks=blocks, unblocks=_of_kind(Unblock, own)))
    if all(period.end <= (since or now) for period in periods):
        _say_nothing_is_published(f"{customer} is not blocked {_since(since or now)} as it is", as_json)
        return
    # An operator's clock may be ahead of this one: what is read here was said before.
    at = max(now, *(each.at for each in blocks))
    act = CustomerUnblocked(**_said("unblock", integration, customer, at, reason), since=since or now)
    _publish(act, f"{customer} is unblocked {_since(since)}: {act.id}. `entitle block` blocks it again.", as_json)


def _now_within(start: datetime | None, end: datetime | None) -> datetime:
    """The present moment, once it is known that *end* is after *start*, or after now."""
    now = datetime.now(UTC)
    if end is not None and end <= (start or now):
        raise click.UsageError(f"--until {rfc3339(end)} is not after {'now' if start is None else rfc3339(start)}.")
    return now


def _said(kind: str, integration: str, customer: str, at: datetime, reason: str) -> dict[str, Any]:
    """What every act says, under an id of its own."""
    return {
        "id": f"{kind}_{uuid.uuid4().hex}",
        "integration": integration,
        "customer": customer,
        "at": at,
        "by": who(),
        "reason": reason,
    }


def _publish(act: OperatorAct, line: str, as_json: bool) -> None:
    """Publish an act, and say so with *line*. Raises `BadSetting` for one that no consumer could read."""
    key, value, headers = encoded = encode_act(act)
    try:
        decode(OPERATOR_COMMANDS, value, headers)
    except InvalidMessage as error:
        raise BadSetting(str(error)) from error
    offset = publish(settings.kafka(Environment()), encoded, f"what is said of {key.decode()}")
    if as_json:
        head = {"type": ACT_TYPES[type(act)], "topic": OPERATOR_COMMANDS, "partition": 0, "offset": offset}
        click.echo(json.dumps({"published": {**head, "act": json.loads(value)}}))
    else:
        click.echo(line)


def _say_nothing_is_published(why: str, as_json: bool) -> None:
    click.echo(json.dumps({"published": None, "because": why}) if as_json else f"{why}; nothing was published")


def _during(start: datetime | None, end: datetime | None) -> str:
    return f"{_since(start)}{'' if end is None else f' until {rfc3339(end)}'}"


def _since(start: datetime | None) -> str:
    return "from now on" if start is None else f"from {rfc3339(start)} on"


def _of_kind(kind: type[AFact], facts: Iterable[Fact]) -> tuple[AFact, ...]:
    return tuple(each for each in facts if isinstance(each, kind))
