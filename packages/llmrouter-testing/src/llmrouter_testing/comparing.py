"""Whether results are the same, and what becomes of the random numbers that a process shares."""

from __future__ import annotations

import contextlib
import math
import random
import sys
from collections.abc import Iterator, Mapping
from typing import Any


def same(one: Any, other: Any) -> bool:
    """Whether two results are the same, but for the noise of floating-point numbers."""
    one, other = (value.tolist() if hasattr(value, "tolist") else value for value in (one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        both_nan = math.isnan(one) and math.isnan(other)
        return both_nan or math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-6)
    return bool(one == other)


def random_states() -> dict[str, object]:
    """Return the states of the random numbers that all of a process shares."""
    states: dict[str, object] = {"random": random.getstate()}
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None:
        kind, keys, *rest = numpy.random.get_state()
        states["numpy.random"] = (kind, keys.tobytes(), *rest)
    if torch is not None:
        states["torch"] = torch.get_rng_state().numpy().tobytes()
    return states


def seed_everything(seed: int) -> None:
    """Seed the random numbers that all of a process shares."""
    random.seed(seed)
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None:
        numpy.random.seed(seed)
    if torch is not None:
        torch.manual_seed(seed)


@contextlib.contextmanager
def random_states_restored() -> Iterator[None]:
    """Put the shared random numbers back to where they were."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    python = random.getstate()
    states = (numpy and numpy.random.get_state(), torch and torch.get_rng_state())
    try:
        yield
    finally:
        random.setstate(python)
        if numpy is not None:
            numpy.random.set_state(states[0])
        if torch is not None:
            torch.set_rng_state(states[1])
