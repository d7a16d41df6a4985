"""A step of the relay that takes long, on a real PostgreSQL."""

from __future__ import annotations

import time
from typing import Any

import pytest
import sqlalchemy as sa

from consumers.told import Catalogs, take_step
from entitlements.domain.stretches import access_from
from tests.feeding import NOON, fed, learnt
from tests.stated import catalog, line


def test_a_step_that_takes_long_is_no_idle_session(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL is asked again and again in it: else it ends a relay whose customers have many years of invoices."""

    def slowly(*of: Any) -> Any:
        time.sleep(0.02)
        return access_from(*of)

    monkeypatch.setattr("consumers.told.access_from", slowly)
    with fed(fresh_database) as on:
        learnt(on, catalog(), *(line(f"cus_{number:02}") for number in range(40)))
        with on.begin() as connection:
            connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = '400ms'"))
            assert take_step(connection, Catalogs(), NOON).told == 40
