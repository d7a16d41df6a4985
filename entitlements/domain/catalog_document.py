"""
A plain document (what YAML or JSON holds) becomes a `Catalog`, or the list of all its mistakes (contract, section 3).
Pure; it is a little longer than others because every key that an operator may write has its one place here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

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
    Org,
    Per,
    Plan,
    Product,
    Quota,
    Route,
    Terms,
)
from entitlements.domain.document import Mistake, Place, shown

VERSION = 1
"""What `catalog:` says in a document that this program reads."""

_NAME_IN_ADDRESSES = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]*")
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(r"(whsec|sk|rk|pk)_")
_API_VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(\.[a-z]+)?")
_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_CURRENCY = re.compile(r"[a-z]{3}")
_WEB_ADDRESS = re.compile(r"https?://[^\s/]\S*")
_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?")
_METHOD = re.compile(r"[A-Z]+")
_ROUTE_PATH = re.compile(r"/[^\s?#]*")


def read_catalog(document: object) -> tuple[Catalog | None, tuple[Mistake, ...]]:
    """
    The catalog in *document* and no mistakes, or None and every mistake. Never raises, whatever it is given.

    A key without a value (`orgs:` with nothing under it) counts as not written. What is accepted is text, whole
    numbers, lists and mappings, hence valid JSON, and valid jsonb.
    """
    root = Place(value=document)
    if not isinstance(document, Mapping):
        root.wrong(f"a catalog is a mapping that begins with `catalog: {VERSION}`, not {shown(document)}")
        return None, tuple(root.mistakes)
    sections = root.fields(
        required={"catalog": f"write `catalog: {VERSION}`", "integrations": "name at least one"},
        optional=("marketplaces", "orgs", "products", "routes"),
    )
    _version(sections["catalog"])
    integrations = {name: _integration(name, place) for name, place in sections["integrations"].members().items()}
    if not integrations and sections["integrations"].value == {}:
        sections["integrations"].wrong("must name at least one integration")
    marketplaces = {
        name: _marketplace(name, place, integrations) for name, place in sections["marketplaces"].members().items()
    }
    products, plans = _products(sections["products"], marketplaces)
    apis = frozenset(api for plan in plans for api in plan.apis)
    catalog = Catalog(
        integrations=integrations,
        marketplaces=marketplaces,
        orgs={name: _org(name, place) for name, place in sections["orgs"].members().items()},
        products=products,
        plans={plan.name: plan for plan in plans},
        routes=tuple(_route(place, apis) for place in sections["routes"].items()),
    )
    mistakes = tuple(root.mistakes)
    return (None if mistakes else catalog), mistakes


def _integration(name: str, place: Place) -> Integration:
    _name_in_addresses(name, place)
    fields = place.fields(
        required={
            "mode": "`test` or `live`",
            "signing_secrets_env": "the environment variable with the endpoint's signing secrets",
        },
        optional=("api_key_env", "api_version", "accounts"),
    )
    return Integration(
        name=name,
        mode=fields["mode"].choice(Mode.TEST),
        signing_secrets_env=_environment_name(fields["signing_secrets_env"]) or "",
        api_key_env=_environment_name(fields["api_key_env"]),
        api_version=fields["api_version"].text_like(_API_VERSION, 'a Stripe API version such as "2025-03-31.basil"'),
        accounts=frozenset(fields["accounts"].distinct()),
    )


def _marketplace(name: str, place: Place, integrations: Mapping[str, Integration]) -> Marketplace:
    _name_in_addresses(name, place)
    fields = place.fields(
        required={"integration": "the integration it bills through"}, optional=("name", "customer_portal")
    )
    return Marketplace(
        name=name,
        title=fields["name"].text() or name,
        integration=fields["integration"].one_of(integrations, "there is no integration"),
        customer_portal=fields["customer_portal"].text_like(_WEB_ADDRESS, "a web address such as https://example.com/"),
    )


def _org(name: str, place: Place) -> Org:
    fields = place.fields(required={"customer": "Stripe's customer, cus_…"}, optional=())
    return Org(name=name, customer=fields["customer"].text() or "")


def _products(section: Place, marketplaces: Mapping[str, Marketplace]) -> tuple[dict[str, Product], list[Plan]]:
    """All products and all their plans; a plan's name and a Stripe price may stand once in the whole catalog."""
    products: dict[str, Product] = {}
    plans: list[Plan] = []
    product_of: dict[str, str] = {}
    price_places: dict[str, Place] = {}
    for name, place in section.members().items():
        fields = place.fields(
            required={"marketplace": "the marketplace that sells it", "plans": "name at least one"}, optional=("name",)
        )
        product = Product(
            name=name,
            title=fields["name"].text() or name,
            marketplace=fields["marketplace"].one_of(marketplaces, "there is no marketplace"),
        )
        products[name] = product
        marketplace = marketplaces.get(product.marketplace)
        if fields["plans"].value == {}:
            fields["plans"].wrong("must name at least one plan")
        for plan_name, plan_place in fields["plans"].members().items():
            plans.append(
                _plan(
                    plan_name,
                    plan_place,
                    product=product,
                    integration="" if marketplace is None else marketplace.integration,
                    price_places=price_places,
                )
            )
            first = product_of.setdefault(plan_name, name)
            if first != name:
                plan_place.wrong(
                    f"the plan name {shown(plan_name)} is used twice: product {shown(first)} has a plan of that name "
                    "too, and plan names are unique in a catalog"
                )
    return products, plans


