"""
Who may ask, and about what: bearer tokens and their scope (contract, sections 2 and 6). Pure.

What lies outside a token's marketplace does not exist for it: the answers are those for names nobody ever heard of.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from entitlements.domain.access import Scope
from entitlements.domain.catalog import Catalog

NOWHERE = ""
"""An integration of this name can't exist, so nothing is billed and no API is sold in it."""

_TOKEN = re.compile(r"[!-+\--?A-~]+")
"""Visible ASCII but comma and @, which the setting needs; more than RFC 6750 allows, since clients send it anyway."""

_BEARER = re.compile(rf"bearer +(?P<token>{_TOKEN.pattern}) *", re.IGNORECASE)


class UnclearScope(Exception):
    """The question does not say which marketplace it is about, or names one that is not in the catalog."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A gateway's bearer token; unless *marketplace* is None, it may ask about that marketplace alone."""

    value: str = field(repr=False)
    marketplace: str | None = None

    def denies(self, marketplace: str | None) -> bool:
        """Whether a question that says it is about *marketplace* lies outside this token's own."""
        return self.marketplace is not None and marketplace not in (None, self.marketplace)


def parse_tokens(text: str) -> tuple[Token, ...]:
    """
    The tokens in a setting: `token` or `token@marketplace`, comma-separated, blanks around them ignored.

    Raises `ValueError` for an empty one, for characters other than visible ASCII, and for one that stands twice. The
    texts count the tokens instead of showing them.
    """
    tokens: list[Token] = []
    for number, part in enumerate(text.split(","), start=1):
        value, at, marketplace = (piece.strip() for piece in part.strip().partition("@"))
        if not value:
            raise ValueError(f"token {number} is empty: write token or token@marketplace, with commas between")
        if not _TOKEN.fullmatch(value):
            raise ValueError(f"token {number} has characters other than visible ASCII")
        if at and (not marketplace or "@" in marketplace):
            raise ValueError(f"token {number} is to be followed by @ and the name of one marketplace")
        if value in (token.value for token in tokens):
            raise ValueError(f"token {number} stands there twice: each gateway's token has one scope")
        tokens.append(Token(value=value, marketplace=marketplace or None))
    return tuple(tokens)


def presented(authorization: str | None, tokens: Iterable[Token]) -> Token | None:
    """
    The token that an Authorization header presents, or None if it is none of *tokens*.

    Compares with all of them, each in constant time, so that how long it takes tells nothing about them.
    """
    found = _BEARER.fullmatch(authorization or "")
    given = found["token"].encode() if found else b""
    matching = [token for token in tokens if hmac.compare_digest(token.value.encode(), given)]
    return matching[0] if matching else None


def scope_of(token: Token, marketplace: str | None, catalog: Catalog, integration: str | None = None) -> Scope:
    """
    What a question that says it is about *marketplace* (None: says nothing) may be about, for the bearer of *token*;
    with an *integration*, of that one alone.

    A token's own marketplace always counts; if the catalog does not know it, the scope holds nothing. Raises
    `UnclearScope` where the token has no scope, no integration is given, and there are several and no marketplace, or
    an unknown one: its text says what to add.
    """
    if integration is not None:
        return _within(integration, token.marketplace or marketplace, catalog)
    if token.marketplace is not None:
        own = catalog.marketplaces.get(token.marketplace)
        return Scope(integration=own.integration if own else NOWHERE, marketplace=token.marketplace)
    if marketplace is not None:
        named = catalog.marketplaces.get(marketplace)
        if named is None:
            raise UnclearScope(f"There is no marketplace {marketplace!r} in the catalog.")
        return Scope(integration=named.integration, marketplace=marketplace)
    if len(catalog.integrations) > 1:
        raise UnclearScope(
            "The catalog has several integrations: say which marketplace is meant, in subject.properties.marketplace "
            "(AuthZEN) or ?marketplace= (GET), or ask with a token of one marketplace."
        )
    return Scope(integration=next(iter(catalog.integrations)))


def _within(integration: str, marketplace: str | None, catalog: Catalog) -> Scope:
    """The scope of that marketplace, if it is of *integration*; one that is not sells nothing there."""
    if marketplace is None:
        return Scope(integration=integration)
    named = catalog.marketplaces.get(marketplace)
    is_within = named is not None and named.integration == integration
    return Scope(integration=integration if is_within else NOWHERE, marketplace=marketplace)
