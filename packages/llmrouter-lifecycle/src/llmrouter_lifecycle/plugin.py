"""What this distribution adds to llmrouter."""

from llmrouter import CommandSpec, hookimpl


@hookimpl
def llmrouter_register_commands() -> list[CommandSpec]:
    """Declare ``routers``, ``judges`` and ``jobs``."""
    commands = "llmrouter_lifecycle.commands"
    return [
        CommandSpec("routers", f"{commands}.routers:routers", "Create routers, and let them answer."),
        CommandSpec("judges", f"{commands}.judges:judges", "Create judges, and let them score answers."),
        CommandSpec("jobs", f"{commands}.jobs:jobs", "Train routers with a judge."),
    ]
