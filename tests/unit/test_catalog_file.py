"""
The catalog's YAML file: what is read from it, and every mistake with its line.

Longer than 250 lines: two catalogs stand in it as people write them.

Long because each way in which YAML can go wrong is tried here once.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ops.catalog_file
from entitlements.domain.catalog import UNTIL_DUE, OnCancel
from entitlements.domain.catalog_document import read_catalog
from ops.catalog_file import CatalogMistakes, load

EXAMPLE = Path(ops.catalog_file.__file__).with_name("catalog.example.yaml")
SHARED = Path(__file__).parents[3] / "shared" / "acceptance" / "catalog.yaml"

GOOD = """\
# Comments and flow style as people write them.
catalog: 1
integrations:
  main:
    mode: test
    signing_secrets_env: SECRETS
marketplaces:
  acme: {integration: main, name: Acme, customer_portal: "https://billing.example.com/p/login/acme"}
products:
  product:
    marketplace: acme
    plans:
      strict:                # nothing but paid cycles
        cost: paid
        base_price: {amount: "25.00", currency: usd, every: month}
        stripe_prices: [price_strict]
        apis: [orders, invoices]
        quotas: [{name: calls, unit: requests, limit: 1000, per: cycle, enforcement: strict}]
        access: {first_unpaid: 0s, renewal_unpaid: 3d, renewal_leeway: 0s}
      terms:
        cost: paid
        stripe_prices: []
        apis: [orders]
        access: {first_unpaid: until_due, on_cancel: immediately}
orgs:
#  initech: {customer: cus_123}
"""


def mistakes_of(path: Path) -> list[tuple[int | None, str]]:
    with pytest.raises(CatalogMistakes) as raised:
        load(path)
    return list(raised.value.mistakes)


def written(folder: Path, text: str) -> Path:
    path = folder / "catalog.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_reads_a_catalog(tmp_path: Path) -> None:
    """A file becomes its document and the catalog in it."""
    found = load(written(tmp_path, GOOD))

    assert found.document == yaml.safe_load(GOOD)
    assert found.catalog.plans["strict"].apis == {"orders", "invoices"}
    assert found.catalog.plans["terms"].access.first_unpaid is UNTIL_DUE
    assert found.catalog.plans["terms"].access.on_cancel is OnCancel.IMMEDIATELY


def test_the_document_survives_json(tmp_path: Path) -> None:
    """What travels on Kafka and comes back from Postgres is the same catalog, whatever the order of its keys."""
    for path in (written(tmp_path, GOOD), EXAMPLE):
        found = load(path)

        assert read_catalog(json.loads(json.dumps(found.document, sort_keys=True))) == (found.catalog, ())


def test_the_example_is_the_demos_catalog() -> None:
    """The example has the story of contract, section 7: two plans of one product, three APIs, in one marketplace."""
    catalog = load(EXAMPLE).catalog

    assert {name: plan.apis for name, plan in catalog.plans.items()} == {
        "enterprise": {"orders", "invoices"},
        "analytics": {"reports"},
    }
    assert {plan.product for plan in catalog.plans.values()} == {"monetized-product"}
    assert catalog.apis(integration="main", marketplace="acme") == {"orders", "invoices", "reports"}
    assert catalog.plans["enterprise"].access == catalog.plans["analytics"].access
    (quota,) = catalog.plans["enterprise"].quotas
    assert (quota.name, quota.limit) == ("calls", 1000)


def test_the_acceptance_catalog_is_valid() -> None:
    """The catalog of the acceptance scenarios is read, where those are at hand; GOOD is like it."""
    plans = load(SHARED).catalog.plans if SHARED.exists() else {}

    assert set(plans) in (set(), {"strict", "reports", "leeway", "grace", "terms", "lenient", "one-off"})


SIX_MISTAKES = """\
catalog: 1
integrations:
  main: {mode: test, signing_secrets_env: SECRETS}
marketplaces:
  acme: {integration: main}
products:
  first:
    marketplace: acme
    plans:
      basic:
        cost: paid
        stripe_price: [price_0]
        stripe_prices: [price_1]
        apis:
          []
        access:
          renewal_unpaid: 3 days
  second:
    marketplace: acme
    plans:
      basic:
        cost: paid
        apis: [orders]
        stripe_prices:
          - price_2
          - price_1
