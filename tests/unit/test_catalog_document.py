"""
Reading a catalog from a plain document, and naming every mistake in it.

Longer than 250 lines: the table of what can be written wrongly has a row for each, and the first test spells out every
value that a document with all keys becomes.

Long because each mistake that a catalog can hold is named here once.
"""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entitlements.domain.catalog import (
    UNTIL_DUE,
    Access,
    BasePrice,
    Catalog,
    Cost,
    Enforcement,
    Every,
    Integration,
    Marketplace,
    Mode,
    OnCancel,
    OnDispute,
    OnRefund,
    Org,
    Per,
    Plan,
    Product,
    Quota,
    Route,
    Terms,
)
from entitlements.domain.catalog_document import read_catalog
from tests.unit.catalog_documents import TWO_INTEGRATIONS, catalog, minimal, plan

ABSENT = object()

# Every key of contract, section 3, none at its default.
FULL: dict[str, Any] = {
    "catalog": 1,
    "integrations": {
        "main": {
            "mode": "live",
            "signing_secrets_env": "STRIPE_SIGNING_SECRETS",
            "api_key_env": "STRIPE_API_KEY",
            "api_version": "2022-11-15",
            "accounts": ["acct_1"],
        }
    },
    "marketplaces": {
        "acme": {"integration": "main", "name": "Acme APIs", "customer_portal": "https://billing.example.com/p/abc"}
    },
    "orgs": {"initech": {"customer": "cus_123"}},
    "products": {
        "monetized-product": {
            "marketplace": "acme",
            "name": "Monetized Product",
            "plans": {
                "enterprise": {
                    "name": "Enterprise Plan",
                    "cost": "free",
                    "base_price": {"amount": "25.00", "currency": "usd", "every": "week"},
                    "stripe_prices": ["price_enterprise"],
                    "apis": ["orders", "invoices"],
                    "quotas": [
                        {"name": "calls", "unit": "calls", "limit": 1000, "per": "day", "enforcement": "loose"},
                    ],
                    "access": {
                        "first_unpaid": "15m",
                        "renewal_unpaid": "until_due",
                        "renewal_leeway": "90s",
                        "on_refund": "keep",
                        "on_dispute": "keep",
                        "on_cancel": "immediately",
                    },
                }
            },
        }
    },
    "routes": [{"host": "API.example.com", "methods": ["GET", "POST"], "path": "/orders/**", "api": "orders"}],
}
PLAN = ("products", "monetized-product", "plans", "enterprise")


