"""The guide "Custom Router Plugin System", followed as a user would, its code as it stands there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter.plugin_system import discover_and_register_plugins
from llmrouter.routing import open_engine
from llmrouter_testing.upstream import Upstream

Write = Callable[[str, str], Path]
Invoke = Callable[..., Any]

ROUTER = '''
from llmrouter.models.meta_router import MetaRouter
import torch.nn as nn

class MyRouter(MetaRouter):
    def __init__(self, yaml_path: str):
        # Create your model
        model = nn.Identity()  # Replace with actual model

        # Initialize parent (loads config and data)
        super().__init__(model=model, yaml_path=yaml_path)

        # Your initialization code
        self.llm_names = list(self.llm_data.keys())

    def route_single(self, query_input: dict) -> dict:
        """Route a single query."""
        # Your routing logic here
        selected_llm = self.llm_names[0]  # Example

        return {
            "query": query_input.get("query", ""),
            "model_name": selected_llm,
            "predicted_llm": selected_llm,
        }

    def route_batch(self, batch: list) -> list:
        """Route multiple queries."""
        return [self.route_single(item) for item in batch]
'''

CONFIG = """
data_path:
  llm_data: 'data/example_data/llm_candidates/default_llm.json'
  query_data_test: 'data/example_data/query_data/default_query_test.jsonl'

hparam:
  # Your hyperparameters here
  param1: value1

api_endpoint: 'https://integrate.api.nvidia.com/v1'
"""

MAKE_DIRECTORY = """
mkdir -p custom_routers/my_router
cd custom_routers/my_router
"""

USE = """
# Inference
llmrouter infer --router my_router \\
  --config custom_routers/my_router/config.yaml \\
  --query "What is machine learning?"

# List all routers (including custom ones)
llmrouter list-routers
"""

TRAINER = '''
from llmrouter.models.base_trainer import BaseTrainer

class MyRouterTrainer(BaseTrainer):
    def __init__(self, router, config: dict, device: str = "cpu"):
        super().__init__(router, config, device)

        # Setup optimizer, hyperparameters, etc.
        self.optimizer = ...
        self.num_epochs = config['hparam']['train_epoch']

    def train(self) -> None:
        """Training logic."""
        for epoch in range(self.num_epochs):
            # Your training loop
            pass

        # Save model
        save_path = self.config['model_path']['save_model_path']
        self.router.save_router(save_path)
'''

TRAIN = """
llmrouter train --router my_router \\
  --config custom_routers/my_router/config.yaml
"""

RANDOM = """
# Test it
llmrouter infer --router randomrouter \\
  --config custom_routers/randomrouter/config.yaml \\
  --query "Hello world" \\
  --route-only
"""

DEBUGGING = """
from llmrouter.plugin_system import discover_and_register_plugins

registry = discover_and_register_plugins(
    plugin_dirs=['custom_routers'],
    verbose=True
)

print(f"Discovered routers: {registry.get_router_names()}")
"""

INTERFACE = '''
def route_single(self, query_input: dict) -> dict:
    """
    Route a single query.

    Args:
        query_input: dict with at least 'query' key

    Returns:
        dict with at least 'model_name' or 'predicted_llm' key
    """
    pass

def route_batch(self, batch: list) -> list:
    """
    Route multiple queries.

    Args:
        batch: list of query_input dicts

    Returns:
        list of routing result dicts
    """
    pass
'''

OPTIONAL_FIELDS = """
data_path:
  llm_data: 'path/to/llm_candidates.json'  # Required
  query_data_train: 'path/to/train_queries.jsonl'
  query_data_test: 'path/to/test_queries.jsonl'
  routing_data_train: 'path/to/train_routing.jsonl'
  routing_data_test: 'path/to/test_routing.jsonl'

hparam:
  # Your custom hyperparameters

model_path:
  save_model_path: 'saved_models/my_router/model.pt'
  load_model_path: 'saved_models/my_router/model.pt'

metric:
  weights:
    performance: 1
    cost: 0
    llm_judge: 0

