"""Routing data of either shape become labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llmrouter.errors import DataError

if TYPE_CHECKING:
    from llmrouter_threshold.examples import Examples

pytestmark = pytest.mark.torch

TIERS = ["small", "large"]

LONG: list[dict[str, Any]] = [
    {"query": "easy", "model_name": "small", "performance": 1},
    {"query": "easy", "model_name": "large", "performance": 1},
    {"query": "hard", "model_name": "large", "performance": 0.9},
    {"query": "hard", "model_name": "small", "performance": 0.25},
]
BEST: list[dict[str, Any]] = [
    {"query": "easy", "best_llm": "small", "performance": 0.9},
    {"query": "hard", "best_llm": "large", "performance": 0.9},
]


def made(rows: list[dict[str, Any]], tiers: list[str] = TIERS, target: str | None = None) -> Examples:
    from llmrouter.learning.outcomes import outcomes_from
    from llmrouter_threshold.examples import examples_from

    return examples_from(outcomes_from(rows, tiers).select(tiers), target)


def test_performances_of_both_make_gain() -> None:
    found = made(LONG)
    assert (found.target, found.queries) == ("gain", ["easy", "hard"])
    assert found.labels.dtype == np.float32
    assert found.labels.flatten().tolist() == pytest.approx([1, 1, 0.25, 0.9])
    assert found.hard.tolist() == pytest.approx([0, 0.65])


def test_a_large_llm_that_does_worse_gains_nothing() -> None:
    rows = [
        {"query": "q", "model_name": "small", "performance": 1},
        {"query": "q", "model_name": "large", "performance": 0},
    ]
    assert made(rows).hard.tolist() == [0]


def test_performances_make_difficulty_where_asked() -> None:
    found = made(LONG, target="difficulty")
    assert found.target == "difficulty"
    assert found.labels.flatten().tolist() == [0, 0.75]
    assert found.hard.tolist() == [0, 0.75]


def test_best_llm_makes_difficulty() -> None:
    found = made(BEST)
    assert (found.target, found.queries) == ("difficulty", ["easy", "hard"])
    assert found.labels.tolist() == [[0], [1]]


def test_best_llm_in_between_is_a_soft_label() -> None:
    found = made([*BEST, {"query": "so so", "best_llm": "mid"}], ["small", "mid", "large"])
    assert found.labels.tolist() == [[0], [1], [0.5]]


def test_llms_in_between_do_not_matter_for_gain() -> None:
    rows = [*LONG, {"query": "easy", "model_name": "mid", "performance": 0.5}]
    assert np.array_equal(made(rows, ["small", "mid", "large"]).labels, made(LONG).labels)


def test_queries_that_lack_an_llm_are_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    rows = [*LONG, {"query": "lonely", "model_name": "small", "performance": 1}]
    assert made(rows).queries == ["easy", "hard"]
    assert "1 of 3 queries are left out" in caplog.text


def test_best_llm_that_does_not_take_part_is_left_out_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rows = [*BEST, {"query": "q", "best_llm": "other"}]
    assert made(rows).queries == ["easy", "hard"]
    assert "Rows of other are left out" in caplog.text
    assert made(rows, ["small", "large", "other"]).queries == ["easy", "hard", "q"]


def test_best_llm_beside_performances_is_left_out_of_gain_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert made([*LONG, {"query": "other", "best_llm": "small"}]).queries == ["easy", "hard"]
    assert "1 of 3 queries are left out" in caplog.text


def test_nothing_left_out_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    made(LONG)
    made(BEST)
    made([*LONG, *BEST], target="difficulty")
    assert not caplog.records


def test_a_row_without_performance_tells_nothing() -> None:
    rows = [*LONG, {"query": "q", "model_name": "small"}, {"query": "q", "model_name": "large"}]
    assert made(rows).queries == ["easy", "hard"]


def test_embeddings_that_rows_bring_are_taken() -> None:
    first, second = made([{**BEST[0], "embedding": [1, 0.5]}, BEST[1]]).rows
    assert first["query"] == "easy"
    assert first["embedding"].dtype == np.float32
    assert first["embedding"].tolist() == [1, 0.5]
    assert second == {"query": "hard"}


def test_one_row_of_a_query_may_bring_its_embedding() -> None:
    rows: list[dict[str, Any]] = [dict(row) for row in LONG]
    rows[1]["embedding"] = [1.0]
    rows[2]["embedding"] = [2.0]
    assert [row["embedding"].tolist() for row in made(rows).rows] == [[1], [2]]


@pytest.mark.parametrize("embedding", ["text", ["a"], {"a": 1}, [[1.0]], [[1.0], []], 3])
def test_an_embedding_that_is_no_list_of_numbers(embedding: Any) -> None:
    with pytest.raises(DataError, match="the embedding of 'hard' is not a list of numbers"):
        made([BEST[0], {**BEST[1], "embedding": embedding}])


def test_the_digest_tells_data_apart() -> None:
    def digest(*changes: dict[str, Any], target: str | None = None) -> str:
        rows = [{**row, **change} for row, change in zip(LONG, [*changes, {}, {}, {}, {}], strict=False)]
        return made(rows, target=target).digest

    others = [
        digest({"query": "facile"}, {"query": "facile"}),
        digest({"performance": 0.5}),
        digest(target="difficulty"),
        digest({"embedding": [1.0, 2.0]}),
        digest({"embedding": [1.0, 2.5]}),
        digest({}, {}, {"embedding": [1.0, 2.0]}),
    ]
    assert len({digest(), *others}) == 1 + len(others)
    assert digest() == made([dict(row) for row in LONG]).digest
    assert digest().startswith("sha256:")


@pytest.mark.parametrize("performance", [-0.1, 1.5, 100, float("nan")])
def test_performances_are_from_0_to_1(performance: float) -> None:
    with pytest.raises(DataError, match="from 0 to 1"):
        made([*LONG[:3], {**LONG[3], "performance": performance}])


@pytest.mark.parametrize("rows", [[], LONG[:1], [{"query": "q", "best_llm": "other"}]])
def test_rows_that_tell_nothing(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(DataError, match="best_llm"):
        made(rows)


def test_gain_needs_performances_of_both() -> None:
    with pytest.raises(DataError, match="both small and large"):
        made(BEST, target="gain")


def test_some_of_the_examples() -> None:
    rows = [{**row, "embedding": [number]} for number, row in enumerate(BEST)]
    found = made(rows).take(np.array([1, 0, 1]))
    assert found.queries == ["hard", "easy", "hard"]
    assert found.labels.tolist() == [[1], [0], [1]]
    assert [row["embedding"].tolist() for row in found.rows] == [[1], [0], [1]]
    assert found.target == "difficulty"
