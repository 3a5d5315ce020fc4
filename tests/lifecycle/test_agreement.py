"""Cohen's kappa and Spearman's rank correlation."""

from __future__ import annotations

import pytest

from llmrouter_lifecycle.judges.agreement import agreement, cohen_kappa, spearman


def test_kappa_is_what_the_textbook_computes() -> None:
    # 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: observed 0.7, expected 0.5.
    pairs = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15
    assert cohen_kappa(pairs) == pytest.approx(0.4)


def test_kappa_is_not_defined_where_chance_always_agrees() -> None:
    assert cohen_kappa([(1, 1), (1, 1)]) is None
    assert cohen_kappa([]) is None


def test_spearman_shares_ranks_between_ties() -> None:
    assert spearman([(1, 10), (2, 20), (3, 30)]) == 1
    assert spearman([(1, 3), (2, 2), (3, 1)]) == -1
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4.
    assert spearman([(1, 1), (2, 2), (2, 3), (3, 4)]) == pytest.approx(4.5 / (4.5 * 5) ** 0.5)


def test_spearman_is_not_defined_where_one_side_is_constant() -> None:
    assert spearman([(1, 1), (1, 2)]) is None
    assert spearman([(1, 1)]) is None


def test_narrow_scales_are_compared_by_their_halves() -> None:
    found = agreement([0.4, 0.6, None, 0.9], [0.1, 0.9, 1, 0.2], 0, 1)
    assert (found.judged, found.failed) == (3, 1)
    assert found.kappa == pytest.approx((2 / 3 - 4 / 9) / (1 - 4 / 9))
