"""The pages that readers see: their blocks of code, the files that these are, their links and anchors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]

SHELL = ("sh", "bash", "console")
# Blocks that nobody runs or reads by a program.
PROSE = ("text", "mermaid")
SUFFIXES = {
    "python": (".py",),
    "yaml": (".yaml", ".yml"),
    "toml": (".toml",),
    "json": (".json", ".jsonl"),
    "jsonl": (".jsonl",),
    # What is changed in a file, of any of these kinds.
    "diff": (".py", ".yaml", ".yml", ".toml", ".json", ".jsonl"),
}
_MARKDOWN = MarkdownIt("commonmark").enable("table")
_LEFT_OUT = re.compile(r"<!--\s*not run:\s*(.*?)\s*-->", re.DOTALL)
_TITLE = re.compile(r"""\btitle=(?:"([^"]+)"|'([^']+)')""")
_FIRST_LINE = re.compile(r"# (\S+\.\w+)\n")
_CODE = re.compile(r"`([^`\s]*[\w-]\.\w+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: Path of the page, from the root of the project.
        line: Of the page, from 1, on which the code begins.
        language: What the fence says, in lower case; a shell's where it says nothing.
        code: The text between the fences.
        file: The file that it is, by its title, its first line, or the sentence before; or None.
        left_out: Why it is not run, as a comment before it says; or None.
    """

    page: str
    line: int
    language: str
    code: str
    file: str | None = None
    left_out: str | None = None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


class Page:
    """A page in Markdown."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
        self.text = path.read_text("utf-8")

    @cached_property
    def tokens(self) -> list[Token]:
        """The page as the parser sees it."""
        return _MARKDOWN.parse(self.text)

    @cached_property
    def blocks(self) -> list[Block]:
        """The fenced blocks, in order."""
        return [
            self._block(token, self.tokens[:number])
            for number, token in enumerate(self.tokens)
            if token.type == "fence"
        ]

    def _block(self, fence: Token, before: list[Token]) -> Block:
        language, _, options = fence.info.strip().partition(" ")
        language = language.lower() or "sh"
        left_out = None
        if before and before[-1].type == "html_block" and (found := _LEFT_OUT.search(before[-1].content)):
            left_out = found[1]
            before = before[:-1]
        lines = fence.map or [0, 0]
        file = _file_of(language, options, fence.content, before)
        return Block(self.name, lines[0] + 2, language, fence.content, file, left_out)

    @property
    def hidden_fences(self) -> list[int]:
        """Lines of fences that are indented so far that they are no fences."""
        return [
            (token.map or [0])[0] + 1
            for token in self.tokens
            if token.type == "code_block" and re.search(r"^\s*(```|~~~)", token.content, re.MULTILINE)
        ]

    @property
    def links(self) -> Iterator[tuple[int, str]]:
        """The line of each paragraph, and what it links to."""
        for token in self.tokens:
            for child in token.children or ():
                target = child.attrs.get("href") or child.attrs.get("src")
                if target is not None:
                    yield (token.map or [0])[0] + 1, str(target)

    @cached_property
    def anchors(self) -> set[str]:
        """The anchors of its headings, as GitHub and the site make them."""
        found: dict[str, int] = {}
        for opening, inline in zip(self.tokens, self.tokens[1:], strict=False):
            if opening.type == "heading_open":
                text = "".join(child.content for child in inline.children or () if child.content)
                slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
                again = found[slug] = found.get(slug, -1) + 1
                if again:
                    found[f"{slug}-{again}"] = 0
        return set(found)

    @cached_property
    def named(self) -> set[str]:
        """The words that stand in backticks in the text: what the page tells of by name."""
        code = [
            child.content
            for token in self.tokens
            for child in token.children or ()
            if child.type == "code_inline"
        ]
        return {word for text in code for word in re.findall(r"\w+", text)}


def _file_of(language: str, options: str, code: str, before: list[Token]) -> str | None:
    suffixes = SUFFIXES.get(language)
    if suffixes is None:
        return None
    if title := _TITLE.search(options):
        return title[1] or title[2]
    if (first := _FIRST_LINE.match(code)) and first[1].endswith(suffixes):
        return first[1]
    # A paragraph that ends so: "…, in `router.py`:".
    if len(before) > 1 and before[-1].type == "paragraph_close":
        text = before[-2].content
        sentence = re.split(r"(?<=[.;])\s", text)[-1]
        names: list[str] = [name for name in _CODE.findall(sentence) if name.endswith(suffixes)]
        if sentence.endswith(":") and names:
            return names[-1]
    return None


def pages() -> list[Page]:
    """Return the pages whose examples are to work: the READMEs, the docs, and how to contribute."""
    docs = sorted((ROOT / "docs").rglob("*.md"))
    readmes = sorted((ROOT / "packages").glob("*/README.md"))
    return [Page(path) for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *docs, *readmes)]
