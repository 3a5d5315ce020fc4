"""The published figures of real outcomes are reproduced, where those data are at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmrouter.data.candidates import read_candidates
from llmrouter.data.routing_data import read_routing_data
from llmrouter.evaluation.baselines import baselines, choose_pair
from llmrouter.evaluation.outcomes import Outcomes, outcomes_from_rows

DATA = Path(__file__).parents[4] / "shared" / "data"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no real outcomes at ../shared/data")


def read(name: str) -> Outcomes:
    rows = read_routing_data(DATA / name / "routing_dev.jsonl")
    return outcomes_from_rows(rows, read_candidates(DATA / name / "llm_candidates.json"))


def test_routerbench_zero_router_and_oracle() -> None:
    found = read("routerbench")
    assert (len(found.queries), len(found.llms), found.cost_unit) == (627, 11, "USD per query")
    aiq = {one.name: one.metrics.get("aiq") for one in baselines(found, None, 0, 0)[0]}
    assert aiq["zero_router"] is not None
    assert aiq["zero_router"].value == pytest.approx(0.841, abs=0.0005)
    assert aiq["oracle"] is not None
    assert aiq["oracle"].value == pytest.approx(0.977, abs=0.001)


@pytest.mark.parametrize(("name", "queries"), [("mmlu", 2780), ("gsm8k", 263)])
def test_pairs(name: str, queries: int) -> None:
    found = read(name)
    assert len(found.queries) == queries
    pair = choose_pair(found, None, None)
    assert pair is not None
    assert [found.llms[number] for number in pair] == ["mixtral-8x7b-instruct-v0.1", "gpt-4-1106-preview"]
    zero = next(one for one in baselines(found, pair, 0, 0)[0] if one.name == "zero_router")
    # Between two LLMs the hull is a straight line.
    assert zero.metrics["aiq"].value == pytest.approx(found.performance.mean())
