"""What this distribution adds to llmrouter."""

from llmrouter import RouterSpec, hookimpl

NAME = "rulesrouter"


@hookimpl
def llmrouter_register_routers() -> list[RouterSpec]:
    """Declare ``rulesrouter``."""
    summary = "Goes by rules: text, length, language, task, keywords; other routers where you say so."
    return [RouterSpec(NAME, "llmrouter_rules.router:RulesRouter", summary)]
