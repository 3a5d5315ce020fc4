"""The task that a worker has in hand, and by when the steps of it must end."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator

from llmrouter.config import config_error
from llmrouter.models.judge import Judge
from llmrouter_lifecycle.judges.foreign import SECONDS, TIMEOUT
from llmrouter_lifecycle.judges.rubric import RubricJudge
from llmrouter_lifecycle.models import Models
from llmrouter_lifecycle.store.leases import Task

# Seconds that the training of a router may take, unless the configuration says otherwise.
FIT_SECONDS = 3600.0
# How many judgements of other people's code may take their time before one has its turn.
JUDGEMENTS = 100
# Seconds that a step may take longer than what bounds it, on a machine that is busy.
SLACK = 60.0


class InHand:
    """A task, with the deadlines of its steps; safe from several threads.

    Args:
        task: The task.
        clock: Seconds that only grow.

    Attributes:
        lost: Whether another claim took it over.
    """

    def __init__(self, task: Task, clock: Callable[[], float] = time.monotonic) -> None:
        self.task = task
        self.lost = False
        self._clock = clock
        self._lock = threading.Lock()
        self._deadlines: dict[object, float] = {}

    @contextlib.contextmanager
    def step(self, seconds: float) -> Iterator[None]:
        """Declare that what the block does ends within so many seconds."""
        key = object()
        with self._lock:
            self._deadlines[key] = self._clock() + seconds
        try:
            yield
        finally:
            with self._lock:
                del self._deadlines[key]

    @property
    def overdue(self) -> bool:
        """Whether a step did not keep within its deadline, so that the lease is not renewed."""
        with self._lock:
            return self._clock() > min(self._deadlines.values(), default=math.inf)


class Limits:
    """How long the steps of tasks may take, in seconds.

    Args:
        models: Whose configuration may set ``lifecycle.fit_seconds``.
        concurrency: Calls at once.

    Attributes:
        fit: The training of a router.

    Raises:
        ConfigError: That is no number above 0.
    """

    def __init__(self, models: Models, concurrency: int) -> None:
        self._models = models
        self._concurrency = concurrency
        self.fit = _fit_seconds(models)

    def answer(self, llm: str) -> float:
        """Return how long a call of an LLM may take, with waiting for its service's turn."""
        service = self._models.catalogue.endpoint(llm).service
        per_minute = service.requests_per_minute if service is not None else None
        waiting = 60 * self._concurrency / per_minute if per_minute else 0.0
        # The client's limit holds for all of its retries together.
        return waiting + self._models.client.timeout + SLACK

    def judging(self, judge: Judge) -> float:
        """Return how long a judge may take for an answer, with waiting for its turn."""
        if isinstance(judge, RubricJudge):
            # It asks twice at most.
            return 2 * self.answer(judge.model)
        return JUDGEMENTS * float(judge.spec.get(TIMEOUT, SECONDS)) + SLACK


def _fit_seconds(models: Models) -> float:
    section = models.config.get("lifecycle")
    value = section.get("fit_seconds", FIT_SECONDS) if isinstance(section, dict) else FIT_SECONDS
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        problem = f"expected a number of seconds above 0, found {value!r}"
        raise config_error(models.source, ["lifecycle", "fit_seconds"], problem)
    return float(value)
