"""What this distribution adds to llmrouter."""

from llmrouter import RouterSpec, TrainerSpec, hookimpl

NAME = "knnrouter"


@hookimpl
def llmrouter_register_routers() -> list[RouterSpec]:
    """Declare ``knnrouter``."""
    summary = "Goes by how well each LLM answered the most similar queries."
    return [RouterSpec(NAME, "llmrouter_knn.router:KnnRouter", summary)]


@hookimpl
def llmrouter_register_trainers() -> list[TrainerSpec]:
    """Declare its trainer."""
    return [TrainerSpec(NAME, "llmrouter_knn.trainer:KnnTrainer")]
