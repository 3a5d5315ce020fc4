"""An answer costs what its tokens cost; an unknown price is unknown, never 0."""

from __future__ import annotations

from typing import Any

import pytest

from llmrouter.completion.prices import Price, price_of

UNIT = {"cost_unit": "usd_per_million_tokens"}


@pytest.mark.parametrize(
    ("candidate", "price"),
    [
        ({}, None),
        ({"cost": 0.2}, None),
        ({"input_price": 1}, None),
        ({"output_price": 1}, None),
        ({"input_price": 1, "output_price": None}, None),
        ({"input_price": 1, "output_price": 2}, Price(1, 2)),
        ({"input_price": 0, "output_price": 0}, Price(0, 0)),
        ({"cost": 3, **UNIT}, Price(3, 3)),
        ({"cost": 3, "input_price": 1, "output_price": 2, **UNIT}, Price(1, 2)),
        ({"cost": 3, "input_price": 1, **UNIT}, Price(3, 3)),
        ({"cost": None, **UNIT}, None),
        (UNIT, None),
    ],
)
def test_the_price_of_a_candidate(candidate: dict[str, Any], price: Price | None) -> None:
    assert price_of(candidate) == price


def test_the_cost_is_per_million_tokens_in_usd() -> None:
    assert Price(2.5, 10).cost(1000, 200) == pytest.approx(0.0025 + 0.002)
    assert Price(2.5, 10).cost(0, 0) == 0
