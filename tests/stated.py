"""Facts for tests, as consumers would state them: builders with defaults, and one story of several customers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from entitlements.domain.facts import (
    CatalogRevision,
    Customer,
    Fact,
    Grant,
    InvoiceSnapshot,
    Revocation,
    RevocationKind,
)
from entitlements.domain.identity import canonical_json
from schemas.stripe_event import InvoiceStatus

JUNE, JULY = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
MONTH = {"start": "2026-06-01T00:00:00Z", "end": "2026-07-01T00:00:00Z"}
PAY_AT = "https://invoice.example.com/i/open"
ROUTES = [
    {"host": "api.example.com", "methods": ["GET", "POST"], "path": f"/{api}/**", "api": api}
    for api in ("orders", "reports")
]
CALLS = {"name": "calls", "unit": "requests", "limit": 1000, "per": "cycle", "enforcement": "strict"}


def catalog(
    *,
    integrations: tuple[str, ...] = ("main",),
    number: int = 1,
    in_force_from: datetime | None = None,
    more_apis: tuple[str, ...] = (),
    portals: Mapping[str, str] = MappingProxyType({}),
    orgs: Mapping[str, str] = MappingProxyType({"initech": "cus_paid", "ghost": "cus_ghost"}),
) -> CatalogRevision:
    """A revision: acme sells `enterprise` on the first integration, globex sells `reporting` on the last."""
    document = {
        "catalog": 1,
        "integrations": {name: {"mode": "test", "signing_secrets_env": "SECRETS"} for name in integrations},
        "marketplaces": {
            name: {"integration": integration, **({"customer_portal": portals[name]} if name in portals else {})}
            for name, integration in (("acme", integrations[0]), ("globex", integrations[-1]))
        },
        "orgs": {org: {"customer": customer} for org, customer in orgs.items()},
        "products": {
            "monetized-product": {
                "marketplace": "acme",
                "plans": {
                    "enterprise": {
                        "cost": "paid",
                        "stripe_prices": ["price_enterprise"],
                        "apis": ["orders", "invoices", *more_apis],
                        "quotas": [CALLS],
                    }
                },
            },
            "other-product": {
                "marketplace": "globex",
                "plans": {"reporting": {"cost": "paid", "stripe_prices": ["price_reporting"], "apis": ["reports"]}},
            },
        },
        "routes": ROUTES,
    }
    return CatalogRevision(
        number=number, in_force_from=in_force_from, applied_by="test", document=canonical_json(document)
    )


def line(customer: str = "cus_paid", **changed: Any) -> Grant:
    """A line of an invoice that was paid five minutes after June began."""
    values: dict[str, Any] = {
        "integration": "main",
        "customer": customer,
        "invoice": f"in_{customer}",
        "line": f"il_{customer}",
        "status": InvoiceStatus.PAID,
        "finalized_at": JUNE,
        "paid_at": JUNE + timedelta(minutes=5),
        "invoice_created": JUNE,
        "billing_reason": "subscription_create",
        "due_date": None,
        "subscription": "sub_1",
        "subscription_item": f"si_{customer}",
        "price": "price_enterprise",
        "amount": 2500,
        "quantity": None,
        "period_start": JUNE,
        "period_end": JULY,
        "proration": False,
        "usage_type": "licensed",
        "line_plan": "",
        "price_plan": None,
        "invoice_plan": "",
        "invoice_total": 2500,
        "stated_at": JUNE + timedelta(minutes=5),
    }
    return Grant(**(values | changed))


def snapshot(customer: str, **changed: Any) -> InvoiceSnapshot:
    """What a person is shown of the customer's invoice for June, which is open."""
    values: dict[str, Any] = {
        "integration": "main",
        "customer": customer,
        "invoice": f"in_{customer}",
        "status": InvoiceStatus.OPEN,
        "number": "A-1",
        "subscription": "sub_1",
        "currency": "usd",
        "total": 2500,
        "amount_due": 2500,
        "amount_paid": 0,
        "amount_remaining": 2500,
        "pay_at": PAY_AT,
        "created": JUNE,
        "due_date": None,
        "finalized_at": JUNE,
        "uncollectible_at": None,
        "voided_at": None,
        "paid_at": None,
        "invoice_plan": "",
        "lines_complete": True,
        "stated_at": JUNE,
    }
    return InvoiceSnapshot(**(values | changed))


def unpaid(customer: str) -> tuple[Fact, ...]:
    """An open invoice for June, and where to pay it."""
    open_line = line(customer, status=InvoiceStatus.OPEN, paid_at=None, stated_at=JUNE)
    return (open_line, snapshot(customer), named(customer))


def named(customer: str) -> Customer:
    """Stripe has named this customer."""
    return Customer(integration="main", customer=customer)


def voided_too(customer: str) -> Revocation:
    """What Stripe says can't be: the paid invoice was voided as well."""
    return Revocation(
        integration="main",
        customer=customer,
        kind=RevocationKind.VOIDED,
        invoice=f"in_{customer}",
        at=JUNE + timedelta(days=1),
        stated_at=JUNE + timedelta(days=1),
    )


STORY: tuple[Fact, ...] = (
    catalog(),
    line("cus_paid"),
    named("cus_paid"),
    *unpaid("cus_open"),
    line("cus_both", price="price_reporting"),
    line("cus_both", invoice="in_second", line="il_second"),
    line("cus_odd", invoice="in_cus_odd", line="il_unmapped", price="price_nobody_named"),
    line("cus_odd"),
    voided_too("cus_odd"),
    line("cus_elsewhere", integration="elsewhere"),
)
