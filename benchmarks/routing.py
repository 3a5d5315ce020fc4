"""How fast thresholdrouter routes, against the same kind of estimator made of scikit-learn's parts.

The queries are those of real routing data, which are not part of the project but read beside it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from result import Result
from surroundings import ROOT, Bare, environ, folder, make_torch

DATA = ROOT.parent / "shared" / "data" / "mmlu"
ROUNDS = 21
BATCH = 1024
SINGLES = 100
# The whole takes one thread: what more of them give depends on the machine.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def measure(bare: Bare) -> Iterator[Result]:
    """Train both on MMLU and time them in turn, in an environment with torch and scikit-learn."""
    if not DATA.is_dir():
        print(f"Skipped: there is no {DATA}, whose queries thresholdrouter is measured with")
        return
    done = subprocess.run(
        [make_torch().python, __file__, _write_config()],
        cwd=folder("empty"),
        env={**environ(), **dict.fromkeys(THREADS, "1")},
        stdout=subprocess.PIPE,
        check=True,
    )
    for what, limit, unit, figures in json.loads(done.stdout):
        yield Result(what, statistics.median(figures), min(figures), max(figures), limit, unit)


def _write_config() -> Path:
    path = folder("routing") / "config.yaml"
    saved = str(folder("routing") / "router.safetensors")
    sections = {
        "data_path": {
            "llm_data": str(DATA / "llm_candidates.json"),
            "routing_data_train": str(DATA / "routing_train.jsonl"),
            "routing_data_test": str(DATA / "routing_dev.jsonl"),
        },
        "model_path": {"save_model_path": saved, "load_model_path": saved},
    }
    path.write_text(json.dumps(sections, indent=2))  # JSON is YAML
    return path


def _timed(config: str) -> list[tuple[str, float, str, list[float]]]:
    import torch

    torch.set_num_threads(1)
    from llmrouter_threshold.router import ThresholdRouter
    from llmrouter_threshold.trainer import ThresholdTrainer

    router = ThresholdRouter(config)
    ThresholdTrainer(router, router.cfg).train()
    floor = _floor(router.routing_data_train or ())
    texts = list(dict.fromkeys(row["query"] for row in router.routing_data_test or ()))
    queries = [{"query": text} for text in texts]

    together, alone = [], []
    for number in range(ROUNDS + 1):
        # Other queries each time; none is the first that a part sees.
        start = number * SINGLES % (len(texts) - BATCH)
        batch, batch_texts = queries[start : start + BATCH], texts[start : start + BATCH]
        ours, theirs = _seconds(router.route_batch, [batch]), _seconds(floor, [batch_texts])
        our_one = _seconds(router.route_single, batch[:SINGLES])
        their_one = _seconds(floor, [[text] for text in batch_texts[:SINGLES]])
        if number:  # the first round warms up
            together.append(ours / theirs)
            alone.append(our_one / their_one)
    return [
        (f"thresholdrouter.route_batch of {BATCH}", 1, "x sklearn", together),
        ("thresholdrouter.route_single", 1 / 3, "x sklearn", alone),
    ]


def _seconds(route: Callable[[Any], Any], questions: Sequence[Any]) -> float:
    started = perf_counter()
    for question in questions:
        route(question)
    return perf_counter() - started


def _floor(rows: Sequence[Any]) -> Callable[[list[str]], Any]:
    """Make hashing, TF-IDF and two logistic heads, with as many buckets and n-grams of words as ours."""
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    from sklearn.linear_model import LogisticRegression

    performance: dict[str, dict[str, float]] = {}
    for row in rows:
        performance.setdefault(row["model_name"], {})[row["query"]] = row["performance"]
    texts = list(next(iter(performance.values())))
    hashing = HashingVectorizer(ngram_range=(1, 2), n_features=2**16, alternate_sign=False, norm=None)
    weighting = TfidfTransformer(sublinear_tf=True)
    features = weighting.fit_transform(hashing.transform(texts))
    heads = [
        LogisticRegression(max_iter=200).fit(features, [told[text] >= 0.5 for text in texts])
        for told in performance.values()
    ]

    def score(batch: list[str]) -> Any:
        found = weighting.transform(hashing.transform(batch))
        first, second = (head.predict_proba(found)[:, 1] for head in heads)
        return second - first

    return score


if __name__ == "__main__":
    json.dump(_timed(sys.argv[1]), sys.stdout)
