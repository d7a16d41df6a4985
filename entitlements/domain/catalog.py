"""
The catalog: which line is which plan, what a plan opens and on what terms, and which revision of it counts
(contract, section 3). Pure; a document becomes these values in `catalog_document.py`.

Facts hold the line and never the terms: both are joined when somebody asks, by `Revisions.terms_of`. It is longer than
250 lines because the catalog has many words, and each is a small closed type here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, StrEnum

from entitlements.domain.period import Every as Every


class Mode(StrEnum):
    """Which of Stripe's two worlds an integration lives in; events of the other are acknowledged and ignored."""

    TEST = "test"
    LIVE = "live"


class Cost(StrEnum):
    """Whether a plan costs anything; only shown, since a free plan's invoices are paid like any other."""

    FREE = "free"
    PAID = "paid"


class Per(StrEnum):
    """The span a quota is counted over."""

    CYCLE = "cycle"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


class Enforcement(StrEnum):
    """What a gateway does about a quota that is used up: refuse, or only report."""

    STRICT = "strict"
    LOOSE = "loose"


class OnRefund(StrEnum):
    """What a refund of the whole invoice does to its grants (R5)."""

    REVOKE = "revoke"
    KEEP = "keep"


class OnDispute(StrEnum):
    """What a dispute does to its invoice's grants (R6)."""

    SUSPEND = "suspend"
    KEEP = "keep"


class OnCancel(StrEnum):
    """When paid cycles of a cancelled subscription end (R7)."""

    CYCLE_END = "cycle_end"
    IMMEDIATELY = "immediately"


class UntilDue(Enum):
    """Unpaid terms that run to the invoice's `due_date`; without one, not at all (R2)."""

    UNTIL_DUE = "until_due"


UNTIL_DUE = UntilDue.UNTIL_DUE

Terms = timedelta | UntilDue
"""How long an open invoice gives access without being paid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """
    A plan's terms; the defaults open nothing before it is paid, and end nothing early.

    *first_unpaid* counts from the finalization, *renewal_unpaid* from the cycle's start (R2), *renewal_leeway* from
    the end of a paid cycle: Stripe finalizes a renewal about an hour after its cycle began (R3).
    """

    first_unpaid: Terms = timedelta(0)
    renewal_unpaid: Terms = timedelta(0)
    renewal_leeway: timedelta = timedelta(hours=2)
    on_refund: OnRefund = OnRefund.REVOKE
    on_dispute: OnDispute = OnDispute.SUSPEND
    on_cancel: OnCancel = OnCancel.CYCLE_END


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """At most *limit* of *unit* per *per*; quotas of one name add up over a customer's paid grants (R9)."""

    name: str
    unit: str
    limit: int
    per: Per
    enforcement: Enforcement