def changed(path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """FULL with another value at one place, or without it."""
    document = copy.deepcopy(FULL)
    inner: Any = document
    for step in path[:-1]:
        inner = inner[step]
    if value is ABSENT:
        del inner[path[-1]]
    elif isinstance(inner, list) and path[-1] == len(inner):
        inner.append(value)
    else:
        inner[path[-1]] = value
    return document


def mistakes_of(document: object) -> list[tuple[str, str]]:
    found, mistakes = read_catalog(document)
    assert found is None
    return [(mistake.where, mistake.text) for mistake in mistakes]


def test_reads_every_key() -> None:
    """A document with every key of the contract becomes these values (long because every key stands here once)."""
    expected = Catalog(
        integrations={
            "main": Integration(
                name="main",
                mode=Mode.LIVE,
                signing_secrets_env="STRIPE_SIGNING_SECRETS",
                api_key_env="STRIPE_API_KEY",
                api_version="2022-11-15",
                accounts=frozenset({"acct_1"}),
            )
        },
        marketplaces={
            "acme": Marketplace(
                name="acme",
                title="Acme APIs",
                integration="main",
                customer_portal="https://billing.example.com/p/abc",
            )
        },
        orgs={"initech": Org(name="initech", customer="cus_123")},
        products={
            "monetized-product": Product(name="monetized-product", title="Monetized Product", marketplace="acme")
        },
        plans={
            "enterprise": Plan(
                name="enterprise",
                title="Enterprise Plan",
                product="monetized-product",
                marketplace="acme",
                integration="main",
                cost=Cost.FREE,
                base_price=BasePrice(amount="25.00", currency="usd", every=Every.WEEK),
                every=Every.WEEK,
                stripe_prices=frozenset({"price_enterprise"}),
                apis=frozenset({"orders", "invoices"}),
                quotas=(Quota(name="calls", unit="calls", limit=1000, per=Per.DAY, enforcement=Enforcement.LOOSE),),
                access=Access(
                    first_unpaid=timedelta(minutes=15),
                    renewal_unpaid=UNTIL_DUE,
                    renewal_leeway=timedelta(seconds=90),
                    on_refund=OnRefund.KEEP,
                    on_dispute=OnDispute.KEEP,
                    on_cancel=OnCancel.IMMEDIATELY,
                ),
            )
        },
        routes=(Route(host="api.example.com", methods=frozenset({"GET", "POST"}), path="/orders/**", api="orders"),),
    )

    assert expected == catalog(FULL)


def test_defaults() -> None:
    """What the contract doesn't require has a default: nothing unpaid, two hours of leeway, names shown as written."""
    found = catalog(minimal())
    basic = found.plans["basic"]

    assert (
        Access(
            first_unpaid=timedelta(0),
            renewal_unpaid=timedelta(0),
            renewal_leeway=timedelta(hours=2),
            on_refund=OnRefund.REVOKE,
            on_dispute=OnDispute.SUSPEND,
            on_cancel=OnCancel.CYCLE_END,
        )
        == basic.access
    )
    assert (basic.title, basic.base_price, basic.every) == ("basic", None, Every.MONTH)
    assert (frozenset(), ()) == (basic.stripe_prices, basic.quotas)
    assert (found.marketplaces["acme"].title, found.marketplaces["acme"].customer_portal) == ("acme", None)
    assert found.products["product"].title == "product"
    assert (found.integrations["main"].api_key_env, found.integrations["main"].api_version) == (None, None)
    assert frozenset() == found.integrations["main"].accounts
    assert (found.orgs, found.routes) == ({}, ())


def test_an_integration_alone_is_a_catalog() -> None:
    """One integration is all that a catalog must have: nothing is sold yet."""
    document = {"catalog": 1, "integrations": {"main": {"mode": "test", "signing_secrets_env": "SECRETS"}}}

    assert catalog(document).plans == {}


def test_keys_without_a_value_are_not_written() -> None:
    """`orgs:` with nothing but comments under it is null in YAML, and means that there are none."""
    document = minimal(basic=plan(stripe_prices=None, quotas=None, access=None, base_price=None, name=None))

    assert catalog(minimal()) == catalog(document | {"orgs": None, "routes": None})


def test_a_base_price_may_say_only_its_cycle() -> None:
    """The cycle of one-off lines can be set without showing a price."""
    basic = catalog(minimal(basic=plan(base_price={"every": "year"}))).plans["basic"]

    assert basic.every == Every.YEAR
    assert BasePrice(amount=None, currency=None, every=Every.YEAR) == basic.base_price


def test_a_quota_says_its_name_and_limit() -> None:
    """The rest of a quota has defaults: requests, per cycle, strictly."""
    basic = catalog(minimal(basic=plan(quotas=[{"name": "calls", "limit": 0}]))).plans["basic"]

    assert (
        Quota(name="calls", unit="requests", limit=0, per=Per.CYCLE, enforcement=Enforcement.STRICT),
    ) == basic.quotas


def test_a_route_needs_only_its_api() -> None:
    """A route without host, methods and path is every request."""
    (route,) = catalog(minimal() | {"routes": [{"api": "orders"}]}).routes

    assert Route(host=None, methods=frozenset(), path="/**", api="orders") == route


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("0s", timedelta(0)),
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("2h", timedelta(hours=2)),
        ("3d", timedelta(days=3)),
        ("2w", timedelta(weeks=2)),
        ("until_due", UNTIL_DUE),
    ],
)
def test_terms(written: str, expected: Terms) -> None:
    """Unpaid terms are a whole number of seconds, minutes, hours, days or weeks, or run until the due date."""
    basic = catalog(minimal(basic=plan(access={"first_unpaid": written}))).plans["basic"]

    assert expected == basic.access.first_unpaid


def test_a_leeway_is_never_until_due() -> None:
    """`until_due` is for unpaid terms: a leeway belongs to the cycle before, whose invoice is paid."""
    (mistake,) = mistakes_of(minimal(basic=plan(access={"renewal_leeway": "until_due"})))

    assert mistake == (
        "products.product.plans.basic.access.renewal_leeway",
        "must be a duration such as 0s, 90s, 15m, 2h, 3d or 2w, not `until_due`",
    )


