"""The journal keeps each answer as it comes, and lets the next run go on with it."""

from __future__ import annotations

import os
import resource
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmrouter.data.queries import QueryRow
from llmrouter.errors import DataError, LLMRouterError
from llmrouter_cli.journal import Journal

SETTINGS = {"router": "mine", "system": None, "temperature": 0.5}
PARTIAL = Path("out.jsonl.partial")


def opened(resume: bool = False, output: str = "out.jsonl", **settings: Any) -> Journal:
    return Journal(output, {**SETTINGS, **settings}, resume)


def row(number: int, text: str | None = None) -> QueryRow:
    return QueryRow(number, {"query": text or f"q{number}"})


def kept(*numbers: int, failed: tuple[int, ...] = ()) -> None:
    """Leave a journal of an interrupted run."""
    with opened() as journal:
        for number in numbers:
            journal.add(row(number), b'{"n":%d}' % number, number in failed)


def unfinished(journal: Journal, *rows: QueryRow) -> list[int]:
    return [row.number for row in journal.unfinished(rows)]


def test_rows_come_back_in_the_order_of_the_input() -> None:
    with opened() as journal:
        rows = journal.unfinished(row(number) for number in (1, 2, 4))
        for number in sorted((found.number for found in rows), reverse=True):
            journal.add(row(number), b'{"n":%d}' % number, False)
        assert list(journal.rows()) == [b'{"n":1}', b'{"n":2}', b'{"n":4}']
        assert journal.finished == 3
        journal.remove()
    assert not PARTIAL.exists()


def test_the_next_run_skips_what_is_finished_and_asks_what_failed_again() -> None:
    kept(1, 2, 3, failed=(2,))
    with opened(resume=True) as journal:
        assert journal.finished == 2
        assert unfinished(journal, *map(row, (1, 2, 3, 4))) == [2, 4]
        journal.add(row(2), b'{"again":2}', False)
        assert list(journal.rows()) == [b'{"n":1}', b'{"again":2}', b'{"n":3}']
        assert journal.finished == 3


def test_one_that_fails_when_it_is_asked_again_is_not_finished() -> None:
    kept(1)
    with opened(resume=True) as journal:
        journal.add(row(1, "other"), b'{"error":1}', True)
        assert journal.finished == 0
        assert unfinished(journal, row(1, "other")) == [1]


def test_rows_that_changed_are_asked_again_and_those_that_are_gone_are_left_out() -> None:
    kept(1, 2, 3)
    with opened(resume=True) as journal:
        assert unfinished(journal, row(1), row(2, "changed")) == [2]
        journal.add(row(2, "changed"), b'{"n":"new"}', False)
        assert list(journal.rows()) == [b'{"n":1}', b'{"n":"new"}']


def test_malformed_rows_are_told_apart_too() -> None:
    with opened() as journal:
        journal.add(QueryRow(1, None, "is not JSON"), b'{"error":1}', True)
        journal.add(row(2), b"{}", False)
    with opened(resume=True) as journal:
        assert unfinished(journal, row(1), row(2)) == [1]


def test_only_its_owner_may_read_it() -> None:
    before = os.umask(0)
    try:
        with opened() as journal:
            journal.add(row(1), b"{}", False)
            assert stat.S_IMODE(PARTIAL.stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_each_row_is_on_disk_at_once() -> None:
    with opened() as journal:
        journal.add(row(1), b'{"n":1}', False)
        assert PARTIAL.read_bytes().endswith(b'"row":{"n":1}}\n')


def test_without_any_answer_it_leaves_no_file() -> None:
    with opened() as journal:
        journal.add(row(1), b'{"error":1}', True)
    assert not PARTIAL.exists()


def test_a_new_run_does_not_overwrite_answers() -> None:
    kept(1)
    before = PARTIAL.read_bytes()
    with pytest.raises(LLMRouterError, match=r"out.jsonl.partial holds answers .* go on with --resume"):
        opened()
    assert PARTIAL.read_bytes() == before


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"temperature": 1}, "temperature was 0.5 and is 1 now"),
        ({"system": "be brief"}, "system was not set and is 'be brief' now"),
        ({"max_tokens": 5}, "max_tokens was not set and is 5 now"),
        ({"router": "x" * 500}, "router was 'mine' and is 'xxx"),
    ],
)
def test_other_settings_are_refused_and_named(settings: dict[str, Any], told: str) -> None:
    kept(1)
    before = PARTIAL.read_bytes()
    with pytest.raises(LLMRouterError, match="was made with other settings: ") as caught:
        opened(resume=True, **settings)
    assert told in str(caught.value)
    assert len(str(caught.value)) < 500
    assert PARTIAL.read_bytes() == before


def test_there_may_be_nothing_to_go_on_with() -> None:
    with opened(resume=True) as journal:
        assert journal.finished == 0
    Path("out.jsonl").write_text("{}\n")
    with pytest.raises(LLMRouterError, match=r"there is nothing to go on with: out.jsonl is there"):
        opened(resume=True)
    with opened() as journal:
        assert journal.finished == 0


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_last_row_that_was_cut_off_is_dropped(cut: int) -> None:
    kept(1, 2)
    PARTIAL.write_bytes(PARTIAL.read_bytes()[:-cut])
    with opened(resume=True) as journal:
        assert unfinished(journal, row(1), row(2)) == [2]
        journal.add(row(2), b'{"n":"anew"}', False)
        assert list(journal.rows()) == [b'{"n":1}', b'{"n":"anew"}']
    with opened(resume=True) as journal:
        assert journal.finished == 2


@pytest.mark.parametrize("head", [b"", b'{"router":"mi'])
def test_one_that_was_cut_off_before_its_first_row(head: bytes) -> None:
    PARTIAL.write_bytes(head)
    with opened(resume=True) as journal:
        journal.add(row(1), b'{"n":1}', False)
    with opened(resume=True) as journal:
        assert journal.finished == 1


@pytest.mark.parametrize("number", [1, 2])
def test_a_damaged_line_is_named_and_nothing_is_lost(number: int) -> None:
    kept(1, 2)
    lines = PARTIAL.read_bytes().splitlines(keepends=True)
    lines[number - 1] = b"garbage\n"
    PARTIAL.write_bytes(b"".join(lines))
    with pytest.raises(DataError, match=rf"out.jsonl.partial:{number}: is damaged"):
        opened(resume=True)
    assert PARTIAL.read_bytes() == b"".join(lines)


def test_two_runs_at_once_are_refused() -> None:
    with opened() as journal:
        journal.add(row(1), b"{}", False)
        with pytest.raises(LLMRouterError, match="is being written by another run"):
            opened(resume=True)
        journal.add(row(2), b"{}", False)
    with opened(resume=True) as journal:
        assert journal.finished == 2


def test_it_stands_beside_the_file_that_a_link_leads_to() -> None:
    Path("there").mkdir()
    Path("out.jsonl").symlink_to("there/real.jsonl")
    with opened() as journal:
        assert journal.path == Path("there/real.jsonl.partial").absolute()


def test_a_folder_that_is_not_there() -> None:
    with pytest.raises(DataError, match=r"nowhere/out.jsonl.partial: cannot be written: No such file"):
        opened(output="nowhere/out.jsonl")


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let no file grow beyond a kilobyte, as on a full disk."""
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


def test_a_full_disk_is_told_and_what_was_kept_stays(small_files: None) -> None:
    with pytest.raises(DataError, match=r"out.jsonl.partial: cannot be written: File too large"):
        kept(*range(1, 100))
    with opened(resume=True) as journal:
        assert 5 < journal.finished < 20
        assert unfinished(journal, row(1), row(50)) == [50]
