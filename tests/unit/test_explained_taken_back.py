"""
What people are shown of a refunded, a disputed, a cancelled, a granted and a blocked customer: the whole texts.

Long because the texts are whole.
"""

from __future__ import annotations

import pytest

from tests.acts import block, grant, revocation
from tests.explaining import TERMINAL_WIDTH, Known, text
from tests.pure_core import plan, plans
from tests.stripe_builders import paid
from tests.taking_back import charge, dispute, invoice_payment, refund, subscription_deleted

TERMS = plans(enterprise=plan(renewal_leeway="2h", on_cancel="immediately"))
DISPUTED = dispute("needs_response", at="01-06")

GOLDEN: dict[str, tuple[tuple[Known, ...], str]] = {
    "refunded": (
        (
            paid(),
            charge(at="01-01"),
            charge(refunded=1000, at="01-06"),
            refund("succeeded", at="01-06", amount=1000),
            charge(refunded=2500, at="01-11"),
            refund("pending", at="01-11", amount=1500, id="re_2"),
        ),
        """
deny 403 refunded: invoice in_1 for 1 Jan – 1 Feb 2026 was given back
customer cus_1, API orders, at 15 Jan 2026 00:00 UTC; every time is UTC

What would change it
  Another invoice for a cycle that covers the moment, paid and kept, of the plan enterprise, which
  opens orders; invoice in_1 can't be paid again.
  A failure of the refund re_2 opens it until 1 Feb 2026 02:00 UTC.
  If nothing more becomes known, it turns to deny 402 cycle_lapsed at 1 Feb 2026 00:00 UTC.

Grants of orders (▶ spoke)
    cycle              plan       invoice how it spoke
  ▶ 1 Jan – 1 Feb 2026 enterprise in_1    given back since 11 Jan 2026 00:00: 25.00 of 25.00 usd, by
                                          re_1 and re_2 (pending)

Revocations
    from              what   invoice how it spoke
  ▶ 6 Jan 2026 00:00  refund in_1    re_1 (10.00 usd, succeeded): 10.00 of 25.00 usd given back by
                                     then; with what came later, ended the paid cycle and the leeway
                                     of in_1, which else ran until 1 Feb 2026 02:00
  ▶ 11 Jan 2026 00:00 refund in_1    re_2 (15.00 usd, pending): 25.00 of 25.00 usd given back by
                                     then; ended the paid cycle and the leeway of in_1, which else
                                     ran until 1 Feb 2026 02:00

Invoice in_1, 25.00 usd: finalized 1 Jan 2026 00:00, paid 1 Jan 2026 00:00
    created           Stripe event      id    billing.events.v1
    1 Jan 2026 00:00  invoice.finalized evt_0 0 @ 0
    1 Jan 2026 00:00  invoice.paid      evt_1 0 @ 1
    1 Jan 2026 00:00  charge.succeeded  evt_2 0 @ 2
    6 Jan 2026 00:00  charge.refunded   evt_3 0 @ 3
    6 Jan 2026 00:00  refund.updated    evt_4 0 @ 4
    11 Jan 2026 00:00 charge.refunded   evt_5 0 @ 5
    11 Jan 2026 00:00 refund.updated    evt_6 0 @ 6

Catalog
  revision 1, from the beginning on
""",
    ),
    "refunded in part": (
        (paid(), charge(refunded=1000, at="01-06"), refund("succeeded", at="01-06", amount=1000)),
        """
allow 200 paid: invoice in_1 for 1 Jan – 1 Feb 2026 is paid; open until 1 Feb 2026 02:00 UTC
customer cus_1, API orders, at 15 Jan 2026 00:00 UTC; every time is UTC

What would change it
  It ends at 1 Feb 2026 02:00 UTC, unless an invoice for a cycle that follows is paid by then.
  If nothing more becomes known, it turns to allow 200 renewal_leeway at 1 Feb 2026 00:00 UTC.

Grants of orders (▶ spoke)
    cycle              plan       invoice how it spoke
  ▶ 1 Jan – 1 Feb 2026 enterprise in_1    paid: open until 1 Feb 2026 00:00

Revocations
    from             what   invoice how it spoke
    6 Jan 2026 00:00 refund in_1    re_1 (10.00 usd, succeeded): 10.00 of 25.00 usd given back by
                                    then; ended nothing

Invoice in_1, 25.00 usd: finalized 1 Jan 2026 00:00, paid 1 Jan 2026 00:00
    created          Stripe event      id    billing.events.v1
    1 Jan 2026 00:00 invoice.finalized evt_0 0 @ 0
    1 Jan 2026 00:00 invoice.paid      evt_1 0 @ 1
    6 Jan 2026 00:00 charge.refunded   evt_2 0 @ 2
    6 Jan 2026 00:00 refund.updated    evt_3 0 @ 3

Catalog
  revision 1, from the beginning on
""",
    ),
    "disputed": (
        (paid(), invoice_payment(at="01-01"), DISPUTED),
        """
deny 403 disputed: the payment of invoice in_1 for 1 Jan – 1 Feb 2026 is disputed
customer cus_1, API orders, at 15 Jan 2026 00:00 UTC; every time is UTC

What would change it
  Winning the dispute du_1 opens it until 1 Feb 2026 02:00 UTC.
  If nothing more becomes known, it turns to deny 402 cycle_lapsed at 1 Feb 2026 00:00 UTC.

Grants of orders (▶ spoke)
    cycle              plan       invoice how it spoke
  ▶ 1 Jan – 1 Feb 2026 enterprise in_1    disputed since 6 Jan 2026 00:00 by du_1 (needs_response)

Revocations
    from             what    invoice how it spoke
  ▶ 6 Jan 2026 00:00 dispute in_1    du_1 (needs_response): suspended the paid cycle and the leeway
                                     of in_1, which else ran until 1 Feb 2026 02:00

Invoice in_1, 25.00 usd: finalized 1 Jan 2026 00:00, paid 1 Jan 2026 00:00
    created          Stripe event           id    billing.events.v1
    1 Jan 2026 00:00 invoice.finalized      evt_0 0 @ 0
    1 Jan 2026 00:00 invoice.paid           evt_1 0 @ 1
    1 Jan 2026 00:00 invoice_payment.paid   evt_2 0 @ 2
    6 Jan 2026 00:00 charge.dispute.updated evt_3 0 @ 3

Catalog
  revision 1, from the beginning on
""",
    ),
    "disputed, and won": (
        (paid(), invoice_payment(at="01-01"), DISPUTED, dispute("won", at="01-12")),
        """
allow 200 paid: invoice in_1 for 1 Jan – 1 Feb 2026 is paid; open until 1 Feb 2026 02:00 UTC
customer cus_1, API orders, at 15 Jan 2026 00:00 UTC; every time is UTC

What would change it
  It ends at 1 Feb 2026 02:00 UTC, unless an invoice for a cycle that follows is paid by then.
  If nothing more becomes known, it turns to allow 200 renewal_leeway at 1 Feb 2026 00:00 UTC.

Grants of orders (▶ spoke)
    cycle              plan       invoice how it spoke
  ▶ 1 Jan – 1 Feb 2026 enterprise in_1    paid: open until 1 Feb 2026 00:00

Revocations
    from             what    invoice how it spoke
    6 Jan 2026 00:00 dispute in_1    du_1 (won): over since 12 Jan 2026 00:00; suspended the paid
                                     cycle of in_1 until then

Invoice in_1, 25.00 usd: finalized 1 Jan 2026 00:00, paid 1 Jan 2026 00:00
    created           Stripe event           id    billing.events.v1
    1 Jan 2026 00:00  invoice.finalized      evt_0 0 @ 0
    1 Jan 2026 00:00  invoice.paid           evt_1 0 @ 1
    1 Jan 2026 00:00  invoice_payment.paid   evt_2 0 @ 2
    6 Jan 2026 00:00  charge.dispute.updated evt_3 0 @ 3
    12 Jan 2026 00:00 charge.dispute.updated evt_4 0 @ 4

Catalog
  revision 1, from the beginning on
""",
    ),
    "disputed, and lost": (
        (paid(), invoice_payment(at="01-01"), DISPUTED, dispute("lost", at="01-12")),
        """
deny 403 disputed: the payment of invoice in_1 for 1 Jan – 1 Feb 2026 was disputed, and the dispute
is lost
customer cus_1, API orders, at 15 Jan 2026 00:00 UTC; every time is UTC

What would change it
  Another invoice for a cycle that covers the moment, paid and kept, of the plan enterprise, which
  opens orders; invoice in_1 can't be paid again.
  If nothing more becomes known, it turns to deny 402 cycle_lapsed at 1 Feb 2026 00:00 UTC.

Grants of orders (▶ spoke)
    cycle              plan       invoice how it spoke
  ▶ 1 Jan – 1 Feb 2026 enterprise in_1    disputed since 6 Jan 2026 00:00 by du_1 (lost)

Revocations
    from             what    invoice how it spoke
  ▶ 6 Jan 2026 00:00 dispute in_1    du_1 (lost): ended the paid cycle and the leeway of in_1, which
                                     else ran until 1 Feb 2026 02:00

Invoice in_1, 25.00 usd: finalized 1 Jan 2026 00:00, paid 1 Jan 2026 00:00
    created           Stripe event           id    billing.events.v1
    1 Jan 2026 00:00  invoice.finalized      evt_0 0 @ 0
    1 Jan 2026 00:00  invoice.paid           evt_1 0 @ 1
    1 Jan 2026 00:00  invoice_payment.paid   evt_2 0 @ 2
    6 Jan 2026 00:00  charge.dispute.updated evt_3 0 @ 3
    12 Jan 2026 00:00 charge.dispute.updated evt_4 0 @ 4

Catalog
  revision 1, from the beginning on
""",
    ),
    "cancelled": (
        (paid(), subscription_deleted(at="01-10")),
        """
deny 402 cycle_lapsed: invoice in_1 for 1 Jan – 1 Feb 2026 was paid, but ended 10 Jan 2026 00:00 UTC
with its subscription sub_1, and nothing paid covers the moment
customer cus_1, API orders, at 15 Jan 2026 00:00 UTC; every time is UTC

What would change it
  A paid invoice for a cycle that covers the moment, of the plan enterprise, which opens orders.
  Time alone changes nothing.

Grants of orders (▶ spoke)
    cycle              plan       invoice how it spoke
  ▶ 1 Jan – 1 Feb 2026 enterprise in_1    ended 10 Jan 2026 00:00 with its subscription sub_1

Revocations
    from              what               invoice how it spoke
  ▶ 10 Jan 2026 00:00 subscription ended         sub_1: ended the paid cycle and the leeway of in_1,
                                                 which else ran until 1 Feb 2026 02:00

Invoice in_1, 25.00 usd: finalized 1 Jan 2026 00:00, paid 1 Jan 2026 00:00
    created          Stripe event      id    billing.events.v1
    1 Jan 2026 00:00 invoice.finalized evt_0 0 @ 0
    1 Jan 2026 00:00 invoice.paid      evt_1 0 @ 1

Of no invoice, in billing.events.v1
    created           what                          id    place
    10 Jan 2026 00:00 customer.subscription.deleted evt_2 0 @ 2

Catalog
  revision 1, from the beginning on
""",
    ),
    "granted by hand": (
        (
            grant(end="02-01", reason="a trial"),
            grant("01-05", plan=None, apis=("orders",), id="grant_2"),
            revocation("01-10", of="grant_2", by="bob", reason="given by mistake"),
        ),
        """
allow 200 manual: an operator granted it to customer cus_1; open until 1 Feb 2026 00:00 UTC
customer cus_1, API orders, at 15 Jan 2026 00:00 UTC; every time is UTC

What would change it
  It ends at 1 Feb 2026 00:00 UTC, or when an operator revokes the grant grant_1.
  If nothing more becomes known, it turns to deny 403 not_entitled at 1 Feb 2026 00:00 UTC.

By hand (▶ spoke)
    from              what, and how it spoke
  ▶ 1 Jan 2026 00:00  grant_1, plan enterprise: open until 1 Feb 2026 00:00; given by ann: a trial
    5 Jan 2026 00:00  grant_2, orders: revoked since 10 Jan 2026 00:00 by bob: given by mistake;
                      given by ann: a reason
  ▶ 10 Jan 2026 00:00 revocation_1: by bob: given by mistake; ended the grant grant_2, which else
                      had no end

Of no invoice, in billing.operator-commands.v1
    created          what           id           place
    1 Jan 2026 00:00 access.granted grant_1      0 @ 0
    1 Jan 2026 00:00 access.granted grant_2      0 @ 1
    1 Jan 2026 00:00 access.revoked revocation_1 0 @ 2

Catalog
  revision 1, from the beginning on
""",
    ),
    "blocked": (
        (paid(), block("01-10", reason="chargebacks")),
        """
deny 403 blocked: an operator has blocked customer cus_1
customer cus_1, API orders, at 15 Jan 2026 00:00 UTC; every time is UTC

What would change it
  Lifting the block opens it until 1 Feb 2026 02:00 UTC.
  Time alone changes nothing.

Grants of orders (▶ spoke)
    cycle              plan       invoice how it spoke
    1 Jan – 1 Feb 2026 enterprise in_1    blocked: without that, open until 1 Feb 2026 00:00

By hand (▶ spoke)
    from              what, and how it spoke
  ▶ 10 Jan 2026 00:00 block_1: by ann: chargebacks; closes everything until it is lifted

Invoice in_1, 25.00 usd: finalized 1 Jan 2026 00:00, paid 1 Jan 2026 00:00
    created          Stripe event      id    billing.events.v1
    1 Jan 2026 00:00 invoice.finalized evt_0 0 @ 0
    1 Jan 2026 00:00 invoice.paid      evt_1 0 @ 1

Of no invoice, in billing.operator-commands.v1
    created          what             id      place
    1 Jan 2026 00:00 customer.blocked block_1 0 @ 0

Catalog
  revision 1, from the beginning on
""",
    ),
    "refunded, and not linked": (
        (paid(), charge(at="01-06", invoice=None), refund("succeeded", at="01-06")),
        """
allow 200 paid: invoice in_1 for 1 Jan – 1 Feb 2026 is paid; open until 1 Feb 2026 02:00 UTC
customer cus_1, API orders, at 15 Jan 2026 00:00 UTC; every time is UTC

What would change it
  It ends at 1 Feb 2026 02:00 UTC, unless an invoice for a cycle that follows is paid by then.
  If nothing more becomes known, it turns to allow 200 renewal_leeway at 1 Feb 2026 00:00 UTC.

Needs a person's eye
  re_1 (payment ch_1 and pi_1) ends nothing: no event has said yet which invoice was paid with it.

Grants of orders (▶ spoke)
    cycle              plan       invoice how it spoke
  ▶ 1 Jan – 1 Feb 2026 enterprise in_1    paid: open until 1 Feb 2026 00:00

Invoice in_1, 25.00 usd: finalized 1 Jan 2026 00:00, paid 1 Jan 2026 00:00
    created          Stripe event      id    billing.events.v1
    1 Jan 2026 00:00 invoice.finalized evt_0 0 @ 0
    1 Jan 2026 00:00 invoice.paid      evt_1 0 @ 1

Of no invoice, in billing.events.v1
    created          what             id    place
    6 Jan 2026 00:00 charge.succeeded evt_2 0 @ 2
    6 Jan 2026 00:00 refund.updated   evt_3 0 @ 3

Catalog
  revision 1, from the beginning on
""",
    ),
}
"""By name: what became known, and the text on 15 January."""