api_endpoint: 'https://integrate.api.nvidia.com/v1'
"""

CANDIDATES = """
{
  "model-name-1": {
    "model": "api/model-path",
    "size": "7B",
    "cost": 0.001
  },
  "model-name-2": {
    "model": "api/model-path-2",
    "size": "70B",
    "cost": 0.01
  }
}
"""

QUERIES = """
{"query": "What is AI?", "id": "q1"}
{"query": "Explain quantum computing", "id": "q2"}
"""

ROUTING = """
{"query": "What is AI?", "best_llm": "model-name-1", "performance": 0.95}
{"query": "Explain quantum computing", "best_llm": "model-name-2", "performance": 0.88}
"""

MULTI_ROUND = '''
class MyMultiRoundRouter(MetaRouter):
    def answer_query(self, query: str, return_intermediate: bool = False):
        """Handle complex queries with multiple routing decisions."""
        # Decompose query
        sub_queries = self._decompose(query)

        # Route each sub-query
        results = []
        for sq in sub_queries:
            routing = self.route_single({'query': sq})
            # Call API, aggregate results, etc.
            results.append(routing)

        return self._aggregate(results)
'''

SHARED = """
# In custom_routers/shared_utils.py
def shared_preprocessing(query):
    # Shared utility functions
    return processed_query
"""

INFER = (
    *("infer", "--router", "my_router", "--config", "custom_routers/my_router/config.yaml"),
    *("--query", "What is machine learning?", "--route-only"),
)
SERVICE = "https://integrate.api.nvidia.com/v1"
FIRST = "qwen2.5-7b-instruct"  # of the example candidates


def shell(script: str) -> subprocess.CompletedProcess[str]:
    """Run commands as they are typed, in this folder."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["sh", "-e", "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path},
        timeout=300,
    )


@pytest.fixture
def example_data(invoke: Invoke) -> None:
    """The example data alone, without the routers that come with it."""
    assert invoke("init").status == 0
    shutil.rmtree("custom_routers")


@pytest.fixture
def my_router(example_data: None, write: Write) -> Callable[..., Path]:
    """Put a router into a folder of custom_routers as the guide says, with its configuration."""

    def my_router(source: str = ROUTER, folder: str = "my_router", config: str = CONFIG) -> Path:
        write(f"custom_routers/{folder}/config.yaml", config)
        return write(f"custom_routers/{folder}/router.py", source).parent

    return my_router


@pytest.mark.torch
class TestQuickStart:
    def test_from_an_empty_folder_to_an_answer(self, write: Write, upstream: Upstream) -> None:
        made = shell("llmrouter init\n" + MAKE_DIRECTORY + "pwd")
        assert made.stdout.strip() == str(Path.cwd() / "custom_routers/my_router")
        write("custom_routers/my_router/router.py", ROUTER)
        # The service of the guide is not within reach of a test.
        write("custom_routers/my_router/config.yaml", CONFIG.replace(SERVICE, upstream.url))
        used = shell(USE)
        assert used.returncode == 0, used.stderr
        decoder = json.JSONDecoder()
        decision, end = decoder.raw_decode(used.stdout)
        assert (decision["model_name"], decision["predicted_llm"]) == (FIRST, FIRST)
        assert decision["query"] == "What is machine learning?"
        assert decision["router"] == "my_router"
        assert decision["response"] == "echo What is machine learning?"
        assert [request["model"] for request in upstream.requests] == ["qwen/qwen2.5-7b-instruct"]
        listed, _ = decoder.raw_decode(used.stdout[end:].lstrip())
        (row,) = [row for row in listed if row["name"] == "my_router"]
        assert (row["state"], row["target"], row["from"]) == ("ready", "MyRouter", "custom_routers/my_router")
        assert used.stderr.count("Running router") == 1

    def test_the_queries_of_the_configuration_are_routed_in_a_batch(
        self, my_router: Callable[..., Path], invoke: Invoke
    ) -> None:
        my_router()
        queries = "data/example_data/query_data/default_query_test.jsonl"
        outcome = invoke(*INFER[:5], "--input", queries, "--route-only")
        assert outcome.status == 0
        assert len(outcome.lines) == len(Path(queries).read_text().splitlines())
        assert {line["model_name"] for line in outcome.lines} == {FIRST}

    def test_what_it_loads_is_there(self, my_router: Callable[..., Path]) -> None:
        import torch

        my_router()
        engine = open_engine(
            discover_and_register_plugins(), "my_router", "custom_routers/my_router/config.yaml"
        )
        router: Any = engine.router
        assert router.llm_names == list(router.llm_data)
        assert router.cfg["hparam"] == {"param1": "value1"}
        assert router.query_data_test[0]["query"] == "What is machine learning?"
        assert isinstance(router.model, torch.nn.Identity)


