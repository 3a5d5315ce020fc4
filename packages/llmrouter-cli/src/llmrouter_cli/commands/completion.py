"""``llmrouter completion``: completion of commands, options and routers in the shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from llmrouter_cli.app import debug_option


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@debug_option
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands in your shell.

    \b
    bash: llmrouter completion bash >> ~/.bashrc
    zsh:  llmrouter completion zsh >> ~/.zshrc
    fish: llmrouter completion fish > ~/.config/fish/completions/llmrouter.fish
    """
    found = get_completion_class(shell)
    if found is None:
        raise click.ClickException(f"click has no completion for {shell}")
    script = found(ctx.find_root().command, {}, "llmrouter", "_LLMROUTER_COMPLETE").source()
    click.echo(script)
