"""After a swap, on a real Kafka and a real PostgreSQL: gateways are told who is answered otherwise."""

from __future__ import annotations

from entitlements import feed
from entitlements.everyone import CustomerName
from tests.feeding import behind, seqs, settled
from tests.integration.rebuild.sharing import (
    CUSTOMERS,
    JANUARY,
    MISSED,
    WRONG,
    swapping,
)
from tests.rebuilding import Ground


def test_gateways_are_told_exactly_who_is_answered_otherwise(built: Ground) -> None:
    """Numbers and identity go on; who was answered wrongly and who was missed is told, and nobody else."""
    settled(built.engine, JANUARY)
    told = behind(built.engine)
    with built.engine.connect() as connection:
        identity, head = feed.identity(connection), feed.position(connection).head
    assert MISSED not in {each.customer for each in told}

    built.rebuild("--swap")
    settled(built.engine, JANUARY)

    news = behind(built.engine, head)
    assert {each.customer for each in news} == {*WRONG, MISSED}
    assert sorted(seq for _, seq in seqs(news)) == [head + 1, head + 2, head + 3]
    with built.engine.connect() as connection:
        assert feed.identity(connection) == identity
        assert not feed.position(connection).is_walking
    built.rebuild("--swap-back")
    settled(built.engine, JANUARY)
    assert {each.customer for each in behind(built.engine, head + 3)} == {*WRONG, MISSED}


def test_what_waits_to_be_told_is_told_after_the_swap(built: Ground) -> None:
    """Changes that the relay has not taken up go over to what serves."""
    built.rebuild("--swap")

    settled(built.engine, JANUARY)

    told = {each.customer for each in behind(built.engine) if each.customer.startswith("cus_")}
    assert told == {f"cus_{number}" for number in range(CUSTOMERS)}


def test_customers_known_to_differ_are_told_first(built: Ground) -> None:
    """Before everybody in the feed is looked at again."""
    settled(built.engine, JANUARY)
    swapping(built, news=[CustomerName(integration="main", customer=WRONG[1])]).swap()

    with built.engine.connect() as connection:
        waiting = [each.customer for each in feed.waiting(connection, most=10)]
    assert waiting == [MISSED, WRONG[1]]
