"""Bootstrap: seeded, in chunks or not, and of the width that theory tells."""

from __future__ import annotations

import numpy as np
import pytest

from llmrouter.evaluation import bootstrap
from llmrouter.evaluation.bootstrap import Interval, estimate, resampled
from llmrouter.evaluation.outcomes import Array


def means(values: Array) -> bootstrap.Estimates:
    return estimate(lambda w: {"mean": w @ values / w.sum(axis=1)}, len(values), 1000, 3)["mean"]


def test_the_same_seed_gives_the_same_intervals() -> None:
    values = np.random.default_rng(0).random(200)
    assert means(values).interval() == means(values).interval()


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(resampled(40, 25, 1)))
    monkeypatch.setattr(bootstrap, "_CHUNK", 200)
    parts = list(resampled(40, 25, 1))
    assert len(parts) == 5
    assert (np.concatenate(parts) == whole).all()


def test_each_resample_has_as_many_queries() -> None:
    assert (np.concatenate(list(resampled(30, 10, 0))).sum(axis=1) == 30).all()


def test_the_interval_is_as_wide_as_theory_tells() -> None:
    values = np.random.default_rng(1).normal(size=2000)
    value, low, high = means(values).interval()
    assert value == pytest.approx(values.mean())
    assert low is not None
    assert high is not None
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 2000**0.5, rel=0.1)


def test_undefined_resamples_do_not_count_and_none_is_no_interval() -> None:
    found = estimate(
        lambda w: {"some": np.where(w[:, 0] > 0, 1.0, np.nan), "none": np.full(len(w), np.nan)}, 5, 100, 0
    )
    assert found["some"].interval() == Interval(1, 1, 1)
    assert found["none"].interval() == Interval()


def test_without_resamples_there_is_the_value_alone() -> None:
    found = estimate(lambda w: {"mean": w.mean(axis=1)}, 5, 0, 0)
    assert found["mean"].interval() == Interval(1.0)
