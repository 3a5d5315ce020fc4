"""A spec that cannot mean anything is refused where the plugin's author made it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

import llmrouter
from llmrouter.specs import CommandSpec, EncoderSpec, JudgeSpec, RouterSpec, Spec, TrainerSpec

KINDS = [RouterSpec, TrainerSpec, EncoderSpec, JudgeSpec, CommandSpec]

each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
@pytest.mark.parametrize("name", ["a", "my_router", "my-router", "my.router", "0", "k2", "a..-_"])
def test_names(kind: Callable[[Any, Any], Spec], name: str) -> None:
    assert dataclasses.astuple(kind(name, "package.module:Name"))[0] == name


@each_kind
@pytest.mark.parametrize(
    "name", ["", " ", "My", "a b", "a:b", "dir/a", "-a", "_a", ".a", "é", "a\n", "a,b", None, 3, b"a"]
)
def test_what_is_no_name(kind: Callable[[Any, Any], Spec], name: object) -> None:
    with pytest.raises(ValueError, match="is not a name; use lower-case letters") as caught:
        kind(name, "package.module:Name")
    assert str(caught.value).startswith(f"{kind.__name__}: {name!r} ")


@each_kind
@pytest.mark.parametrize("target", ["m:N", "a.b.c:N", "_a._b:_N", "m:Outer.Inner", "módulo:Ñ", "m2:N2"])
def test_targets(kind: Callable[[Any, Any], Spec], target: str) -> None:
    assert kind("a", target).target == target


@each_kind
@pytest.mark.parametrize(
    "target",
    [
        *["", "m", "m:", ":N", "m:N:O", ".m:N", "m.:N", "m..n:N", "m:N.", "m:.N", "2m:N", "m:2N", "a-b:N"],
        *["m :N", "m: N", "m:N\n", "m:N()", "folder/m.py:N", None, RouterSpec],
    ],
)
def test_what_is_no_target(kind: Callable[[Any, Any], Spec], target: object) -> None:
    with pytest.raises(ValueError, match=r"is not of the form 'package\.module:Name'") as caught:
        kind("a", target)
    assert repr(target) in str(caught.value)


@pytest.mark.parametrize("kind", [RouterSpec, CommandSpec])
@pytest.mark.parametrize("summary", [None, 3, ["Picks by length."]])
def test_what_is_no_summary(kind: Callable[[str, str, Any], Spec], summary: object) -> None:
    with pytest.raises(ValueError, match=r"summary .* is not text"):
        kind("a", "m:N", summary)


@pytest.mark.parametrize("dim", [0, -1, 2.5, "26", True])
def test_what_is_no_dimension(dim: Any) -> None:
    with pytest.raises(ValueError, match=f"dim {dim!r} is not a positive whole number"):
        EncoderSpec("letters", "m:N", dim)


def test_what_may_be_left_out() -> None:
    assert RouterSpec("a", "m:N").summary == CommandSpec("a", "m:N").summary == ""
    assert EncoderSpec("a", "m:N").dim is None


@each_kind
def test_a_spec_is_a_value(kind: Callable[[Any, Any], Spec]) -> None:
    spec = kind("a", "m:N")
    assert {spec, kind("a", "m:N")} == {spec}
    assert spec != kind("a", "m:O")
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.target = "m:O"  # type: ignore[misc]


@each_kind
def test_plugins_import_it_from_the_top(kind: type[Spec]) -> None:
    assert getattr(llmrouter, kind.__name__) is kind
    assert kind.__name__ in llmrouter.__all__
