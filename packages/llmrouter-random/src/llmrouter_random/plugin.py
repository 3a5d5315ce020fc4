"""What this distribution adds to llmrouter."""

from llmrouter import RouterSpec, hookimpl


@hookimpl
def llmrouter_register_routers() -> list[RouterSpec]:
    """Declare ``randomrouter``."""
    return [RouterSpec("randomrouter", "llmrouter_random.router:RandomRouter", "Draws an LLM at random.")]
