"""Make a judge of what a user told."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from llmrouter.models.judge import Judge, Judgement
from llmrouter.plugin_system.time_limit import call_within
from llmrouter.spelling import nearest
from llmrouter_lifecycle.errors import InvalidParameterError
from llmrouter_lifecycle.judges.foreign import SECONDS, ForeignJudge
from llmrouter_lifecycle.judges.local import LOCAL, PYTHON, PythonFunction
from llmrouter_lifecycle.judges.rubric import MODEL_TYPE, Asked, RubricJudge, rubric_spec
from llmrouter_lifecycle.names import refuse_unknown

if TYPE_CHECKING:
    from llmrouter.completion.client import CompletionClient


def judge_spec(told: Any) -> dict[str, Any]:
    """Return the spec of a judge with its defaults filled in; a name alone stands for a spec of that type.

    Raises:
        InvalidParameterError: It is malformed; the message names the key.
    """
    if isinstance(told, str):
        told = {"model_type": told}
    if hasattr(told, "to_dict"):
        told = told.to_dict()
    if not isinstance(told, Mapping):
        raise InvalidParameterError(
            f"judgeSpec: expected an object with 'model_type', found {told!r}", param="judgeSpec"
        )
    if "model_type" not in told:
        for key in told:
            if nearest(key, ("model_type",)):
                refuse_unknown({key: None}, ("model_type",), "judgeSpec")
    if not isinstance(told.get("model_type"), str):
        raise InvalidParameterError(
            f"judgeSpec.model_type: expected one of {', '.join(_known())}, found {told.get('model_type')!r}",
            param="judgeSpec.model_type",
        )
    if told["model_type"] == MODEL_TYPE:
        return rubric_spec(told)
    return {key: value for key, value in told.items() if value is not None}


def create_judge(
    spec: Mapping[str, Any],
    client: CompletionClient | None = None,
    *,
    trusted: bool,
    allowed: Collection[str] = (),
) -> Judge:
    """Make a judge.

    Args:
        spec: As `judge_spec` returns it.
        client: What a rubric judge asks its LLM with.
        trusted: Whether whoever wrote the spec may name Python functions to run.
        allowed: Functions that anybody may name, ``python:module:function``.

    Raises:
        InvalidParameterError: The spec is malformed, or names a function that may not be named.
        PluginError: The code of a judge fails.
    """
    kind = spec["model_type"]
    if kind == MODEL_TYPE:
        return RubricJudge(spec, client)
    if kind in LOCAL:
        return LOCAL[kind](spec)
    if kind.startswith(PYTHON):
        if not trusted and kind not in allowed:
            raise InvalidParameterError(
                f"judgeSpec.model_type: {kind} runs code, which only the server's own configuration may "
                "allow, under lifecycle.judges",
                param="judgeSpec.model_type",
            )
        return PythonFunction(spec)
    from llmrouter.plugin_system import get_plugin_registry

    registry = get_plugin_registry()
    if kind not in registry.judges:
        raise InvalidParameterError(
            f"judgeSpec.model_type: there is no judge {kind!r}; there are {', '.join(_known())}",
            param="judgeSpec.model_type",
        )
    judge_class = call_within(SECONDS, f"Judge {kind!r}", registry.load, registry.judges[kind])
    return ForeignJudge.of_plugin(spec, judge_class)


async def judge_answer(
    judge: Judge,
    request: Mapping[str, Any],
    response: Mapping[str, Any],
    parameters: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Judgement, Asked]:
    """Let a judge score an answer; `parameters` are those of the calls of an LLM that it asks.

    Raises:
        JudgementError: It gave no score that counts, or the LLM that it asks did not answer.
    """
    if isinstance(judge, RubricJudge):
        return await judge.ask(request, response, parameters)
    if isinstance(judge, ForeignJudge):
        judgement = await judge.judge(request, response)
    else:
        judgement = await asyncio.to_thread(judge.score, request, response)
    return judgement, Asked(cost=judgement.cost)


def quality_of(judge: Judge, score: float) -> float:
    """Return a score as a quality from 0 to 1."""
    return (score - judge.min_score) / (judge.max_score - judge.min_score)


def _known() -> list[str]:
    from llmrouter.plugin_system import get_plugin_registry

    return [MODEL_TYPE, *LOCAL, f"{PYTHON}MODULE:FUNCTION", *get_plugin_registry().judges]
