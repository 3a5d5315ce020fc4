"""Users name an encoder; one of a plugin gets what stands after the colon."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llmrouter.encoders import create_encoder
from llmrouter.encoders.hashing import HashingEncoder
from llmrouter.errors import LLMRouterError, PluginError

PLUGIN = """
    from llmrouter import hookimpl
    from llmrouter.specs import EncoderSpec

    @hookimpl
    def llmrouter_register_encoders():
        return [EncoderSpec("telling", "fake_encoder_code:Telling")]
"""

CODE = """
    import numpy as np
    from llmrouter.encoders.base import Encoder

    class Telling(Encoder):
        dim = 1

        def __init__(self, argument=None):
            super().__init__(argument)
            if argument == "broken":
                raise ZeroDivisionError("on purpose")
            self.name = f"telling:{argument}"

        def encode(self, texts):
            return np.asarray([[len(text)] for text in texts], np.float32)
"""

BLOCKING = """
import sys
sys.modules["numpy"] = None
from llmrouter.encoders import create_encoder
try:
    create_encoder("hashing")
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def telling(install: Callable[..., Path]) -> None:
    modules = {"fake_encoder": PLUGIN, "fake_encoder_code": CODE}
    install("llmrouter-telling", modules, {"telling": "fake_encoder"})


def test_hashing_comes_with_core() -> None:
    encoder = create_encoder("hashing")
    assert isinstance(encoder, HashingEncoder)
    assert encoder.argument is None


def test_each_call_makes_another_encoder() -> None:
    assert create_encoder("hashing") is not create_encoder("hashing")


@pytest.mark.parametrize("name", ["hashin", "", "Hashing", ":hashing"])
def test_an_unknown_name_is_told_with_those_there_are(name: str) -> None:
    with pytest.raises(LLMRouterError, match="Unknown encoder") as caught:
        create_encoder(name)
    assert "hashing" in str(caught.value).partition("there are")[2]


@pytest.mark.usefixtures("telling")
@pytest.mark.parametrize(
    ("name", "argument"),
    [("telling", None), ("telling:", None), ("telling:some/folder", "some/folder"), ("telling:a:b", "a:b")],
)
def test_an_encoder_of_a_plugin_gets_what_stands_after_the_colon(name: str, argument: str | None) -> None:
    assert create_encoder(name).argument == argument


@pytest.mark.usefixtures("telling")
def test_an_unknown_name_is_told_with_those_of_plugins() -> None:
    with pytest.raises(LLMRouterError, match="telling"):
        create_encoder("tell")


@pytest.mark.usefixtures("telling")
def test_an_encoder_that_fails_is_a_plugin_error() -> None:
    with pytest.raises(PluginError, match=r"'telling:broken'.*on purpose"):
        create_encoder("telling:broken")


@pytest.mark.usefixtures("telling")
def test_an_encoder_that_does_not_learn_has_no_state() -> None:
    encoder = create_encoder("telling")
    encoder.fit(["a text"])
    assert encoder.state() == ({}, {})
    encoder.restore({}, {})


def test_without_numpy_the_extra_is_named() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKING], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MissingExtraError")
    assert "llmrouter-core[numpy]" in done.stdout