MISSING = [
    (("catalog",), "is missing: write `catalog: 1`"),
    (("integrations",), "is missing: name at least one"),
    (("integrations", "main", "mode"), "is missing: `test` or `live`"),
    (
        ("integrations", "main", "signing_secrets_env"),
        "is missing: the environment variable with the endpoint's signing secrets",
    ),
    (("marketplaces", "acme", "integration"), "is missing: the integration it bills through"),
    (("orgs", "initech", "customer"), "is missing: Stripe's customer, cus_…"),
    (("products", "monetized-product", "marketplace"), "is missing: the marketplace that sells it"),
    ((*PLAN, "cost"), "is missing: `free` or `paid`"),
    ((*PLAN, "apis"), "is missing: name at least one API"),
    ((*PLAN, "base_price", "amount"), "is missing: a currency needs an amount"),
    ((*PLAN, "base_price", "currency"), "is missing: an amount needs a currency"),
    ((*PLAN, "quotas", 0, "name"), "is missing: what is counted, such as `calls`"),
    ((*PLAN, "quotas", 0, "limit"), "is missing: a whole number"),
    (("routes", 0, "api"), "is missing: an API that a plan names"),
]


@pytest.mark.parametrize("value", [ABSENT, None], ids=["absent", "null"])
@pytest.mark.parametrize(("path", "text"), MISSING, ids=[str(path[-1]) for path, _ in MISSING])
def test_missing(path: tuple[str | int, ...], text: str, value: object) -> None:
    """What is required and not there is named, and what to write instead."""
    _, mistakes = read_catalog(changed(path, value))

    assert (path, text) in [(mistake.path, mistake.text) for mistake in mistakes]


