"""Rows are taken from sparse features as they would be from dense ones."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrouter.encoders.base import SparseBatch

if TYPE_CHECKING:
    from llmrouter.models.features import Features

pytestmark = pytest.mark.torch

Rows = list[list[tuple[int, float]]]

value = st.floats(-2, 2, width=32)
some_rows: st.SearchStrategy[Rows] = st.lists(
    st.lists(st.tuples(st.integers(0, 9), value), max_size=4), min_size=1, max_size=6
)


def sparse(rows: Rows) -> Features:
    from llmrouter.models.features import Features

    lengths = [len(row) for row in rows]
    return Features.of(
        SparseBatch(
            np.array([index for row in rows for index, _ in row], np.int64),
            np.array([number for row in rows for _, number in row], np.float32),
            np.cumsum([0, *lengths[:-1]], dtype=np.int64),
        )
    )


def rows_of(features: Features) -> Rows:
    assert features.indices is not None
    assert features.offsets is not None
    ends = features.offsets.tolist()
    pairs = list(zip(features.indices.tolist(), features.values.tolist(), strict=True))
    return [pairs[start:end] for start, end in pairwise(ends)]


def test_sparse_features_keep_their_rows() -> None:
    rows: Rows = [[(1, 0.5)], [], [(0, 1.0), (3, -1.0)]]
    assert len(sparse(rows)) == 3
    assert rows_of(sparse(rows)) == rows


@given(some_rows, st.data())
@settings(deadline=None)
def test_take_gives_what_picking_row_by_row_gives(rows: Rows, data: st.DataObject) -> None:
    import torch

    wanted = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8))
    taken = sparse(rows).take(torch.tensor(wanted, dtype=torch.long))
    assert len(taken) == len(wanted)
    assert rows_of(taken) == [rows[row] for row in wanted]


def test_take_from_dense_features() -> None:
    import torch

    from llmrouter.models.features import Features

    dense = Features.of(np.arange(6, dtype=np.float32).reshape(3, 2))
    assert len(dense) == 3
    taken = dense.take(torch.tensor([2, 0, 2]))
    assert taken.values.tolist() == [[4, 5], [0, 1], [4, 5]]
    assert len(taken) == 3


def test_no_rows() -> None:
    from llmrouter.encoders import create_encoder
    from llmrouter.models.features import Features

    assert len(Features.of(create_encoder("hashing").encode([]))) == 0


def test_to_a_device_keeps_them() -> None:
    from llmrouter.models.features import Features

    rows: Rows = [[(1, 0.5)], []]
    assert rows_of(sparse(rows).to("cpu")) == rows
    assert Features.of(np.ones((1, 2), np.float32)).to("cpu").values.tolist() == [[1, 1]]


@given(some_rows)
@settings(deadline=None)
def test_64_bits_give_what_32_give_with_its_gradient(rows: Rows) -> None:
    import torch

    from llmrouter.models.features import project

    told = []
    for features in (sparse(rows), sparse(rows).double()):
        weight = torch.arange(20.0, dtype=features.values.dtype).reshape(10, 2).requires_grad_()
        projected = project(features, weight)
        (projected**2).sum().backward()  # type: ignore[no-untyped-call]
        assert weight.grad is not None
        assert {projected.dtype, weight.grad.dtype} == {features.values.dtype}
        told.append([*projected.flatten().tolist(), *weight.grad.flatten().tolist()])
    assert told[1] == pytest.approx(told[0], rel=1e-4, abs=1e-4)


def test_an_index_that_the_weights_do_not_have_is_an_error_with_64_bits_too() -> None:
    import torch

    from llmrouter.models.features import project

    weight = torch.ones(3, 2, dtype=torch.float64)
    assert project(sparse([[(2, 1.0)], []]).double(), weight).tolist() == [[1, 1], [0, 0]]
    with pytest.raises(RuntimeError, match="3"):
        project(sparse([[(3, 1.0)]]).double(), weight)
    with pytest.raises(IndexError, match="-1"):
        project(sparse([[(-1, 1.0)]]).double(), weight)
