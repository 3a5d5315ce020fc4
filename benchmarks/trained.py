"""Train routers on real routing outcomes and evaluate them, by the two commands that users have.

One configuration for all data sets, the shipped default. The data are read beside the project, and where they
are missing this says so. Status 1 if a floor is not reached.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from llmrouter_knn.router import KnnRouter

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
WORK = Path("build") / "quality"
# The metric by which each router is judged on the dev part of each data set, and the least it must be.
FLOORS = {
    "paretorouter": {"routerbench": ("aiq", 0.87), "mmlu": ("apgr", 0.70), "gsm8k": ("apgr", 0.60)},
    "knnrouter": {"routerbench": ("aiq", 0.874), "mmlu": ("apgr", 0.68)},
}
# Of knnrouter: queries that it remembers, and the least that it must route in a second.
NEIGHBOURS = 10_000
THROUGHPUT = 5_000
ROUNDS = 7


def main() -> int:
    """Print a line for each router and data set, and one for the speed of knnrouter."""
    if not DATA.is_dir():
        print(f"Skipped: there is no {DATA}, where the real outcomes are read")
        return 0
    missed = 0
    for router, floors in FLOORS.items():
        for name, (metric, floor) in floors.items():
            config = _config(router, name)
            started = time.perf_counter()
            _llmrouter("train", "--router", router, "--config", config)
            seconds = time.perf_counter() - started
            told = json.loads(_llmrouter("evaluate", "--router", router, "--config", config, "--json"))
            found = told["routers"][0][metric]
            zero = told["baselines"]["zero_router"]["aiq"]["value"]
            beside = f", zero router {zero:.4f}" if metric == "aiq" else ""
            print(
                f"{name} dev, {router}: {metric.upper()} {found['value']:.4f} ({found['low']:.3f} to "
                f"{found['high']:.3f}){beside}, at least {floor}; trained in {seconds:.0f} s",
                flush=True,
            )
            missed += found["value"] < floor
    speeds = _throughput()
    print(
        f"mmlu texts, knnrouter: {statistics.median(speeds):,.0f} queries a second over {NEIGHBOURS:,} "
        f"neighbours ({min(speeds):,.0f} to {max(speeds):,.0f}), at least {THROUGHPUT:,}"
    )
    missed += statistics.median(speeds) < THROUGHPUT
    return 1 if missed else 0


def _throughput() -> list[float]:
    """Return how many texts of MMLU's dev part knnrouter routes in a second, in each of a few rounds."""
    queries: dict[str, list[dict[str, Any]]] = {}
    for row in itertools.chain(_rows("mmlu", "train"), dev := _rows("mmlu", "dev")):
        queries.setdefault(row["query"], []).append(row)
    remembered = itertools.islice(queries.values(), NEIGHBOURS)
    rows = WORK / "neighbours.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for group in remembered for row in group))
    config = _config("knnrouter", "mmlu", rows)
    _llmrouter("train", "--router", "knnrouter", "--config", config)
    router = KnnRouter(config)
    router.load_router(json.loads(Path(config).read_text())["model_path"]["load_model_path"])
    if router.trained["queries"] < NEIGHBOURS:
        raise RuntimeError(f"at least {NEIGHBOURS} queries are to be remembered")
    batch = [{"query": text} for text in dict.fromkeys(row["query"] for row in dev)]
    router.route_batch(batch[:100])
    speeds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        router.route_batch(batch)
        speeds.append(len(batch) / (time.perf_counter() - started))
    return speeds


def _rows(name: str, part: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name / f"routing_{part}.jsonl").open(encoding="utf-8")]


def _config(router: str, name: str, train: Path | None = None) -> str:
    folder = (WORK / name / router).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    saved = str(folder / "router.safetensors")
    sections = {
        "data_path": {
            "llm_data": str(DATA / name / "llm_candidates.json"),
            "routing_data_train": str((train or DATA / name / "routing_train.jsonl").resolve()),
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
