"""What the package adds to pytest: little, and fixtures that work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

from llmrouter.plugin_system import get_plugin_registry
from llmrouter_testing.distributions import FakeDistributions
from llmrouter_testing.project import Project
from llmrouter_testing.upstream import Upstream

PLUGIN = """
    from llmrouter import RouterSpec, hookimpl

    @hookimpl
    def llmrouter_register_routers():
        return [RouterSpec("mine", "fake_mine:MyRouter")]
"""


def test_it_imports_nothing_but_pytest() -> None:
    program = (
        "import json, sys, pytest, typing\nbefore = set(sys.modules)\n"
        "import llmrouter_testing.plugin\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["llmrouter_testing", "llmrouter_testing.plugin"]


def test_a_project_is_the_current_folder(llmrouter_project: Project) -> None:
    assert Path.cwd() == llmrouter_project.folder
    assert Path.home().parent == llmrouter_project.folder.parent
    path = llmrouter_project.write("custom_routers/mine/router.py", "\n    x = 1\n")
    assert path.read_text() == "x = 1\n"
    config = json.loads(Path(llmrouter_project.config(hparam={"seed": 1})).read_text())
    assert config == {"hparam": {"seed": 1}, "data_path": {"llm_data": "llm.json"}}
    assert set(json.loads(Path("llm.json").read_text())) == {"small", "large"}


def test_a_project_has_no_settings_from_outside(llmrouter_project: Project) -> None:
    assert not [name for name in os.environ if name.startswith("LLMROUTER_")]


class TestDistributions:
    def test_it_is_found_here_and_in_other_processes(
        self, llmrouter_distributions: FakeDistributions
    ) -> None:
        llmrouter_distributions("llmrouter-mine", {"fake_mine": PLUGIN}, {"mine": "fake_mine"}, version="2.0")
        entry = get_plugin_registry().find("mine")
        assert (entry.origin, entry.version) == ("llmrouter-mine", "2.0")
        program = "from llmrouter.plugin_system import *; print(get_plugin_registry().find('mine').version)"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout == "2.0\n"

    def test_the_next_one_of_that_name_is_another(self, llmrouter_distributions: FakeDistributions) -> None:
        assert "fake_mine" not in sys.modules
        source = PLUGIN.replace('"mine"', '"other"')
        llmrouter_distributions("llmrouter-mine", {"fake_mine": source}, {"mine": "fake_mine"})
        assert "other" in get_plugin_registry().get_router_names()


def test_an_upstream_answers_by_its_script(llmrouter_upstream: Upstream) -> None:
    llmrouter_upstream.script = lambda request: f"you said {request['messages'][-1]['content']}"
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    request = urllib.request.Request(f"{llmrouter_upstream.url}/chat/completions", json.dumps(body).encode())
    with urllib.request.urlopen(request) as response:
        answer = json.load(response)
    assert answer["choices"][0]["message"]["content"] == "you said hello"
    assert llmrouter_upstream.requests == [body]
