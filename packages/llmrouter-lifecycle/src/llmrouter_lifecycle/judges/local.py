"""Judges that call no LLM: they compare an answer with a reference, or run a function of the user's."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from llmrouter.models.judge import Judge, Judgement
from llmrouter.plugin_system.installed import load_target
from llmrouter.plugin_system.surroundings import importing
from llmrouter.plugin_system.time_limit import call_within
from llmrouter_lifecycle.errors import InvalidParameterError, JudgementError
from llmrouter_lifecycle.judges.conversation import message_text
from llmrouter_lifecycle.judges.foreign import SECONDS, TIMEOUT, ForeignJudge
from llmrouter_lifecycle.judges.numbers import Number, read_number
from llmrouter_lifecycle.judges.patterns import TimeLeft, compile_pattern, find
from llmrouter_lifecycle.names import refuse_unknown

PYTHON = "python:"


class ExactMatch(Judge):
    """1 where the answer is the reference, but for space around it and, unless told otherwise, case.

    Keys: ``reference`` (default: that of each request), ``case_sensitive``.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        super().__init__(spec)
        refuse_unknown(spec, ("model_type", "reference", "case_sensitive"), "judgeSpec")

    def score(self, request: Mapping[str, Any], response: Mapping[str, Any]) -> Judgement:
        """Compare."""
        wanted, found = _composed(reference_of(self.spec, request)), _composed(message_text(response))
        same = wanted == found if self.spec.get("case_sensitive") else wanted.casefold() == found.casefold()
        return Judgement(float(same), "is the reference" if same else "is not the reference")


class Regex(Judge):
    """1 where a pattern matches anywhere in the answer.

    Keys: ``pattern``; ``${reference}`` in it stands for the text of the reference.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        super().__init__(spec)
        refuse_unknown(spec, ("model_type", "pattern", "reference"), "judgeSpec")
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
    """1 if the number that the answer gives is that of the reference; `numbers` says which number that is.

    Keys: ``reference``, ``tolerance`` (how far they may be apart, 0), ``relative_tolerance`` (1e-9).
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        super().__init__(spec)
        refuse_unknown(spec, ("model_type", "reference", "tolerance", "relative_tolerance"), "judgeSpec")
        for key in ("tolerance", "relative_tolerance"):
            value = spec.get(key, 0)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise InvalidParameterError(
                    f"judgeSpec.{key}: expected a number from 0, found {value!r}", param=f"judgeSpec.{key}"
                )

    def score(self, request: Mapping[str, Any], response: Mapping[str, Any]) -> Judgement:
        """Compare."""
        reference = reference_of(self.spec, request)
        wanted, why_not = read_number(reference)
        if wanted is None:
            raise JudgementError(f"the reference {reference[:80]!r} cannot be compared: {why_not}")
        found, why_not = read_number(message_text(response))
        if found is None:
            return Judgement(0.0, f"the answer cannot be compared: {why_not}")
        # 50% is 0.5 and 50, but not where both are percentages.
        hundredth = found.percent != wanted.percent
        scales = [(1.0, 1.0), (0.01 if found.percent else 1.0, 0.01 if wanted.percent else 1.0)][
            : 1 + hundredth
        ]
        near = any(self._near(found.value * one, wanted.value * other) for one, other in scales)
        others = "".join(
            f" {whose} {number.text!r} may also be {' or '.join(f'{value:g}' for value in number.others)}."
            for whose, number in (("The answer's", found), ("The reference's", wanted))
            if number.others
        )
        read = f"the answer is read as {_shown(found)}, the reference as {_shown(wanted)}"
        return Judgement(float(near), f"{read}.{others}" if others else read)

    def _near(self, found: float, wanted: float) -> bool:
        return math.isclose(
            found,
            wanted,
            rel_tol=self.spec.get("relative_tolerance", 1e-9),
            abs_tol=self.spec.get("tolerance", 0.0),
        )


class PythonFunction(ForeignJudge):
    """A function of the user's: ``python:module:function``.

    It is called with request and response, as `Judge.score` is, and returns a number from ``min_score`` (0)
    to ``max_score`` (1), or a `Judgement`.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        refuse_unknown(spec, ("model_type", "min_score", "max_score", "reference", TIMEOUT), "judgeSpec")
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


def _composed(text: str) -> str:
    """Return a text that compares equal however its accents were typed."""
    return unicodedata.normalize("NFC", text).strip()


def _shown(number: Number) -> str:
    return f"{number.value:.12g}{'%' if number.percent else ''}"
