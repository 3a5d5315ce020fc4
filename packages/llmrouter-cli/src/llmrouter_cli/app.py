"""The command group: which commands there are, and what they share.

A command is a module of its own, imported when it is named; plugins add theirs through
``llmrouter_register_commands``.
"""

from __future__ import annotations

import importlib
import logging
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

import click
from click.shell_completion import CompletionItem

import llmrouter
from llmrouter.errors import LLMRouterError, text_of
from llmrouter.log_lines import log_lines
from llmrouter.plugin_system import PluginRegistry, set_plugin_registry
from llmrouter.plugin_system.isolation import failure
from llmrouter_cli.guard import Guard
from llmrouter_cli.results import result_stream

# Name to summary; the module is llmrouter_cli.commands.NAME, and the command in it is NAME too.
COMMANDS = {
    "infer": "Answer queries by the LLM that a router chooses.",
    "chat": "Talk in the terminal to the LLMs that a router chooses.",
    "train": "Train a router.",
    "evaluate": "Measure routers on held-out routing data, beside baselines.",
    "list-routers": "List the routers there are, usable or not.",
    "install": "Install plugins into this environment.",
    "uninstall": "Remove plugins from this environment.",
    "plugins": "Show, check and choose the plugins there are.",
    "doctor": "Look for trouble in this installation.",
    "new": "Make a plugin of your own that works, with tests.",
    "init": "Make an example project to try the commands on.",
    "completion": "Print the script that completes commands in your shell.",
    "version": "Show the versions of llmrouter and its plugins.",
}


# Besides --help, these show what is installed, so they have to work whatever that is. Others run for longer,
# or talk to a terminal, which suits no fork; if an import ends them, the plugin is named.
GUARDED = frozenset({"list-routers", "plugins", "doctor"})


# Our own plugins with commands. An OSError of theirs says enough, as one of the built-in commands does.
OURS = frozenset({"llmrouter-server", "llmrouter-lifecycle"})

# What a command raises to end with a status or a message of its own, or because its user stopped it.
_MEANT = (
    click.ClickException,
    click.Abort,
    click.exceptions.Exit,
    SystemExit,
    KeyboardInterrupt,
    BrokenPipeError,
)


class App:
    """What the commands share.

    Attributes:
        guard: Keeps the command alive, whatever importing plugins does, or names the plugin; None: neither.
        guarded: Whether it keeps the command alive.
        debug: Whether to show tracebacks.
        block: Plugins to leave out.
        use_directories: Whether to look for routers in directories.
        whose: Names the command that runs and its plugin; None while no command of a plugin runs.
        ours: Whether that plugin is one of ours.
    """

    def __init__(self, guard: Guard | None = None) -> None:
        self.guard = guard
        self.guarded = True
        self.debug = False
        self.block: tuple[str, ...] = ()
        self.use_directories = True
        self.whose: str | None = None
        self.ours = False

    @cached_property
    def registry(self) -> PluginRegistry:
        """The plugins of this environment, looked for once."""
        watch: AbstractContextManager[None] = nullcontext()
        if self.guard and self.guarded:
            self.guard.enter()
        elif self.guard:
            watch = self.guard.watch()
        with watch, result_stream():  # a plugin that prints when it is imported prints to standard error
            registry = PluginRegistry(
                block=self.block,
                directories=None if self.use_directories else False,
                advice="leave out --no-plugin-dirs",
                guard=self.guard,
            )
        # For whatever looks for plugins by itself, such as a router that asks another one.
        set_plugin_registry(registry)
        return registry

    def warn_of_failures(self) -> None:
        """Say on standard error, in one line, that something failed to load."""
        if failures := self.registry.failures():
            more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
            click.echo(f"Warning: {failures[0]}{more}; see 'llmrouter plugins'", err=True)


pass_app = click.make_pass_decorator(App)


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, those of plugins last."""
        added = sorted(name for name in ctx.ensure_object(App).registry.commands if name not in COMMANDS)
        return [*COMMANDS, *added]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None where there is none of that name."""
        if cmd_name not in GUARDED:
            ctx.ensure_object(App).guarded = False
        if cmd_name in COMMANDS:
            name = cmd_name.replace("-", "_")
            found = getattr(importlib.import_module(f"llmrouter_cli.commands.{name}"), name)
        else:
            registry = ctx.ensure_object(App).registry
            if cmd_name not in registry.commands:
                return None
            declaration = registry.commands[cmd_name]
            with result_stream():
                found = registry.load(declaration)
            app, distribution = ctx.ensure_object(App), declaration.plugin.distribution
            app.whose, app.ours = f"the command {cmd_name!r} of {distribution}", distribution.name in OURS
        if not isinstance(found, click.Command):
            raise click.ClickException(f"{cmd_name!r} is not a click command but {found!r}")
        return found

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of a plugin's command becomes one sentence that names the plugin.

        Raises:
            PluginError: The plugin's command failed.
        """
        try:
            return super().invoke(ctx)
        except _MEANT:
            raise
        except BaseException as error:  # a plugin's command may raise anything
            app = ctx.ensure_object(App)
            says_enough = (LLMRouterError, OSError) if app.ours else LLMRouterError
            if app.whose is None or (isinstance(error, says_enough) and text_of(error)):
                raise
            raise failure(app.whose, error) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that a command line names, or suggest another."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            nearest = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            advice = f"; did you mean {nearest[0]!r}?" if nearest else "; 'llmrouter --help' lists them"
            raise click.UsageError(f"No such command {args[0]!r}{advice}", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them for their help."""
        with formatter.section("Commands"):
            formatter.write_dl(self._summaries(ctx))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the commands without importing them, which one that is broken would spoil."""
        offered = [
            CompletionItem(name, help=summary)
            for name, summary in self._summaries(ctx)
            if name.startswith(incomplete)
        ]
        return [*offered, *click.Command.shell_complete(self, ctx, incomplete)]

    def _summaries(self, ctx: click.Context) -> list[tuple[str, str]]:
        added = ctx.ensure_object(App).registry.commands
        return [
            (name, COMMANDS[name] if name in COMMANDS else added[name].reason or added[name].spec.summary)
            for name in self.list_commands(ctx)
        ]

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Say after the help that something is wrong with plugins, if so."""
        super().format_epilog(ctx, formatter)
        count = len(ctx.ensure_object(App).registry.problems())
        if count:
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(f"{count} problem(s) with plugins; 'llmrouter plugins' shows them.")


def _set_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(App).debug = True


def _leave_out(ctx: click.Context, _: click.Parameter, names: tuple[str, ...]) -> None:
    ctx.ensure_object(App).block = names


def _skip_directories(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.ensure_object(App).use_directories = not value


debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, callback=_set_debug, help="Show tracebacks of errors."
)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Routers are plugins: 'pip install llmrouter-NAME' adds one.",
)
# These two have callbacks, and are eager, for which plugins there are matters before the group's own function
# is called: to find the command, and for --help.
@click.option(
    "--no-plugin",
    multiple=True,
    metavar="NAME",
    is_eager=True,
    expose_value=False,
    callback=_leave_out,
    help="Leave out a plugin, by the name of its distribution or entry point. May be given several times.",
)
@click.option(
    "--no-plugin-dirs",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_skip_directories,
    help="Look for no routers in directories.",
)
@debug_option
@click.version_option(llmrouter.__version__, "--version", prog_name="llmrouter")
def cli() -> None:
    """Pick, for each query, the LLM that should answer it: the cheapest one that will do."""
    log_lines(logging.WARNING, form="%(message)s")
