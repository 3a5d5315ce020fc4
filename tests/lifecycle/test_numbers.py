"""Which number a text gives as its answer, and what the judge `numeric` makes of it."""

from __future__ import annotations

import time

import pytest

from llmrouter_lifecycle.errors import JudgementError
from llmrouter_lifecycle.judges.local import ExactMatch, Numeric
from llmrouter_lifecycle.judges.numbers import read_number

# Text, and its number; None where it gives none.
NUMBERS: list[tuple[str, float | None]] = [
    ("\u22125", -5),
    ("between 3-5", None),
    ("8. [source 3]", 8),
    ("GPT-5", None),
    ("1 234", 1234),
    ("1\xa0234", 1234),
    ("1\u202f234", 1234),
    ("1.234,5", 1234.5),
    ("3/4", 0.75),
    ("50%", 50),
    ("$1,000", 1000),
    ("1e5", 100000.0),
    ("\\boxed{42}", 42),
    ("#### 42", 42),
    ("\uff15", 5),
    ("4\uff12", 42),
    ("10^3", 1000),
    ("5 kg", 5),
    ("5kg", 5),
    ("1,2,3", None),
    ("1, 2, 3", None),
    ("First 7, so the answer is 42.", 42),
    ("= 1234.50", 1234.5),
    ("42 or 43", None),
    ("none", None),
    ("The answer is 42, since 6*7=42 and 5<6.", 42),
    ("So the answer is 3 + 4 = 7.", 7),
    ("3 + 4 = 7", 7),
    ("6*7=42", 42),
    ("x = -5", -5),
    ("x=-5", -5),
    ("$-5", -5),
    ("-$5", -5),
    ("(-5)", -5),
    ("- 5 apples", 5),
    ("5 - 3", None),
    ("3 -5", None),
    ("from 3 to 5", None),
    ("between 3 and 5", None),
    ("3 and 5", 5),
    ("2024-01-15", None),
    ("12:30", None),
    ("v1.2.3", None),
    ("192.168.0.1", None),
    ("H2O", None),
    ("x5", None),
    ("A4 paper", None),
    ("the 5th", 5),
    ("GPT-4 says 12", 12),
    ("12 (GPT-4)", 12),
    ("**42**", 42),
    ("**Answer:**\n\n42", 42),
    ("Answer: **42** units", 42),
    ("\\boxed{\\frac{3}{4}}", 0.75),
    ("$\\boxed{-12}$ because 3", -12),
    ("The result is 7 [3].", 7),
    ("[42]", 42),
    ("Step 1: 5\nStep 2: done", 5),
    ("1. apples\n2. pears", None),
    ("1. The answer is 5\n2. x", 5),
    ("1.5 million", 1500000.0),
    ("3 \u00d7 10^5", 300000.0),
    ("3x10^5", 300000.0),
    ("10³", 1000),
    ("10**3", 1000),
    ("½", 0.5),
    ("1½", 1.5),
    ("2 3/4 cups", 2.75),
    ("1/2/2024", None),
    ("1,234", 1234),
    ("1.234", 1.234),
    ("0,5", 0.5),
    ("12,5", 12.5),
    ("1'000", 1000),
    ("1_000", 1000),
    ("1,00,000", 100000),
    ("USD 5", 5),
    ("USD5", 5),
    ("€5", 5),
    ("5€", 5),
    ("5.", 5),
    (".5", 0.5),
    ("-.5", -0.5),
    ("+5", 5),
    ("minus 5", -5),
    ("negative 5", -5),
    ("1e999", None),
    ("1/0", None),
    ("10^400", None),
    ("https://a.b/3 is 4", 4),
    ("4 https://a.b/3", 4),
    ("It is 3\u20135", None),
    ("x ≈ 3.14", 3.14),
    ("5 m^2", 5),
    ("5 m²", 5),
    ("20°C", 20),
    ("-20°C", -20),
    ("the answer is not 5. It is 6", 6),
    ("####3", 3),
    ("#### 3. Results\nIt is 9", 9),
    ("The answer is between 3-5, after 7", None),
    ("In 2020, 42 people", 42),
    ("5 (Smith, 2020)", 5),
    ("5-year-old", 5),
    ("1,000,000.50", 1000000.5),
    ("\\[ 5 \\]", 5),
    ("1{,}234", 1234),
    ("50\\%", 50),
    ("\u0664\u0662", 42),
    ("100 000 000", 100000000.0),
    ("0x1F", None),
    ("Answer = 7", 7),
    ("8【3†source】", 8),
    ("7 minus 5", None),
    ("100,00", 100.0),
    ("1 234,56", 1234.56),
    ("a\ud83d 5", 5),
    ("5e-3", 0.005),
    ("-1e3", -1000),
    ("The answer is $1,000.50.", 1000.5),
    ("COVID-19", None),
    ("3.5.", 3.5),
    ("10 to 20 minutes, so 15", 15),
    ("42\n", 42),
    ("\n\n42", 42),
    ("answer: x = 5", 5),
    ("2^-1", 0.5),
    ("(3)", 3),
    ("3 - 5 = -2", -2),
    ("3-5=-2", -2),
    ("\u22123\u22125=\u22128", -8),
    ("\u2212½", -0.5),
    ("1 234 567,8", 1234567.8),
    ("2 of 3", 3),
    ("$5-$10", None),
    ("50 %", 50),
    ("5% + 3% = 8%", 8),
]


