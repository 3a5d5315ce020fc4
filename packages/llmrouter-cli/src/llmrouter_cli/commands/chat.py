"""``llmrouter chat``: talk in the terminal, each message answered by the LLM that a router chooses."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import click
import msgspec

from llmrouter.completion.messages import MODES, Mode
from llmrouter.errors import LLMRouterError
from llmrouter.routing import open_engine
from llmrouter_cli.app import App, debug_option, pass_app
from llmrouter_cli.options import Asking, asking_options, config_option, load_option, router_option
from llmrouter_cli.results import printable, result_stream
from llmrouter_cli.writers import chosen_of, cost_of

if TYPE_CHECKING:
    from llmrouter.answering import Answerer

HELP = """\
/clear           forget the conversation
/mode [MODE]     show or choose what the router sees: {modes}
/help            show this
/quit            leave; so does Ctrl-D
Ctrl-C           stop an answer"""


@click.command()
@router_option
@config_option
@load_option
@click.option(
    "--mode",
    type=click.Choice(MODES),
    default=MODES[0],
    show_default=True,
    help="What the router sees: the message alone, or the whole conversation. The LLM always sees all of it.",
)
@asking_options
@debug_option
@pass_app
def chat(app: App, router: str, config: str, load_model_path: str | None, mode: Mode, asking: Asking) -> int:
    """Talk in the terminal to the LLMs that a router chooses.

    Above each answer stands which LLM gives it and why, below it what it took. The conversation is kept,
    whichever LLMs took part in it, until you leave. Type /help for what else there is. Where the messages
    come from a pipe, one a line, and one of them is not answered, the exit status is 1.

    \b
    llmrouter chat --router my_router --config custom_routers/my_router/local.yaml
    """
    # Not before it is needed, for the client that calls LLMs is slow to import.
    from llmrouter_cli.answers import answerer

    with result_stream() as stdout:
        engine = open_engine(app.registry, router, config, load_model_path)
        app.warn_of_failures()
        with answerer(engine, config, asking) as answers:
            conversation = Conversation(answers, stdout, mode)
            if sys.stdin.isatty():
                _say(f"{engine.name} chooses among {', '.join(engine.router.llm_data)}. /help tells more.")
            for line in _lines():
                if not conversation.take(line):
                    break
    return 1 if conversation.failed and not sys.stdin.isatty() else 0


class Conversation:
    """What was said so far, and the next message.

    Args:
        answerer: Answers.
        stream: Where answers are written to; all else goes to standard error.
        mode: What the router sees.

    Attributes:
        messages: The conversation as the chat protocol has it.
        failed: Messages that were not answered.
    """

    def __init__(self, answerer: Answerer, stream: BinaryIO, mode: Mode) -> None:
        self._answerer = answerer
        self._stream = stream
        self._mode = mode
        self.messages: list[dict[str, Any]] = []
        self.failed = 0

    def take(self, line: str) -> bool:
        """Take a line of the user: a command, or a message to answer; False where it is time to go."""
        text = line.strip()
        if text.lower() in ("exit", "quit"):
            return False
        if text.startswith("/"):
            return self._obey(*text.split())
        if text:
            self._answer(text)
        return True

    def _obey(self, command: str, *arguments: str) -> bool:
        if command in ("/quit", "/exit"):
            return False
        if command == "/clear":
            self.messages.clear()
            _say("The conversation begins anew.")
        elif command == "/mode" and (not arguments or arguments[0] in MODES):
            self._mode = next((mode for mode in MODES if mode in arguments), self._mode)
            _say(f"The router sees: {self._mode}")
        else:
            if command != "/help":
                _say(f"There is no {' '.join([command, *arguments])}.")
            _say(HELP.format(modes=" or ".join(MODES)))
        return True

    def _answer(self, text: str) -> None:
        self.messages.append({"role": "user", "content": text})
        said: list[str] = []
        try:
            parts = self._answerer.converse(self.messages, self._mode)
            _say(chosen_of(msgspec.to_builtins(next(parts), enc_hook=str)))
            for part in parts:
                if isinstance(part, str):
                    said.append(part)
                    self._write(printable(part))
                else:
                    self._end(cost_of(msgspec.to_builtins(part, enc_hook=str)))
        except KeyboardInterrupt:
            self._end("stopped")
        except LLMRouterError as error:
            self.failed += 1
            self._end(f"Error: {error}", "red")
        if said:
            self.messages.append({"role": "assistant", "content": "".join(said)})
        else:
            # Not answered: it may be asked again.
            self.messages.pop()

    def _write(self, text: str) -> None:
        self._stream.write(text.encode(errors="backslashreplace"))
        self._stream.flush()

    def _end(self, told: str, colour: str | None = None) -> None:
        self._write("\n")
        _say(told, colour)


def _say(text: str, colour: str | None = None) -> None:
    click.secho(text, err=True, fg=colour, dim=colour is None)


def _lines() -> Iterator[str]:
    """Yield what the user types, line by line, or what comes through a pipe."""
    if not sys.stdin.isatty():
        yield from sys.stdin
        return
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - lets input() edit the line and recall earlier ones
    while True:
        try:
            yield input("> ")
        except EOFError:
            return
        except KeyboardInterrupt:
            _say("\nCtrl-D or /quit leaves.")
