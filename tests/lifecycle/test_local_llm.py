"""A router's life with a real LLM on this machine, at two settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter_lifecycle import Client, cost_at_most, quality_at_least


@pytest.mark.llm
@pytest.mark.timeout(900)
def test_one_model_at_two_settings_is_judged_trained_and_routed(
    local_llm: str, tmp_path: Path, work: Callable[..., None]
) -> None:
    known = {"model": "local", "api_endpoint": local_llm, "service": "this-machine"}
    llms = {
        "brief": {**known, "input_price": 1, "output_price": 1, "parameters": {"max_tokens": 2}},
        "wordy": {**known, "input_price": 1, "output_price": 9, "parameters": {"max_tokens": 8}},
    }
    # What it says is not known, how long it is, is.
    judge = {"model_type": "regex", "pattern": r"\S+\s+\S+\s+\S+\s+\S+"}
    config: dict[str, Any] = {
        "services": {"this-machine": {"concurrency": 1}},
        "data_path": {"llm_data": llms},
    }
    with Client(tmp_path / "lifecycle.sqlite", config=config, worker=False) as client:
        kept = client.judges.create_judge("long", judge)
        router = client.routers.create_router("r", "brief")
        questions = ["Tell a story.", "Name the seasons.", "What is rain?", "Count to ten.", "Say hello."]
        asked = [{"messages": [{"role": "user", "content": question}]} for question in questions]
        job = client.routers.run_training_job(router, kept, ["brief", "wordy"], asked)
        work(client)
        results = client.routers.training_results(job)
        assert results.job.status == "SUCCESS", results.job.error_message
        assert results.fallback_to_means is True
        brief, wordy = results.llms["brief"], results.llms["wordy"]
        assert (brief.judged, wordy.judged) == (5, 5)
        assert brief.mean_score == 0
        assert (wordy.mean_score or 0) > 0
        assert (wordy.mean_cost or 0) > (brief.mean_cost or 0) > 0
        good = quality_at_least((wordy.mean_quality or 0) / 2)
        assert client.routers.run(router, good, asked[0]).model == "wordy"
        assert client.routers.run(router, cost_at_most("brief"), asked[0]).model == "brief"