@pytest.mark.parametrize(("known", "wanted"), list(GOLDEN.values()), ids=list(GOLDEN))
def test_what_takes_access_back_is_shown_as_a_person_reads_it(known: tuple[Known, ...], wanted: str) -> None:
    """By what, how much and since when; what it ended; what would change it; and where the log says so."""
    assert wanted.strip("\n") == text(*known, at="01-15", terms=TERMS)


def test_real_ids_fit_the_width() -> None:
    """With ids as long as Stripe's and ours are, and times with seconds, no id and no address is broken in two."""
    invoice, refunded = "in_1MtHbELkdIwHu7ixl4OzzPMv", "re_3MtwBwLkdIwHu7ix28a3tqPa"
    given, over = f"grant_{'0' * 32}", f"revocation_{'0' * 32}"
    known = (
        paid(id=invoice),
        charge(at="01-01", invoice=invoice),
        refund("succeeded", at="01-06T10:11:12", id=refunded),
        grant(id=given),
        revocation("01-10", id=over, of=given, at="01-10T10:11:12"),
    )

    lines = text(*known, at="01-15", terms=TERMS).splitlines()

    assert max(len(line) for line in lines) <= TERMINAL_WIDTH
    assert f"    10 Jan 2026 10:11:12 access.revoked {over} 0 @ 1" in lines
    for name, times in ((invoice, 5), (refunded, 2), (given, 3), (over, 2)):
        assert sum(line.count(name) for line in lines) >= times, name
