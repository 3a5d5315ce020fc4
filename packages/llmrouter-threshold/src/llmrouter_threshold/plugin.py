"""What this distribution adds to llmrouter."""

from llmrouter import RouterSpec, TrainerSpec, hookimpl

NAME = "thresholdrouter"


@hookimpl
def llmrouter_register_routers() -> list[RouterSpec]:
    """Declare ``thresholdrouter``."""
    summary = "Sends easy queries to a small LLM, hard ones to a large one."
    return [RouterSpec(NAME, "llmrouter_threshold.router:ThresholdRouter", summary)]


@hookimpl
def llmrouter_register_trainers() -> list[TrainerSpec]:
    """Declare its trainer."""
    return [TrainerSpec(NAME, "llmrouter_threshold.trainer:ThresholdTrainer")]
