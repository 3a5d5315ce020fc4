"""What the examples need: environments to install into, an upstream, and what readers bring."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmrouter_testing.upstream import Upstream
from tests.docs.brought import LLM_PORTS, Brought
from tests.docs.environment import Environment
from tests.docs.pages import ROOT, SHELL, Page
from tests.docs.session import Session, free_port


@pytest.fixture
def hidden() -> tuple[str, ...]:
    """Readers have all our plugins."""
    return ()


@pytest.fixture
def perform(upstream: Upstream, tmp_path: Path) -> Iterator[Callable[[Page, Brought], Session]]:
    """Do a page, with what its reader brings."""
    sessions: list[Session] = []

    def perform(page: Page, brought: Brought) -> Session:
        __tracebackhide__ = True
        folder, files = tmp_path / "reader", tmp_path / "brought"
        folder.mkdir()
        files.mkdir()
        # Readers of a README may be in a checkout.
        (folder / "scripts").symlink_to(ROOT / "scripts")
        environment = Environment(tmp_path / "environment")
        for distribution in brought.offered:
            environment.offer(distribution)
        if brought.script is not None:
            upstream.script = brought.script
        if brought.files is not None:
            brought.files(files, upstream.url)
        port = int(upstream.url.rpartition(":")[2].partition("/")[0])
        pip = {"PIP_IGNORE_INSTALLED": "1", "PIP_NO_DEPS": "1"} if brought.offered else {}
        session = Session(
            folder,
            environment,
            ports={theirs: port if theirs in brought.llm_ports else free_port() for theirs in LLM_PORTS},
            typed=brought.typed,
            environ={**brought.environ, **pip},
            brought=files,
            written=frozenset(block.file for block in page.blocks if block.file is not None),
        )
        sessions.append(session)
        before = Page(ROOT / brought.after).blocks if brought.after is not None else []
        blocks = [*before, *page.blocks]
        for block, after in zip(blocks, [*blocks[1:], None], strict=True):
            if block.left_out is None:
                is_shown = block.language in SHELL and after is not None and after.language == "text"
                session.perform(block, after.code if after is not None and is_shown else None)
        return session

    yield perform
    for session in sessions:
        session.close()
