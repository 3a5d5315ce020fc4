"""The documentation as its readers meet it: built, served, and opened in Chromium."""

import contextlib
import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import unquote, urldefrag

import click
import pytest
import yaml

from tests.conftest import ROOT

pytestmark = pytest.mark.extras

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# Beside what stands after ":::" in the reference: modules whose __all__ are the names that others import.
PUBLIC = (
    "llmrouter",
    "llmrouter.encoders",
    "llmrouter.hookspecs",
    "llmrouter.models",
    "llmrouter.plugin_system",
    "llmrouter.utils",
    "llmrouter_lifecycle",
    "llmrouter_pareto",
    "llmrouter_testing",
)
# No sentence tells them.
UNTOLD = {"llmrouter.__version__"}

FINDINGS = """() => ({
    ids: [...document.querySelectorAll("[id]")].map(element => element.id),
    links: [...document.querySelectorAll("a[href]")].map(link => link.href),
    broken: [...document.images].filter(image => !image.naturalWidth).map(image => image.src),
    text: document.querySelector("article")?.innerText ?? "",
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
})"""


class Page(NamedTuple):
    """What the browser found on a page."""

    ids: list[str]
    links: list[str]
    broken: list[str]
    text: str
    wide: int


@pytest.fixture
def hidden() -> tuple[str, ...]:
    return ()


def build(folder: Path) -> str | None:
    """Build the site of a folder strictly, as make docs does; returns what is wrong with it, or None."""
    for name in ("packages", "scripts"):
        (folder / name).symlink_to(ROOT / name)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LLMROUTER_")}
    environ["HOME"] = str(folder)  # without the settings that somebody may have there
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    run = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)
    told = re.sub(r"\x1b\[[\d;]*m", "", run.stdout + run.stderr)
    return told if run.returncode or "warning" in told.lower() else None


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    problem = build(folder)
    assert problem is None, problem
    return folder / "site"


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine; gives its address."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium on PATH; on Debian: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Root, as which containers run, has no sandbox; no page but our own is opened.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(browser: Any, address: str, width: int) -> Iterator[tuple[Any, list[str]]]:
    """Give a tab, and the list of what goes wrong in it; nothing is asked of another host."""
    trouble: list[str] = []

    def reach(route: Any) -> None:
        if route.request.url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            trouble.append(f"asks for {route.request.url}")
            route.abort()

    def hear(said: Any) -> None:
        if said.type in ("error", "warning"):
            trouble.append(f"console: {said.text}")

    page = browser.new_page(viewport={"width": width, "height": 900})
    page.route("**/*", reach)
    page.on("console", hear)
    page.on("pageerror", lambda error: trouble.append(f"script: {error}"))
    yield page, trouble
    page.close()


def problems(browser: Any, site: Path) -> list[str]:
    """Open every page of a site, as a narrow screen shows it, and tell what is wrong."""
    found: list[str] = []
    pages: dict[str, Page] = {}
    with served(site) as address, opened(browser, address, width=400) as (tab, trouble):
        for path in sorted(site.rglob("*.html")):
            url = address + path.relative_to(site).as_posix()
            tab.goto(url)
            pages[url] = Page(**tab.evaluate(FINDINGS))
            found += [f"{path.name}: {what}" for what in trouble]
            trouble.clear()
    for url, page in pages.items():
        name = url.removeprefix(address)
        found += [f"{name}: the picture {source} is missing" for source in page.broken]
        if page.wide > 0:
            found.append(f"{name}: is {page.wide} px wider than the screen")
        if len(page.text) < 200 and name != "404.html":
            found.append(f"{name}: is empty")
        found += [f"{name}: leads to {link}" for link in page.links if not _leads(link, pages, site, address)]
    return found


def _leads(link: str, pages: dict[str, Page], site: Path, address: str) -> bool:
    """Whether a link leads to a file of the site and a place in it; links to elsewhere must be https."""
    target, place = urldefrag(link)
    if not target.startswith(address):
        return target.startswith("https://")
    if target in pages:
        return not place or unquote(place) in pages[target].ids
    return (site / target.removeprefix(address)).is_file()