@pytest.mark.parametrize(("text", "number"), NUMBERS, ids=range(len(NUMBERS)))
def test_the_number_of_a_text(text: str, number: float | None) -> None:
    found = read_number(text).number
    assert (found and found.value) == (number if number is None else pytest.approx(number))


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ("1.234", (1234,)),
        ("1,234", (1.234,)),
        ("1,5", (5,)),
        ("1 234", (234,)),
        ("1\u00a0234", ()),
        ("1.234,5", ()),
        ("The answer is 5, that is 6", (6,)),
    ],
)
def test_what_else_a_number_may_mean(text: str, others: tuple[float, ...]) -> None:
    found = read_number(text).number
    assert found is not None
    assert found.others == others


def score(reference: str, answer: str) -> tuple[float, str | None]:
    judgement = Numeric({"model_type": "numeric"}).score(
        {"messages": [], "reference": reference}, {"role": "assistant", "content": answer}
    )
    return judgement.score, judgement.reason


@pytest.mark.parametrize(
    ("reference", "answer", "right"),
    [
        ("-5", "\u22125", 1),
        ("-5", "between 3-5", 0),
        ("5", "GPT-5", 0),
        ("0.5", "50%", 1),
        ("50", "50%", 1),
        ("50%", "0.5", 1),
        ("50%", "0.5%", 0),
        ("So 3 + 4 = 7\n#### 7", "\\boxed{7}", 1),
        ("-0.0", "0", 1),
    ],
)
def test_percentages_and_signs(reference: str, answer: str, right: float) -> None:
    assert score(reference, answer)[0] == right


def test_the_reason_says_how_the_numbers_were_read() -> None:
    assert score("1234", "1.234") == (
        0,
        "the answer is read as 1.234, the reference as 1234. The answer's '1.234' may also be 1234.",
    )
    assert score("5", "3-5") == (0, "the answer cannot be compared: '3-5' is no single number")
    assert score("5", "none") == (0, "the answer cannot be compared: there is no number")


def test_a_reference_without_one_number_is_an_error() -> None:
    with pytest.raises(JudgementError, match="'3-5' cannot be compared"):
        score("3-5", "4")


@pytest.mark.parametrize(
    "text",
    [
        *("1" * 200_000, "1," * 100_000, "1 " * 100_000, "1 111" * 50_000, "1-" * 100_000, "-" * 200_000),
        *("[" * 200_000, "(" * 200_000, "answer is " * 20_000, "answer is 1. " * 20_000, "a" * 200_000 + "1"),
        *(
            "\\boxed{" * 20_000,
            "#### 1\n" * 20_000,
            "step " * 40_000,
            " " * 200_000 + "1",
            "https://" * 20_000,
        ),
    ],
    ids=range(16),
)
def test_no_text_takes_long(text: str) -> None:
    started = time.process_time()
    read_number(text)
    assert time.process_time() - started < 2


def test_how_an_accent_was_typed_changes_no_score() -> None:
    request = {"messages": [], "reference": "caf\u00e9"}
    response = {"role": "assistant", "content": "Cafe\u0301"}
    assert ExactMatch({"model_type": "exact_match"}).score(request, response).score == 1