@dataclass(frozen=True, slots=True, kw_only=True)
class BasePrice:
    """What a plan costs as people are shown it, "25.00" and "usd"; None for both where only the cycle is given."""

    amount: str | None
    currency: str | None
    every: Every


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a paid line of this plan opens. *name* is unique in its catalog, *title* is what people are shown."""

    name: str
    title: str
    product: str
    marketplace: str
    integration: str
    cost: Cost
    base_price: BasePrice | None
    every: Every
    stripe_prices: frozenset[str]
    apis: frozenset[str]
    quotas: tuple[Quota, ...]
    access: Access


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """What a marketplace sells, in one plan or several."""

    name: str
    title: str
    marketplace: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """
    One Stripe account, mode and webhook endpoint.

    *signing_secrets_env* and *api_key_env* are names of environment variables, never what those hold: a catalog
    travels on Kafka. *accounts* are the Connect accounts whose events it takes.
    """

    name: str
    mode: Mode
    signing_secrets_env: str
    api_key_env: str | None
    api_version: str | None
    accounts: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Marketplace:
    """Where products are sold; several may share an integration. *customer_portal* is a web address."""

    name: str
    title: str
    integration: str
    customer_portal: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Org:
    """A marketplace's own name for a consumer organisation: an alias of a Stripe customer."""

    name: str
    customer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Which requests are which API. No *host* is any host, no *methods* are all; `*` and `**` stand in *path*."""

    host: str | None
    methods: frozenset[str]
    path: str
    api: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedPlan:
    """
    A line's plan. *by_invoice* says that only the invoice's metadata named it: it then counts once per distinct
    period of that invoice, with quantity 1.
    """

    plan: Plan
    by_invoice: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """One catalog, checked: every name it mentions exists, no plan and no Stripe price stands in it twice."""

    integrations: Mapping[str, Integration]
    marketplaces: Mapping[str, Marketplace]
    orgs: Mapping[str, Org]
    products: Mapping[str, Product]
    plans: Mapping[str, Plan]
    routes: tuple[Route, ...]
    _plan_of_price: Mapping[str, str] = field(init=False, repr=False, compare=False)
    _apis: Mapping[tuple[str, str | None], frozenset[str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        plan_of_price: dict[str, str] = {}
        apis: dict[tuple[str, str | None], frozenset[str]] = {}
        for plan in self.plans.values():
            plan_of_price.update(dict.fromkeys(plan.stripe_prices, plan.name))
            for scope in ((plan.integration, None), (plan.integration, plan.marketplace)):
                apis[scope] = apis.get(scope, frozenset()) | plan.apis
        object.__setattr__(self, "_plan_of_price", plan_of_price)
        object.__setattr__(self, "_apis", apis)

    def apis(self, *, integration: str, marketplace: str | None) -> frozenset[str]:
        """The APIs that plans of this marketplace name, or of all the integration's marketplaces if it is None."""
        return self._apis.get((integration, marketplace), frozenset())

    def plan_of(
        self,
        *,
        integration: str,
        line_plan: str | None,
        price_plan: str | None,
        price: str | None,
        invoice_plan: str | None,
    ) -> NamedPlan | None:
        """
        The plan of a line, or None: the line is unmapped.

        The first of: `entitlement_plan` in the metadata of the line, of its price; the plan that lists its Stripe
        price; metadata of the invoice. An integration grants only plans of its own marketplaces: a name that is no
        plan of those names nothing, and the next source is asked.
        """
        listed = None if price is None else self._plan_of_price.get(price)
        sources = ((line_plan, False), (price_plan, False), (listed, False), (invoice_plan, True))
        for name, by_invoice in sources:
            plan = None if name is None else self.plans.get(name)
            if plan is not None and plan.integration == integration:
                return NamedPlan(plan=plan, by_invoice=by_invoice)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """
    A catalog as it was applied: its number, from 1 on, the moment it is in force from (None: from ever), and by whom
    (None where nobody says).
    """

    number: int
    in_force_from: datetime | None
    catalog: Catalog
    applied_by: str | None = None

    def __post_init__(self) -> None:
        if self.in_force_from is not None:
            _refuse_naive(self.in_force_from)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revisions:
    """
    All revisions, kept by number whatever the order they are given in.

    The first holds from the beginning of time, even if it was applied with a moment. Raises `ValueError` for a
    number that stands twice.
    """

    revisions: tuple[Revision, ...] = ()

    def __post_init__(self) -> None:
        ordered = sorted(self.revisions, key=lambda revision: revision.number)
        if len({revision.number for revision in ordered}) < len(ordered):
            raise ValueError(f"catalog revisions with one number: {[revision.number for revision in ordered]}")
        if ordered:
            ordered[0] = replace(ordered[0], in_force_from=None)
        object.__setattr__(self, "revisions", tuple(ordered))

    @property
    def newest(self) -> Revision | None:
        """The revision of the highest number, whether or not it is in force yet."""
        return self.revisions[-1] if self.revisions else None

    def in_force_at(self, moment: datetime) -> Revision | None:
        """The highest-numbered revision whose moment is not after this one; None only where there is no revision."""
        _refuse_naive(moment)
        for revision in reversed(self.revisions):
            if revision.in_force_from is None or revision.in_force_from <= moment:
                return revision
        return None

    def terms_of(
        self,
        finalized_at: datetime,
        *,
        integration: str,
        line_plan: str | None,
        price_plan: str | None,
        price: str | None,
        invoice_plan: str | None,
    ) -> tuple[Revision, NamedPlan] | None:
        """
        The plan of a line and the revision its terms come from, or None: the line is unmapped so far.

        That is the revision in force when the line's invoice was finalized, so a changed plan never changes a cycle
        already billed; if that one names no plan for the line, the first of higher number that does, so a price
        named late is decided late.
        """
        in_force = self.in_force_at(finalized_at)
        if in_force is None:
            return None
        for revision in self.revisions:
            if revision.number < in_force.number:
                continue
            named = revision.catalog.plan_of(
                integration=integration,
                line_plan=line_plan,
                price_plan=price_plan,
                price=price,
                invoice_plan=invoice_plan,
            )
            if named is not None:
                return revision, named
        return None


def _refuse_naive(moment: datetime) -> None:
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