def _plan(name: str, place: Place, *, product: Product, integration: str, price_places: dict[str, Place]) -> Plan:
    """A plan. *price_places* has where the plans before it list their Stripe prices; this one adds its own."""
    fields = place.fields(
        required={"cost": "`free` or `paid`", "apis": "name at least one API"},
        optional=("name", "base_price", "stripe_prices", "quotas", "access"),
    )
    prices = fields["stripe_prices"].distinct()
    for price, price_place in prices.items():
        first = price_places.setdefault(price, price_place)
        if first is not price_place:
            price_place.wrong(f"the Stripe price {shown(price)} is used twice: also in {first.where}")
    apis = fields["apis"].distinct()
    if fields["apis"].value == []:
        fields["apis"].wrong("must name at least one API")
    base_price = None if fields["base_price"].value is None else _base_price(fields["base_price"])
    return Plan(
        name=name,
        title=fields["name"].text() or name,
        product=product.name,
        marketplace=product.marketplace,
        integration=integration,
        cost=fields["cost"].choice(Cost.PAID),
        base_price=base_price,
        every=Every.MONTH if base_price is None else base_price.every,
        stripe_prices=frozenset(prices),
        apis=frozenset(apis),
        quotas=_quotas(fields["quotas"]),
        access=_access(fields["access"]),
    )


def _base_price(place: Place) -> BasePrice:
    fields = place.fields(required={}, optional=("amount", "currency", "every"))
    amount, currency = fields["amount"], fields["currency"]
    if amount.value is None and currency.value is not None:
        amount.wrong("is missing: a currency needs an amount")
    if currency.value is None and amount.value is not None:
        currency.wrong("is missing: an amount needs a currency")
    return BasePrice(
        amount=amount.text_like(_AMOUNT, 'an amount such as "25.00"'),
        currency=currency.text_like(_CURRENCY, "a currency in three small letters such as usd"),
        every=fields["every"].choice(Every.MONTH),
    )


def _quotas(place: Place) -> tuple[Quota, ...]:
    """A plan's quotas, sorted by name: the order they are written in means nothing."""
    quotas: dict[str, Quota] = {}
    for item in place.items():
        fields = item.fields(
            required={"name": "what is counted, such as `calls`", "limit": "a whole number"},
            optional=("unit", "per", "enforcement"),
        )
        name = fields["name"].text() or ""
        if name and name in quotas:
            fields["name"].wrong(f"the quota name {shown(name)} is used twice in this plan")
        quotas[name] = Quota(
            name=name,
            unit=fields["unit"].text() or "requests",
            limit=fields["limit"].whole_number() or 0,
            per=fields["per"].choice(Per.CYCLE),
            enforcement=fields["enforcement"].choice(Enforcement.STRICT),
        )
    return tuple(quotas[name] for name in sorted(quotas))


def _access(place: Place) -> Access:
    default = Access()
    fields = place.fields(
        required={},
        optional=("first_unpaid", "renewal_unpaid", "renewal_leeway", "on_refund", "on_dispute", "on_cancel"),
    )
    return Access(
        first_unpaid=_terms(fields["first_unpaid"], default.first_unpaid),
        renewal_unpaid=_terms(fields["renewal_unpaid"], default.renewal_unpaid),
        renewal_leeway=fields["renewal_leeway"].duration(default.renewal_leeway),
        on_refund=fields["on_refund"].choice(default.on_refund),
        on_dispute=fields["on_dispute"].choice(default.on_dispute),
        on_cancel=fields["on_cancel"].choice(default.on_cancel),
    )


def _route(place: Place, apis: frozenset[str]) -> Route:
    fields = place.fields(required={"api": "an API that a plan names"}, optional=("host", "methods", "path"))
    host = fields["host"].text_like(_HOST, "a host such as api.example.com")
    path = fields["path"].text_like(_ROUTE_PATH, "a path such as /orders/**") or "/**"
    if any("**" in segment and segment != "**" for segment in path.split("/")):
        fields["path"].wrong(f"`**` must stand alone between slashes, not as in {shown(path)}")
    return Route(
        host=None if host is None else host.lower(),
        methods=frozenset(fields["methods"].distinct(_METHOD, "an HTTP method such as GET")),
        path=path,
        api=fields["api"].one_of(sorted(apis), "no plan names the API"),
    )


def _version(place: Place) -> None:
    # `True == 1` and `1.0 == 1`: the type decides.
    if place.value is not None and (type(place.value) is not int or place.value != VERSION):
        place.wrong(f"this program reads catalogs of version {VERSION}, not {shown(place.value)}")


def _name_in_addresses(name: str, place: Place) -> None:
    """Integrations stand in web addresses and keys (`integration|customer`), marketplaces in `token@marketplace`."""
    if _NAME_IN_ADDRESSES.fullmatch(name) is None:
        place.wrong("a name here is made of letters, digits and . _ ~ -, and begins with a letter or a digit")


def _environment_name(place: Place) -> str | None:
    """The name of an environment variable. No message quotes what is written: it may be the secret itself."""
    if place.value is None:
        return None
    if not isinstance(place.value, str) or _ENVIRONMENT_NAME.fullmatch(place.value) is None:
        place.wrong("must be the name of an environment variable, such as STRIPE_SIGNING_SECRETS")
        return None
    if _SECRET.match(place.value):
        place.wrong("this is a secret: put it into an environment variable, and that variable's name here")
        return None
    return place.value


def _terms(place: Place, default: Terms) -> Terms:
    if place.value is None:
        return default
    if place.value == UNTIL_DUE.value:
        return UNTIL_DUE
    return place.duration(timedelta(0), instead=f"`{UNTIL_DUE.value}` or ")
