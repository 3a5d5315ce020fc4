"""Options that several commands share."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import click

from llmrouter_cli.app import App


def complete_router(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of routers that begin so."""
    names = ctx.ensure_object(App).registry.get_router_names()
    return [name for name in names if name.startswith(incomplete)]


router_option = click.option(
    "--router",
    required=True,
    metavar="NAME",
    shell_complete=complete_router,
    help="Name of the router; DISTRIBUTION:NAME or dir:NAME where several bear it.",
)
config_option = click.option(
    "--config",
    required=True,
    type=click.Path(),
    help="The router's configuration, a YAML file.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON, on a terminal too.")
load_option = click.option(
    "--load-model-path", type=click.Path(), help="Saved state of the router, in place of the configured one."
)


def _check_scale(
    context: click.Context, option: click.Parameter, scale: tuple[float, float]
) -> tuple[float, float]:
    if not -math.inf < scale[0] < scale[1] < math.inf:
        raise click.BadParameter(f"expected a lower and a higher number, found {scale[0]:g} {scale[1]:g}")
    return scale


scale_option = click.option(
    "--scale",
    nargs=2,
    type=float,
    callback=_check_scale,
    default=(0.0, 1.0),
    show_default=True,
    metavar="LOW HIGH",
    help="Lowest and highest performance in the routing data.",
)


class Asking(NamedTuple):
    """How LLMs are asked.

    Attributes:
        parameters: Fields of every request, such as ``temperature``.
        system: System message, or None.
        timeout: Seconds that one call may take, its repetitions included.
    """

    parameters: dict[str, Any]
    system: str | None
    timeout: float


def asking_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `Asking`, which the command is given as ``asking``."""

    @click.option("--temp", type=click.FloatRange(0), help="Temperature of the LLM; by default its own.")
    @click.option("--max-tokens", type=click.IntRange(1), help="Tokens of an answer at most.")
    @click.option("--system", help="System message of every request.")
    @click.option(
        "--timeout",
        default=120.0,
        show_default=True,
        type=click.FloatRange(0, min_open=True),
        help="Seconds that one call of an LLM may take, repetitions included.",
    )
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        temp: float | None,
        max_tokens: int | None,
        system: str | None,
        timeout: float,
        **kwargs: Any,
    ) -> Any:
        given = {"temperature": temp, "max_tokens": max_tokens}
        parameters = {name: value for name, value in given.items() if value is not None}
        return command(*args, asking=Asking(parameters, system, timeout), **kwargs)

    return wrapped
