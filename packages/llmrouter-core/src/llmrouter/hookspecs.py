"""The hooks that a plugin may implement.

A plugin module marks its implementations with `hookimpl` and is named by an entry point of the group
``llmrouter``::

    [project.entry-points.llmrouter]
    randomrouter = "llmrouter_random.plugin"

It only declares: keep torch, HTTP clients and the like out of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

from llmrouter.specs import CommandSpec, EncoderSpec, JudgeSpec, RouterSpec, TrainerSpec

if TYPE_CHECKING:
    from llmrouter.decision import RoutingDecision

PROJECT = "llmrouter"

API_VERSION = (1, 0)
"""Version of all that a plugin builds on; ``docs/compatibility.md`` says what that is.

The first number is raised where a plugin that was written against it may stop working, the second where
something is added.
"""

# A hook on its way out is marked @hookspec(warn_on_impl=DeprecationWarning(…)), an argument of one by
# warn_on_impl_args={"name": DeprecationWarning(…)}: the text names it, the release that removes it, and what
# to use. It is kept as the plugin's `deprecated`, and told where plugins are checked, not in every command.
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin module as the implementation of the hook of its name: a decorator."""


@hookspec
def llmrouter_register_routers() -> Iterable[RouterSpec]:  # type: ignore[empty-body]
    """Declare routers.

    Example::

        @hookimpl
        def llmrouter_register_routers():
            return [RouterSpec("myrouter", "llmrouter_my.router:MyRouter", "Picks by length.")]
    """


@hookspec
def llmrouter_register_trainers() -> Iterable[TrainerSpec]:  # type: ignore[empty-body]
    """Declare the trainers of routers that the same distribution declares, at most one for each.

    Example::

        @hookimpl
        def llmrouter_register_trainers():
            return [TrainerSpec("myrouter", "llmrouter_my.trainer:MyTrainer")]
    """


@hookspec
def llmrouter_register_encoders() -> Iterable[EncoderSpec]:  # type: ignore[empty-body]
    """Declare encoders, which users choose by name in ``hparam.encoder``.

    Example::

        @hookimpl
        def llmrouter_register_encoders():
            return [EncoderSpec("letters", "llmrouter_my.encoder:LetterEncoder", dim=26)]
    """


@hookspec
def llmrouter_register_judges() -> Iterable[JudgeSpec]:  # type: ignore[empty-body]
    """Declare judges, which score the answers of LLMs for training.

    Example::

        @hookimpl
        def llmrouter_register_judges():
            return [JudgeSpec("wordcount", "llmrouter_my.judge:WordCountJudge")]
    """


@hookspec
def llmrouter_register_commands() -> Iterable[CommandSpec]:  # type: ignore[empty-body]
    """Declare commands of the ``llmrouter`` command line; a name that is taken already is a conflict.

    Example::

        @hookimpl
        def llmrouter_register_commands():
            return [CommandSpec("greet", "llmrouter_my.command:greet", "Say hello.")]
    """


@hookspec
def llmrouter_after_route(query: Mapping[str, Any], decision: RoutingDecision) -> None:
    """Observe a decision after it was made; an exception is logged once and changes nothing.

    Args:
        query: The query as the router was given it, with at least the key ``query``.
        decision: What the router decided.

    Example::

        @hookimpl
        def llmrouter_after_route(query, decision):
            COUNTS[decision.model_name] += 1
    """
