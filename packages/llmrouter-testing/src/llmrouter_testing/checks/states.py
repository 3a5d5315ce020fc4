"""Checks of what a router saves and loads."""

from __future__ import annotations

import contextlib
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmrouter.models.router import Router
from llmrouter_testing.comparing import same
from llmrouter_testing.report import Checks, fail, not_applicable
from llmrouter_testing.subjects.router import RouterSubject, make_router

state_checks: Checks[RouterSubject] = Checks()


@state_checks
def state_round_trip(subject: RouterSubject) -> None:
    """What save_router writes, load_router restores: the restored router gives the same results.

    The file is written where it was asked for, in a folder that need not exist.
    """
    restored = make_router(subject.found, str(subject.config), str(_saved(subject)))
    if not same(subject.route(), subject.route(router=restored)):
        fail("a router that loaded what another one saved gives different results")


@state_checks
def damaged_checkpoints(subject: RouterSubject) -> None:
    """A checkpoint that is missing, empty, cut off or garbage is an error.

    No router may go on with random or half of its weights as if it were trained.
    """
    for damage, path in _damaged(_saved(subject)):
        router = subject.make(trained=False)
        try:
            router.load_router(str(path))
        except Exception:  # noqa: S112 - any ordinary one will do: core says whose file it was
            continue
        fail(f"load_router accepts a checkpoint that is {damage}")


@state_checks
def checkpoints_run_no_code(subject: RouterSubject) -> None:
    """Loading a checkpoint cannot run code: nothing in it is unpickled.

    People load what others trained. Save tensors as safetensors, settings as JSON.
    """
    _keeps_state(subject)
    marker, path = subject.folder / "marker", subject.folder / "harmful"
    path.write_bytes(pickle.dumps(_Harmful(marker)))
    router = subject.make(trained=False)
    with contextlib.suppress(Exception):  # it is right to refuse it
        router.load_router(str(path))
    if marker.exists():
        marker.unlink()
        fail("load_router unpickles the file, which can run any code")


class _Harmful:
    """Makes a folder when it is unpickled, as it could do anything else."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


def _keeps_state(subject: RouterSubject) -> None:
    methods = ("save_router", "load_router")
    own = [name for name in methods if getattr(subject.found, name) is not getattr(Router, name)]
    if not own:
        not_applicable("it saves nothing: it does not define save_router and load_router")
    if len(own) == 1:
        fail(f"it defines {own[0]} alone; save_router and load_router belong together")


def _saved(subject: RouterSubject) -> Path:
    """Let a router save what it knows, and return where."""
    _keeps_state(subject)
    folder = subject.folder / "state"
    shutil.rmtree(folder, ignore_errors=True)
    path = folder / "below" / "model.bin"
    subject.make().save_router(str(path))
    if not path.exists():
        fail("save_router wrote nothing where it was told to")
    return path


def _damaged(saved: Path) -> Iterator[tuple[str, Path]]:
    """Damage copies of what was saved, in a folder its largest file."""
    yield "missing", saved.with_name("missing.bin")
    target = saved.with_name("damaged.bin")
    files = [path for path in (saved, *saved.rglob("*")) if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    content = largest.read_bytes()
    for damage, damaged in (
        ("empty", b""),
        ("cut off", content[: len(content) // 2]),
        ("garbage", b"\x00\xffgarbage" * 50),
    ):
        if saved.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(saved, target)
            (target / largest.relative_to(saved)).write_bytes(damaged)
        else:
            target.write_bytes(damaged)
        yield damage, target