routes:
  - api: orders
  - path: /reports/**
    api: reports
"""


def test_six_mistakes_have_six_lines(tmp_path: Path) -> None:
    """Six different mistakes are six lines in the order of the file, each naming the place and what to do."""
    path = written(tmp_path, SIX_MISTAKES)
    with pytest.raises(CatalogMistakes) as raised:
        load(path)

    assert str(raised.value) == (
        f"{path}:12: products.first.plans.basic.stripe_price: unknown key `stripe_price`; "
        "did you mean `stripe_prices`?\n"
        f"{path}:14: products.first.plans.basic.apis: must name at least one API\n"
        f"{path}:17: products.first.plans.basic.access.renewal_unpaid: must be `until_due` or a duration such as 0s, "
        "90s, 15m, 2h, 3d or 2w, not `3 days`\n"
        f"{path}:21: products.second.plans.basic: the plan name `basic` is used twice: product `first` has a plan of "
        "that name too, and plan names are unique in a catalog\n"
        f"{path}:26: products.second.plans.basic.stripe_prices[1]: the Stripe price `price_1` is used twice: also in "
        "products.first.plans.basic.stripe_prices[0]\n"
        f"{path}:30: routes[1].api: no plan names the API `reports`"
    )


def test_a_plan_twice_in_one_product(tmp_path: Path) -> None:
    """YAML would keep the last of two equal keys in silence: it is named, and what stands under it checked as well."""
    text = GOOD.replace("      terms:", "      strict:").replace("stripe_prices: []", "stripe_prices: [price_strict]")
    again = "products.product.plans.strict (again)"
    listed_too = "also in products.product.plans.strict.stripe_prices[0]"

    assert mistakes_of(written(tmp_path, text)) == [
        (20, f"{again}: is here twice, first on line 13"),
        (22, f"{again}.stripe_prices[0]: the Stripe price `price_strict` is used twice: {listed_too}"),
    ]


def test_a_section_twice(tmp_path: Path) -> None:
    """A second `products:` is named, and is no unknown key."""
    path = written(tmp_path, GOOD + "products:\n")

    assert mistakes_of(path) == [(27, "products (again): is here twice, first on line 9")]


def test_a_key_three_times(tmp_path: Path) -> None:
    """Each repetition is a mistake of its own."""
    text = GOOD.replace("        cost: paid\n", "        cost: paid\n" * 3, 1)

    assert mistakes_of(written(tmp_path, text)) == [
        (15, "products.product.plans.strict.cost (again): is here twice, first on line 14"),
        (16, "products.product.plans.strict.cost (again) (again): is here twice, first on line 14"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "line", "text"),
    [
        ("catalog: 1\n", "", 2, "catalog: is missing: write `catalog: 1`"),
        ("catalog: 1", "catalog: 2", 2, "catalog: this program reads catalogs of version 1, not 2"),
        ("    mode: test\n", "", 4, "integrations.main.mode: is missing: `test` or `live`"),
        ("integration: main", "integration: mian", 8, "marketplaces.acme.integration: there is no integration `mian`"),
        ('"25.00"', "25.00", 15, "base_price.amount: must be text, not 25.0: put it in quotes"),
        ('"25.00"', "2026-01-01", 15, "base_price.amount: must be text, not a date: put it in quotes"),
        ('"25.00"', "2026-13-01", 15, "base_price.amount: cannot be read as YAML's timestamp: put it in quotes"),
        ("limit: 1000", "limit: !env LIMIT", 18, "quotas[0].limit: cannot be read as YAML's !env"),
        ("limit: 1000", "limit: .nan", 18, "quotas[0].limit: must be a whole number from 0 to"),
        ("name: Acme", "name: yes", 8, "marketplaces.acme.name: must be text, not `true`: put it in quotes"),
        ("      terms:", "      no:", 20, "products.product.plans.no: YAML does not read this key as text"),
        ("      terms:", "      2024:", 20, "products.product.plans.2024: YAML does not read this key as text"),
        ("      terms:", "      ? [terms]\n      :", 12, "plans: the key on line 20 is a list or a mapping"),
        ("name: Acme", "<<: {name: Acme}", 8, "marketplaces.acme.<<: merge keys are not read: write the values out"),
        ("[orders]", "&apis [*apis]", 23, "plans.terms.apis[0]: this alias stands inside of what it repeats"),
        ("name: Acme", 'name: "Ac\\0me"', 8, "marketplaces.acme.name: must not contain control characters"),
        ("name: Acme", 'name: "Ac\\ud800me"', 8, "marketplaces.acme.name: must not contain control characters"),
    ],
)
def test_a_mistake_has_its_line(tmp_path: Path, old: str, new: str, line: int, text: str) -> None:
    """A mistake's line is that of its key or list item, of a missing key that of the mapping that lacks it."""
    first, *_ = (found for found in mistakes_of(written(tmp_path, GOOD.replace(old, new, 1))) if text in found[1])

    assert first[0] == line


@pytest.mark.parametrize(
    ("text", "line", "mistake"),
    [
        ("", None, "a catalog is a mapping that begins with `catalog: 1`, not nothing"),
        ("# nothing\n", None, "a catalog is a mapping that begins with `catalog: 1`, not nothing"),
        ("\n- catalog\n", 2, "a catalog is a mapping that begins with `catalog: 1`, not a list"),
        ("catalog: 1\nroutes: [\n", 3, "is not YAML: while parsing a flow node"),
        ("catalog: 1\n\troutes: []\n", 2, "is not YAML: "),
        ("catalog: 1\nroutes: a: b\n", 2, "is not YAML: mapping values are not allowed here"),
        ("catalog: 1\norgs: *other\n", 2, "is not YAML: found undefined alias 'other'"),
        ("catalog: 1\n---\ncatalog: 1\n", 2, "is not YAML: expected a single document in the stream"),
        ("catalog: 1\norgs: \x07\n", 2, "is not YAML: the character U+0007 is not allowed"),
        ('catalog: "\\UFFFFFFFF"\n', None, "is not YAML: an escape \\U names no character"),
        ("[\n" * 2_000, None, "lists and mappings are nested too deeply"),
    ],
    ids=range(11),
)
def test_what_is_no_yaml_has_one_mistake(tmp_path: Path, text: str, line: int | None, mistake: str) -> None:
    """Where the file can't be read as one YAML mapping, that is said, with the line where reading ended."""
    ((found_line, found),) = mistakes_of(written(tmp_path, text))

    assert found.startswith(mistake)
    assert found_line == line


@pytest.mark.parametrize("path", ["/caf%E9/**", "/a%2", "/%"])
def test_a_route_whose_escapes_are_no_text_is_refused(tmp_path: Path, path: str) -> None:
    """No request can be for it, and nobody would be told; one in the log already matches none (test_routing.py)."""
    text = GOOD + f"routes:\n- path: '{path}'\n  api: orders\n"

    ((line, mistake),) = mistakes_of(written(tmp_path, text))

    assert line == len(GOOD.splitlines()) + 2
    assert mistake == "routes[0].path: its percent-escapes are not UTF-8: no request can be for it"


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    """What isn't UTF-8 is said with its line; a byte order mark is no part of the text."""
    path = tmp_path / "catalog.yaml"
    path.write_bytes(GOOD.replace("Acme", "Café", 1).encode("latin-1"))

    assert mistakes_of(path) == [(8, "is not UTF-8: save the file in that encoding")]

    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())

    assert load(path).document == yaml.safe_load(GOOD)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, a folder and a file that is too large are one line each, with no line number."""
    large = written(tmp_path, "#" * (ops.catalog_file.MAX_BYTES + 1))

    assert mistakes_of(tmp_path / "none.yaml") == [(None, "cannot be read: No such file or directory")]
    assert mistakes_of(tmp_path) == [(None, "cannot be read: Is a directory")]
    assert mistakes_of(large) == [(None, "is larger than 1048576 bytes: no catalog is")]
    with pytest.raises(CatalogMistakes, match=r"^\S+none.yaml: cannot be read"):
        load(tmp_path / "none.yaml")


def test_aliases_are_read(tmp_path: Path) -> None:
    """Plans may share their terms by YAML's anchors; the document holds them written out."""
    shared = GOOD.replace("access: {first", "access: &terms {first", 1)
    text = shared.replace("access: {first_unpaid: until_due, on_cancel: immediately}", "access: *terms")
    found = load(written(tmp_path, text))

    assert found.document == yaml.safe_load(text)
    assert found.catalog.plans["terms"].access == found.catalog.plans["strict"].access


def test_aliases_of_aliases_are_bounded(tmp_path: Path) -> None:
    """Nine lines that would unfold to 10^9 values are refused, at once."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    ((_, text),) = mistakes_of(written(tmp_path, "\n".join(lines)))

    assert text == "aliases make this more than 100000 values"


def test_a_secret_is_never_quoted(tmp_path: Path) -> None:
    """A secret in the place of its variable's name is named as such and not repeated."""
    ((line, text),) = mistakes_of(written(tmp_path, GOOD.replace("SECRETS", "whsec_51Habc", 1)))

    assert (line, "51Habc" in text) == (6, False)
    assert "this is a secret" in text


FRAGMENTS = [*GOOD.splitlines(), "*a", "&a", "- [", "? ", "<<: ", "!!int x", "'", '"\\', "---"]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(FRAGMENTS)).map("\n".join) | st.text())
def test_loading_raises_nothing_else(tmp_path: Path, text: str) -> None:
    """Whatever stands in a file that is no catalog, its mistakes are named, and a line is one of the file's."""
    path = tmp_path / "catalog.yaml"
    path.write_bytes(f"{text}\nno catalog".encode("utf-8", "surrogatepass"))

    assert all(line is None or 1 <= line <= text.count("\n") + 3 for line, _ in mistakes_of(path))
