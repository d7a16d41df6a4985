"""Who may ask, and about what."""

from __future__ import annotations

import pytest

from entitlements.api.tokens import NOWHERE, Token, UnclearScope, parse_tokens, presented, scope_of
from entitlements.domain.access import Scope
from entitlements.domain.catalog import Catalog, Integration, Marketplace, Mode

GATEWAY = Token(value="s3cret")
OF_ACME = Token(value="acme-s3cret", marketplace="acme")


def catalog_of(**integration_of_marketplace: str) -> Catalog:
    """A catalog that sells nothing yet, with these marketplaces and their integrations."""
    return Catalog(
        integrations={
            name: Integration(
                name=name,
                mode=Mode.TEST,
                signing_secrets_env="SECRETS",
                api_key_env=None,
                api_version=None,
                accounts=frozenset(),
            )
            for name in integration_of_marketplace.values()
        },
        marketplaces={
            name: Marketplace(name=name, title=name, integration=integration, customer_portal=None)
            for name, integration in integration_of_marketplace.items()
        },
        orgs={},
        products={},
        plans={},
        routes=(),
    )


ONE = catalog_of(acme="main", globex="main")
SEVERAL = catalog_of(acme="main", globex="other")


def test_tokens_are_read_with_their_scope() -> None:
    """A setting holds tokens with and without a marketplace; blanks around them do not count."""
    tokens = parse_tokens(" s3cret , acme-s3cret@acme,a+b/c==@globex ")

    expected = (GATEWAY, OF_ACME, Token(value="a+b/c==", marketplace="globex"))
    assert tokens == expected


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "token 1 is empty"),
        ("a,,b", "token 2 is empty"),
        ("a,", "token 2 is empty"),
        ("@acme", "token 1 is empty"),
        ("a@", "token 1 is to be followed by"),
        ("a@b@c", "token 1 is to be followed by"),
        ("a b", "token 1 has characters"),
        ("tøken", "token 1 has characters"),
        ("a,b,a@acme", "token 3 stands there twice"),
    ],
)
def test_a_wrong_setting_is_refused(text: str, fault: str) -> None:
    """What can't be a token, or has two scopes, is refused by its place in the setting."""
    with pytest.raises(ValueError, match=fault):
        parse_tokens(text)


def test_a_refusal_shows_no_token() -> None:
    """Neither the refusal of a setting nor a token's own text shows what the token is."""
    with pytest.raises(ValueError, match="token 2") as refusal:
        parse_tokens("s3cret,s3cret@acme")

    assert "s3cret" not in str(refusal.value)
    assert "s3cret" not in repr(GATEWAY)


@pytest.mark.parametrize(
    ("authorization", "token"),
    [
        ("Bearer s3cret", GATEWAY),
        ("bearer   s3cret ", GATEWAY),
        ("BEARER acme-s3cret", OF_ACME),
        ("Bearer acme-s3cret@acme", None),
        ("Bearer s3cre", None),
        ("Bearer s3crett", None),
        ("Bearer S3CRET", None),
        ("Bearer ", None),
        ("Bearer", None),
        ("Basic s3cret", None),
        ("s3cret", None),
        ("Bearer tøken", None),
        ("", None),
        (None, None),
    ],
)
def test_only_a_known_bearer_token_counts(authorization: str | None, token: Token | None) -> None:
    """A header presents a token when it is a Bearer one and holds exactly a known value."""
    assert presented(authorization, (GATEWAY, OF_ACME)) == token


def test_no_token_known_lets_nobody_in() -> None:
    """Without any token nobody may ask, an empty one presented or not."""
    assert presented("Bearer ", ()) is None
    assert presented("Bearer x", ()) is None


@pytest.mark.parametrize(
    ("token", "marketplace", "catalog", "scope"),
    [
        (GATEWAY, None, ONE, Scope(integration="main")),
        (GATEWAY, "globex", ONE, Scope(integration="main", marketplace="globex")),
        (GATEWAY, "globex", SEVERAL, Scope(integration="other", marketplace="globex")),
        (OF_ACME, None, SEVERAL, Scope(integration="main", marketplace="acme")),
        (OF_ACME, "acme", SEVERAL, Scope(integration="main", marketplace="acme")),
        (OF_ACME, "globex", SEVERAL, Scope(integration="main", marketplace="acme")),
    ],
)
def test_scope(token: Token, marketplace: str | None, catalog: Catalog, scope: Scope) -> None:
    """A token's own marketplace counts first, then the one that is named, then the only integration."""
    assert scope_of(token, marketplace, catalog) == scope


def test_a_token_of_an_unknown_marketplace_reaches_nothing() -> None:
    """Its scope is in an integration that can't exist."""
    scope = scope_of(Token(value="t", marketplace="gone"), None, ONE)

    assert scope == Scope(integration=NOWHERE, marketplace="gone")


@pytest.mark.parametrize(
    ("marketplace", "catalog", "fault"),
    [(None, SEVERAL, "several integrations"), ("gone", ONE, "no marketplace 'gone'")],
)
def test_an_unclear_scope_is_said_to_be_so(marketplace: str | None, catalog: Catalog, fault: str) -> None:
    """Several integrations and no marketplace, or an unknown one, is told as what to add."""
    with pytest.raises(UnclearScope, match=fault):
        scope_of(GATEWAY, marketplace, catalog)


def test_a_token_denies_other_marketplaces() -> None:
    """A question that names another marketplace than its token's lies outside."""
    denied = [marketplace for marketplace in (None, "acme", "globex", "gone") if OF_ACME.denies(marketplace)]

    assert denied == ["globex", "gone"]
    assert not GATEWAY.denies("globex")
