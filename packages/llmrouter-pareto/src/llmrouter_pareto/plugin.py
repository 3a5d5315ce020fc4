"""What this distribution adds to llmrouter."""

from llmrouter import RouterSpec, TrainerSpec, hookimpl

NAME = "paretorouter"


@hookimpl
def llmrouter_register_routers() -> list[RouterSpec]:
    """Declare ``paretorouter``."""
    summary = "Predicts each LLM's quality and cost for a query, and keeps to a cost or quality constraint."
    return [RouterSpec(NAME, "llmrouter_pareto.router:ParetoRouter", summary)]


@hookimpl
def llmrouter_register_trainers() -> list[TrainerSpec]:
    """Declare its trainer."""
    return [TrainerSpec(NAME, "llmrouter_pareto.trainer:ParetoTrainer")]
