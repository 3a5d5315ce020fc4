"""Entry point of the ``llmrouter`` command: runs it and turns expected errors into one line."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import TextIO

import click

from llmrouter.errors import LLMRouterError
from llmrouter_cli.app import App, cli
from llmrouter_cli.guard import Guard

INTERRUPTED = 130


def main() -> None:
    """Run the command line of this process and exit with its status."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for as long as the process lives
    # Being terminated is as Ctrl-C, so that no half-written file stays behind.
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    faulthandler.enable()  # a crash names the file that it happened in
    guard = Guard()
    try:
        status = run(sys.argv[1:], guard)
        guard.ended(status)
        sys.exit(status)
    finally:
        _end_results(sys.__stdout__ or sys.stdout)


_interrupted = threading.Event()


def _interrupt(number: int, frame: object) -> None:
    _interrupted.set()
    raise KeyboardInterrupt


def _end_results(stdout: TextIO) -> None:
    """Send what is written at exit, as by C libraries that buffer, to standard error: it is no result."""
    target = sys.stderr.fileno()
    try:
        stdout.flush()
    except OSError:  # whoever read our output stopped reading; what is left of it goes nowhere
        target = os.open(os.devnull, os.O_WRONLY)
    except ValueError:  # a plugin closed it
        return
    os.dup2(target, stdout.fileno())


def run(arguments: Sequence[str], guard: Guard | None = None) -> int:
    """Run one command line.

    Args:
        arguments: Its arguments.
        guard: Keeps commands that show what is installed alive, whatever importing plugins does.

    Returns:
        The exit status: 0, 1 for an expected error, 2 for wrong usage, 130 when interrupted.
    """
    app = App(guard)
    try:
        status = cli.main(list(arguments), prog_name="llmrouter", standalone_mode=False, obj=app)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort) as error:
        # click turns the one into the other, as whose cause it goes on.
        interrupt = error.__cause__ if isinstance(error, click.Abort) else error
        click.echo(f"Interrupted {interrupt or ''}".rstrip(), err=True)
        return INTERRUPTED
    except BrokenPipeError:
        return 1
    except (LLMRouterError, OSError) as error:
        if app.debug:
            traceback.print_exception(error)
        if _interrupted.is_set():  # a library may turn KeyboardInterrupt into an error of its own
            click.echo("Interrupted", err=True)
            return INTERRUPTED
        click.echo(f"Error: {error}", err=True)
        return 1
    return status if isinstance(status, int) else 0


if __name__ == "__main__":
    main()
