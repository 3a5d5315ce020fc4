"""Near misses of the keys that are read are found; every other key stays the user's own."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from llmrouter.completion.bounds import LIMITS
from llmrouter.constraints import KEY
from llmrouter.data.keys import MOST, QUERY_KEYS, ROUTING_KEYS, misspelt, problem_of_keys
from llmrouter.data.queries import QueryFile
from llmrouter.data.routing_data import read_routing_data
from llmrouter.errors import DataError
from llmrouter.evaluation.outcomes import QUERY_KEYS as EVALUATED
from llmrouter.routing import ALLOWED

NEAR = {
    "allowed_llm": "allowed_llms",
    "allowedLLMs": "allowed_llms",
    "alowed_llm": "allowed_llms",
    "routing_constrain": "routing_constraint",
    "routing-constraint": "routing_constraint",
    "max_token": "max_tokens",
    "maxTokens": "max_tokens",
    "max_completion_token": "max_completion_tokens",
    "mesages": "messages",
    "tool": "tools",
    "task_nmae": "task_name",
    "langauge": "language",
    "embeding": "embedding",
}

# Fields of chat requests, and of data sets that people route.
OWN = [
    "audio",
    "best_of",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "metadata",
    "modalities",
    "model",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt",
    "prompt_cache_key",
    "reasoning_effort",
    "response_format",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
    "min_tokens",
    "max_new_tokens",
    "truncate_prompt_tokens",
    "top_k",
    "min_p",
    "task",
    "task_id",
    "query_id",
    "gt",
    "ground_truth",
    "reference",
    "metric",
    "choices",
    "label",
    "topic",
    "source",
    "difficulty",
    "idx",
    "ID",
    "ids",
    "uid",
    "question",
    "answer",
    "response",
    "category",
    "lang",
    "priority",
    "tier",
    "customer",
    "text",
    "content",
]


@pytest.mark.parametrize(("key", "meant"), NEAR.items())
def test_a_near_miss_names_what_was_meant(key: str, meant: str) -> None:
    assert misspelt({"query": "q", key: 1}) == (key, f"is unknown; did you mean {meant!r}?")
    # Beside what it may stand for, it is a key of the user's.
    assert misspelt({"query": "q", key: 1, meant: 1}) is None


def test_other_keys_are_the_users_own() -> None:
    assert misspelt({"query": "q", **dict.fromkeys(OWN, 1)}) is None
    assert misspelt({"query": "q", **dict.fromkeys(QUERY_KEYS, 1)}) is None


@pytest.mark.parametrize("key", ["cost_constraint", "cost_contraint", "quality_constrain"])
def test_a_constraint_that_stands_outside_is_told_where_it_belongs(key: str) -> None:
    problem = problem_of_keys({"query": "q", key: 1})
    assert problem is not None
    assert problem.startswith(f"{key!r} belongs inside 'routing_constraint', as '{key[:4]}")


def test_what_routers_read_is_known() -> None:
    assert {ALLOWED, KEY, *LIMITS, *EVALUATED} <= QUERY_KEYS


def test_a_row_of_very_many_keys_is_neither_slow_nor_kept() -> None:
    row = {"query": "q", **{f"allowed_llm{number:029}": 1 for number in range(MOST * 1000)}}
    tracemalloc.start()
    try:
        for number in range(40):
            assert misspelt({**dict(list(row.items())[: MOST * 2]), f"{number}" + "x" * 100_000: 1}) is None
        assert tracemalloc.get_traced_memory()[0] < 2_000_000
    finally:
        tracemalloc.stop()
    assert misspelt(row) is None


def test_a_misspelt_query_is_an_error_of_its_row_alone() -> None:
    rows = [
        {"query": "one"},
        {"query": "two", "allowed_llm": ["small"]},
        {"qurey": "three"},
        {"query": "four"},
    ]
    Path("q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("q.json").write_text(json.dumps(rows))
    for name in ("q.jsonl", "q.json"):
        assert [row.problem for row in QueryFile(name)] == [
            None,
            "'allowed_llm' is unknown; did you mean 'allowed_llms'?",
            "'qurey' is unknown; did you mean 'query'?",
            None,
        ]


# As they come from LLMRouter's data preparation, and with what people note beside them.
ROWS = [
    {
        "task_name": "mmlu",
        "query": "q",
        "ground_truth": "A",
        "metric": "em",
        "choices": None,
        "task_id": "1",
        "model_name": "small",
        "response": "A",
        "token_num": 10,
        "input_tokens": 8,
        "output_tokens": 2,
        "response_time": 0.5,
        "performance": 1.0,
        "embedding_id": 3,
        "user_id": "u",
        "total_tokens": 10,
        "cached_tokens": 0,
    },
    {"query": "q", "best_llm": "small", "performance": 1.0, "llm": "small", "model": "vendor/small"},
]


@pytest.mark.parametrize("row", ROWS)
def test_rows_of_routing_data_may_have_more(row: dict[str, object]) -> None:
    assert misspelt(row, ROUTING_KEYS) is None


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("performance", "performence"),
        ("performance", "Performance"),
        ("performance", "preformance"),
        ("best_llm", "best_lm"),
        ("model_name", "model_nam"),
        ("model_name", "modelName"),
        ("query", "qurey"),
        ("task_name", "task_nam"),
        ("completion_tokens", "completion_token"),
        ("token_num", "token_nums"),
        ("cost", "cots"),
        ("embedding", "embeding"),
    ],
)
def test_a_misspelt_row_of_routing_data_is_told_with_file_line_and_name(right: str, wrong: str) -> None:
    good = {"query": "q", "model_name": "small", "performance": 1}
    bad = {**good, "cost": 1, "task_name": "t", "token_num": 5, "completion_tokens": 2, "embedding": [1]}
    if right == "best_llm":
        del bad["model_name"]
        bad["best_llm"] = "small"
    bad[wrong] = bad.pop(right)
    Path("r.jsonl").write_text(f"{json.dumps(good)}\n\n{json.dumps(bad)}\n")
    with pytest.raises(DataError) as caught:
        read_routing_data(Path("r.jsonl"))
    assert str(caught.value) == f"r.jsonl:3: {wrong!r} is unknown; did you mean {right!r}?"
    Path("r.json").write_text(json.dumps([good, bad]))
    with pytest.raises(DataError, match=rf"^r.json: item 2: '{wrong}' is unknown; did you mean '{right}'\?$"):
        read_routing_data(Path("r.json"))
