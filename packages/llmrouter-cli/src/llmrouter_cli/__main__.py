"""Entry point of the ``llmrouter`` command: runs it and turns expected errors into one line."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import click

from llmrouter.errors import LLMRouterError
from llmrouter_cli.app import App, cli

INTERRUPTED = 130


def main() -> None:
    """Run the command line of this process and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Returns:
        The exit status: 0, 1 for an expected error, 2 for wrong usage, 130 when interrupted.
    """
    app = App()
    try:
        status = cli.main(list(arguments), prog_name="llmrouter", standalone_mode=False, obj=app)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output stopped reading; nothing may be flushed into the pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except LLMRouterError as error:
        if app.debug:
            traceback.print_exception(error)
        click.echo(f"Error: {error}", err=True)
        return 1
    return status if isinstance(status, int) else 0


if __name__ == "__main__":
    main()
