"""What this distribution adds to llmrouter."""

from llmrouter import CommandSpec, hookimpl


@hookimpl
def llmrouter_register_commands() -> list[CommandSpec]:
    """Declare ``serve`` and ``keys``."""
    return [
        CommandSpec(
            "serve", "llmrouter_server.commands.serve:serve", "Serve routers over the OpenAI protocol."
        ),
        CommandSpec(
            "keys", "llmrouter_server.commands.keys:keys", "Create, list and revoke keys of the gateway."
        ),
    ]
