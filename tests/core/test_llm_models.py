"""The sets of models that providers offer."""

from __future__ import annotations

import subprocess
import sys

import pytest

from llmrouter.completion.catalogue import Catalogue
from llmrouter.models import llm_models
from llmrouter.models.llm_models import ALL_MODELS, ANTHROPIC_MODELS, OPENAI_MODELS

NAMES = ["OPENAI_MODELS", "ANTHROPIC_MODELS", "TOGETHER_MODELS", "GEMINI_MODELS"]


@pytest.mark.parametrize("name", NAMES)
def test_a_set_holds_names_of_its_service(name: str) -> None:
    models = getattr(llm_models, name)
    service = name.partition("_")[0].lower()
    assert isinstance(models, frozenset)
    assert all(model.startswith(f"{service}/") and model.count("/") == 2 for model in models)


def test_sets_combine() -> None:
    both = ANTHROPIC_MODELS | OPENAI_MODELS
    assert len(both) == len(ANTHROPIC_MODELS) + len(OPENAI_MODELS)
    assert frozenset().union(*(getattr(llm_models, name) for name in NAMES)) == ALL_MODELS


def test_every_model_can_be_called_with_its_service_s_key_alone() -> None:
    keys = {f"{name.partition('_')[0]}_API_KEY": "k" for name in NAMES}
    catalogue = Catalogue({name: {} for name in ALL_MODELS}, {}, environ=keys)
    assert catalogue.endpoint("openai/openai/gpt-4o").model == "gpt-4o"
    together = "mistralai/Mistral-Small-24B-Instruct-2501"
    assert catalogue.endpoint(f"together/{together}").model == together
    for name in ALL_MODELS:
        assert catalogue.endpoint(name).url.startswith("https://")


def test_naming_models_imports_nothing_heavy() -> None:
    source = "import sys, llmrouter.models.llm_models as m\nassert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", source], check=True, timeout=300)
