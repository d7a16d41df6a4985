"""What operators do for one customer: what is refused before anything is opened, and what a catalog allows."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from entitlements.domain.catalog import Catalog
from entitlements.domain.catalog_document import read_catalog
from entitlements.domain.facts import CatalogRevision
from entitlements.domain.identity import canonical_json
from ops.cli import entitle
from ops.settings import BadSetting
from ops.whom import Whom, apis_opened, customer_of, integration_of, newest_catalog
from tests import pure_core
from tests.pure_core import plan

ENDS_FIRST = ["--from", "2026-02-01T00:00:00Z", "--until", "2026-02-01T00:00:00Z"]
WHO = ["--customer", "cus_1"]
WHY = ["--reason", "a trial"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["grant", *WHY, "--plan", "gold"], "Say whom it is about, with one of --customer and --org."),
        (["grant", *WHO, "--org", "initech", *WHY, "--plan", "gold"], "Say whom it is about"),
        (["block", *WHY], "Say whom it is about"),
        (["unblock", *WHY], "Say whom it is about"),
        (
            ["block", *WHO, *WHY, "--integration", "main", "--marketplace", "acme"],
            "with one of --integration and --mar",
        ),
        (["grant", *WHO, *WHY], "Say what is granted, with one of --plan and --api."),
        (["grant", *WHO, *WHY, "--plan", "gold", "--api", "orders"], "Say what is granted"),
        (["grant", *WHO, "--plan", "gold"], "Missing option '--reason'"),
        (["revoke", "grant_1"], "Missing option '--reason'"),
        (["revoke", *WHY], "Missing argument 'GRANT_ID'"),
        (["block", *WHO], "Missing option '--reason'"),
        (["unblock", *WHO], "Missing option '--reason'"),
        (["block", *WHO, "--reason", " "], "'--reason': must be a text of 1 to 1000 printable characters"),
        (["block", *WHO, "--reason", "x" * 1001], "'--reason': must be a text of 1 to 1000 printable characters"),
        (["block", *WHO, "--reason", "a\nb"], "'--reason': must be a text of 1 to 1000 printable characters"),
        (["block", "--customer", "", *WHY], "'--customer': must be a text of 1 to 255 printable characters"),
        (["revoke", "x" * 256, *WHY], "'GRANT_ID': must be a text of 1 to 255 printable characters"),
        (["grant", *WHO, *WHY, "--api", "orders", "--api", "\x1b[2J"], "'--api': must be a text of 1 to 255"),
        (["block", *WHO, *WHY, "--until", "2020-01-01T00:00:00Z"], "--until 2020-01-01T00:00:00Z is not after now."),
        (["block", *WHO, *WHY, *ENDS_FIRST], "is not after 2026-02-01T00:00:00Z."),
        (["grant", *WHO, *WHY, "--plan", "gold", *ENDS_FIRST], "is not after 2026-02-01T00:00:00Z."),
        (["block", *WHO, *WHY, "--from", "2026-02-01"], "has no time zone; write it as 2026-02-01T00:00:00Z"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_opened(arguments: list[str], said: str) -> None:
    """Exit code 2 and a sentence that says what to write."""
    done = CliRunner(env={"ENTITLE_KAFKA": None}).invoke(entitle, arguments)

    assert done.exit_code == 2, done.exception
    assert said in " ".join(done.stderr.split())


def test_help_says_that_free_plans_are_given_so_too() -> None:
    """Nothing else opens a plan that is never billed."""
    assert "Free plans (cost: free) are given so too." in " ".join(
        CliRunner().invoke(entitle, ["grant", "-h"]).stdout.split()
    )


def read(document: dict[str, Any]) -> Catalog:
    found, mistakes = read_catalog(document)
    assert found is not None, mistakes
    return found


ONE = pure_core.catalog(
    {"gold": plan(), "silver": plan(prices=[], apis=["orders"])},
    elsewhere={"theirs": plan(prices=["price_theirs"], apis=["reports"])},
)
ONE_INTEGRATION = read(ONE)
INTEGRATIONS = dict.fromkeys(("main", "second"), ONE["integrations"]["main"])
MARKETPLACES = {"acme": {"integration": "main"}, "other": {"integration": "second"}}
TWO_INTEGRATIONS = read(ONE | {"integrations": INTEGRATIONS, "marketplaces": MARKETPLACES})


def whom(**said: str) -> Whom:
    return Whom(**({"customer": "cus_1", "org": None, "integration": None, "marketplace": None} | said))


@pytest.mark.parametrize(
    ("catalog", "said", "integration"),
    [
        (ONE_INTEGRATION, {}, "main"),
        (ONE_INTEGRATION, {"integration": "main"}, "main"),
        (ONE_INTEGRATION, {"marketplace": "other"}, "main"),
        (TWO_INTEGRATIONS, {"integration": "second"}, "second"),
        (TWO_INTEGRATIONS, {"marketplace": "other"}, "second"),
        (TWO_INTEGRATIONS, {"marketplace": "acme"}, "main"),
    ],
)
def test_the_integration_is_named_or_the_only_one(catalog: Catalog, said: dict[str, str], integration: str) -> None:
    """By itself, or by a marketplace that belongs to it."""
    assert integration_of(whom(**said), catalog) == integration


@pytest.mark.parametrize(
    ("catalog", "said", "why"),
    [
        (TWO_INTEGRATIONS, {}, "the catalog has the integrations main and second: say which with --integration"),
        (ONE_INTEGRATION, {"integration": "third"}, "there is no integration third, only main"),
        (TWO_INTEGRATIONS, {"integration": "third"}, "there is no integration third, only main and second"),
        (ONE_INTEGRATION, {"marketplace": "main"}, "there is no marketplace main, only acme and other"),
    ],
)
def test_an_integration_that_is_not_clear_is_asked_for(catalog: Catalog, said: dict[str, str], why: str) -> None:
    """The refusal names those that there are."""
    with pytest.raises(BadSetting, match=f"^{why}"):
        integration_of(whom(**said), catalog)


def test_a_customer_is_whom_the_operator_names() -> None:
    """No database is asked for it."""
    assert customer_of(whom(customer="cus_9"), "main") == "cus_9"


@pytest.mark.parametrize(
    ("marketplace", "plan", "apis", "opened"),
    [
        (None, "gold", (), ("invoices", "orders")),
        ("acme", "silver", (), ("orders",)),
        (None, "theirs", (), ("reports",)),
        (None, None, ("reports", "orders", "orders"), ("orders", "reports")),
        ("other", None, ("reports",), ("reports",)),
    ],
)
def test_a_grant_opens_what_the_catalog_sells_there(
    marketplace: str | None, plan: str | None, apis: tuple[str, ...], opened: tuple[str, ...]
) -> None:
    """The APIs of the plan, or those named, each once and in order."""
    assert apis_opened(ONE_INTEGRATION, "main", marketplace, plan=plan, apis=apis) == opened


@pytest.mark.parametrize(
    ("catalog", "marketplace", "plan", "apis", "why"),
    [
        (ONE_INTEGRATION, None, "god", (), "integration main has no plan god; its plans are gold, silver and theirs"),
        (ONE_INTEGRATION, "other", "gold", (), "marketplace other has no plan gold; its plans are theirs"),
        (TWO_INTEGRATIONS, None, "theirs", (), "integration main has no plan theirs; its plans are gold and silver"),
        (
            ONE_INTEGRATION,
            None,
            None,
            ("ordres", "reports", "beta"),
            "no plan of integration main opens beta or ordres; its APIs are invoices, orders and reports",
        ),
        (
            ONE_INTEGRATION,
            "acme",
            None,
            ("reports",),
            "no plan of marketplace acme opens reports; its APIs are invoices and orders",
        ),
    ],
)
def test_what_the_catalog_does_not_sell_there_is_refused(
    catalog: Catalog, marketplace: str | None, plan: str | None, apis: tuple[str, ...], why: str
) -> None:
    """The refusal names what it does sell."""
    with pytest.raises(BadSetting) as refusal:
        apis_opened(catalog, "main", marketplace, plan=plan, apis=apis)

    assert str(refusal.value) == why


def revision(number: int, document: dict[str, Any]) -> CatalogRevision:
    return CatalogRevision(number=number, in_force_from=None, applied_by="ann", document=canonical_json(document))


def test_the_newest_catalog_counts_in_force_or_not() -> None:
    """The highest number; and none at all is said."""
    published = (revision(2, pure_core.catalog({"new": plan()})), revision(1, ONE))

    assert [*newest_catalog(published).plans] == ["new"]
    with pytest.raises(BadSetting, match="no catalog has been applied yet"):
        newest_catalog(())
