"""What never leaves: the personal data in a Stripe event, by one list. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# fmt: off
PERSONAL = frozenset({
    # names
    "name", "first_name", "last_name", "business_name", "individual_name", "cardholder_name", "account_holder_name",
    "verified_name", "account_name", "bank_name", "payer_name", "recipient_name", "customer_name",
    # e-mail and phone
    "email", "receipt_email", "instructions_email", "billing_email", "customer_email", "customer_email_address",
    "verified_email", "payer_email", "phone", "phone_number", "customer_phone",
    # addresses
    "address", "address_city", "address_country", "address_line1", "address_line2", "address_state", "address_zip",
    "line1", "line2", "city", "postal_code", "billing_address", "customer_address", "customer_shipping",
    "verified_address", "shipping", "shipping_details", "shipping_address",
    # people as a whole
    "billing_details", "customer_details", "collected_information", "individual", "owner", "dob",
    # tax and identity
    "tax_id", "tax_ids", "tax_id_data", "tax_info", "vat_id", "customer_tax_ids", "account_tax_ids", "id_number",
    "ssn_last_4",
    # means of payment
    "payment_method_details", "payment_method_data", "source_data", "card_present", "bank_account", "sources",
    "cards", "wallet", "fingerprint", "last4", "dynamic_last4", "exp_month", "exp_year", "iin", "iban", "bic",
    "account_number", "routing_number", "sort_code", "authorization_code", "network_transaction_id",
    "last_payment_error",
    # where they were
    "ip", "ip_address", "client_ip", "customer_purchase_ip", "user_agent",
    # free text
    "comment", "custom_fields", "evidence", "footer", "fraud_details", "memo",
    # links and secrets
    "client_secret", "confirmation_secret", "secret", "invoice_pdf", "pdf", "receipt_url", "next_action",
    "hosted_instructions_url", "hosted_verification_url", "hosted_voucher_url",
})
# fmt: on
"""
Keys that are removed at any depth, with all that is under them; the only list.

Free text that people fill in goes too (`custom_fields`, `footer`, `memo`, `comment`, a dispute's `evidence`), and so do
links that open a document without a login. `hosted_invoice_url` stays: it is where a denied customer can pay.
"""

ABOUT_PEOPLE = frozenset({"bank_account", "card", "customer", "payment_method", "person", "source", "tax_id"})
"""Kinds of Stripe object (their `object`) that describe a person or their means of payment."""

KEPT_OF_PEOPLE = frozenset(
    {"id", "object", "created", "currency", "customer", "deleted", "livemode", "metadata", "type"}
)
"""All that stays of those objects: a customer's free `description` is a name as often as not."""

_NO_PART = r"\s@<>()\[\],;:\"'=?&/"
E_MAIL = re.compile(rf"(?<![^{_NO_PART}])[^{_NO_PART}]++@[^{_NO_PART}.]++(?:\.[^{_NO_PART}.]++)+")
"""What looks like an e-mail address; written so that a search takes time linear in the text."""

REMOVED_E_MAIL = "[e-mail removed]"


def redacted(event: Mapping[str, Any]) -> dict[str, Any]:
    """
    A copy of *event* without personal data; ids, amounts, periods, metadata and lines are as Stripe sent them.

    E-mail addresses are also replaced where they stand in other text or in a metadata key. *event* is not changed.
    """
    about = event.get("object")
    kept = KEPT_OF_PEOPLE if type(about) is str and about in ABOUT_PEOPLE else None
    copy = {}
    for key, value in event.items():
        if key in PERSONAL or (kept is not None and key not in kept):
            continue
        # Inlined rather than left to _clean: one call per key is a third of the whole (370 keys, 43 against 59 µs).
        kind = type(value)
        if kind is str:
            if "@" in value:
                value = E_MAIL.sub(REMOVED_E_MAIL, value)
        elif kind is dict or kind is list:
            value = _clean(value)
        copy[key if "@" not in key else E_MAIL.sub(REMOVED_E_MAIL, key)] = value
    return copy


def _clean(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return redacted(value)
    if kind is list:
        return [_clean(item) for item in value]
    if kind is str and "@" in value:
        return E_MAIL.sub(REMOVED_E_MAIL, value)
    return value
