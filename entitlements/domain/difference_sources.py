"""What opens each API of a customer on one side of a comparison, by the marketplace that sells it. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from entitlements.domain.access import Standing
from entitlements.domain.catalog import Revisions
from entitlements.domain.manual import Manual
from entitlements.domain.spans import Span

Place = tuple[str | None, str]
"""A marketplace, and an API that it sells. Two may sell an API of one name, and a gateway may ask about one of them."""

Source = Span | Manual
"""What opens APIs during a period."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A customer's *standing* without a marketplace's scope, and the APIs *sold* by each marketplace (`sold_by`)."""

    standing: Standing
    sold: Mapping[str, frozenset[str]]


def sold_by(integration: str, revisions: Revisions) -> Mapping[str, frozenset[str]]:
    """By marketplace of the integration, the APIs that any revision names there: those may be given by hand in it."""
    found: dict[str, frozenset[str]] = {}
    for revision in revisions.revisions:
        for name, marketplace in revision.catalog.marketplaces.items():
            if marketplace.integration == integration:
                named = revision.catalog.apis(integration=integration, marketplace=name)
                found[name] = found.get(name, frozenset()) | named
    return found


def sources_of(side: Side) -> Mapping[Place, list[Source]]:
    """What opens each API. One that an operator gave without a plan is open wherever it is sold, and if nowhere is."""
    found: dict[Place, list[Source]] = defaultdict(list)
    for span in side.standing.billed.spans:
        for api in span.cycle.plan.apis:
            found[span.cycle.plan.marketplace, api].append(span)
    for manual in side.standing.manual:
        for api in manual.apis:
            sellers = [name for name, apis in side.sold.items() if api in apis]
            for marketplace in [manual.plan.marketplace] if manual.plan else [None, *sellers]:
                found[marketplace, api].append(manual)
    return found
