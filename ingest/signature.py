"""Says whether a delivery is Stripe's: the only place that verifies. Edge: Stripe's library reads the clock."""

from __future__ import annotations

from collections.abc import Sequence

from stripe import SignatureVerificationError, WebhookSignature

TOLERANCE_SECONDS = 300
"""Oldest signature that is taken; Stripe signs each attempt anew, and a timestamp ahead of ours passes its library."""


class SignatureRejected(Exception):
    """
    The delivery isn't Stripe's, or not by a secret of this integration; nothing was done with it.

    Compare the signing secret of the endpoint in Stripe's dashboard with the integration's, and this machine's clock.
    The text never contains the payload, the header or a secret.
    """


def verify(body: bytes, header: bytes | None, secrets: Sequence[str]) -> None:
    """
    Pass if any `v1` signature in *header* (`Stripe-Signature` as sent) was made over *body* with any of *secrets*.

    Raises `SignatureRejected`, also for a body that is not UTF-8: what is signed is text. A blank secret verifies
    nothing: anybody could sign with it.
    """
    if not header:
        raise SignatureRejected("the request has no Stripe-Signature header")
    try:
        text, signature = body.decode(), header.decode("ascii")
    except UnicodeDecodeError as error:
        where = "the body is not UTF-8" if error.encoding == "utf-8" else "the Stripe-Signature header is not ASCII"
        raise SignatureRejected(where) from None  # the cause holds the bytes
    reasons: dict[str, None] = {}
    for secret in secrets:
        try:
            WebhookSignature.verify_header(text, signature, secret, TOLERANCE_SECONDS)
        except SignatureVerificationError as error:
            reasons[str(error.user_message)] = None
        else:
            return
    raise SignatureRejected("; ".join(reasons) or "the integration has no signing secret")