def test_every_page_of_the_documentation_is_in_the_site(site: Path) -> None:
    written = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    built = {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")}
    assert built == {*written, Path("404")}
    # And in the navigation, without which a page is found by its links alone.
    nav = set(re.findall(r"\S+(?=\.md$)", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert nav == {path.as_posix() for path in written}


def test_nothing_is_wrong_on_any_page(site: Path, browser: Any) -> None:
    assert problems(browser, site) == []


def test_what_is_wrong_on_a_page_is_found(tmp_path: Path, browser: Any) -> None:
    head = "<!doctype html><link rel=icon href=data:,><article id=here>"
    (tmp_path / "good.html").write_text(f"{head}{'word ' * 50}<a href=bad.html#here>there</a>")
    (tmp_path / "empty.html").write_text(head)
    (tmp_path / "bad.html").write_text(
        f"""{head}{"word " * 50}<img src=gone.png><img src=https://example.org/spy.png>
        <div style="width: 500px">wide</div><script>console.error("oh"); gone()</script>
        <a href=gone.html>page</a><a href=good.html#gone>place</a><a href=http://example.org>plain</a>"""
    )
    found = problems(browser, tmp_path)
    for told in (
        "empty.html: is empty",
        "gone.png is missing",
        "asks for https://example.org/spy.png",
        "wider than the screen",
        "console: oh",
        "script: gone is not defined",
        "/gone.html",
        "/good.html#gone",
        "leads to http://example.org",
    ):
        assert any(told in problem for problem in found), told
    assert not [problem for problem in found if problem.startswith("good.html")]


def test_search_finds_without_a_network(site: Path, browser: Any) -> None:
    with served(site) as address, opened(browser, address, width=1300) as (tab, trouble):
        tab.goto(f"{address}index.html", wait_until="networkidle")
        tab.keyboard.press("Control+k")
        tab.locator("dialog input").fill("performance gap recovered")
        tab.locator("dialog a", has_text="Two LLMs: the gap that is recovered").first.wait_for(timeout=10_000)
        assert trouble == []


def documented() -> list[str]:
    """The modules that the reference generates its pages from."""
    sources = (ROOT / "docs" / "reference" / "python").glob("*.md")
    return [name for path in sources for name in re.findall(r"^::: (\S+)$", path.read_text(), re.MULTILINE)]


@pytest.fixture(scope="module")
def told(site: Path) -> set[str]:
    """The names that the reference of Python tells."""
    pages = (site / "reference" / "python").glob("*.html")
    return {place for page in pages for place in re.findall(r'id="([\w.]+)"', page.read_text())}


@pytest.mark.parametrize("name", sorted({*PUBLIC, *documented()}))
def test_the_reference_has_every_public_name(name: str, told: set[str]) -> None:
    module = importlib.import_module(name)
    public = getattr(module, "__all__", None) or [
        key
        for key, value in vars(module).items()
        if not key.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == name
    ]
    missing = []
    for key in public:
        value = getattr(module, key)
        # Where a package exports what a module of it defines, one of the two is enough.
        owners = {name, getattr(value, "__module__", name), *PUBLIC}
        same = (owner for owner in owners if getattr(importlib.import_module(owner), key, None) is value)
        if not {f"{owner}.{key}" for owner in same} & (told | UNTOLD):
            missing.append(key)
    assert missing == []


def test_the_reference_has_every_hook(site: Path) -> None:
    from llmrouter import hookspecs

    hooks = [name for name in vars(hookspecs) if name.startswith("llmrouter_")]
    assert len(hooks) >= 6
    page = (site / "reference" / "python" / "plugins.html").read_text()
    assert [name for name in hooks if f'id="llmrouter.hookspecs.{name}"' not in page] == []


def test_the_reference_has_every_command_and_option(site: Path) -> None:
    from llmrouter_cli.app import cli

    page = (site / "reference" / "commands.html").read_text()
    places = set(re.findall(r'id="([^"]+)"', page))
    expected: set[str] = set()

    def collect(command: click.Command, context: click.Context) -> None:
        path = context.command_path.replace(" ", "-")
        expected.add(path)
        for option in command.get_params(context):
            if isinstance(option, click.Option) and not option.hidden:
                expected.add(path + next(name for name in reversed(option.opts) if name.startswith("--")))
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                if not inner.hidden:
                    collect(inner, click.Context(inner, info_name=name, parent=context))

    with click.Context(cli, info_name="llmrouter") as context:
        collect(cli, context)
    # Those of plugins, which are there only where the plugins are.
    assert {f"llmrouter-{name}" for name in ("serve", "keys", "routers", "judges", "jobs")} <= expected
    assert {"llmrouter-serve--router", "llmrouter-jobs-start--budget"} <= expected
    # The group itself has the page's own heading.
    assert sorted(expected - places - {"llmrouter"}) == []


def test_the_plugin_directory_has_every_distribution(site: Path) -> None:
    page = (site / "plugin-directory.html").read_text()
    names = [path.parent.name for path in (ROOT / "packages").glob("*/pyproject.toml")]
    assert len(names) >= 10
    assert [name for name in names if f'id="{name}"' not in page] == []
    for name in ("thresholdrouter", "longformer", "llmrouter serve", "llmrouter-knn[faiss]"):
        assert f"<code>{name}</code>" in page


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[there](gone.md)", "page does not exist"),
        ("[there](#gone)", "anchor does not exist"),
        ("::: llmrouter.gone", "llmrouter.gone"),
    ],
    ids=["page", "anchor", "name"],
)
def test_what_is_not_there_fails_the_build(text: str, told: str, tmp_path: Path) -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump({**config, "nav": ["index.md"]}))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# Home\n\n{text}\n")
    (tmp_path / "docs" / "site.css").touch()
    problem = build(tmp_path)
    assert problem is not None
    assert told in problem
