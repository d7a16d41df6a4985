"""How long records gather after a batch: as the busier, the longer, and never so long that those behind them wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.log import BATCH_AND_REST_S, rest_s


@given(took_s=st.floats(0, 60), records=st.integers(1, 500))
def test_a_rest_is_never_longer_than_its_batch_and_never_outlasts_what_both_may_take(
    took_s: float, records: int
) -> None:
    """Whoever comes as a batch begins is read within that time of it, or at once where the batch took it all."""
    rest = rest_s(took_s, records)

    assert 0 <= rest <= took_s
    assert took_s + rest <= max(took_s, BATCH_AND_REST_S)


@pytest.mark.parametrize(
    ("took_s", "records", "rest"),
    [
        pytest.param(0.004, 1, 0.0002, id="one that came alone"),
        pytest.param(0.004, 30, 0.004, id="as long as it took"),
        pytest.param(0.015, 60, 0.005, id="what a large one has left"),
        pytest.param(0.030, 120, 0.0, id="a larger one has left nothing"),
    ],
)
def test_the_busier_it_is_the_longer_records_gather(took_s: float, records: int, rest: float) -> None:
    """A batch has a time for each record, its own time, and what is left of a time for both: the least of them."""
    assert rest_s(took_s, records) == pytest.approx(rest)
