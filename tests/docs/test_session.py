"""An example that does not do what its page says is found, and said where."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.brought import Brought
from tests.docs.pages import Page
from tests.docs.session import ExampleError, Session

Perform = Callable[[Page, Brought], Session]


@pytest.fixture
def page(tmp_path: Path) -> Callable[[str], Page]:
    """Write a page; ``~~~`` stands for fences."""

    def page(text: str) -> Page:
        path = tmp_path / "page.md"
        path.write_text(textwrap.dedent(text).replace("~~~", "```"))
        return Page(path)

    return page


WORKING = """
    In `settings.yaml`:

    ~~~yaml
    services:
      lab: {api_endpoint: 'http://127.0.0.1:8080/v1'}
    ~~~

    ~~~sh
    mkdir below
    cd below
    export GREETING=hello
    ~~~

    ~~~python title="greeting.py"
    def greet():
        return "hello"
    ~~~

    ~~~python
    import os
    from greeting import greet

    print(greet() + ", " + os.environ["GREETING"])  # hello, hello
    ~~~

    Change a line of `greeting.py`:

    ~~~diff
     def greet():
    -    return "hello"
    +    return "good morning"
    ~~~

    ~~~
    python -m venv mine
    . mine/bin/activate
    python -c "import greeting; assert greeting.greet() == 'good morning'"
    ~~~

    ~~~console
    $ cat ../settings.yaml
    services:
      lab: …
    $ ls \\
        *.py
    greeting.py
    ~~~

    ~~~sh
    test -t 1 && echo "On a terminal it took 0.31 s"
    ~~~

    On another machine it may take longer:

    ~~~text
    a terminal   it took 35 s
    ~~~

    <!-- not run: it would fail, which is what is to be seen here -->
    ~~~sh
    false
    ~~~
    """


def test_a_page_is_one_session(page: Callable[[str], Page], perform: Perform) -> None:
    session = perform(page(WORKING), Brought())
    assert session.current == session.folder / "below"
    # At the port that stands in for the page's.
    assert f":{session.ports[8080]}/v1" in (session.folder / "settings.yaml").read_text()


def test_what_goes_on_is_stopped_in_the_end(page: Callable[[str], Page], perform: Perform) -> None:
    session = perform(page("~~~sh\nsetsid sleep 100 >/dev/null &\nsleep 100 &\n~~~"), Brought())
    assert len(session._running()) == 2
    session.close()
    assert not session._running()


def test_a_gateway_goes_on_until_the_end_and_gives_way_to_the_next(
    page: Callable[[str], Page], perform: Perform
) -> None:
    text = """
        ~~~sh
        llmrouter init project
        cd project
        llmrouter serve --router randomrouter --config custom_routers/my_router/local.yaml
        curl --fail --silent --show-error http://127.0.0.1:8000/healthz
        ~~~

        ~~~sh
        llmrouter serve --router randomrouter --config custom_routers/my_router/local.yaml --host 0.0.0.0
        curl --fail --silent --show-error http://localhost:8000/v1/chat/completions \\
            -H 'Content-Type: application/json' -d '{"messages": [{"role": "user", "content": "Hi"}]}'
        ~~~
        """
    perform(page(text), Brought())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("~~~sh\nllmrouter no-such-command\n~~~", "No such command"),
        ("~~~sh\nfalse\ntrue\n~~~", "ended with status 1"),
        ("~~~sh\nfalse | cat\n~~~", "ended with status 1"),
        ("~~~sh\npip install llmrouter-nosuch\n~~~", "No matching distribution"),
        ("~~~sh\npip install 'llmrouter-core[nosuch]'\n~~~", "does not provide the extra"),
        ("~~~sh\nmake no-such-target\n~~~", "No rule to make target"),
        ("~~~sh\nllmrouter serve --router randomrouter\n~~~", "--config"),
        ("~~~console\n$ echo one\ntwo\n~~~", "not:\ntwo"),
        ("~~~sh\necho one 1\n~~~\n\n~~~text\ntwo 1\n~~~", "does not show 'two 1'"),
        ("~~~python\nprint(1 + 1)  # 3\n~~~", "does not print '3'"),
        ("~~~python\nfrom llmrouter import NoSuchName\n~~~", "NoSuchName"),
        ("`a.py`:\n\n~~~python\nfrom llmrouter.files import NoSuchName\n~~~", "NoSuchName"),
        ("~~~python title='a.py'\nx = = 1\n~~~", "invalid syntax"),
        ("~~~yaml\ngateway: {max_attempt: 3}\n~~~", "max_attempt"),
        ("~~~yaml\nhparam: {thresold: 3}\n~~~", "nothing knows the key hparam.thresold"),
        ("~~~yaml\nservices: {lab: {endpoint: x}}\n~~~", "endpoint"),
        ("~~~yaml\nwhen: {keyword: x}\n~~~", "did you mean 'keywords'"),
        ("~~~yaml\ndata_path: {llm_data: nowhere.json}\n~~~", "there is no nowhere.json"),
        ("~~~yaml\na: [\n~~~", "expected"),
        ('~~~json\n{"small": {"input_price": "dear"}}\n~~~', "input_price"),
        ('~~~json\n{"query": 3}\n~~~', "query"),
        ('~~~json\n{"query": "a", "model_name": "b", "performance": "high"}\n~~~', "performance"),
        ("~~~json\n{\n~~~", "Expecting"),
        ("`llmrouter.toml`:\n\n~~~toml\n[plugins]\nalow = []\n~~~", "alow"),
        ("~~~cobol\nSTOP RUN.\n~~~", "no language that examples are in"),
        ("`a.py`:\n\n~~~diff\n-x\n+y\n~~~", "names no file"),
        ("`a.py`:\n\n~~~python\nx = 1\n~~~\n\nIn `a.py`:\n\n~~~diff\n-y\n+x\n~~~", "has these lines 0 times"),
    ],
)
def test_what_does_not_work_is_an_error_that_says_where(
    text: str, problem: str, page: Callable[[str], Page], perform: Perform
) -> None:
    with pytest.raises(ExampleError) as caught:
        perform(page(text), Brought())
    assert problem in str(caught.value)
    assert str(caught.value).startswith("page.md:")


def test_a_block_that_is_stuck_is_stopped(
    page: Callable[[str], Page], perform: Perform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.docs.session.SECONDS", 1)
    with pytest.raises(ExampleError, match="status none in 1 s and said:\nwaiting"):
        perform(page("~~~sh\necho waiting\nsleep 100\n~~~"), Brought())


def test_a_fence_that_is_indented_too_far_is_told(page: Callable[[str], Page]) -> None:
    assert page("# A page\n\n- A list:\n\n  ~~~sh\n  false\n  ~~~\n").hidden_fences == []
    assert page("# A page\n\nA list:\n\n    ~~~sh\n    false\n    ~~~\n").hidden_fences == [5]


@pytest.mark.parametrize(
    ("before", "file"),
    [
        ("It is `a.json`:", "a.json"),
        ("From `b.json`. It is `a.json`:", "a.json"),
        ("With `config.yaml`, in `a.json`:", "a.json"),
        ("It is `a.json`.", None),
        ("It is `a.yaml`:", None),
        ("`.json` takes this:", None),
    ],
)
def test_a_block_is_the_file_that_the_sentence_before_names(
    before: str, file: str | None, page: Callable[[str], Page]
) -> None:
    (block,) = page(f"{before}\n\n~~~json\n{{}}\n~~~\n").blocks
    assert (block.file, block.line) == (file, 4)
