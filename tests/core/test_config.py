"""read_config gives a router its sections, and tells what is wrong with a file and at which line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmrouter.config import SECTIONS, config_error, line_of, read_config
from llmrouter.errors import ConfigError


@pytest.fixture(autouse=True, params=["fastest", "SafeLoader"])
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test with the loader written in C and, as where that is missing, with the one in Python."""
    if request.param != "fastest":
        monkeypatch.setattr("llmrouter.config._Loader", getattr(yaml, request.param))


def error_of(source: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read_config(source)
    assert "\n" not in str(caught.value)
    return caught.value


def error_in(text: str | bytes) -> ConfigError:
    Path("config.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return error_of("config.yaml")


def test_missing_sections_are_empty_mappings(write: Callable[[str, str], Path]) -> None:
    found = read_config(write("config.yaml", "api_endpoint: http://localhost\n"))
    assert found == {"api_endpoint": "http://localhost", **{section: {} for section in SECTIONS}}


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("content", ["", " # nothing yet", " null", " {}", "\n  # k: 5\n  # seed: 1"])
def test_an_empty_section_is_an_empty_mapping(section: str, content: str) -> None:
    Path("config.yaml").write_text(f"{section}:{content}\nother: 1\n")
    assert read_config("config.yaml")[section] == {}


def test_top_level_keys_that_core_does_not_know_are_kept(write: Callable[[str, str], Path]) -> None:
    path = write(
        "config.yaml",
        """
        my_section: {depth: [1, 2]}
        hparam: {k: 5}
        """,
    )
    found = read_config(path)
    assert found["my_section"] == {"depth": [1, 2]}
    assert found["hparam"] == {"k": 5}


@pytest.mark.parametrize("start", ["", "\ufeff", "---\n", "# about\r\n"])
def test_what_editors_put_first_does_no_harm(start: str) -> None:
    Path("config.yaml").write_bytes((start + "hparam:\r\n  k: 5\r\n").encode())
    assert read_config("config.yaml")["hparam"] == {"k": 5}


def test_a_mapping_is_taken_as_it_is_and_left_as_it_was() -> None:
    given = {"hparam": None, "mine": [1]}
    assert read_config(given) == {"mine": [1], **{section: {} for section in SECTIONS}}
    assert given == {"hparam": None, "mine": [1]}


def test_a_wrong_mapping_is_called_the_configuration() -> None:
    error = error_of({"hparam": [1]})
    assert str(error).startswith("configuration: hparam: expected a section")
    assert (error.path, error.line, error.key) == (None, None, "hparam")


def test_a_missing_file() -> None:
    error = error_of("absent.yaml")
    assert str(error) == "absent.yaml: there is no such file; name the router's YAML file with --config"
    assert error.path == Path("absent.yaml")


def test_a_folder() -> None:
    Path("folder").mkdir()
    assert "cannot be read: Is a directory" in str(error_of("folder"))


def test_bytes_that_are_not_utf8() -> None:
    assert "is not UTF-8 text: invalid start byte at byte 3" in str(error_in(b"a: \xff\n"))


@pytest.mark.parametrize("text", ["", "\n\n", "# only\n# comments\n", "---\n", "null\n"])
def test_a_file_without_content(text: str) -> None:
    assert "is empty; it needs at least data_path.llm_data" in str(error_in(text))


@pytest.mark.parametrize(
    ("text", "found"),
    [("- a\n", "a list"), ("text\n", "text"), ("7\n", "a number"), ("1.5\n", "a number"), ("yes", "true or")],
)
def test_a_file_that_holds_no_keys(text: str, found: str) -> None:
    assert f"expected 'key: value' lines, found {found}" in str(error_in(text))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: [1\n", 3),
        ("a: 1\nb: c: d\n", 2),
        ("hparam:\n\tk: 5\n", 2),
        ("a: 1\n\nb: *nowhere\n", 3),
        ("a: 'open\n\n", 3),
        ("a: 1\n---\nb: 2\n", 2),
        ("? [a]\n: b\n", 1),
    ],
)
def test_malformed_yaml_is_told_with_its_line(text: str, line: int) -> None:
    error = error_in(text)
    assert error.line == line
    assert str(error).startswith(f"config.yaml:{line}: is not valid YAML: ")


@pytest.mark.parametrize(
    "text",
    [
        "day: 2024-13-45",
        "a: !!int word",
        "a: !!int ''",
        "a: !!float word",
        "a: !!bool word",
        "a: !!timestamp word",
        "a: \0",
        "a: " + "[" * 5000,
    ],
)
def test_yaml_that_cannot_be_made_into_values(text: str) -> None:
    assert "is not valid YAML: " in str(error_in(text))


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize(
    ("content", "found"), [("[1]", "a list"), ("text", "text"), ("5", "a number"), ("no", "true or false")]
)
def test_a_section_of_the_wrong_type_is_told_with_line_and_key(
    section: str, content: str, found: str
) -> None:
    error = error_in(f"# about\nother: 1\n{section}: {content}\n")
    assert str(error) == (
        f"config.yaml:3: {section}: expected a section of 'key: value' lines, found {found}"
    )
    assert (error.line, error.key) == (3, section)


def test_metric_weights_are_kept_in_order() -> None:
    Path("config.yaml").write_text("metric:\n  weights:\n    b: 2\n    a: 1\n")
    assert list(read_config("config.yaml")["metric"]["weights"].items()) == [("b", 2), ("a", 1)]


@pytest.mark.parametrize("weights", ["[1, 2]", "text", "5"])
def test_metric_weights_of_the_wrong_type(weights: str) -> None:
    error = error_in(f"metric:\n  # about\n  weights: {weights}\n")
    assert (error.line, error.key) == (3, "metric.weights")
    assert "expected 'name: weight' lines" in error.problem


@pytest.mark.parametrize(
    "payload",
    [
        "!!python/object/apply:os.mkdir [ran]",
        "!!python/object/new:os.mkdir [ran]",
        "!!python/object/apply:os.system ['touch ran']",
        "!!python/name:os.system",
        "!!python/module:os",
        "!anything {}",
    ],
)
def test_tags_that_would_run_code_are_refused(payload: str) -> None:
    error = error_in(f"a: 1\nb: {payload}\n")
    assert error.line == 2
    assert not Path("ran").exists()


def test_lines_are_found_in_yaml_and_in_json_with_tabs(write: Callable[[str, str], Path]) -> None:
    yaml = write("a.yaml", "one: 1\ntwo:\n  three: {four: 4}\n")
    json = Path("a.json")
    json.write_text('{\n\t"two": {\n\t\t"three":\t3\n\t}\n}\n')
    assert [line_of(yaml, key) for key in (["one"], ["two", "three"], ["two", "three", "four"])] == [1, 3, 3]
    assert line_of(json, ["two", "three"]) == 3


def test_the_line_of_an_absent_key_is_that_of_the_nearest_above(write: Callable[[str, str], Path]) -> None:
    path = write("a.yaml", "one: 1\ntwo:\n  three: 3\n")
    assert line_of(path, ["two", "four", "five"]) == 2
    assert line_of(path, ["one", "below a number"]) == 1
    assert line_of(path, ["absent"]) is None


@pytest.mark.parametrize("content", [None, b"", b"a: [", b"\xff", b"- a\n- b\n"])
def test_a_file_that_cannot_be_read_has_no_lines(content: bytes | None) -> None:
    path = Path("a.yaml")
    if content is not None:
        path.write_bytes(content)
    assert line_of(path, ["a"]) is None


def test_an_error_names_file_line_and_dotted_key(write: Callable[[str, str], Path]) -> None:
    path = write("a.yaml", "hparam:\n  k: five\n")
    assert str(config_error(path, ["hparam", "k"], "expected a number")) == (
        "a.yaml:2: hparam.k: expected a number"
    )


@pytest.mark.parametrize("source", [None, {"hparam": {"k": 5}}])
def test_an_error_without_a_file_names_the_configuration(source: Any) -> None:
    assert str(config_error(source, ["hparam", "k"], "expected text")) == (
        "configuration: hparam.k: expected text"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("hparams:\n  k: 1\n", ":1: hparams: is unknown; did you mean 'hparam'?"),
        ("data_path:\n  llm_dat: x\n", ":2: data_path.llm_dat: is unknown; did you mean 'llm_data'?"),
        ("gateway:\n  max_attempt: 3\n", ":2: gateway.max_attempt: is unknown; did you mean 'max_attempts'?"),
        ("services:\n  a:\n    concurency: 3\n", ":3: services.a.concurency: is unknown; did you mean"),
        ("lifecycle:\n  judge: []\n", ":2: lifecycle.judge: is unknown; did you mean 'judges'?"),
        ("lifecycle: here\n", ":1: lifecycle: expected a section, found 'here'"),
        ("lifecycle:\n  judges: python:a:b\n", ":2: lifecycle.judges: expected a list, found 'python:a:b'"),
        (
            "lifecycle:\n  judges:\n  - python:a:b\n  - pyhton:a:b\n",
            ":4: lifecycle.judges.1: expected 'python:MODULE:FUNCTION', found 'pyhton:a:b'",
        ),
        ("hparam:\n  k: 1\n  j: 2\n  k: 3\n", ":4: hparam.k: stands twice, on lines 2 and 4; keep one"),
    ],
)
def test_a_misspelt_or_repeated_key_is_an_error(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert problem in str(caught.value)


def test_aliases_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for name, before in zip("bcdefgh", "abcdefg", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    path = tmp_path / "config.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(ConfigError, match="its aliases stand for more than 1000000 values"):
        read_config(path)
    path.write_text("a: &a [*a]\n")
    with pytest.raises(ConfigError, match="its aliases stand for more than"):
        read_config(path)
    path.write_text("hparam: &h {k: 1}\nmetric: {weights: *h}\n")
    assert read_config(path)["metric"]["weights"] == {"k": 1}
