"""Create judges, and let them score answers."""

from __future__ import annotations

import builtins
import json
from collections.abc import Iterable, Mapping
from typing import Any

from llmrouter_lifecycle.client.backends import Backend
from llmrouter_lifecycle.errors import InvalidParameterError, JudgementError, ResourceNotFoundError
from llmrouter_lifecycle.judges.agreement import Agreement, agreement
from llmrouter_lifecycle.resources import Judge, JudgeEvaluation, RubricJudgeSpec

Spec = RubricJudgeSpec | Mapping[str, Any] | str


class JudgesClient:
    """The judges of an organisation; a judge may be given as it was returned, or by its id."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._root = f"/v1/organizations/{backend.org}"

    def create_judge(self, judge_id: str, judge_spec: Spec, description: str | None = None) -> Judge:
        """Create a judge.

        Args:
            judge_id: Up to 63 letters, digits, ``.``, ``_`` and ``-``.
            judge_spec: A rubric judge, a dict with ``model_type``, or the name of a local judge:
                ``exact_match``, ``regex``, ``numeric``, ``python:module:function``, or one of a plugin.
            description: For people.

        Raises:
            ResourceAlreadyExistsError: The id is taken.
            ResourceNotFoundError: Its LLM is not known.
            InvalidParameterError: The spec is malformed.
        """
        body = {**_spec(judge_spec), "description": description}
        return self._judge("POST", "/judges", {"judgeId": judge_id}, body)

    def update_judge(self, judge_id: str, judge_spec: Spec, description: str | None = None) -> Judge:
        """Add a version to a judge; without a description it keeps the one it has.

        Raises:
            ResourceNotFoundError: There is no such judge, or its LLM is not known.
            InvalidParameterError: The spec is malformed.
        """
        body = {**_spec(judge_spec), "description": description}
        return self._judge("PATCH", f"/judges/{_id(judge_id)}", None, body)

    def list(self) -> builtins.list[Judge]:
        """Return the latest version of each judge."""
        found = self._backend.request("GET", f"{self._root}/judges")
        return [Judge.from_json(judge) for judge in found["judges"]]

    def get(self, judge_id: str, version: int | None = None) -> Judge:
        """Return a version of a judge, by default the latest.

        Raises:
            ResourceNotFoundError: There is none.
        """
        query = None if version is None else {"version": version}
        return self._judge("GET", f"/judges/{_id(judge_id)}", query)

    def get_versions(self, judge_id: str) -> builtins.list[Judge]:
        """Return all versions of a judge, the newest first.

        Raises:
            ResourceNotFoundError: There is no such judge.
        """
        found = self._backend.request("GET", f"{self._root}/judges/{_id(judge_id)}/versions")
        if not found["judges"]:
            raise ResourceNotFoundError(f"judge {_id(judge_id)!r} does not exist", param="id")
        return [Judge.from_json(judge) for judge in found["judges"]]

    def delete(self, judge_id: str) -> None:
        """Delete a judge with all its versions.

        Raises:
            ResourceNotFoundError: There is none.
        """
        self._backend.request("DELETE", f"{self._root}/judges/{_id(judge_id)}")

    def render_prompt(
        self, judge: Judge | str, completion_request: Mapping[str, Any], completion_response: Any
    ) -> str:
        """Return the prompt that a rubric judge sends to its LLM.

        Args:
            judge: The judge.
            completion_request: The chat request.
            completion_response: The completion, as the ``openai`` package or JSON has it, or the answer's
                text.

        Raises:
            InvalidParameterError: The judge has no prompt, or the request or response is malformed.
        """
        body = _evaluation(judge, completion_request, completion_response)
        found = self._backend.request("POST", f"{self._root}/judges/{_id(judge)}:render", None, body)
        prompt: str = json.loads(found["prompt"])["rubric_judge"]
        return prompt

    def evaluate(
        self, judge: Judge | str, completion_request: Mapping[str, Any], completion_response: Any
    ) -> JudgeEvaluation:
        """Let a judge score an answer; arguments as of `render_prompt`.

        Raises:
            JudgementError: It gave no score that counts.
            ResourceNotFoundError: There is no such judge.
        """
        body = _evaluation(judge, completion_request, completion_response)
        found = self._backend.request("POST", f"{self._root}/judges/{_id(judge)}:evaluate", None, body)
        return JudgeEvaluation(**found["judgement"])

    def evaluate_using_judge_spec(
        self, judge_spec: Spec, completion_request: Mapping[str, Any], completion_response: Any
    ) -> JudgeEvaluation:
        """Let a judge that is not kept score an answer.

        Raises:
            JudgementError: It gave no score that counts.
            InvalidParameterError: The spec is malformed.
        """
        body = {**_spec(judge_spec), **_evaluation(None, completion_request, completion_response)}
        found = self._backend.request("POST", f"{self._root}/judges:evaluate", None, body)
        return JudgeEvaluation(**found["judgement"])

    def agreement(
        self, judge: Judge | str, examples: Iterable[tuple[Mapping[str, Any], Any, float]]
    ) -> Agreement:
        """Compare a judge's scores with those that people gave.

        Args:
            judge: The judge.
            examples: Request, response and gold score, on the judge's scale, of each answer.
        """
        resource = judge if isinstance(judge, Judge) else self.get(judge)
        scores: builtins.list[float | None] = []
        gold = []
        for request, response, right in examples:
            gold.append(float(right))
            try:
                scores.append(self.evaluate(resource, request, response).score)
            except JudgementError:
                scores.append(None)
        spec = resource.judge_spec
        return agreement(scores, gold, float(spec.get("min_score", 0)), float(spec.get("max_score", 1)))

    def _judge(self, method: str, path: str, query: Any = None, body: Any = None) -> Judge:
        return Judge.from_json(self._backend.request(method, self._root + path, query, body))


def _spec(told: Spec) -> dict[str, Any]:
    if isinstance(told, str):
        told = {"model_type": told}
    elif isinstance(told, RubricJudgeSpec) or hasattr(told, "to_dict"):
        told = told.to_dict()
    return {"judgeSpec": {"judgeSpec": told}}


def _evaluation(judge: Judge | str | None, request: Mapping[str, Any], response: Any) -> dict[str, Any]:
    if isinstance(response, str):
        response = {"choices": [{"message": {"role": "assistant", "content": response}}]}
    elif hasattr(response, "to_dict"):
        response = response.to_dict(mode="json")
    body: dict[str, Any] = {
        "completionCreateParams": {"jsonPayload": json.dumps(request)},
        "chatCompletion": {"jsonPayload": json.dumps(response)},
    }
    if isinstance(judge, Judge):
        body["judgeVersion"] = judge.version
    return body


def _id(judge: Any) -> str:
    name = getattr(judge, "name", judge)
    if not isinstance(name, str) or not name:
        raise InvalidParameterError(f"expected a judge, its name or its id, found {judge!r}")
    return name.rpartition("/")[2]
