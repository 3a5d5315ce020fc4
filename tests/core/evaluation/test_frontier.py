"""Hull, AIQ and sweeps: by hand, and what must hold for any points."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter.evaluation.frontier import aiq, hull, lambda_sweep, threshold_sweep
from llmrouter.evaluation.outcomes import Array

POINTS = st.lists(
    st.tuples(
        st.integers(1, 50).map(lambda cost: cost / 10), st.integers(0, 20).map(lambda quality: quality / 20)
    ),
    min_size=1,
    max_size=12,
)


def columns(points: list[tuple[float, float]]) -> tuple[Array, Array]:
    costs, qualities = np.array(points, float).T
    return costs, qualities


@pytest.mark.parametrize(
    ("points", "vertices"),
    [
        ([(1, 0.5)], [(1, 0.5)]),
        ([(1, 0.2), (3, 0.8)], [(1, 0.2), (3, 0.8)]),
        ([(3, 0.8), (1, 0.2), (2, 0.4)], [(1, 0.2), (3, 0.8)]),  # below the line
        ([(1, 0.2), (2, 0.6), (3, 0.8)], [(1, 0.2), (2, 0.6), (3, 0.8)]),
        ([(1, 0.6), (2, 0.4)], [(1, 0.6)]),  # dearer and worse
        ([(1, 0.2), (1, 0.5), (2, 0.5)], [(1, 0.5)]),
        ([(1, 0.2), (2, 0.5), (3, 0.8)], [(1, 0.2), (3, 0.8)]),  # on the line
    ],
)
def test_hull(points: list[tuple[float, float]], vertices: list[tuple[float, float]]) -> None:
    assert list(zip(*(axis.tolist() for axis in hull(*columns(points))), strict=True)) == vertices


@given(POINTS)
def test_the_hull_rises_ever_less_and_no_point_is_above_it(points: list[tuple[float, float]]) -> None:
    costs, qualities = columns(points)
    x, y = hull(costs, qualities)
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) > 0).all()
    assert (np.diff(np.diff(y) / np.diff(x)) < 1e-9).all()
    assert (qualities <= np.interp(costs, x, y) + 1e-9).all()


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(1, 0.5), (3, 0.9)], 0.7),
        ([(1, 0.5)], 0.5),  # it keeps its quality
        ([(1, 0.5), (2, 0.9)], 0.8),
        ([(0.5, 0.5), (5, 0.5)], 0.5),
        ([(2, 0.8)], ((0.4 + 0.8) / 2 + 0.8) / 2),  # below a cost of 2 mixed with nothing
    ],
)
def test_aiq_is_the_mean_height_from_cheapest_to_dearest(
    points: list[tuple[float, float]], expected: float
) -> None:
    assert aiq(*columns(points), 1, 3) == pytest.approx(expected)


def test_aiq_is_undefined_where_all_llms_cost_the_same_or_unknown() -> None:
    assert math.isnan(aiq(np.array([1.0]), np.array([1.0]), 1, 1))
    assert math.isnan(aiq(np.array([math.nan]), np.array([1.0]), math.nan, math.nan))


@given(POINTS, st.floats(0, 5), st.floats(0, 1))
def test_a_further_dearer_point_never_lowers_aiq(
    points: list[tuple[float, float]], more: float, quality: float
) -> None:
    further = (min(points)[0] + more, quality)
    assert aiq(*columns([*points, further]), 0.05, 5) >= aiq(*columns(points), 0.05, 5) - 1e-9


def test_the_lambda_sweep_goes_from_the_best_score_to_the_cheapest() -> None:
    scores = np.array([[0.1, 0.5, 0.9], [0.8, 0.7, 0.6]])
    choices = lambda_sweep(scores, np.array([1.0, 2.0, 10.0]))
    assert choices[0].tolist() == [2, 0]
    assert choices[-1].tolist() == [0, 0]
    assert [1, 0] in choices.tolist()


def test_of_equal_scores_the_cheaper_llm_is_chosen() -> None:
    assert lambda_sweep(np.array([[1.0, 1.0]]), np.array([5.0, 2.0]))[0].tolist() == [1]


def test_an_llm_without_a_score_is_never_chosen() -> None:
    assert 0 not in lambda_sweep(np.array([[-np.inf, 0.5, 0.9]]), np.array([0.0, 1.0, 2.0]))


def test_a_sweep_of_many_queries_has_few_points_and_keeps_its_ends() -> None:
    scores = np.random.default_rng(0).random((400, 4))
    choices = lambda_sweep(scores, np.arange(1.0, 5.0), points=50)
    assert choices.shape == (50, 400)
    assert (choices[0] == scores.argmax(axis=1)).all()
    assert (choices[-1] == 0).all()


def test_the_threshold_sweep_sends_the_first_to_the_strong_llm() -> None:
    found = threshold_sweep(np.array([2, 0, 1]), weak=1, strong=0)
    assert found.tolist() == [[1, 1, 1], [1, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert threshold_sweep(np.arange(1000), 0, 1, points=11).sum(axis=1).tolist() == [*range(0, 1001, 100)]


@given(st.lists(st.integers(-10, 10), min_size=1, max_size=20))
def test_for_two_llms_both_sweeps_reach_the_same_shares(differences: list[int]) -> None:
    scores = np.array([[0.0, float(difference)] for difference in differences])
    order = np.argsort(-scores[:, 1], kind="stable")
    by_threshold = {tuple(choice) for choice in threshold_sweep(order, 0, 1).tolist()}
    assert {tuple(choice) for choice in lambda_sweep(scores, np.array([1.0, 2.0])).tolist()} <= by_threshold
