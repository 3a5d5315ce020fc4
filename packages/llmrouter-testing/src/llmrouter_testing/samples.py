"""What plugins are tried on: candidates, queries both ordinary and unusual, and data to train on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

CANDIDATES: dict[str, dict[str, Any]] = {
    "small": {"size": "7B", "cost": 0.2, "input_price": 0.1, "output_price": 0.4},
    "large": {"size": "70B", "cost": 1.0, "input_price": 2.0, "output_price": 8.0},
}

_EASY = ("Name a river in {}.", "What is the capital of {}?", "Is {} larger than Wales?")
_HARD = (
    "Prove step by step that no walk crosses every bridge of the towns of {} exactly once, state each "
    "assumption, and derive a bound for the number of bridges that remain.",
    "Write a program that plans the railways of {} under a budget, justify its running time, and compare two "
    "algorithms for it.",
)
_PLACES = (
    *("Chile", "Ghana", "Japan", "Norway", "Peru", "Kenya", "Oman", "Nepal", "Cuba", "Fiji"),
    *("Egypt", "Spain", "Laos", "Malta", "Qatar", "Samoa", "Tonga", "Yemen", "Italy", "Benin"),
)

QUERIES = [pattern.format(place) for place in _PLACES[:5] for pattern in (*_EASY, *_HARD)]

EMPTY = ["", " ", "\n\t"]
NON_LATIN = [
    "ما هي عاصمة الأردن؟",
    "夏について短い文を書いてください。",
    "Почему небо голубое?",
    "एक कविता लिखो",
    "👩‍👩‍👧 means?",
    "e\u0301 or \u00e9",
    "null \x00 byte",
]
# Some 200,000 characters: more than the longest context of common LLMs.
HUGE = "Summarise this: " + "the quick brown fox jumps over the lazy dog. " * 4500


def routing_rows(candidates: Iterable[str]) -> list[dict[str, Any]]:
    """One row for each query and candidate: the first one fails where it is hard, the others do well."""
    return [
        {
            "query": (pattern.format(place)),
            "task_name": "hard" if hard else "easy",
            "model_name": name,
            "performance": 0.0 if hard and rank == 0 else 1.0,
            "prompt_tokens": 20,
            "completion_tokens": (400 if hard else 40) * (rank + 1),
            "token_num": 20 + (400 if hard else 40) * (rank + 1),
        }
        for place in _PLACES
        for hard, patterns in ((False, _EASY), (True, _HARD))
        for pattern in patterns
        for rank, name in enumerate(candidates)
    ]
