"""Weights are written whole or not at all, told apart by content, and never unpickled."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmrouter.errors import CheckpointError

if TYPE_CHECKING:
    import torch

pytestmark = pytest.mark.torch

SUFFIXES = [".safetensors", ".pt", ".pth", ".bin", ".json", ""]


class Payload:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("ran"),)


def weights() -> dict[str, torch.Tensor]:
    import torch

    return {"layer.weight": torch.arange(6.0).reshape(2, 3), "layer.bias": torch.ones(2)}


def safetensors_bytes() -> bytes:
    from safetensors.torch import save

    return save(weights())


def torch_bytes(value: Any = None, **options: Any) -> bytes:
    import torch

    torch.save(weights() if value is None else value, "saved", **options)
    content = Path("saved").read_bytes()
    Path("saved").unlink()
    return content


FORMATS: dict[str, Callable[[], bytes]] = {"safetensors": safetensors_bytes, "torch": torch_bytes}


def written(state: dict[str, torch.Tensor], path: str = "w.safetensors") -> dict[str, torch.Tensor]:
    from llmrouter.models.checkpoint import read_state, write_state

    write_state(state, path)
    return read_state(path)


def read(content: bytes, name: str = "w.pt") -> dict[str, torch.Tensor]:
    from llmrouter.models.checkpoint import read_state

    Path(name).write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of some of the damaged ones
        return read_state(name)


def error_in(content: bytes, name: str = "w.pt") -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        read(content, name)
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)
    assert os.listdir() == [name]
    return caught.value


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    import torch

    return sorted(found) == sorted(expected) and all(
        found[name].dtype == expected[name].dtype and torch.equal(found[name], expected[name])
        for name in expected
    )


@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "bfloat16", "int64", "uint8", "bool"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4)])
def test_what_is_written_is_read(kind: str, shape: tuple[int, ...]) -> None:
    import torch

    state = {"w": torch.randint(0, 2, shape).to(getattr(torch, kind)), "other": torch.ones(1)}
    assert same(written(state), state)


def test_weights_that_are_being_trained_are_written() -> None:
    import torch

    parameter = torch.nn.Parameter(torch.ones(2))
    found = written({"w": parameter * 2})
    assert found["w"].tolist() == [2, 2]
    assert not found["w"].requires_grad


def test_tied_weights_are_written_under_each_name() -> None:
    import torch

    tied = torch.arange(4.0)
    assert same(written({"a": tied, "b": tied, "c": tied}), {"a": tied, "b": tied, "c": tied})


def test_parts_of_one_tensor_are_written_each() -> None:
    import torch

    whole = torch.arange(12.0).reshape(3, 4)
    state = {"whole": whole, "row": whole[1], "turned": whole.T, "every second": whole[:, ::2]}
    assert same(written(state), state)
    assert same(written({"row": whole[1]}), {"row": whole[1]})


def test_the_home_folder_is_meant_by_a_tilde() -> None:
    assert same(written(weights(), "~/saved/w.safetensors"), weights())
    assert Path.home().joinpath("saved", "w.safetensors").is_file()


def test_missing_folders_are_made_and_nothing_else() -> None:
    assert same(written(weights(), "a/b/w.safetensors"), weights())
    assert os.listdir("a/b") == ["w.safetensors"]


def test_a_link_is_followed() -> None:
    Path("folder").mkdir()
    Path("latest").symlink_to("folder/w.safetensors")
    assert same(written(weights(), "latest"), weights())
    assert Path("latest").is_symlink()


def test_a_failed_write_leaves_the_old_file(monkeypatch: pytest.MonkeyPatch) -> None:
    from llmrouter.models.checkpoint import read_state, write_state

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    write_state(weights(), "w.safetensors")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        CheckpointError, match=r"^w\.safetensors: cannot be written: No space left on device$"
    ):
        write_state({"other": weights()["layer.bias"]}, "w.safetensors")
    assert same(read_state("w.safetensors"), weights())
    assert os.listdir() == ["w.safetensors"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device_is_an_error() -> None:
    from llmrouter.models.checkpoint import write_state

    with pytest.raises(CheckpointError, match="/dev/full: cannot be written: No space left on device"):
        write_state(weights(), "/dev/full")


@pytest.mark.parametrize("path", ["file/w.safetensors", "file/folder/w.safetensors", "folder"])
def test_a_place_that_cannot_be_written_to(path: str) -> None:
    from llmrouter.models.checkpoint import write_state

    Path("file").write_bytes(b"")
    Path("folder").mkdir()
    with pytest.raises(CheckpointError, match=f"^{path}: cannot be written: "):
        write_state(weights(), path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("form", FORMATS)
def test_formats_are_told_by_content(form: str, suffix: str) -> None:
    assert same(read(FORMATS[form](), "w" + suffix), weights())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_whatever_the_suffix_safetensors_are_written(suffix: str) -> None:
    from safetensors.torch import load

    written(weights(), "w" + suffix)
    assert same(load(Path("w" + suffix).read_bytes()), weights())


def test_a_torch_file_of_a_modules_state_is_read() -> None:
    import torch

    layer = torch.nn.Linear(3, 2)
    found = read(torch_bytes(layer.state_dict()))
    assert same(found, dict(layer.state_dict()))
    assert same(read(torch_bytes(OrderedDict(weights()))), weights())


def test_a_missing_file_or_a_folder() -> None:
    from llmrouter.models.checkpoint import read_state

    with pytest.raises(CheckpointError, match=r"^w\.pt: there is no such file; train the router first$"):
        read_state("w.pt")
    Path("w.pt").mkdir()
    with pytest.raises(CheckpointError, match=r"^w\.pt: cannot be read: Is a directory$"):
        read_state(Path("w.pt"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"some text that is no checkpoint\n",
        b'{"layer.weight": [1, 2]}',
        b'{"gpt4":{"layer": 1}}',
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'}",
        b"\x89PNG\r\n\x1a\n{" + b"\0" * 50,
        bytes(range(256)) * 4,
    ],
)
def test_a_file_of_something_else(content: bytes) -> None:
    assert error_in(content).problem.startswith("is neither a safetensors nor a torch file")


@pytest.mark.parametrize("inside", [{}, {"a.txt": "text"}, {"w/data.pkl": "text"}, {"w/version": "3"}])
def test_a_zip_that_is_no_torch_file(inside: dict[str, str]) -> None:
    with zipfile.ZipFile("zip", "w") as archive:
        for name, text in inside.items():
            archive.writestr(name, text)
    content = Path("zip").read_bytes()
    Path("zip").unlink()
    error_in(content)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kept", [1, 5, 9, 30, 100, 150, -1])
def test_a_truncated_file(form: str, kept: int) -> None:
    error_in(FORMATS[form]()[:kept])


def test_what_claims_to_hold_more_than_it_does_is_refused_unread() -> None:
    header = {"a": {"dtype": "F32", "shape": [125_000_000], "data_offsets": [0, 500_000_000]}}
    text = json.dumps(header).encode()
    assert "is damaged" in str(error_in(len(text).to_bytes(8, "little") + text + bytes(1000)))
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(torch_bytes())) as plain,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in plain.namelist():
            archive.writestr(name, bytes(50_000_000) if "/data/" in name else plain.read(name))
    error = error_in(packed.getvalue())
    assert re.fullmatch(r"is damaged: its \d+ bytes claim to hold \d+", error.problem)


@pytest.mark.parametrize("extra", [b"\0", b"more" * 9])
def test_safetensors_with_something_after_them(extra: bytes) -> None:
    assert "is damaged: " in str(error_in(safetensors_bytes() + extra))


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors", "w.pkl"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_payload_does_not_run(name: str, zipped: bool) -> None:
    content = torch_bytes({**weights(), "more": Payload()}, _use_new_zipfile_serialization=zipped)
    problem = error_in(content, name).problem
    assert problem.startswith("holds more than tensors" if zipped else "is neither")
    assert not Path("ran").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_bare_pickle_is_not_loaded(protocol: int) -> None:
    error_in(pickle.dumps(Payload(), protocol))
    assert not Path("ran").exists()


def test_the_payloads_of_these_tests_would_run() -> None:
    pickle.loads(pickle.dumps(Payload()))
    assert Path("ran").exists()


def test_a_torch_file_of_a_whole_module_is_refused() -> None:
    import torch

    assert "could run code" in str(error_in(torch_bytes(torch.nn.Linear(1, 1))))


def test_a_torch_file_from_before_torch_had_zips_is_refused() -> None:
    content = torch_bytes(_use_new_zipfile_serialization=False)
    assert "is neither a safetensors nor a torch file" in str(error_in(content))


@pytest.mark.parametrize(
    "value", [[1], 5, "text", {"epoch": 3}, {"state": {}}, {0: None}], ids=lambda value: str(value)
)
def test_a_torch_file_without_weights_by_name(value: Any) -> None:
    assert str(error_in(torch_bytes(value))) == "w.pt: does not hold a dict of tensors by name"


def test_weights_by_number_are_not_by_name() -> None:
    content = torch_bytes(dict(enumerate(weights().values())))
    assert "does not hold a dict of tensors by name" in str(error_in(content))


def test_a_file_that_holds_no_weights() -> None:
    from safetensors.torch import save

    assert str(error_in(save({}))) == "w.pt: holds no weights"
    assert str(error_in(torch_bytes({}))) == "w.pt: holds no weights"


def test_reading_writes_nothing() -> None:
    read(torch_bytes())
    assert os.listdir() == ["w.pt"]


@pytest.mark.parametrize("form", FORMATS)
@settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_damaged_file_is_a_checkpoint_error_or_still_has_its_weights(
    form: str, data: st.DataObject
) -> None:
    content = bytearray(FORMATS[form]())
    for _ in range(data.draw(st.integers(1, 4), "flips")):
        content[data.draw(st.integers(0, len(content) - 1), "place")] = data.draw(st.integers(0, 255), "byte")
    end = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))), "end")
    loaded_into_a_router(bytes(content[:end]))


def loaded_into_a_router(content: bytes) -> None:
    import torch

    from llmrouter.models import MetaRouter

    class Held(MetaRouter):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 2)

        def route_single(self, query_input: dict[str, Any]) -> dict[str, Any]:
            return {}

    Path("fuzzed").write_bytes(content)
    router = Held()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(CheckpointError):
            router.load_router("fuzzed")
    assert {name: tuple(value.shape) for name, value in router.state_dict().items()} == {
        "layer.weight": (2, 3),
        "layer.bias": (2,),
    }
