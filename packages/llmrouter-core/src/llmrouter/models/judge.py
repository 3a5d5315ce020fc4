"""The contract of judges, which score the answers of LLMs for training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Judgement:
    """What a judge says of one answer.

    Attributes:
        score: From the judge's lowest to its highest score.
        reason: Why.
        cost: Of judging in USD; None where it is unknown.
    """

    score: float
    reason: str = ""
    cost: float | None = 0.0


class Judge(ABC):
    """Scores answers; called from several threads at once.

    Args:
        spec: What the user told of the judge, ``model_type`` (its name) included.

    Attributes:
        min_score: The lowest score that it gives.
        max_score: The highest.
    """

    min_score: float = 0.0
    max_score: float = 1.0

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.spec = dict(spec)

    @abstractmethod
    def score(self, request: Mapping[str, Any], response: Mapping[str, Any]) -> Judgement:
        """Score an answer.

        Args:
            request: The chat request: ``messages``, and where one was given with it ``reference``, the answer
                that is right.
            response: The message that answered it, with ``content``.

        Raises:
            ValueError: This answer cannot be judged; the message says why.
        """
