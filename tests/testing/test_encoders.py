"""Each check of encoders passes our own and fails for the fault that it is there for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter_testing import encoder_suite
from llmrouter_testing.conformance import ENCODER_CHECKS
from llmrouter_testing.report import Check, ConformanceError
from llmrouter_testing.subjects.named import EncoderSubject
from tests.testing import encoders

DECLARING = {"light_plugin_import", "silent_import", "declared_metadata", "no_deprecated_hooks"}
FAULTY: list[tuple[str, type, str]] = [
    ("class_contract", encoders.OneText, r"encode\(self\) cannot be called as encode\(self, texts\)"),
    ("features_contract", encoders.Doubles, "float64 where float32 is expected"),
    ("features_contract", encoders.TooWide, "and dim 20"),
    ("single_and_batch_agree", encoders.Normalises, "other features alone"),
    ("deterministic", encoders.Hashes, "in another process"),
    ("unusual_texts", encoders.EmptyIsNaN, "no finite number"),
    ("state_round_trip", encoders.Forgets, "gives other features"),
    ("own_random_state", encoders.Draws, "changes the random numbers"),
    ("thread_safe", encoders.NotThreadSafe, "among threads"),
    ("changes_no_input", encoders.Sorts, "changes the list"),
]

TestHashingEncoder = encoder_suite("hashing")


def check_of(name: str) -> Check[Any]:
    found: Check[Any] = {check.name: check for check in ENCODER_CHECKS}[name]
    return found


@pytest.mark.processes
@pytest.mark.parametrize(
    ("check", "encoder", "told"), FAULTY, ids=[f"{c}-{e.__name__}" for c, e, _ in FAULTY]
)
def test_a_fault_is_found(check: str, encoder: Any, told: str) -> None:
    with pytest.raises(ConformanceError, match=told):
        check_of(check).run(EncoderSubject(encoder))


def test_a_slow_one_is_found() -> None:
    with pytest.raises(ConformanceError, match="more than 1 ms"):
        check_of("time_per_text").run(EncoderSubject(encoders.Slow, seconds_per_text=0.001))


@pytest.mark.processes
@pytest.mark.parametrize("check", [check for check in ENCODER_CHECKS if check.name not in DECLARING])
def test_one_without_fault_passes(check: Check[Any]) -> None:
    check.run(EncoderSubject(encoders.Letters))


def test_there_is_a_faulty_one_for_every_check() -> None:
    found = {name for name, *_ in FAULTY} | {"time_per_text"}
    assert {check.name for check in ENCODER_CHECKS} == found | DECLARING


def test_a_width_other_than_declared_is_found(install: Callable[..., Path]) -> None:
    source = """
        from llmrouter import EncoderSpec, hookimpl

        @hookimpl
        def llmrouter_register_encoders():
            return [EncoderSpec("letters", "tests.testing.encoders:Letters", dim=25)]
    """
    install("llmrouter-letters", {"fake_letters": source}, {"letters": "fake_letters"})
    with pytest.raises(ConformanceError, match="declared with dim 25, and its dim is 26"):
        check_of("features_contract").run(EncoderSubject("letters"))
