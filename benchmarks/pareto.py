"""Train paretorouter on real routing outcomes and evaluate it, by the two commands that users have.

One configuration for all data sets, the shipped default. The data are read beside the project, and where they
are missing this says so. Status 1 if a floor is not reached.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
WORK = Path("build") / "quality"
# The metric by which each data set is judged on its dev part, and the least it must be.
FLOORS = {"routerbench": ("aiq", 0.87), "mmlu": ("apgr", 0.70), "gsm8k": ("apgr", 0.60)}


def main() -> int:
    """Print a line for each data set."""
    if not DATA.is_dir():
        print(f"Skipped: there is no {DATA}, where the real outcomes are read")
        return 0
    missed = 0
    for name, (metric, floor) in FLOORS.items():
        config = _config(name)
        started = time.perf_counter()
        _llmrouter("train", "--router", "paretorouter", "--config", config)
        seconds = time.perf_counter() - started
        told = json.loads(_llmrouter("evaluate", "--router", "paretorouter", "--config", config, "--json"))
        found = told["routers"][0][metric]
        zero = told["baselines"]["zero_router"]["aiq"]["value"]
        beside = f", zero router {zero:.4f}" if metric == "aiq" else ""
        print(
            f"{name} dev, paretorouter: {metric.upper()} {found['value']:.4f} ({found['low']:.3f} to "
            f"{found['high']:.3f}){beside}, at least {floor}; trained in {seconds:.0f} s",
            flush=True,
        )
        missed += found["value"] < floor
    return 1 if missed else 0


def _config(name: str) -> str:
    folder = (WORK / name / "pareto").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    saved = str(folder / "router.safetensors")
    sections = {
        "data_path": {
            "llm_data": str(DATA / name / "llm_candidates.json"),
            "routing_data_train": str(DATA / name / "routing_train.jsonl"),
            "routing_data_test": str(DATA / name / "routing_dev.jsonl"),
        },
        "model_path": {"save_model_path": saved, "load_model_path": saved},
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(sections, indent=2))  # JSON is YAML
    return str(path)


def _llmrouter(*arguments: str) -> bytes:
    program = [sys.executable, "-m", "llmrouter_cli", *arguments]
    return subprocess.run(program, stdout=subprocess.PIPE, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
