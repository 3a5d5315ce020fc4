"""Embeddings are read from whichever format the content is in; what could run code is refused."""

from __future__ import annotations

import json
import pickle
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llmrouter.data.embeddings import is_safetensors, read_embeddings
from llmrouter.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    import torch

MATRIX = np.arange(6, dtype=np.float32).reshape(2, 3)
SUFFIXES = [".npy", ".pt", ".json", ".jsonl", ".safetensors", ".bin", ""]


class Payload:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("ran"),)


def numpy_file(name: str, array: Any) -> Path:
    with Path(name).open("wb") as stream:
        np.save(stream, array, allow_pickle=True)
    return Path(name)


def torch_file(name: str, value: Any) -> Path:
    import torch

    torch.save(value, name)
    return Path(name)


def tensor() -> torch.Tensor:
    import torch

    return torch.from_numpy(MATRIX)


def error_of(path: Path) -> DataError:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of some of the damaged ones
        with pytest.raises(DataError) as caught:
            read_embeddings(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_numpy(suffix: str) -> None:
    found = read_embeddings(numpy_file("e" + suffix, MATRIX))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, MATRIX)


@pytest.mark.torch
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_safetensors(suffix: str) -> None:
    from safetensors.numpy import save_file

    save_file({"small": MATRIX, "large": MATRIX + 1}, "e" + suffix)
    found = read_embeddings(Path("e" + suffix))
    assert set(found) == {"small", "large"}
    np.testing.assert_array_equal(found["large"], MATRIX + 1)


@pytest.mark.torch
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_torch(suffix: str) -> None:
    import torch

    found = read_embeddings(torch_file("e" + suffix, {"small": tensor()}))
    assert list(found) == ["small"]
    assert torch.equal(found["small"], tensor())


@pytest.mark.parametrize(
    "value", [{"small": [0.1, 0.2]}, {"gpt4": {"embedding": [1]}}, [[1, 2], [3]], [[1], {}], [{"a": 1}]]
)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize("suffix", [".json", ".npy", ""])
def test_a_file_of_json(value: Any, separators: tuple[str, str], suffix: str) -> None:
    path = Path("e" + suffix)
    path.write_text(json.dumps(value, separators=separators))
    assert read_embeddings(path) == value


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("indent", [" " * 7, " " * 8, " " * 9])
def test_json_with_its_brace_where_another_format_has_one(start: str, indent: str) -> None:
    Path("e.json").write_text(start + indent + '{"a": [1]}')
    assert read_embeddings(Path("e.json")) == {"a": [1]}


def test_a_file_of_json_lines() -> None:
    rows = [{"query": "one", "embedding": [1, 2]}, {"query": "two", "embedding": [3, 4]}]
    Path("e.jsonl").write_text("".join(json.dumps(row) + "\n\n" for row in rows))
    assert read_embeddings(Path("e.jsonl")) == rows


def test_a_header_in_text_is_none_of_safetensors() -> None:
    assert is_safetensors(b"\x40\x01\0\0\0\0\0\0{")
    assert not is_safetensors(b'{"gpt4":{"')
    assert not is_safetensors(b"")


@pytest.mark.parametrize("content", [b"", b"text", b"\x80\x04K\x01.", b"[1, 2", b"\x00" * 20])
@pytest.mark.parametrize("suffix", [".json", ".pt"])
def test_a_file_of_nothing_known(content: bytes, suffix: str) -> None:
    path = Path("e" + suffix)
    path.write_bytes(content)
    error_of(path)


def test_a_missing_file_and_a_folder() -> None:
    assert "there is no such file" in str(error_of(Path("absent.npy")))
    Path("folder").mkdir()
    assert "cannot be read: Is a directory" in str(error_of(Path("folder")))


@pytest.mark.parametrize("kept", [6, 8, 40, 100, 140])
def test_a_truncated_file_of_numpy(kept: int) -> None:
    path = numpy_file("e.npy", MATRIX)
    path.write_bytes(path.read_bytes()[:kept])
    assert "is damaged: " in str(error_of(path))


@pytest.mark.torch
@pytest.mark.parametrize("kept", [9, 20, -1])
def test_a_truncated_file_of_safetensors(kept: int) -> None:
    from safetensors.numpy import save

    path = Path("e.safetensors")
    path.write_bytes(save({"small": MATRIX})[:kept])
    assert "is damaged: " in str(error_of(path))


@pytest.mark.torch
@pytest.mark.parametrize("kept", [4, 60, 400, -1])
def test_a_truncated_file_of_torch(kept: int) -> None:
    path = torch_file("e.pt", tensor())
    path.write_bytes(path.read_bytes()[:kept])
    assert "is damaged: " in str(error_of(path))


def test_a_pickle_inside_a_file_of_numpy_is_not_loaded() -> None:
    error_of(numpy_file("e.npy", np.array([Payload()], dtype=object)))
    assert not Path("ran").exists()


@pytest.mark.torch
def test_a_pickle_inside_a_file_of_torch_is_not_loaded() -> None:
    error = error_of(torch_file("e.pt", {"small": tensor(), "more": Payload()}))
    assert error.problem == "holds more than tensors, which is not loaded, for it could run code"
    assert not Path("ran").exists()


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("suffix", [".pkl", ".pt", ".npy"])
def test_a_bare_pickle_is_not_loaded(protocol: int, suffix: str) -> None:
    path = Path("e" + suffix)
    path.write_bytes(pickle.dumps(Payload(), protocol))
    error_of(path)
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("content", "module"),
    [
        (b"PK\x03\x04 and more", "torch"),
        (b"\x40\0\0\0\0\0\0\0{}", "safetensors"),
        (b"\x93NUMPY\x01\0", "numpy"),
    ],
)
def test_a_package_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, content: bytes, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, f"{module}.numpy", None)
    Path("e.bin").write_bytes(content)
    with pytest.raises(MissingExtraError, match=r"e\.bin .*pip install 'llmrouter-core\[torch\]'"):
        read_embeddings(Path("e.bin"))


def test_reading_writes_nothing() -> None:
    read_embeddings(numpy_file("e.npy", MATRIX))
    assert [path.name for path in Path().iterdir()] == ["e.npy"]
