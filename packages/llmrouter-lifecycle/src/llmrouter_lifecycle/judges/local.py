"""Judges that call no LLM: they compare an answer with a reference, or run a function of the user's."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from llmrouter.models.judge import Judge, Judgement
from llmrouter.plugin_system.installed import load_target
from llmrouter.plugin_system.surroundings import importing
from llmrouter.plugin_system.time_limit import call_within
from llmrouter_lifecycle.errors import InvalidParameterError, JudgementError
from llmrouter_lifecycle.judges.conversation import message_text
from llmrouter_lifecycle.judges.foreign import SECONDS, TIMEOUT, ForeignJudge
from llmrouter_lifecycle.judges.patterns import TimeLeft, compile_pattern, find

PYTHON = "python:"
_NUMBER = re.compile(r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


class ExactMatch(Judge):
    """1 where the answer is the reference, but for space around it and, unless told otherwise, case.

    Keys: ``reference`` (default: that of each request), ``case_sensitive``.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        super().__init__(spec)
        _check_keys(spec, "reference", "case_sensitive")

    def score(self, request: Mapping[str, Any], response: Mapping[str, Any]) -> Judgement:
        """Compare."""
        wanted, found = reference_of(self.spec, request).strip(), message_text(response).strip()
        same = wanted == found if self.spec.get("case_sensitive") else wanted.lower() == found.lower()
        return Judgement(float(same), "is the reference" if same else "is not the reference")


class Regex(Judge):
    """1 where a pattern matches anywhere in the answer.

    Keys: ``pattern``; ``${reference}`` in it stands for the text of the reference.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        super().__init__(spec)
        _check_keys(spec, "pattern", "reference")
        pattern = spec.get("pattern")
        if not isinstance(pattern, str):
            raise InvalidParameterError(
                f"judgeSpec.pattern: expected a regular expression, found {pattern!r}",
                param="judgeSpec.pattern",
            )
        compile_pattern(pattern.replace("${reference}", ""), "judgeSpec.pattern")

    def score(self, request: Mapping[str, Any], response: Mapping[str, Any]) -> Judgement:
        """Match."""
        pattern = self.spec["pattern"]
        if "${reference}" in pattern:
            pattern = pattern.replace("${reference}", re.escape(reference_of(self.spec, request)))
        compiled = compile_pattern(pattern, "judgeSpec.pattern")
        found = find(compiled, message_text(response), 0, "pattern", TimeLeft()) is not None
        return Judgement(float(found), "matches" if found else "does not match")


class Numeric(Judge):
    """1 where the last number in the answer is the last number in the reference.

    Keys: ``reference``, ``tolerance`` (how far they may be apart, 0), ``relative_tolerance`` (1e-9).
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        super().__init__(spec)
        _check_keys(spec, "reference", "tolerance", "relative_tolerance")
        for key in ("tolerance", "relative_tolerance"):
            value = spec.get(key, 0)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise InvalidParameterError(
                    f"judgeSpec.{key}: expected a number from 0, found {value!r}", param=f"judgeSpec.{key}"
                )

    def score(self, request: Mapping[str, Any], response: Mapping[str, Any]) -> Judgement:
        """Compare."""
        reference = reference_of(self.spec, request)
        wanted = _last_number(reference)
        if wanted is None:
            raise JudgementError(f"there is no number in the reference {reference[:80]!r}")
        found = _last_number(message_text(response))
        if found is None:
            return Judgement(0.0, "there is no number in the answer")
        near = math.isclose(
            found,
            wanted,
            rel_tol=self.spec.get("relative_tolerance", 1e-9),
            abs_tol=self.spec.get("tolerance", 0.0),
        )
        return Judgement(float(near), f"the last number is {found:g}, the reference {wanted:g}")


class PythonFunction(ForeignJudge):
    """A function of the user's: ``python:module:function``.

    It is called with request and response, as `Judge.score` is, and returns a number from ``min_score`` (0)
    to ``max_score`` (1), or a `Judgement`.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        _check_keys(spec, "min_score", "max_score", "reference", TIMEOUT)
        target = str(spec["model_type"]).removeprefix(PYTHON)
        if not re.fullmatch(r"[\w.]+:[\w.]+", target):
            raise InvalidParameterError(
                f"judgeSpec.model_type: expected python:MODULE:FUNCTION, found {spec['model_type']!r}",
                param="judgeSpec.model_type",
            )
        whose = f"the judge {target}"

        def load() -> Callable[..., Any]:
            with importing(whose):
                found: Callable[..., Any] = load_target(target)
                return found

        function = call_within(SECONDS, whose, load)
        super().__init__(spec, function, spec.get("min_score", 0.0), spec.get("max_score", 1.0))


LOCAL: dict[str, type[Judge]] = {"exact_match": ExactMatch, "regex": Regex, "numeric": Numeric}


def reference_of(spec: Mapping[str, Any], request: Mapping[str, Any]) -> str:
    """Return the right answer: the judge's own, else that of the request.

    Raises:
        JudgementError: There is none.
    """
    reference = spec.get("reference")
    if reference is None:
        reference = request.get("reference")
    if reference is None:
        raise JudgementError(
            "there is no reference; give the request a 'reference', the answer that is right"
        )
    return str(reference)


def _last_number(text: str) -> float | None:
    found = _NUMBER.findall(text)
    return float(found[-1].replace(",", "")) if found else None


def _check_keys(spec: Mapping[str, Any], *known: str) -> None:
    if unknown := sorted(str(key) for key in spec.keys() - {"model_type", *known}):
        raise InvalidParameterError(
            f"judgeSpec.{unknown[0]}: is not known; there are {', '.join(known)}",
            param=f"judgeSpec.{unknown[0]}",
        )
