"""The gateways that are compared, each with one worker and all candidates at one upstream."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import surroundings
from serving import environments
from serving.environments import place
from serving.load import PATH
from serving.processes import HOST, Program, free_port
from surroundings import CANDIDATES, Bare

MASTER_KEY = "sk-bench-0123456789abcdef"
BARE = Path(__file__).parent.parent / "bare.py"
PROMPTS = (
    "What is machine learning?",
    "Translate thank you into Italian.",
    "Explain step by step how antibiotic resistance spreads, and derive a simple model for its frequency.",
    "¿Cómo creo una lista vacía en Python?",
    "Summarise the causes of the French revolution in three sentences for a pupil of twelve years.",
    "Prove that there are infinitely many primes, and say where the proof uses that 1 is not one.",
)
BODIES = 60


class Ours(NamedTuple):
    """Our gateway's environment, and the files that it is started with."""

    bare: Bare
    keys: Path
    key: str

    def serve(
        self, router: str, endpoint: str, *, name: str | None = None, more: Sequence[str] = ()
    ) -> Program:
        """How to start it with one of the routers, its candidates at an endpoint."""
        name = name or router
        port = free_port()
        config = _write_config(self.bare, name, router, endpoint)
        command: list[str | Path] = [_script(self.bare), "serve", "--router", router, "--config", config]
        command += ["--keys-file", self.keys, "--host", HOST, "--port", str(port), *more]
        command += ["--access-log", place("work", name) / "access.log"]
        return Program(name, command, port, "/readyz", surroundings.environ(), place("work"))


def ours() -> Ours:
    """Make the environment, train thresholdrouter on the example data, and make a key."""
    bare = environments.ours()
    project = place("work") / "project"
    # Anew each time, for what an earlier version learned may be of another form.
    shutil.rmtree(project, ignore_errors=True)
    _run(bare, "init", str(project))
    config = "custom_routers/thresholdrouter/config.yaml"
    _run(bare, "train", "--router", "thresholdrouter", "--config", config, at=project)
    keys = place("work") / "keys.json"
    keys.unlink(missing_ok=True)
    return Ours(bare, keys, _run(bare, "keys", "create", "bench", "--keys-file", str(keys)).strip())


def baseline(endpoint: str) -> Program:
    """The bare pass-through."""
    port = free_port()
    command: list[str | Path] = [environments.baseline().python, BARE, endpoint, str(port)]
    # It has but one path, which takes no GET.
    return Program("bare", command, port, PATH, surroundings.environ(), place("work"), ready_status=405)


def litellm(endpoint: str) -> Program:
    """The LiteLLM proxy in its plainest configuration: one deployment, a master key, no database."""
    port = free_port()
    chosen = {"model": "openai/upstream-model", "api_base": f"{endpoint}/v1", "api_key": "none"}
    settings = {
        "model_list": [{"model_name": "auto", "litellm_params": chosen}],
        "general_settings": {"master_key": MASTER_KEY},
    }
    config = place("work") / "litellm.json"
    config.write_text(json.dumps(settings))  # JSON is YAML
    bare = environments.litellm()
    command: list[str | Path] = [bare.python.with_name("litellm"), "--config", config]
    command += ["--host", HOST, "--port", str(port), "--num_workers", "1", "--telemetry", "False"]
    offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    environ = {**surroundings.environ(), **offline}
    return Program("litellm", command, port, "/health/liveliness", environ, place("work"))


def write_bodies(name: str = "bodies", **fields: object) -> Path:
    """Write chat requests, one a line."""
    path = place("work") / f"{name}.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        for number in range(BODIES):
            system = {"role": "system", "content": "You are a helpful assistant. Answer briefly."}
            user = {"role": "user", "content": f"{PROMPTS[number % len(PROMPTS)]} ({number})"}
            body = {"model": "auto", "messages": [system, user], "temperature": 0.2, "max_tokens": 256}
            stream.write(json.dumps({**body, **fields}, ensure_ascii=False) + "\n")
    return path


def _write_config(bare: Bare, name: str, router: str, endpoint: str) -> Path:
    folder = place("work", name)
    # Prices, so that the cost of each answer is reckoned, too.
    priced = {"input_price": 0.15, "output_price": 0.6}
    candidates = {llm: {**declared, **priced, "model": llm} for llm, declared in CANDIDATES.items()}
    (folder / "llm.json").write_text(json.dumps(candidates))
    settings: dict[str, object] = {
        "data_path": {"llm_data": "llm.json"},
        "api_endpoint": f"{endpoint}/v1",
        "hparam": {},
    }
    if router == "thresholdrouter":
        saved = place("work") / "project" / "saved_models" / router / "model.safetensors"
        settings["model_path"] = {"load_model_path": str(saved)}
        names = list(CANDIDATES)
        settings["hparam"] = {"small_model": names[0], "large_model": names[-1]}
    path = folder / "config.yaml"
    path.write_text(json.dumps(settings, indent=2))  # JSON is YAML
    return path


def _run(bare: Bare, *arguments: str, at: Path | None = None) -> str:
    command = [str(_script(bare)), *arguments]
    environ, folder = surroundings.environ(), at or place("work")
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _script(bare: Bare) -> Path:
    return bare.python.with_name("llmrouter")
