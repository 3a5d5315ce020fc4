"""A file is written whole or not at all; a device or pipe is written to directly."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmrouter.files import replacing


def put(path: str | Path, content: bytes = b"new") -> None:
    with replacing(path) as stream:
        stream.write(content)


def put_half_and_raise(error: type[BaseException]) -> None:
    with replacing("out") as stream:
        stream.write(b"half")
        raise error


def mode(path: str) -> int:
    return os.stat(path).st_mode & 0o7777


@pytest.fixture
def umask() -> Iterator[int]:
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


@pytest.mark.parametrize("before", [None, b"", b"older and longer"])
def test_the_file_holds_what_was_written_and_nothing_lies_beside_it(before: bytes | None) -> None:
    if before is not None:
        Path("out").write_bytes(before)
    put("out")
    assert Path("out").read_bytes() == b"new"
    assert os.listdir() == ["out"]


def test_until_the_block_ends_the_old_file_is_there() -> None:
    Path("out").write_bytes(b"old")
    with replacing("out") as stream:
        stream.write(b"new")
        stream.flush()
        assert Path("out").read_bytes() == b"old"
    assert Path("out").read_bytes() == b"new"


def test_until_the_block_ends_a_new_file_is_not_there() -> None:
    with replacing("out") as stream:
        stream.write(b"new")
        assert not Path("out").exists()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("before", [None, b"old"])
def test_after_a_failure_all_is_as_before(error: type[BaseException], before: bytes | None) -> None:
    if before is not None:
        Path("out").write_bytes(before)
    with pytest.raises(error):
        put_half_and_raise(error)
    assert {name: Path(name).read_bytes() for name in os.listdir()} == ({"out": before} if before else {})


def test_a_file_that_cannot_take_its_place_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        raise OSError(18, "refused")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="refused"):
        put("out")
    assert os.listdir() == []


@pytest.mark.parametrize("given", [0o600, 0o640, 0o644, 0o755])
def test_permissions_are_kept(given: int) -> None:
    Path("out").write_bytes(b"old")
    os.chmod("out", given)
    put("out")
    assert mode("out") == given


def test_a_new_file_follows_the_umask_and_leaves_it_alone(umask: int) -> None:
    put("out")
    assert mode("out") == 0o666 & ~umask
    assert os.umask(umask) == umask


@pytest.mark.parametrize("before", [None, b"old"])
def test_a_link_is_followed(before: bytes | None) -> None:
    Path("folder").mkdir()
    if before is not None:
        Path("folder/real").write_bytes(before)
    Path("link").symlink_to("folder/real")
    put("link")
    assert Path("link").is_symlink()
    assert Path("folder/real").read_bytes() == b"new"
    assert os.listdir("folder") == ["real"]


def test_a_pipe_is_written_to_directly() -> None:
    os.mkfifo("pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(Path("pipe").read_bytes()))
    reader.start()
    put("pipe")
    reader.join(300)
    assert read == [b"new"]
    assert os.listdir() == ["pipe"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device_is_an_error() -> None:
    with pytest.raises(OSError, match="No space left"):
        put("/dev/full")


def test_the_null_device_stays_a_device() -> None:
    put(os.devnull)
    assert Path(os.devnull).is_char_device()


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="needs /dev/stdout")
def test_standard_output_by_its_path_may_be_a_pipe() -> None:
    code = "from llmrouter.files import replacing\nwith replacing('/dev/stdout') as s: s.write(b'new')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=300)
    assert (done.stdout, done.stderr) == (b"new", b"")


@pytest.mark.parametrize("path", ["absent/out", "file/out", "/proc/self/out"])
def test_a_folder_that_cannot_be_written_to_is_an_error(path: str) -> None:
    Path("file").write_bytes(b"")
    with pytest.raises(OSError, match=r"Errno"):
        put(path)
    assert os.listdir() == ["file"]


def test_a_folder_is_no_file() -> None:
    Path("folder").mkdir()
    with pytest.raises(IsADirectoryError):
        put("folder")


def test_a_file_that_may_not_be_written_to_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("out").write_bytes(b"old")
    os.chmod("out", 0o444)
    # To root every file is writable.
    monkeypatch.setattr(os, "access", lambda path, wanted: bool(os.stat(path).st_mode & 0o222))
    with pytest.raises(PermissionError, match="out"):
        put("out")
    assert Path("out").read_bytes() == b"old"
    assert os.listdir() == ["out"]


def test_the_folder_is_synced_after_the_file_took_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[bool, str]] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), Path("f").read_text()))
        fsync(descriptor)

    Path("f").write_text("old")
    monkeypatch.setattr(os, "fsync", note)
    with replacing("f") as stream:
        stream.write(b"new")
    assert synced == [(False, "old"), (True, "new")]


def test_a_folder_that_cannot_be_synced_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(22, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    with replacing("f") as stream:
        stream.write(b"new")
    assert Path("f").read_text() == "new"
