"""The portal's view of the whole program: an org named with the token that `entitle up` made, and its invoices."""

from __future__ import annotations

import json
import re
import urllib.request
import uuid
from typing import Any

from tests.acceptance.running import TOKEN, Running
from tests.stripe_builders import Bill, Line, events, paid


def test_a_portal_asks_by_the_org_s_own_name(program: Running) -> None:
    """An operator names an org; from then on its portal sees the invoices that Stripe sent, and where to pay."""
    run = uuid.uuid4().hex[:8]
    customer, org = f"cus_{run}", f"org-{run}"
    bills = (
        paid(Line(id=f"il_a{run}", price="price_strict"), id=f"in_a{run}", customer=customer),
        Bill(
            id=f"in_b{run}",
            customer=customer,
            lines=(Line(id=f"il_b{run}", price="price_strict", start="02-01", end="03-01"),),
            finalized="02-01",
        ),
    )
    said = (program.folder / "said.txt").read_text(encoding="utf-8")
    (admin,) = re.findall(r"/v1/orgs/ORG, bearer token (\S+)", said)

    program.catch_up(program.send_all(events(*bills)))
    named = ask(program, "PUT", f"/v1/orgs/{org}", admin, {"customer": customer})
    shown = ask(program, "GET", f"/v1/orgs/{org}/invoices", TOKEN)

    assert (named["customer"], named["integration"], shown["customer"]) == (customer, "main", customer)
    assert [(each["id"], each["status"], "pay_at" in each) for each in shown["invoices"]] == [
        (f"in_b{run}", "open", True),
        (f"in_a{run}", "paid", False),
    ]
    assert {cycle["plan"] for each in shown["invoices"] for cycle in each["cycles"]} == {"strict"}


def ask(program: Running, method: str, path: str, token: str, body: Any = None) -> Any:
    """The JSON that is answered; anything but a success fails the test."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(program.edge.query + path, data, headers, method=method)  # noqa: S310
    with urllib.request.urlopen(request, timeout=15) as answer:  # noqa: S310  # our own listener
        return json.loads(answer.read())