WRONG: list[tuple[tuple[str | int, ...], object, str]] = [
    (("catalog",), 2, "this program reads catalogs of version 1, not 2"),
    (("catalog",), True, "this program reads catalogs of version 1, not `true`"),
    (("catalog",), "1", "this program reads catalogs of version 1, not `1`"),
    (("katalog",), 1, "unknown key `katalog`; did you mean `catalog`?"),
    (("integrations",), {}, "must name at least one integration"),
    (("integrations", "a b"), FULL["integrations"]["main"], "a name here is made of letters"),
    (("integrations", "a|b"), FULL["integrations"]["main"], "a name here is made of letters"),
    (("integrations", "main", "mode"), "prod", "must be `test` or `live`, not `prod`"),
    (("integrations", "main", "signing_secret"), "x", "unknown key `signing_secret`; did you mean `signing_secrets_en"),
    (("integrations", "main", "signing_secrets_env"), "two words", "must be the name of an environment variable"),
    (("integrations", "main", "signing_secrets_env"), "whsec_x", "this is a secret"),
    (("integrations", "main", "api_key_env"), "rk_test_x", "this is a secret"),
    (("integrations", "main", "api_key_env"), 5, "must be the name of an environment variable"),
    (("integrations", "main", "api_version"), "latest", "must be a Stripe API version such as"),
    (("integrations", "main", "accounts"), "acct_1", "must be a list, not `acct_1`"),
    (("integrations", "main", "accounts", 1), "acct_1", "`acct_1` is listed twice"),
    (("marketplaces",), ["acme"], "must be a mapping, not a list"),
    (("marketplaces", "a@b"), {"integration": "main"}, "a name here is made of letters"),
    (("marketplaces", "acme", "integration"), "mian", "there is no integration `mian`; did you mean `main`?"),
    (("marketplaces", "acme", "customer_portal"), "billing.example.com", "must be a web address"),
    (("orgs", "initech"), "cus_123", "must be a mapping, not `cus_123`"),
    (("orgs", "initech", "customer"), 123, "must be text, not 123: put it in quotes"),
    (("orgs", " "), {"customer": "cus_1"}, "this key must not be empty"),
    (("products", "monetized-product", "marketplace"), "acne", "there is no marketplace `acne`; did you mean `acme`?"),
    (("products", "monetized-product", "plans"), {}, "must name at least one plan"),
    ((*PLAN, "cost"), "gratis", "must be `free` or `paid`, not `gratis`"),
    ((*PLAN, "stripe_price"), "p", "unknown key `stripe_price`; did you mean `stripe_prices`?"),
    ((*PLAN, "colour"), "red", "unknown key `colour`"),
    ((*PLAN, "stripe_prices", 1), "price_enterprise", "`price_enterprise` is listed twice"),
    ((*PLAN, "stripe_prices", 1), None, "is empty"),
    ((*PLAN, "apis"), [], "must name at least one API"),
    ((*PLAN, "apis"), "orders", "must be a list, not `orders`"),
    ((*PLAN, "apis", 1), "orders", "`orders` is listed twice"),
    ((*PLAN, "apis", 1), ["orders"], "must be text, not a list"),
    ((*PLAN, "apis", 1), " reports", "must not begin or end with a blank"),
    ((*PLAN, "apis", 1), "re\x00ports", "must not contain control characters"),
    ((*PLAN, "apis", 1), "re\ud800ports", "must not contain control characters"),
    ((*PLAN, "name"), "", "must not be empty"),
    ((*PLAN, "name"), datetime(2026, 1, 1, tzinfo=UTC), "must be text, not a datetime: put it in quotes"),
    ((*PLAN, "base_price", "amount"), 25.0, "must be text, not 25.0: put it in quotes"),
    ((*PLAN, "base_price", "amount"), "-1", 'must be an amount such as "25.00", not `-1`'),
    ((*PLAN, "base_price", "currency"), "USD", "must be a currency in three small letters"),
    ((*PLAN, "base_price", "every"), "fortnight", "must be `day`, `week`, `month` or `year`, not `fortnight`"),
    ((*PLAN, "quotas", 0, "limit"), -1, "must be a whole number from 0 to"),
    ((*PLAN, "quotas", 0, "limit"), 10.5, "must be a whole number from 0 to"),
    ((*PLAN, "quotas", 0, "limit"), True, "must be a whole number from 0 to"),
    ((*PLAN, "quotas", 0, "limit"), 16**9000, "not a number out of range"),
    ((*PLAN, "quotas", 0, "per"), "second", "must be `cycle`, `day`, `week`, `month` or `year`, not `second`"),
    ((*PLAN, "quotas", 0, "enforcement"), "hard", "must be `strict` or `loose`, not `hard`"),
    ((*PLAN, "access", "first_unpaid"), "3 days", "must be `until_due` or a duration such as"),
    ((*PLAN, "access", "first_unpaid"), 0, "must be `until_due` or a duration such as"),
    ((*PLAN, "access", "renewal_unpaid"), "-1s", "must be `until_due` or a duration such as"),
    ((*PLAN, "access", "renewal_leeway"), "1.5h", "must be a duration such as"),
    ((*PLAN, "access", "renewal_leeway"), "999999999w", "must be a duration of at most 3660d"),
    ((*PLAN, "access", "renewal_leeway"), "٣d", "must be a duration such as"),
    ((*PLAN, "access", "on_refund"), "suspend", "must be `revoke` or `keep`, not `suspend`"),
    ((*PLAN, "access", "on_dispute"), "revoke", "must be `suspend` or `keep`, not `revoke`"),
    ((*PLAN, "access", "on_cancel"), [], "must be `cycle_end` or `immediately`, not a list"),
    (("routes",), {"api": "orders"}, "must be a list, not a mapping"),
    (("routes", 0, "api"), "oders", "no plan names the API `oders`; did you mean `orders`?"),
    (("routes", 0, "host"), "https://api.example.com", "must be a host such as api.example.com"),
    (("routes", 0, "path"), "orders", "must be a path such as /orders/**, not `orders`"),
    (("routes", 0, "path"), "/orders**", "`**` must stand alone between slashes"),
    (("routes", 0, "methods", 0), "get", "must be an HTTP method such as GET, not `get`"),
]


@pytest.mark.parametrize(
    ("path", "value", "text"), WRONG, ids=[f"{number}-{path[-1]}" for number, (path, *_) in enumerate(WRONG)]
)
def test_wrong(path: tuple[str | int, ...], value: object, text: str) -> None:
    """What can't be taken is named with its place, what is wrong with it, and what may stand there."""
    _, mistakes = read_catalog(changed(path, value))

    assert any(mistake.path == path and text in mistake.text for mistake in mistakes), mistakes


@pytest.mark.parametrize("document", [None, [], "catalog: 1", 1])
def test_no_mapping(document: object) -> None:
    """A document that isn't a mapping has one mistake, that of the whole."""
    ((where, text),) = mistakes_of(document)

    assert where == ""
    assert text.startswith("a catalog is a mapping that begins with `catalog: 1`, not ")