@pytest.mark.torch
class TestDirectoryStructure:
    @pytest.mark.parametrize("trainer", [True, False])
    @pytest.mark.parametrize("export", [None, "", "from .router import MyRouter"])
    @pytest.mark.parametrize("marker", [True, False])
    def test_optional_files_are_optional(
        self,
        marker: bool,
        export: str | None,
        trainer: bool,
        my_router: Callable[..., Path],
        write: Write,
        invoke: Invoke,
    ) -> None:
        folder = my_router()
        if marker:
            write("custom_routers/__init__.py", "")
        if export is not None:
            write(f"{folder}/__init__.py", export)
        if trainer:
            write(f"{folder}/trainer.py", TRAINER)
        outcome = invoke(*INFER)
        assert (outcome.status, outcome.json["model_name"]) == (0, FIRST)
        (row,) = [row for row in invoke("list-routers").json if row["name"] == "my_router"]
        assert row["trainable"] is trainer

    @pytest.mark.parametrize("place", ["custom_routers", "~/.llmrouter/plugins", "one", "two"])
    def test_each_place_is_searched(
        self, place: str, my_router: Callable[..., Path], invoke: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = my_router()
        shutil.move(folder / "config.yaml", "config.yaml")
        target = Path(place).expanduser()
        for other in ("one", "two"):
            Path(other).mkdir()
        if place != "custom_routers":
            target.mkdir(parents=True, exist_ok=True)
            shutil.move(folder, target)
        monkeypatch.setenv("LLMROUTER_PLUGINS", "one:two")
        outcome = invoke(*INFER[:3], "--config", "config.yaml", *INFER[5:])
        assert (outcome.status, outcome.json["model_name"]) == (0, FIRST)
        (row,) = [row for row in invoke("list-routers").json if row["name"] == "my_router"]
        assert row["origin"] == str((target / "my_router").absolute())

    def test_a_configuration_may_lie_anywhere(self, my_router: Callable[..., Path], invoke: Invoke) -> None:
        shutil.move(my_router() / "config.yaml", "elsewhere.yaml")
        assert invoke(*INFER[:3], "--config", "elsewhere.yaml", *INFER[5:]).status == 0


@pytest.mark.torch
class TestInterface:
    SKELETON = "from llmrouter.models.meta_router import MetaRouter\n\nclass MyRouter(MetaRouter):\n"

    def methods(self, *replacements: tuple[str, str]) -> str:
        text = "".join(f"    {line}\n" if line else "\n" for line in INTERFACE.strip().splitlines())
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        return self.SKELETON + text

    def test_the_methods_as_they_stand_are_a_router(
        self, my_router: Callable[..., Path], invoke: Invoke
    ) -> None:
        my_router(self.methods())
        outcome = invoke(*INFER)
        assert outcome.status == 1
        assert "the router returned NoneType, not a dict" in outcome.err

    @pytest.mark.parametrize("key", ["model_name", "predicted_llm"])
    def test_either_key_names_the_llm(self, key: str, my_router: Callable[..., Path], invoke: Invoke) -> None:
        body = f"return {{'{key}': list(self.llm_data)[-1]}}"
        source = self.methods(("    pass\n", f"    {body}\n"))
        my_router(source)
        decision = invoke(*INFER).json
        names = list(json.loads(Path("data/example_data/llm_candidates/default_llm.json").read_text()))
        assert decision["model_name"] == decision["predicted_llm"] == names[-1]

    def test_route_batch_may_be_left_out(self, my_router: Callable[..., Path], invoke: Invoke) -> None:
        my_router(ROUTER.partition("    def route_batch")[0])
        assert invoke(*INFER).json["model_name"] == FIRST

    def test_a_multi_round_router_keeps_its_method(self, my_router: Callable[..., Path]) -> None:
        helpers = (
            "    def _decompose(self, query):\n        return query.split(' and ')\n\n"
            "    def _aggregate(self, results):\n        return [r['model_name'] for r in results]\n\n"
        )
        single = (
            "    def route_single(self, query_input):\n        return {'model_name': query_input['query']}\n"
        )
        my_router(
            self.SKELETON.partition("class")[0] + MULTI_ROUND + helpers + single, "my_multi_round_router"
        )
        registry = discover_and_register_plugins()
        config = "custom_routers/my_multi_round_router/config.yaml"
        router: Any = open_engine(registry, "my_multi_round_router", config).router
        assert type(router).__name__ == "MyMultiRoundRouter"
        assert router.answer_query("this and that") == ["this", "that"]

    @pytest.mark.parametrize(
        "statement",
        [
            "from shared_utils import shared_preprocessing",
            "from ..shared_utils import shared_preprocessing",
            "from custom_routers.shared_utils import shared_preprocessing",
            "from custom_routers import shared_utils as s\nshared_preprocessing = s.shared_preprocessing",
        ],
    )
    def test_routers_share_functions(
        self, statement: str, my_router: Callable[..., Path], write: Write, invoke: Invoke
    ) -> None:
        write(
            "custom_routers/shared_utils.py",
            SHARED.replace("    return", "    processed_query = query.upper()\n    return"),
        )
        source = ROUTER.replace('query_input.get("query", "")', 'query_input["query"]').replace(
            '"query": ', '"shared": shared_preprocessing(query_input["query"]), "query": '
        )
        for folder in ("my_router", "second"):
            my_router(f"{statement}\n{source}", folder)
        for name in ("my_router", "second"):
            outcome = invoke(*INFER[:2], name, *INFER[3:])
            assert outcome.json["extra"] == {"shared": "WHAT IS MACHINE LEARNING?"}


@pytest.mark.torch
class TestTraining:
    LINEAR = ROUTER.replace("nn.Identity()  # Replace with actual model", "nn.Linear(3, 2)")
    SECTIONS = """
hparam:
  train_epoch: 30

model_path:
  save_model_path: 'saved_models/my_router/model.pt'
"""
    TRAINABLE = CONFIG.replace(
        "hparam:\n  # Your hyperparameters here\n  param1: value1\n", SECTIONS.lstrip()
    )
    LOOP = (
        "            loss = self.router.model(torch.ones(1, 3)).square().sum()\n"
        "            self.optimizer.zero_grad()\n            loss.backward()\n"
        "            self.optimizer.step()\n"
        "        self.config['loss'] = loss.item()\n"
    )

    def test_the_trainer_as_it_stands_trains_a_model_that_has_weights(
        self, my_router: Callable[..., Path], write: Write
    ) -> None:
        folder = my_router(self.LINEAR, config=self.TRAINABLE)
        write(f"{folder}/trainer.py", TRAINER)
        done = shell(TRAIN)
        assert done.returncode == 0, done.stderr
        row = json.loads(done.stdout)
        assert (row["router"], row["saved"]) == ("my_router", "saved_models/my_router/model.pt")

    def test_what_was_learnt_is_saved_and_loaded(
        self, my_router: Callable[..., Path], write: Write, invoke: Invoke
    ) -> None:
        import torch

        folder = my_router(self.LINEAR, config=self.TRAINABLE)
        trainer = TRAINER.replace("= ...", "= torch.optim.SGD(router.model.parameters(), lr=0.1)")
        trainer = "import torch\n" + trainer.replace("            pass\n", self.LOOP)
        write(f"{folder}/trainer.py", trainer)
        assert invoke(*("train", *INFER[1:5])).status == 0
        load = "  load_model_path: 'saved_models/my_router/model.pt'\n"
        config = write(
            f"{folder}/config.yaml", self.TRAINABLE.replace("/model.pt'\n", "/model.pt'\n" + load, 1)
        )
        router: Any = open_engine(discover_and_register_plugins(), "my_router", config).router
        assert float(router.model(torch.ones(1, 3)).square().sum().detach()) < 1e-3
        assert invoke(*INFER).json["model_name"] == FIRST

    def test_a_model_without_weights_has_nothing_to_save(
        self, my_router: Callable[..., Path], write: Write, invoke: Invoke
    ) -> None:
        folder = my_router(config=self.TRAINABLE)
        write(f"{folder}/trainer.py", TRAINER)
        outcome = invoke(*("train", *INFER[1:5]))
        assert (outcome.status, outcome.out) == (1, "")
        assert "MyRouter has no weights to save" in outcome.err
        assert not Path("saved_models/my_router/model.pt").exists()

    def test_a_hyperparameter_that_is_missing_is_named(
        self, my_router: Callable[..., Path], write: Write, invoke: Invoke
    ) -> None:
        folder = my_router(self.LINEAR)
        write(f"{folder}/trainer.py", TRAINER)
        outcome = invoke(*("train", *INFER[1:5]))
        assert outcome.status == 1
        assert (
            outcome.err
            == "Error: Training 'my_router' failed: KeyError: 'train_epoch' (trainer.py, line 9)\n"
        )

    def test_without_a_trainer_there_is_no_training(
        self, my_router: Callable[..., Path], invoke: Invoke
    ) -> None:
        my_router(self.LINEAR, config=self.TRAINABLE)
        outcome = invoke(*("train", *INFER[1:5]))
        assert outcome.status == 1
        assert "cannot be trained; a trainer makes it trainable" in outcome.err


@pytest.mark.torch
def test_the_data_are_read_as_the_guide_writes_them(my_router: Callable[..., Path], write: Write) -> None:
    folder = my_router(
        config=OPTIONAL_FIELDS.replace("path/to/", "").replace("  load_model_path", "  # load")
    )
    write(f"{folder}/llm_candidates.json", CANDIDATES)
    for part in ("train", "test"):
        write(f"{folder}/{part}_queries.jsonl", QUERIES)
        write(f"{folder}/{part}_routing.jsonl", ROUTING)
    registry = discover_and_register_plugins()
    router: Any = open_engine(registry, "my_router", folder / "config.yaml").router
    assert router.llm_data["model-name-2"] == {"model": "api/model-path-2", "size": "70B", "cost": 0.01}
    assert router.metric_weights == [1, 0, 0]
    assert router.cfg["hparam"] == {}
    for part in ("train", "test"):
        queries, routing = getattr(router, f"query_data_{part}"), getattr(router, f"routing_data_{part}")
        assert [row["id"] for row in queries] == ["q1", "q2"]
        assert [row["best_llm"] for row in routing] == ["model-name-1", "model-name-2"]


def test_the_random_router_is_tried(example_data: None) -> None:
    assert shell("llmrouter init").returncode == 0
    done = shell(RANDOM)
    assert done.returncode == 0, done.stderr
    decision = json.loads(done.stdout)
    assert (decision["query"], decision["router"]) == ("Hello world", "randomrouter")
    assert decision["model_name"] in json.loads(
        Path("data/example_data/llm_candidates/default_llm.json").read_text()
    )


@pytest.mark.torch
class TestDebugging:
    def test_the_snippet_shows_what_is_found(self, my_router: Callable[..., Path], write: Write) -> None:
        my_router()
        my_router(ROUTER.replace("route_single(self, query_input: dict)", "route_single(self)"), "invalid")
        my_router("def (", "broken")
        done = subprocess.run(
            [sys.executable, "-c", DEBUGGING], capture_output=True, text=True, timeout=300, check=True
        )
        names = done.stdout.removeprefix("Discovered routers: ").strip()
        assert names.startswith("['my_router', ")
        assert "invalid" not in names
        assert "broken" not in names
        place = Path.cwd() / "custom_routers"
        log = done.stderr.splitlines()
        assert f"Router 'my_router' from {place}/my_router" in log
        for name, why in (
            ("invalid", "Router class validation failed: MyRouter in"),
            ("broken", "SyntaxError:"),
        ):
            told = f"Router {name!r} from {place}/{name} is not used, failed: {why}"
            assert [line for line in log if line.startswith(told)]

    def test_the_snippet_is_quiet_without_verbose(self, my_router: Callable[..., Path]) -> None:
        my_router()
        snippet = DEBUGGING.replace("verbose=True", "verbose=False")
        done = subprocess.run(
            [sys.executable, "-c", snippet], capture_output=True, text=True, timeout=300, check=True
        )
        assert "'my_router'" in done.stdout
        assert done.stderr == ""


@pytest.mark.torch
class TestCommonIssues:
    def refused(self, invoke: Invoke) -> str:
        outcome = invoke(*INFER)
        assert (outcome.status, outcome.out) == (1, "")
        return str(outcome.err)

    def test_a_folder_of_another_name_is_another_router(
        self, my_router: Callable[..., Path], invoke: Invoke
    ) -> None:
        my_router(folder="myrouter")
        told = self.refused(invoke)
        assert told == "Error: Unknown router: my_router; did you mean myrouter?\n"

    def test_a_class_that_does_not_end_in_router_is_none(
        self, my_router: Callable[..., Path], invoke: Invoke
    ) -> None:
        my_router(ROUTER.replace("class MyRouter", "class MyChooser"))
        told = self.refused(invoke)
        assert told.startswith("Error: Unknown router: my_router: ")
        assert told.endswith("no class whose name ends in 'Router' in router.py; name it MyRouter\n")

    @pytest.mark.usefixtures("example_data")
    def test_without_custom_routers_it_says_where_it_looked(self, invoke: Invoke) -> None:
        told = self.refused(invoke)
        assert told.startswith("Error: Unknown router: my_router")
        assert f"put its folder in {Path.cwd()}/custom_routers, {Path.home()}/.llmrouter/plugins" in told

    def test_a_dependency_that_is_missing_is_named(
        self, my_router: Callable[..., Path], invoke: Invoke
    ) -> None:
        my_router("import no_such_package\n" + ROUTER)
        told = self.refused(invoke)
        assert "ModuleNotFoundError: No module named 'no_such_package' (router.py, line 1)" in told
        assert "install what provides 'no_such_package'" in told

    @pytest.mark.parametrize(
        ("old", "new", "told"),
        [
            ("def route_single", "def route_one", "does not implement route_single"),
            ("(MetaRouter)", "", "inherits neither from llmrouter.models.meta_router.MetaRouter nor from"),
            ("(MetaRouter)", "(nn.Module)", "inherits from llmrouter.models.router.Router"),
            (
                "route_single(self, query_input: dict)",
                "route_single(self)",
                "route_single(self) cannot be called",
            ),
            ("route_batch(self, batch: list)", "route_batch(self)", "route_batch(self) cannot be called"),
            (
                "__init__(self, yaml_path: str)",
                "__init__(self, path: str)",
                "__init__(self, path) cannot be called",
            ),
        ],
    )
    def test_a_class_that_breaks_the_contract_fails_validation(
        self, old: str, new: str, told: str, my_router: Callable[..., Path], invoke: Invoke
    ) -> None:
        assert old in ROUTER
        my_router(ROUTER.replace(old, new))
        message = self.refused(invoke)
        assert message.startswith("Error: Router class validation failed: ")
        assert told in message
        assert str(Path.cwd() / "custom_routers/my_router") in message
