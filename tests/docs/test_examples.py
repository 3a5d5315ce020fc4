"""Every example of the READMEs and the docs does what its page says.

A page is done in a folder of its own, in order, as a reader does it: blocks that are files are written,
commands are typed into a real shell, servers go on beside. What stands in is said in `brought`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.docs.brought import BROUGHT, Brought
from tests.docs.files import CHECKS
from tests.docs.pages import PROSE, SHELL, Page, pages
from tests.docs.session import Session

PAGES = {page.name: page for page in pages()}
MOST_LEFT_OUT = 2


@pytest.mark.torch
@pytest.mark.llm
@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if page.blocks])
def test_page(name: str, perform: Callable[[Page, Brought], Session]) -> None:
    perform(PAGES[name], BROUGHT.get(name, Brought()))


def test_what_readers_bring_is_for_pages_that_there_are() -> None:
    assert set(BROUGHT) <= set(PAGES)


def test_no_fence_is_hidden() -> None:
    hidden = [f"{page.name}:{line}" for page in PAGES.values() for line in page.hidden_fences]
    assert not hidden, "indented too far to be a block"


def test_every_block_is_in_a_language_that_is_looked_at() -> None:
    known = {*SHELL, *PROSE, *CHECKS, "diff"}
    unknown = [str(block) for page in PAGES.values() for block in page.blocks if block.language not in known]
    assert not unknown


def test_few_blocks_are_left_out_and_each_says_why() -> None:
    left_out = [block for page in PAGES.values() for block in page.blocks if block.left_out is not None]
    assert len(left_out) <= MOST_LEFT_OUT, [str(block) for block in left_out]
    for block in left_out:
        assert len(block.left_out or "") > 20, f"{block}: say why it is not run"
