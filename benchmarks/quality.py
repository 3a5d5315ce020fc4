"""Train thresholdrouter on real routing outcomes and evaluate it, by the two commands that users have.

One configuration for all data sets, the shipped default. The data are not part of the project: they are read
beside it, and where they are missing this says so. Status 1 if a floor is not reached.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
WORK = Path("build") / "quality"
FOLDS = 4
LINE = "{:<8} {:<14} {:>9} {:>17} {:>8} {:>8} {:>8} {:>9}"


class Floor(NamedTuple):
    """What a data set's dev part must reach: at least so much APGR, at most so much CPT(50)."""

    apgr: float
    cpt50: float


FLOORS = {"mmlu": Floor(0.70, 0.24), "gsm8k": Floor(0.60, 0.40)}


class Scores(NamedTuple):
    """What `llmrouter evaluate` tells of one router."""

    apgr: float
    interval: str
    cpt50: float
    cpt80: float
    auroc: float
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, evaluate, and print a line for each part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FLOORS)}; default: all")
    parser.add_argument("--no-folds", action="store_true", help="leave out the cross-validation")
    options = parser.parse_args(arguments)
    if not DATA.is_dir():
        print(f"Skipped: there is no {DATA}, where the real outcomes are read")
        return 0
    print(LINE.format("data", "part", "APGR", "95 % interval", "CPT(50)", "CPT(80)", "AUROC", "train (s)"))
    missed = 0
    for name in options.names or FLOORS:
        train, dev = (DATA / name / f"routing_{part}.jsonl" for part in ("train", "dev"))
        found = _measured(name, "dev", train, dev)
        _print(name, "dev", found)
        missed += found.apgr < FLOORS[name].apgr or found.cpt50 > FLOORS[name].cpt50
        _print(name, "dev, random", _evaluated(name, "randomrouter", dev, 0.0))
        if not options.no_folds:
            folds = [_measured(name, f"fold{k}", *_fold(name, (train, dev), k)) for k in range(FOLDS)]
            figures = [fold.apgr for fold in folds]
            told = f"{statistics.mean(figures):.3f} +- {statistics.stdev(figures):.3f}"
            cpt = statistics.mean(fold.cpt50 for fold in folds)
            print(
                LINE.format(name, f"{FOLDS} folds", told, "mean, deviation", f"{cpt:.3f}", "", "", ""),
                flush=True,
            )
    for name in options.names or FLOORS:
        floor = FLOORS[name]
        print(f"Floors, {name} dev: APGR at least {floor.apgr}, CPT(50) at most {floor.cpt50}")
    return 1 if missed else 0


def _measured(name: str, part: str, train: Path, held_out: Path) -> Scores:
    config = _config(name, part, train, held_out)
    started = time.perf_counter()
    _llmrouter("train", "--router", "thresholdrouter", "--config", config)
    return _evaluated(name, "thresholdrouter", held_out, time.perf_counter() - started, config)


def _evaluated(name: str, router: str, held_out: Path, seconds: float, config: str | None = None) -> Scores:
    config = config or _config(name, router, held_out, held_out)
    told = json.loads(_llmrouter("evaluate", "--router", router, "--config", config, "--json"))["routers"][0]
    low, high = told["apgr"]["low"], told["apgr"]["high"]
    return Scores(
        apgr=told["apgr"]["value"],
        interval=f"{low:.3f} to {high:.3f}",
        cpt50=told["cpt50"]["value"],
        cpt80=told["cpt80"]["value"],
        auroc=told["auroc"]["value"],
        seconds=seconds,
    )


def _config(name: str, part: str, train: Path, held_out: Path) -> str:
    folder = (WORK / name / part).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    saved = str(folder / "router.safetensors")
    sections = {
        "data_path": {
            "llm_data": str(DATA / name / "llm_candidates.json"),
            "routing_data_train": str(train),
            "routing_data_test": str(held_out),
        },
        "model_path": {"save_model_path": saved},
        "hparam": {},
    }
    if part != "randomrouter":
        sections["model_path"]["load_model_path"] = saved
    path = folder / "config.yaml"
    path.write_text(json.dumps(sections, indent=2))  # JSON is YAML
    return str(path)


def _fold(name: str, files: Iterable[Path], number: int) -> tuple[Path, Path]:
    """Write one fold of train and dev together, split by a hash of the query."""
    folder = (WORK / name).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[bool, list[str]] = {True: [], False: []}
    for file in files:
        for line in file.read_text("utf-8").rstrip("\n").split("\n"):
            query: Any = json.loads(line)["query"]
            parts[int(hashlib.sha256(b"fold" + query.encode()).hexdigest()[:8], 16) % FOLDS == number].append(
                line
            )
    train, held_out = folder / f"fold{number}-train.jsonl", folder / f"fold{number}-test.jsonl"
    train.write_text("\n".join(parts[False]) + "\n")
    held_out.write_text("\n".join(parts[True]) + "\n")
    return train, held_out


def _llmrouter(*arguments: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "llmrouter_cli", *arguments], stdout=subprocess.PIPE, check=True
    )
    return done.stdout


def _print(name: str, part: str, found: Scores) -> None:
    apgr, cpt50, cpt80, auroc = (
        f"{value:.3f}" for value in (found.apgr, found.cpt50, found.cpt80, found.auroc)
    )
    seconds = f"{found.seconds:.0f}" if found.seconds else ""
    print(LINE.format(name, part, apgr, found.interval, cpt50, cpt80, auroc, seconds), flush=True)


if __name__ == "__main__":
    sys.exit(main())
