"""A trained thresholdrouter sends easy queries to the small LLM and hard ones to the large one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llmrouter.errors import CheckpointError, ConfigError, LLMRouterError

if TYPE_CHECKING:
    from llmrouter_threshold.router import ThresholdRouter

pytestmark = pytest.mark.torch

Trained = Callable[..., "ThresholdRouter"]
Batch = list[dict[str, Any]]

THREE = {"small": {"cost": 1}, "mid": {"cost": 2}, "large": {"cost": 3}}


def brought(count: int = 80) -> Batch:
    """Rows with embeddings of three numbers, the first of which tells the hard ones."""
    return [
        {"query": f"query {number}", "best_llm": best, "embedding": [hard, 0.5, number / count]}
        for number in range(count)
        for hard, best in [((1.0, "large") if number % 2 else (-1.0, "small"))]
    ]


def share_of_large(router: ThresholdRouter, batch: Batch) -> float:
    return Counter(result["model_name"] for result in router.route_batch(batch))["large"] / len(batch)


def test_easy_goes_to_small_and_hard_to_large(trained: Trained, unseen: Batch) -> None:
    results = trained().route_batch(unseen)
    right = [
        result["model_name"] == ("large" if query["query"].startswith("prove") else "small")
        for query, result in zip(unseen, results, strict=True)
    ]
    assert np.mean(right) > 0.9


def test_what_a_result_tells(trained: Trained, unseen: Batch) -> None:
    for result in trained(threshold=0.5).route_batch(unseen):
        difficulty = result["difficulty"]
        assert 0 <= difficulty <= 1
        assert result["model_name"] == ("large" if difficulty > 0.5 else "small")
        assert result["scores"] == pytest.approx({"small": 1 - difficulty, "large": difficulty})
        assert result["confidence"] == pytest.approx(max(result["scores"].values()))
        assert type(difficulty) is float


def test_core_makes_a_decision_of_it(trained: Trained, unseen: Batch) -> None:
    from llmrouter.routing import DecisionEngine

    router = trained()
    decision = DecisionEngine(router).decide(unseen[0])
    assert decision.model_name == router.route_single(unseen[0])["model_name"]


@pytest.mark.parametrize("hparam", [{}, {"hidden_dim": 4, "embedding_dim": 8}])
def test_a_batch_gives_what_its_queries_get_alone(
    trained: Trained, unseen: Batch, hparam: dict[str, Any]
) -> None:
    router = trained(**hparam)
    alone = [router.route_single(query) for query in unseen]
    together = router.route_batch(unseen)
    assert [result["model_name"] for result in together] == [result["model_name"] for result in alone]
    assert router.scores(unseen) == pytest.approx([result["difficulty"] for result in alone], abs=1e-6)


def test_an_empty_batch(trained: Trained) -> None:
    assert trained().route_batch([]) == []


def test_an_empty_query_and_odd_ones_are_routed(trained: Trained) -> None:
    router = trained()
    odd = [{"query": text} for text in ("", " ", "?", "\ud800", "証明", "x" * 100_000)]
    assert {result["model_name"] for result in router.route_batch(odd)} <= {"small", "large"}


def test_threads_get_what_one_gets(trained: Trained, unseen: Batch) -> None:
    router = trained()
    wanted = router.route_batch(unseen)
    with ThreadPoolExecutor(8) as pool:
        assert all(results == wanted for results in pool.map(router.route_batch, [unseen] * 40))


def test_embeddings_are_ignored_where_the_encoder_needs_none(trained: Trained, unseen: Batch) -> None:
    router = trained()
    with_embedding = [{**query, "embedding": [0.1, 0.2]} for query in unseen]
    assert router.scores(with_embedding).tolist() == router.scores(unseen).tolist()


def test_untrained_it_says_what_to_do(project: Callable[..., str]) -> None:
    from llmrouter_threshold.router import ThresholdRouter

    router = ThresholdRouter(project())
    with pytest.raises(LLMRouterError, match=r"not trained; run 'llmrouter train'.*load_model_path"):
        router.route_single({"query": "q"})
    with pytest.raises(CheckpointError, match="not trained"):
        router.save_router("m.safetensors")


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_strong_share_is_about_the_share_of_queries_like_those_trained_on(
    trained: Trained, unseen: Batch, share: float
) -> None:
    router = trained(strong_share=share)
    assert share_of_large(router, unseen) == pytest.approx(share, abs=0.15)
    assert router.chosen == f"strong_share {share:g} of the part kept apart"


def test_quality_takes_as_few_as_recover_it(trained: Trained, unseen: Batch) -> None:
    router = trained(quality=0.95)
    assert 0.1 < share_of_large(router, unseen) < 0.5
    assert router.chosen.startswith("quality 0.95, a strong share of ")


def test_a_threshold_for_a_trained_router(
    trained: Trained, project: Callable[..., str], unseen: Batch, loaded: Callable[..., ThresholdRouter]
) -> None:
    trained()
    project(threshold=1)
    assert share_of_large(loaded(), unseen) == 0
    project(threshold=0)
    assert share_of_large(loaded(), unseen) == 1
    project(strong_share=0.5)
    assert loaded().chosen.startswith("strong_share 0.5 of")


def test_three_llms_form_tiers(trained: Trained, unseen: Batch) -> None:
    router = trained(None, THREE, threshold=0.5)
    assert router.llm_names == ["small", "mid", "large"]
    assert router.thresholds == [0.5, 0.75]
    for result in router.route_batch(unseen):
        difficulty = result["difficulty"]
        tier = "small" if difficulty <= 0.5 else "mid" if difficulty <= 0.75 else "large"
        assert result["model_name"] == tier
        assert result["scores"]["mid"] == pytest.approx(1 - abs(difficulty - 0.5))


def test_thresholds_for_three_llms(trained: Trained, unseen: Batch) -> None:
    router = trained(None, THREE, thresholds=[0.0, 1.0])
    assert {result["model_name"] for result in router.route_batch(unseen)} == {"mid"}


def test_best_llm_of_three(trained: Trained) -> None:
    words = {"small": "name", "mid": "explain", "large": "prove"}
    rows = [
        {"query": f"{words[best]} number {number}", "best_llm": best}
        for number in range(50)
        for best in words
    ]
    router = trained(rows, THREE, train_epoch=15, thresholds=[0.35, 0.65])
    results = router.route_batch([{"query": f"{word} number 77"} for word in words.values()])
    assert [result["model_name"] for result in results] == list(words)


@pytest.mark.parametrize("thresholds", [[], [0.5], [0.1, 0.5, 0.9]])
def test_thresholds_that_do_not_fit_the_llms(project: Callable[..., str], thresholds: list[float]) -> None:
    from llmrouter_threshold.router import ThresholdRouter

    with pytest.raises(ConfigError, match=f"3 LLMs need 2 thresholds, found {len(thresholds)}") as caught:
        ThresholdRouter(project(None, THREE, thresholds=thresholds))
    assert (caught.value.key, caught.value.line) == ("hparam.thresholds", 1)


def test_quality_of_a_router_that_was_trained_without_performances(
    trained: Trained, project: Callable[..., str], loaded: Callable[..., ThresholdRouter]
) -> None:
    rows = [{"query": row["query"], "best_llm": row["best_llm"]} for row in brought()]
    trained(rows)
    project(rows, quality=0.9)
    with pytest.raises(ConfigError, match="performance of both") as caught:
        loaded()
    assert caught.value.key == "hparam.quality"


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_strong_share_is_a_share_of_the_users_own_traffic(
    trained: Trained, loaded: Callable[..., ThresholdRouter], share: float
) -> None:
    # Of the traffic only one query in ten asks to prove something, of the training data one in four.
    traffic = [{"query": f"{'name' if n % 10 else 'prove'} {n} things"} for n in range(500)]
    Path("traffic.jsonl").write_text("".join(json.dumps(row) + "\n" for row in traffic))
    trained(strong_share=share, query_data_train="traffic.jsonl")
    router = loaded()
    assert router.chosen == f"strong_share {share:g} of 500 queries of traffic"
    assert share_of_large(router, traffic) == pytest.approx(share, abs=0.02)


def test_traffic_that_was_trained_on_tells_no_quantiles(trained: Trained) -> None:
    rows = brought()
    Path("traffic.jsonl").write_text("".join(json.dumps({"query": row["query"]}) + "\n" for row in rows))
    router = trained(rows, strong_share=0.3, query_data_train="traffic.jsonl")
    assert router.chosen == "strong_share 0.3 of the part kept apart"


@pytest.mark.parametrize("hparam", [{}, {"hidden_dim": 4}, {"embedding_dim": 3}])
def test_embeddings_in_place_of_an_encoder(
    trained: Trained, loaded: Callable[..., ThresholdRouter], hparam: dict[str, Any]
) -> None:
    router = trained(brought(), encoder="none", **hparam)
    queries = [{"query": "q", "embedding": [hard, 0.5, 0.5]} for hard in (-1.0, 1.0)]
    assert [result["model_name"] for result in router.route_batch(queries)] == ["small", "large"]
    assert loaded().scores(queries).tolist() == router.scores(queries).tolist()
    assert router.route_batch([]) == []


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({}, "has no 'embedding'"),
        ({"embedding": None}, "has no 'embedding'"),
        ({"embedding": "text"}, "not a list of numbers"),
        ({"embedding": [1.0, 2.0]}, "has 2 numbers, not 3"),
        ({"embedding": [[1.0, 2.0, 3.0]]}, "not a list of numbers"),
        ({"embedding": 3}, "not a list of numbers"),
    ],
)
def test_a_query_without_the_embedding_it_needs(trained: Trained, query: Any, told: str) -> None:
    router = trained(brought(), encoder="none")
    with pytest.raises(LLMRouterError, match=told):
        router.route_single({"query": "q", **query})


@pytest.fixture
def dense(install: Callable[..., Path]) -> None:
    """An encoder, letters, that does not tell before it encodes that it has three dimensions."""
    plugin = """
        import numpy as np
        from llmrouter import EncoderSpec, hookimpl
        from llmrouter.encoders.base import Encoder

        class Letters(Encoder):
            name = "letters"

            def encode(self, texts):
                rows = [[text.count(letter) for letter in "eno"] for text in texts]
                return np.array(rows, np.float32).reshape(len(texts), 3)

        @hookimpl
        def llmrouter_register_encoders():
            return [EncoderSpec("letters", "fake_letters:Letters")]
        """
    install("llmrouter-letters", {"fake_letters": plugin}, {"letters": "fake_letters"})


def test_own_embeddings_stand_in_for_a_dense_encoders(dense: None, trained: Trained, unseen: Batch) -> None:
    router = trained(encoder="letters")
    own = [
        {"query": "?", "embedding": [query["query"].count(letter) for letter in "eno"]} for query in unseen
    ]
    wanted = router.scores(unseen).tolist()
    assert router.scores(own).tolist() == wanted
    mixed = [
        one if number % 3 else other for number, (one, other) in enumerate(zip(own, unseen, strict=True))
    ]
    assert router.scores(mixed).tolist() == wanted
    assert len(set(wanted)) > 5


@pytest.mark.parametrize("embedding", [[1.0, 2.0], [1.0] * 4, "text", 3, [[1.0, 2.0, 3.0]]])
def test_an_own_embedding_that_the_encoder_would_not_give(
    dense: None, trained: Trained, embedding: Any
) -> None:
    router = trained(encoder="letters")
    for batch in (
        [{"query": "q", "embedding": embedding}],
        [{"query": "q"}, {"query": "q", "embedding": embedding}],
    ):
        with pytest.raises(LLMRouterError, match=r"has \d numbers, not 3|not a list of numbers"):
            router.scores(batch)


def test_training_data_whose_embeddings_the_encoder_would_not_give(dense: None, trained: Trained) -> None:
    with pytest.raises(LLMRouterError, match="has 2 numbers, not 3"):
        trained(
            [{"query": f"q{n}", "best_llm": "small", "embedding": [1.0, 2.0]} for n in range(5)],
            encoder="letters",
        )


def test_traffic_whose_embeddings_do_not_fit_is_told_before_training(trained: Trained) -> None:
    traffic = [{"query": f"other {n}", "embedding": [1.0]} for n in range(50)]
    Path("traffic.jsonl").write_text("".join(json.dumps(row) + "\n" for row in traffic))
    with pytest.raises(LLMRouterError, match="has 1 numbers, not 3"):
        trained(brought(), encoder="none", query_data_train="traffic.jsonl")
    assert not Path("model.safetensors").exists()


def test_training_data_without_the_embeddings_they_need(trained: Trained) -> None:
    with pytest.raises(LLMRouterError, match="has no 'embedding'"):
        trained(encoder="none")


def test_an_unknown_encoder(trained: Trained) -> None:
    with pytest.raises(LLMRouterError, match="Unknown encoder: hashin; there are hashing"):
        trained(encoder="hashin")


def test_a_wrong_configuration_names_the_line(project: Callable[..., str]) -> None:
    from llmrouter_threshold.router import ThresholdRouter

    with pytest.raises(ConfigError, match="'tiny'") as caught:
        ThresholdRouter(project(small_model="tiny"))
    assert (caught.value.key, caught.value.line) == ("hparam.small_model", 1)


def test_listing_routers_imports_no_torch() -> None:
    code = """
import sys
from llmrouter_cli.__main__ import run
status = run(["list-routers", "--json"])
assert not {"torch", "numpy", "safetensors", "llmrouter_threshold.router"} & set(sys.modules)
sys.exit(status)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "thresholdrouter" in done.stdout


def test_a_wide_embedding_is_of_the_features_that_occur(trained: Trained, loaded: Callable[[], Any]) -> None:
    from llmrouter_threshold.estimator import DifficultyEstimator

    router = trained(embedding_dim=768, hidden_dim=128, train_epoch=2)
    # Of all features that the encoder may give it would take 400 MB.
    assert Path("model.safetensors").stat().st_size < 20e6
    assert isinstance(router.model, DifficultyEstimator)
    query = {"query": "prove that words it has never seen are left out"}
    assert loaded().route_single(query) == router.route_single(query)
