"""Operations on judges."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import msgspec

from llmrouter.errors import LLMRouterError
from llmrouter.models.judge import Judge, Judgement
from llmrouter_lifecycle.errors import InvalidParameterError, JudgementError
from llmrouter_lifecycle.home import Caller, Home
from llmrouter_lifecycle.judges.create import create_judge as make_judge
from llmrouter_lifecycle.judges.create import judge_answer, judge_spec
from llmrouter_lifecycle.judges.rubric import RubricJudge
from llmrouter_lifecycle.names import check_id, check_version
from llmrouter_lifecycle.operations.routers import description
from llmrouter_lifecycle.operations.wire import judge_json
from llmrouter_lifecycle.store import accounts
from llmrouter_lifecycle.training.requests import check_request


def create_judge(home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any]) -> Any:
    """Create a judge."""
    id = check_id(query.get("judgeId"), "judgeId")
    spec = checked_spec(home, caller, body)
    return judge_json(home.judges.create(caller.org, id, spec, description(body)))


def list_judges(home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any]) -> Any:
    """Return the latest version of each judge."""
    return {"judges": [judge_json(version) for version in home.judges.list(caller.org)]}


def get_judge(home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any], id: str) -> Any:
    """Return a version of a judge, by default the latest."""
    return judge_json(home.judges.get(caller.org, id, check_version(query.get("version"))))


def judge_versions(
    home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any], id: str
) -> Any:
    """Return all versions of a judge, the newest first; none where there is no such judge."""
    return {"judges": [judge_json(version) for version in home.judges.versions(caller.org, id)]}


def update_judge(
    home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any], id: str
) -> Any:
    """Add a version to a judge."""
    spec = checked_spec(home, caller, body)
    return judge_json(home.judges.update(caller.org, id, spec, description(body)))


def delete_judge(
    home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any], id: str
) -> Any:
    """Delete a judge with all its versions."""
    home.judges.delete(caller.org, id)
    return {}


def render(home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any], id: str) -> Any:
    """Return the prompt that a rubric judge sends."""
    judge = _stored(home, caller, body, id)
    if not isinstance(judge, RubricJudge):
        raise InvalidParameterError(
            f"the judge {id!r} asks no LLM, and has no prompt", param="judgeSpec.model_type"
        )
    request, response = evaluated(body)
    return {"prompt": json.dumps({"rubric_judge": judge.prompt(request, response)}, ensure_ascii=False)}


def evaluate(home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any], id: str) -> Any:
    """Let a judge score an answer."""
    return _evaluate(home, caller, _stored(home, caller, body, id), body)


def evaluate_spec(home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any]) -> Any:
    """Let a judge that is not kept score an answer."""
    spec = checked_spec(home, caller, body)
    judge = make_judge(spec, home.models.client, trusted=caller.trusted, allowed=home.allowed_judges)
    return _evaluate(home, caller, judge, body)


def checked_spec(home: Home, caller: Caller, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec of a judge in a body, which nests it twice, with its defaults.

    Raises:
        InvalidParameterError: It is malformed; the message names the key.
        ResourceNotFoundError: Its LLM is not known.
    """
    outer = body.get("judgeSpec")
    told = outer.get("judgeSpec") if isinstance(outer, Mapping) else None
    if told is None:
        raise InvalidParameterError('judgeSpec: expected {"judgeSpec": {"model_type": …}}', param="judgeSpec")
    spec = judge_spec(told)
    judge = make_judge(spec, trusted=caller.trusted, allowed=home.allowed_judges)
    if isinstance(judge, RubricJudge):
        spec["model"] = home.models.resolve(spec["model"], "judgeSpec.model")
    return spec


def evaluated(body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the chat request and the message that answers it, in an evaluation body.

    Raises:
        InvalidParameterError: The body is malformed; the message names the key.
    """
    request = _payload(body, "completionCreateParams")
    completion = _payload(body, "chatCompletion")
    response = completion.get("response")
    if response is None:
        try:
            response = completion["choices"][0]["message"]
        except (KeyError, IndexError, TypeError):
            response = None
    if not isinstance(response, dict):
        raise InvalidParameterError(
            "chatCompletion.jsonPayload: expected a completion with 'choices' or 'response'",
            param="chatCompletion.jsonPayload",
        )
    return check_request(request, "completionCreateParams.jsonPayload"), response


def _stored(home: Home, caller: Caller, body: Mapping[str, Any], id: str) -> Judge:
    wanted = check_version(body.get("judgeVersion"), "judgeVersion")
    version = home.judges.get(caller.org, id, wanted)
    return make_judge(version.spec, home.models.client, trusted=caller.trusted, allowed=home.allowed_judges)


def _evaluate(home: Home, caller: Caller, judge: Judge, body: Mapping[str, Any]) -> Any:
    request, response = evaluated(body)
    if not isinstance(judge, RubricJudge):
        judgement, _ = asyncio.run(judge_answer(judge, request, response))
        return _told(judgement)
    bound = None
    if caller.budget_usd is not None:
        bound = judge.bound(home.models, request, response)
    wanted = None if bound is None else bound.wanted
    reservation = accounts.reserve(home.database, caller.account, wanted, sent=True)
    cost: float | None = None
    parameters: dict[str, Any] = {}
    try:
        if reservation is not None and bound is not None:
            parameters = home.models.limited(judge.model, {}, bound, reservation.usd)
        judgement, _ = asyncio.run(judge_answer(judge, request, response, parameters))
        cost = judgement.cost
    except JudgementError as error:
        cost = error.cost
        raise
    except LLMRouterError:
        cost = 0.0
        raise
    finally:
        accounts.settle(home.database, caller.account, reservation, cost)
    return _told(judgement)


def _told(judgement: Judgement) -> dict[str, Any]:
    return {"judgement": {"score": judgement.score, "reason": judgement.reason, "cost": judgement.cost}}


def _payload(body: Mapping[str, Any], key: str) -> dict[str, Any]:
    outer = body.get(key)
    text = outer.get("jsonPayload") if isinstance(outer, Mapping) else None
    try:
        found = msgspec.json.decode(text) if isinstance(text, str) else None
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidParameterError(
            f"{key}.jsonPayload: expected a text that is a JSON object", param=f"{key}.jsonPayload"
        )
    return found
