"""Checkpoints without torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmrouter.errors import CheckpointError

np = pytest.importorskip("numpy")
pytest.importorskip("safetensors")


def test_arrays_and_header_come_back_as_they_were(tmp_path: Path) -> None:
    from llmrouter.models.arrays import read_arrays, write_arrays

    arrays = {
        "half": np.arange(6, dtype=np.float16).reshape(2, 3).T,
        "whole": np.array([1, -1]),
        "none": np.zeros((0, 4), np.float32),
    }
    write_arrays(arrays, tmp_path / "new" / "folder" / "a.safetensors", {"router": "r", "format": 1})
    again, header = read_arrays(tmp_path / "new" / "folder" / "a.safetensors")
    assert header == {"router": "r", "format": 1}
    assert again.keys() == arrays.keys()
    for name, array in arrays.items():
        assert again[name].dtype == array.dtype
        np.testing.assert_array_equal(again[name], array)


def test_what_is_no_checkpoint_is_told(tmp_path: Path) -> None:
    from llmrouter.models.arrays import read_arrays, write_arrays

    path = tmp_path / "a.safetensors"
    with pytest.raises(CheckpointError, match="train the router first"):
        read_arrays(path)
    path.write_text("a letter")
    with pytest.raises(CheckpointError, match="is no safetensors file"):
        read_arrays(path)
    write_arrays({"a": np.zeros(9)}, path, {})
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="is damaged"):
        read_arrays(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_arrays(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be written"):
        write_arrays({"a": np.zeros(9)}, path / "b", {})