def test_a_key_that_is_no_text() -> None:
    """YAML reads `2024:` and `no:` as a number and a truth value; a name must be text, in JSON as well."""
    document = minimal() | {"orgs": {2024: {"customer": "cus_1"}}}

    assert mistakes_of(document) == [("orgs.2024", "this key is not text: put it in quotes")]


def test_a_plan_name_in_two_products() -> None:
    """A plan's name is unique in the catalog, whatever the product."""
    document = minimal()
    document["products"]["second"] = {"marketplace": "acme", "plans": {"basic": plan()}}
    ((where, text),) = mistakes_of(document)

    assert where == "products.second.plans.basic"
    assert "the plan name `basic` is used twice: product `product` has a plan of that name too" in text


@pytest.mark.parametrize("second", ["basic", "other"])
def test_a_stripe_price_in_two_plans(second: str) -> None:
    """A Stripe price is one plan's, also where two plans share their name by mistake."""
    document = minimal(basic=plan(stripe_prices=["price_1"]))
    document["products"]["second"] = {"marketplace": "acme", "plans": {second: plan(stripe_prices=["price_1"])}}

    assert (
        f"products.second.plans.{second}.stripe_prices[0]",
        "the Stripe price `price_1` is used twice: also in products.product.plans.basic.stripe_prices[0]",
    ) in mistakes_of(document)


def test_a_quota_name_twice() -> None:
    """Quotas of one name add up over grants, so one plan has each once."""
    quotas = [{"name": "calls", "limit": 1}, {"name": "calls", "limit": 2}]

    assert mistakes_of(minimal(basic=plan(quotas=quotas))) == [
        ("products.product.plans.basic.quotas[1].name", "the quota name `calls` is used twice in this plan")
    ]


def test_every_mistake_is_named() -> None:
    """One reading names all mistakes, not the first."""
    document = minimal(basic={"cost": "paid", "apis": [], "stripe_price": "p", "access": {"first_unpaid": "soon"}})
    document["marketplaces"]["acme"]["integration"] = "other"
    document["routes"] = [{"api": "reports"}]
    document["catalog"] = 7

    assert {
        "catalog",
        "marketplaces.acme.integration",
        "products.product.plans.basic.apis",
        "products.product.plans.basic.stripe_price",
        "products.product.plans.basic.access.first_unpaid",
        "routes[0].api",
    } == {where for where, _ in mistakes_of(document)}


def test_a_secret_is_never_quoted() -> None:
    """A secret written where its variable's name belongs appears in no mistake."""
    for value in ("whsec_51Habc", "whsec_51Habc=", "rk_live_51Habc"):
        for key in ("signing_secrets_env", "api_key_env", "signing_secret"):
            assert "51Habc" not in str(read_catalog(changed(("integrations", "main", key), value)))


def test_a_document_survives_json() -> None:
    """A catalog travels as JSON, and from jsonb it comes back with its keys in another order."""
    for document in (FULL, TWO_INTEGRATIONS):
        assert catalog(document) == catalog(json.loads(json.dumps(document, sort_keys=True)))


def test_the_order_of_quotas_means_nothing() -> None:
    """Two catalogs that differ in the order of a plan's quotas are equal."""
    one, two = {"name": "a", "limit": 1}, {"name": "b", "limit": 2}

    assert catalog(minimal(basic=plan(quotas=[one, two]))) == catalog(minimal(basic=plan(quotas=[two, one])))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates()
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3), max_leaves=8
)


def paths(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The way to every value in a document."""
    inner: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path, *(found for step, other in inner for found in paths(other, (*path, step)))]


@settings(deadline=None)
@given(ANYTHING)
def test_reading_never_raises(document: object) -> None:
    """Whatever a record on the operators' topic holds, reading gives a catalog or mistakes."""
    found, mistakes = read_catalog(document)

    assert (found is None) == bool(mistakes)


@settings(deadline=None)
@given(st.sampled_from(paths(FULL)[1:]), ANYTHING)
def test_what_is_accepted_survives_json(path: tuple[str | int, ...], value: object) -> None:
    """A document with anything at any one place is refused, or travels as JSON without change."""
    document = changed(path, value)
    found, mistakes = read_catalog(document)

    assert (found is None) == bool(mistakes)
    assert found is None or found == catalog(json.loads(json.dumps(document, allow_nan=False).encode()))
