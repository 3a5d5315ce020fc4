"""What the reader of a page brings along: data of their own, LLMs that run, keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from llmrouter.models.llm_models import ANTHROPIC_MODELS, OPENAI_MODELS
from llmrouter_testing.upstream import Script
from tests.core.conftest import write_longformer
from tests.lifecycle.conftest import answer, requests

# Where pages have LLMs on this machine: llama.cpp and Ollama.
LLM_PORTS = (8080, 11434)


@dataclass(frozen=True)
class Brought:
    """What a reader brings to a page.

    Attributes:
        files: Writes the files, into this folder and for an upstream of this base URL.
        script: What the LLMs say.
        llm_ports: Where they listen, of `LLM_PORTS`; at the others the page starts one itself.
        typed: What the reader types where a program asks.
        environ: Variables of the reader's shell.
        after: A page that the reader has done before, in the same folder.
        offered: Our distributions that pip finds as on an index, and not as installed already; what they
            need is here.
    """

    files: Callable[[Path, str], None] | None = None
    script: Script | None = None
    llm_ports: tuple[int, ...] = LLM_PORTS
    typed: str = "What is machine learning?\n"
    environ: Mapping[str, str] = field(default_factory=dict)
    after: str | None = None
    offered: tuple[str, ...] = ()


def judging(request: dict[str, Any]) -> str:
    """Answer as LLMs of clearly different quality do, and judge them."""
    told = request["messages"][-1]["content"]
    if "<content>" in told:
        return f"<rationale>r</rationale><score>{1 if 'I do not know' in told else 5}</score>"
    if not told.split()[-1].isdigit():
        return f"Of {told}"
    return answer({**request, "model": request["model"].rpartition("/")[2]})


def _requests(folder: Path, url: str) -> None:
    rows = "".join(json.dumps(request) + "\n" for request in requests(50))
    (folder / "requests.jsonl").write_text(rows)


def _hosted(folder: Path, url: str) -> None:
    """The LLMs of paid services, which the upstream stands in for."""
    _requests(folder, url)
    llms = {name: {"input_price": 2.5, "output_price": 10} for name in OPENAI_MODELS | ANTHROPIC_MODELS}
    services = {name: {"api_endpoint": url, "concurrency": 32} for name in ("openai", "anthropic")}
    config = {"data_path": {"llm_data": llms}, "services": services}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def _longformer(folder: Path, url: str) -> None:
    """Models of the width that the page tells, but small and untrained, for there is no network."""
    write_longformer(folder / "models" / "longformer", hidden_size=768)
    write_longformer(folder / "models" / "mine", seed=1, hidden_size=768)


BROUGHT: Mapping[str, Brought] = {
    "README.md": Brought(files=_hosted, script=judging, llm_ports=()),
    "docs/encoders.md": Brought(files=_longformer, environ={"LLMROUTER_LONGFORMER": "models/longformer"}),
    "docs/lifecycle.md": Brought(files=_requests, script=judging),
    "docs/managing-plugins.md": Brought(typed="y\n", offered=("llmrouter-knn",)),
    "docs/tutorial/first-trained-router.md": Brought(after="docs/tutorial/first-query.md"),
    # Its first line is "cd ..".
    "docs/tutorial/first-plugin.md": Brought(after="docs/tutorial/first-query.md"),
    "packages/llmrouter-lifecycle/README.md": Brought(files=_hosted, script=judging),
}
