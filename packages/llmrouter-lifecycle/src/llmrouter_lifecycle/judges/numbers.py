"""Find the number that a text gives as its answer, as the judge ``numeric`` reads it.

The rules, which docs/lifecycle.md states for users:

1. A marked answer wins: the last ``\\boxed{…}``, else the last ``#### …``, else what follows "the answer is"
   or "answer:". Without a mark it is the last number of the text.
2. Numbers in words (``GPT-5``), citations (``[3]``), labels (``step 3``), list markers and addresses do not
   count, unless there is nothing else.
3. Ranges (``3-5``), alternatives (``42 or 43``), lists (``1, 2, 3``) and the operands of a sum are no answer.
"""

# ruff: noqa: RUF001 - signs that people type, which look like others
from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple


class Number(NamedTuple):
    """A number in a text.

    Attributes:
        text: As it stands there.
        value: What it most likely means.
        others: What else it may mean.
        percent: Whether a percent sign follows it.
    """

    text: str
    value: float
    others: tuple[float, ...] = ()
    percent: bool = False


class Reading(NamedTuple):
    """What was found.

    Attributes:
        number: The answer, or None.
        why_not: Why there is none, for people.
    """

    number: Number | None
    why_not: str = ""


# Characters of a text that are looked at, from its end.
LONGEST = 20_000
# Marks, from the end of the text, that are tried; and characters after "the answer is".
_MARKS = 20
_SENTENCE_LENGTH = 400
_SPACES = "\u00a0\u2007\u2009\u202f"
_MINUS = "-\u2010\u2011\u2012\u2013\u2014"
_SCALES = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_DIGITS = re.compile(
    rf"""
    (?:(?P<whole>\d+)[ ](?=\d+/\d))?
    (?P<body>\d{{1,3}}(?:[ {_SPACES}]\d{{3}})+(?!\d)(?:[.,]\d+)?|\d+(?:[.,'’_]\d+)*|\.\d+)
    (?:/(?P<below>\d+)(?![/\d]))?
    (?:[eE](?P<exponent>[+-]?\d+)\b
    |\s?[×x*·]\s?10\s?\^\s?\{{?(?P<ten>[+-]?\d+)\}}?
    |\s?\^\s?\{{?(?P<power>[+-]?\d+)\}}?)?
    (?![^\W\d_]{{1,8}}\d)
    (?P<percent>\s?%)?
    (?:\s(?P<scale>thousand|million|billion|trillion)s?\b)?
    """,
    re.VERBOSE,
)
_CURRENCY = re.compile(r"(?:[$€£¥₹]|\b(?:USD|EUR|GBP|CHF|JPY|CNY|INR)) ?\Z")
_SIGN = re.compile(rf"(?P<before>.?)(?P<sign>[{_MINUS}+]|\b(?:minus|negative)\ )\Z", re.DOTALL)
# Between two numbers, these make one thing of both, which is not a number by itself.
_JOINT = re.compile(rf"\s*(?:[{_MINUS}~+*×÷·:/^]|\.\.+|…|to|or|through|and|plus|times|divided by)\s*")
_EQUALS = re.compile(r"\s*[=≈]")
_WEAK = re.compile(
    r"""
    \[[^\[\]\n]*\] | 【[^】\n]*】                                   # citations
    | \((?:[^()\d\n]*,\s?\d{4}[a-z]?|[^()\n]*\b(?:source|see|ref|p|pp|page)\b[^()\n]*)\)
    | \b(?:step|section|figure|fig|table|page|chapter|source|question|equation|part|note|reference)s?
      [.]?\s\#?\d+(?:[.]\d+)*\b(?![%])                              # labels
    | \b\d+(?:st|nd|rd|th)\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
_ADDRESS = re.compile(r"\b(?:https?://|www\.)\S+")
_MARKER = re.compile(r"^[ \t]*\d+[.)][ \t]", re.MULTILINE)
_BOXED = re.compile(r"\\f?boxed\s*\{")
_HASHES = re.compile(r"^[ \t]*#{4}[ \t]*([-+$€£]*[\d.].*)$", re.MULTILINE)
_SAID = re.compile(
    r"\banswer(?:\s+(?:is|was|would\s+be|should\s+be|equals)\b|\s*[:=])(?!\s+not\b)\s*", re.IGNORECASE
)
_SENTENCE = re.compile(r"[.!?](?=\s|$)|\n")


class _Token(NamedTuple):
    """Digits in a text, with their sign and currency."""

    start: int
    end: int
    negative: bool
    signed: bool
    match: re.Match[str]


def read_number(text: str) -> Reading:
    """Find the number that a text gives as its answer."""
    text = _plain(text[-LONGEST:])
    for part, first in _marked(text):
        if (found := _read(part, first)) is not None:
            return found
    return _read(text, first=False) or Reading(None, "there is no number")


def _marked(text: str) -> Iterator[tuple[str, bool]]:
    """Yield what is marked as the answer, the strongest mark first, and whether its first number counts."""
    for match in _last(_BOXED, text):
        yield _braces(text, match.end()), False
    for match in _last(_HASHES, text):
        # "#### 3. Results" is a heading.
        if not _MARKER.match(match[1]):
            yield match[1], True
    for match in _last(_SAID, text):
        rest = text[match.end() : match.end() + _SENTENCE_LENGTH]
        end = _SENTENCE.search(rest)
        yield rest[: end.start()] if end else rest, True


def _last(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    return list(pattern.finditer(text))[: -_MARKS - 1 : -1]


def _read(text: str, first: bool) -> Reading | None:
    """Return what a text, or a part of it, gives; None if there is no number in it at all."""
    if len(_MARKER.findall(text)) > 1:
        text = _MARKER.sub(" ", text)
    text = _ADDRESS.sub(" ", text)
    # Blanked, not cut, so that what stood around them does not become one number.
    strong = _WEAK.sub(lambda match: " " * len(match[0]), text)
    if not (groups := _groups(strong)):
        strong, groups = text, _groups(text)
    if not groups:
        return None
    if first:
        # Of "3 + 4 = 7" it is the 7.
        place = 0
        while place + 1 < len(groups) and _EQUALS.match(strong, groups[place][-1].end):
            place += 1
        groups = groups[place:]
    numbers = [number for group in groups if len(group) == 1 and (number := _number(group[0], strong))]
    if not numbers or (first and len(groups[0]) > 1):
        joint = groups[0] if first else groups[-1]
        return Reading(None, f"{strong[joint[0].start : joint[-1].end]!r} is no single number")
    number = numbers[0 if first else -1]
    if first and (more := [other.value for other in numbers[1:] if other.value != number.value]):
        number = number._replace(others=(*number.others, *more))
    return Reading(number)


def _groups(text: str) -> list[list[_Token]]:
    """Return the numbers in a text; those of a range, a list, or a sum together."""
    tokens = [token for match in _DIGITS.finditer(text) if (token := _token(match, text)) is not None]
    groups: list[list[_Token]] = []
    by_comma: list[bool] = []
    for token in tokens:
        gap = text[groups[-1][-1].end : token.start] if groups else "\n"
        comma = gap.strip() == ","
        joint = "\n" not in gap and (
            comma or (not gap.strip() and token.signed) or _JOINT.fullmatch(gap) is not None
        )
        if gap.strip() == "and" and not text[: groups[-1][-1].start].rstrip().lower().endswith("between"):
            joint = False
        if joint and (len(groups[-1]) == 1 or by_comma[-1] == comma):
            groups[-1].append(token)
            by_comma[-1] = comma
        else:
            groups.append([token])
            by_comma.append(False)
    # "In 2020, 42 people" lists nothing; three make a list.
    return [
        part
        for group, comma in zip(groups, by_comma, strict=True)
        for part in ([[token] for token in group] if comma and len(group) == 2 else [group])
    ]


def _token(match: re.Match[str], text: str) -> _Token | None:
    """Return a number with its sign; None if it is part of a word, such as GPT-5 or m^2."""
    start = match.start()
    window = text[max(0, start - 16) : start]
    if found := _CURRENCY.search(window):
        start -= len(found[0])
        window = window[: found.start()]
    sign = _SIGN.search(window)
    before = sign["before"] if sign else window[-1:]
    if before == "^" or before == "_" or before.isalpha():
        return None
    if sign is None or before.isdigit() or before in (*")]%°",):
        return _Token(start, match.end(), False, False, match)
    return _Token(start - len(sign["sign"]), match.end(), sign["sign"] != "+", True, match)


def _number(token: _Token, text: str) -> Number | None:
    """Return the number of a token; None if it is none, such as a version or infinity."""
    match = token.match
    readings = _values(match["body"])
    try:
        if match["below"]:
            readings = [value / float(match["below"]) for value in readings[:1]]
            if match["whole"]:
                readings = [float(match["whole"]) + readings[0], *readings]
        if exponent := match["exponent"] or match["ten"]:
            readings = [value * 10.0 ** int(exponent) for value in readings]
        elif match["power"]:
            readings = [value ** int(match["power"]) for value in readings]
    except (ArithmeticError, ValueError):  # too large, divided by zero, or of more digits than Python reads
        return None
    factor = _SCALES.get(match["scale"] or "", 1.0) * (-1.0 if token.negative else 1.0)
    values = [value * factor for value in readings]
    if not values or not all(map(math.isfinite, values)):
        return None
    shown = text[token.start : token.end].strip()
    return Number(shown, values[0], tuple(values[1:]), match["percent"] is not None)


def _values(body: str) -> list[float]:
    """Return what digits with separators mean, the likeliest first; none for a version such as 1.2.3."""
    if re.fullmatch(r"\d*\.?\d+", body):
        group = re.fullmatch(r"[1-9]\d{0,2}\.\d{3}", body)
        return [float(body), *([float(body.replace(".", ""))] if group else [])]
    if re.fullmatch(rf"\d{{1,3}}(?:[ {_SPACES}]\d{{3}})+(?:[.,]\d+)?", body):
        whole = float(re.sub(rf"[ {_SPACES}]", "", body).replace(",", "."))
        return [whole, float(body.rpartition(" ")[2].replace(",", "."))] if " " in body else [whole]
    if re.fullmatch(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?|[1-9]\d?(?:,\d{2})+,\d{3}(?:\.\d+)?", body):
        whole = float(body.replace(",", ""))
        return [whole, float(body.replace(",", "."))] if re.fullmatch(r"\d+,\d{3}", body) else [whole]
    if re.fullmatch(r"[1-9]\d{0,2}(?:\.\d{3})+,\d+|[1-9]\d{0,2}(?:\.\d{3}){2,}", body):
        return [float(body.replace(".", "").replace(",", "."))]
    if re.fullmatch(r"\d+,\d+", body):  # a decimal comma, or two numbers
        return [float(body.replace(",", ".")), float(body.partition(",")[2])]
    if re.fullmatch(r"\d{1,3}(?:['’]\d{3})+(?:\.\d+)?|\d+(?:_\d+)+(?:\.\d+)?", body):
        return [float(re.sub(r"['’_]", "", body))]
    return []


def _plain(text: str) -> str:
    """Write a text's digits, signs and formulas as ASCII has them, and take emphasis away."""
    if not text.isascii():
        text = re.sub(r"[⁺⁻]?[⁰¹²³⁴-⁹]+", lambda match: f"^{unicodedata.normalize('NFKC', match[0])}", text)
        text = re.sub(r"(?<=\d)(?=[¼-¾⅐-⅞])", " ", text)
        text = re.sub(r"[¼-¾⅐-⅞]", lambda match: unicodedata.normalize("NFKC", match[0]), text)
        text = "".join(map(_ascii, text))
    text = text.replace("{,}", ",")
    if "\\" in text:
        text = re.sub(r"\\[dt]?frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(\d+)\s*\}", r"\1/\2", text)
        text = text.replace("\\,", "\u2009").replace("\\%", "%").replace("\\$", "$")
        text = re.sub(r"\\(?:times|cdot)\b", "×", text)
        text = re.sub(r"\\[\[\]()]", " ", text)
    text = re.sub(r"(?<=\d)\s?\*\*\s?(?=\d)", "^", text)
    return re.sub(r"\*\*|__|`", "", text)


def _ascii(character: str) -> str:
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    if "\uff01" <= character <= "\uff5e":
        return chr(ord(character) - 0xFEE0)
    return {"\u2212": "-", "\ufe63": "-", "⁄": "/", "∕": "/", "٫": ".", "٬": ","}.get(character, character)


def _braces(text: str, start: int) -> str:
    depth = 1
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[start:place]
    return text[start:]
