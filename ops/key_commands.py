"""`entitle keys`: by which API keys orgs and customers are known at gateways. An edge: the command line."""

from __future__ import annotations

import json
from typing import Any

import click

from entitlements.api import keys as api_keys
from entitlements.api.keys import Holder, read_duration
from entitlements.api.requests import read_id
from entitlements.api.responses import Problem
from entitlements.api.subjects import SubjectType
from ops.catalog_commands import who
from ops.inspect_commands import OPERATOR
from ops.org_commands import INTEGRATION, settings_as_they_are
from ops.settings import BadSetting

ORG = click.option("--org", help="The marketplace's own name for a consumer organisation.")
CUSTOMER = click.option("--customer", help="Stripe's customer, cus_…")
MARKETPLACE = click.option("--marketplace", help="The key opens what this marketplace sells, and nothing else.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="As the API of the query listener gives it.")


@click.group()
def keys() -> None:
    """
    Make, list, rotate and revoke the API keys of orgs and customers.

    Example: entitle keys add --org initech
    """


@keys.command()
@ORG
@CUSTOMER
@INTEGRATION
@MARKETPLACE
@click.option("--label", help="What people call it.")
@AS_JSON
def add(
    org: str | None,
    customer: str | None,
    integration: str | None,
    marketplace: str | None,
    label: str | None,
    as_json: bool,
) -> None:
    """
    Make a key, and print it: this once, since only its digest is kept.

    Example: entitle keys add --org initech --label "build server"
    """
    holder = _holder(org, customer, integration, marketplace)
    with settings_as_they_are() as snapshot:
        label = None if label is None else read_id(label, "--label")
        made = api_keys.add(snapshot, OPERATOR, holder, label, who())
    _show_made(made, as_json=as_json)


@keys.command()
@click.argument("key")
@click.option("--grace", default="24h", show_default=True, help="How long KEY stays valid: 0s, 90s, 15m, 2h, 3d, 2w.")
@AS_JSON
def rotate(key: str, grace: str, as_json: bool) -> None:
    """
    Make a key that takes the place of the one named KEY (key_…), and print it this once.

    Example: entitle keys rotate key_4f1e… --grace 24h
    """
    with settings_as_they_are() as snapshot:
        made = api_keys.rotate(snapshot, OPERATOR, read_id(key, "KEY"), read_duration(grace, "--grace"), who())
    _show_made(made, as_json=as_json)
    if not as_json:
        click.echo(f"{key} is valid until {made['replaces']['valid_until']}", err=True)


@keys.command()
@click.argument("key")
def revoke(key: str) -> None:
    """
    Let the key named KEY (key_…) open nothing from now on; gateways that cache go on for seconds.

    Example: entitle keys revoke key_4f1e…
    """
    with settings_as_they_are() as snapshot:
        api_keys.revoke(snapshot, OPERATOR, read_id(key, "KEY"), who())
    click.echo(f"{key} is revoked")


@keys.command("list")
@ORG
@CUSTOMER
@INTEGRATION
@MARKETPLACE
@AS_JSON
def list_keys(
    org: str | None, customer: str | None, integration: str | None, marketplace: str | None, as_json: bool
) -> None:
    """
    List keys, of everybody or of one holder, those that are over too.

    Example: entitle keys list --org initech --json
    """
    everybody = org is None and customer is None
    if everybody and (integration or marketplace):
        raise BadSetting("--integration and --marketplace say of which --org or --customer: name one of them too")
    holder = None if everybody else _holder(org, customer, integration, marketplace)
    with settings_as_they_are() as snapshot:
        found = api_keys.listed(snapshot, OPERATOR, holder)
    if as_json:
        click.echo(json.dumps({"keys": found}))
        return
    for each in found:
        click.echo(_line(each))
    if not found:
        click.echo("there is no key")


def _holder(org: str | None, customer: str | None, integration: str | None, marketplace: str | None) -> Holder:
    if (org is None) == (customer is None):
        raise BadSetting("say whose keys are meant: --org or --customer, one of them")
    kind, name = (SubjectType.ORG, org) if org is not None else (SubjectType.CUSTOMER, customer)
    try:
        name = read_id(name, f"--{kind}")
    except Problem as problem:
        raise BadSetting(str(problem)) from problem
    return Holder(kind=kind, name=name, integration=integration, marketplace=marketplace)


def _show_made(made: dict[str, Any], *, as_json: bool) -> None:
    """The key alone on stdout, for a program to take; the rest on stderr."""
    if as_json:
        click.echo(json.dumps(made))
        return
    click.echo(f"{made['id']} is made; the key is shown this once:", err=True)
    click.echo(made["key"])


def _line(key: dict[str, Any]) -> str:
    holder = f"org {key['org']}" if "org" in key else f"customer {key['customer']}"
    where = key["integration"] + (f"@{key['marketplace']}" if "marketplace" in key else "")
    until = f", until {key['valid_until']}" if "valid_until" in key else ""
    state = "valid" if key["is_valid"] else "over"
    label = f" ({key['label']})" if "label" in key else ""
    return f"{key['id']:22} {holder:32} {where:20} {state}{until}, {key['set_at']} by {key['set_by']}{label}"
