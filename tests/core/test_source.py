"""What the source of a router folder tells, read without running it."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from llmrouter.plugin_system.source import UNKNOWN, Reading, is_candidate, read_folder

LEAVES_A_TRACE = "\nopen('it_ran', 'w').close()\n"
BASE = "from llmrouter.models.router import Router\n"
TRAINER_BASE = "from llmrouter.models.base_trainer import BaseTrainer\n"
ROUTER = BASE + "class MyRouter(Router): ...\n"

Read = Callable[..., Reading]


@pytest.fixture(autouse=True)
def nothing_was_run() -> Iterator[None]:
    yield
    assert not Path("it_ran").exists()


def folder_of(files: Mapping[str, str | bytes], name: str = "my_router") -> Path:
    folder = Path("custom_routers", name).absolute()
    for file, source in files.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            source
            if isinstance(source, bytes)
            else (textwrap.dedent(source).lstrip("\n") + LEAVES_A_TRACE).encode()
        )
    return folder


def reading_of(source: str | bytes, name: str = "my_router", **others: str | bytes) -> Reading:
    """Read a folder with this router.py; keywords are further files, without their suffix."""
    files = {"router.py": source, **{f"{file}.py": text for file, text in others.items()}}
    return read_folder(folder_of(files, name))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"router.py": ROUTER}, True),
        ({"model.py": ROUTER}, True),
        ({"router.py": "def ("}, True),
        ({"router.py": ""}, True),
        ({"__init__.py": ROUTER}, True),
        ({"__init__.py": "from .impl import MyRouter"}, True),
        ({"__init__.py": "from .impl import Thing as MyRouter"}, True),
        ({"__init__.py": "from .impl import Thing\nMyRouter = Thing"}, True),
        ({"__init__.py": "from .impl import MyRouter as thing"}, False),
        ({"__init__.py": "__all__ = ['MyRouter']\ndef __getattr__(name): ..."}, True),
        ({"__init__.py": "def __getattr__(name): ..."}, True),
        ({"__init__.py": "def ("}, True),
        ({"__init__.py": ""}, False),
        ({"__init__.py": "from .text import clean\nclass Cleaner: ..."}, False),
        ({"__init__.py": BASE}, False),
        ({"__init__.py": "from llmrouter.models import MetaRouter, Router"}, False),
        ({"helper.py": ROUTER}, False),
        ({"trainer.py": ROUTER}, False),
        ({"router.py/inner.py": ROUTER}, False),
        ({"inner/router.py": ROUTER}, False),
    ],
)
def test_a_candidate_has_a_router_module_or_exports_a_router(files: dict[str, str], expected: bool) -> None:
    assert is_candidate(folder_of(files)) is expected


@pytest.mark.parametrize(
    "source",
    [
        ROUTER,
        "from llmrouter.models.meta_router import MetaRouter\nclass MyRouter(MetaRouter): ...",
        "from llmrouter.models import MetaRouter\nclass MyRouter(MetaRouter): ...",
        "from llmrouter.models.router import Router as Base\nclass MyRouter(Base): ...",
        "import llmrouter.models.router as r\nclass MyRouter(r.Router): ...",
        "import llmrouter.models.router\nclass MyRouter(llmrouter.models.router.Router): ...",
        BASE + "class Mixin: ...\nclass MyRouter(Mixin, Router): ...",
        BASE + "class Shared(Router): ...\nclass MyRouter(Shared): ...",
        BASE + "class Shared(Router): ...\nclass Further(Shared): ...\nclass MyRouter(Further): ...",
        BASE + "from abc import ABC\nclass MyRouter(Router, ABC): ...",
        "from somewhere import Base\nclass MyRouter(Base): ...",
        "from .base import BaseRouter\nclass MyRouter(BaseRouter): ...",
        "class MyRouter(make_base()): ...",
        "from other import MyRouter\nclass MyRouter(MyRouter): ...",
        "from llmrouter.models.router import Router as MyRouter\nclass MyRouter(MyRouter): ...",
    ],
)
def test_the_class_is_found_by_its_name_and_base(source: str) -> None:
    reading = reading_of(source)
    assert (reading.class_name, reading.failure) == ("MyRouter", None)


@pytest.mark.parametrize(
    "source",
    [
        "if True:\n    class MyRouter(Router): ...",
        "if True:\n    pass\nelse:\n    class MyRouter(Router): ...",
        "if a:\n    pass\nelif b:\n    class MyRouter(Router): ...",
        "try:\n    class MyRouter(Router): ...\nexcept ImportError:\n    pass",
        "try:\n    import fast\nexcept ImportError:\n    class MyRouter(Router): ...",
        "try:\n    import fast\nexcept ImportError:\n    pass\nelse:\n    class MyRouter(Router): ...",
        "try:\n    pass\nfinally:\n    class MyRouter(Router): ...",
        "try:\n    class MyRouter(Router): ...\nexcept ImportError:\n    class MyRouter: ...",
        "if a:\n    class MyRouter: ...\nelse:\n    class MyRouter(Router): ...",
        "with open('x'):\n    class MyRouter(Router): ...",
        "for x in y:\n    class MyRouter(Router): ...",
        "while True:\n    class MyRouter(Router): ...\n    break",
        "match 1:\n    case 1:\n        class MyRouter(Router): ...",
    ],
)
def test_a_class_is_found_wherever_it_is_defined_at_import(source: str) -> None:
    reading = reading_of(BASE + source)
    assert (reading.class_name, reading.failure) == ("MyRouter", None)


@pytest.mark.parametrize(
    "source",
    [
        "from .impl import *",
        BASE + "def __getattr__(name): ...",
        "MyRouter = make()",
        "MyRouter: type = make()",
        "if a:\n    MyRouter = make()",
        "from .impl import MyRouter",
        "from .impl import Thing as MyRouter",
        "from one import ABase, BBase\nclass ARouter(ABase): ...\nclass BRouter(BBase): ...",
    ],
)
def test_what_only_running_it_would_tell_is_accepted(source: str) -> None:
    reading = reading_of(source)
    assert (reading.class_name, reading.failure) == (UNKNOWN, None)


@pytest.mark.parametrize(
    "folder", ["my_router", "my-router", "MyRouter", "my", "MY", "My_Router", "my__router_"]
)
@pytest.mark.parametrize("base", ["Router", "Elsewhere"])
def test_of_several_classes_the_one_of_the_folders_name_counts(folder: str, base: str) -> None:
    source = (
        BASE + f"class OtherRouter({base}): ...\nclass MyRouter({base}): ...\nclass LastRouter({base}): ..."
    )
    reading = reading_of(source, folder)
    assert (reading.class_name, reading.failure) == ("MyRouter", None)


def test_a_router_is_preferred_to_what_may_be_one() -> None:
    source = BASE + "from other import Thing\nclass OtherRouter(Thing): ...\nclass MyRouter(Router): ..."
    assert reading_of(source, "my_router").class_name == "MyRouter"


def test_a_class_of_the_folders_name_that_may_be_no_router_is_not_taken_for_one() -> None:
    source = BASE + "from other import Thing\nclass OtherRouter(Router): ...\nclass MyRouter(Thing): ..."
    reading = reading_of(source)
    assert (reading.class_name, reading.failure) == (UNKNOWN, None)


def test_a_class_that_is_surely_no_router_does_not_count() -> None:
    source = BASE + "class TokenRouter: ...\nclass MyRouter(Router): ..."
    assert reading_of(source, "something_else").class_name == "MyRouter"


def test_several_classes_and_none_of_the_folders_name_fail_and_say_how_to_choose() -> None:
    reading = reading_of(BASE + "class BRouter(Router): ...\nclass ARouter(Router): ...")
    assert reading.failure == (
        "several classes, ARouter, BRouter; import the right one in my_router/__init__.py "
        "or give it the folder's name"
    )
    assert not reading.misnamed


def test_the_class_that_init_exports_decides() -> None:
    two = BASE + "class ARouter(Router): ...\nclass BRouter(Router): ..."
    assert reading_of(two, __init__="from .router import BRouter").class_name == "BRouter"
    assert reading_of(two, __init__="__all__ = ['ARouter']").class_name == "ARouter"
    assert reading_of(two, __init__="__all__ = ('ARouter', 'route')").class_name == "ARouter"


def test_an_init_that_exports_several_is_settled_by_the_folders_name() -> None:
    both = "from .router import ARouter, MyRouter"
    assert reading_of("", __init__=both).class_name == "MyRouter"
    assert "several classes, ARouter, MyRouter" in str(reading_of("", "other", __init__=both).failure)


@pytest.mark.parametrize("init", ["", "from llmrouter.models import Router", "from .router import helper"])
def test_an_init_that_exports_no_router_leaves_it_to_the_module(init: str) -> None:
    assert reading_of(ROUTER, __init__=init).class_name == "MyRouter"


@pytest.mark.parametrize("init", ["from .router import *", "def __getattr__(name): ...", "MyRouter = make()"])
def test_an_init_that_hides_what_it_exports_is_accepted(init: str) -> None:
    reading = reading_of("class Nothing: ...", __init__=init)
    assert (reading.class_name, reading.failure) == (UNKNOWN, None)


def test_router_py_comes_before_model_py() -> None:
    assert reading_of(ROUTER, model=BASE + "class ModelRouter(Router): ...").class_name == "MyRouter"
    assert read_folder(folder_of({"model.py": ROUTER}, "other")).class_name == "MyRouter"


@pytest.mark.parametrize(
    "source",
    [
        "",
        "class Chooser: ...",
        "x = 1",
        "from llmrouter.models.meta_router import MetaRouter\nclass Chooser(MetaRouter): ...",
        "from llmrouter.models import Router as Base\nclass Chooser(Base): ...",
        BASE + "class RouterOfMine(Router): ...",
        BASE + "class Myrouter(Router): ...",
        BASE + "def make():\n    class MyRouter(Router): ...",
        BASE + "class Outer:\n    class MyRouter(Router): ...",
    ],
)
def test_no_class_that_ends_in_router_fails(source: str) -> None:
    reading = reading_of(source)
    assert reading.failure == "no class whose name ends in 'Router' in router.py"
    assert reading.misnamed
    assert not reading.invalid


@pytest.mark.parametrize(
    "source",
    [
        "class MyRouter: ...",
        "class MyRouter(object): ...",
        "class Base: ...\nclass MyRouter(Base): ...",
        BASE + "class MyRouter: ...",
    ],
)
def test_a_class_that_is_no_router_fails_validation(source: str) -> None:
    reading = reading_of(source)
    assert reading.failure == (
        "MyRouter in router.py inherits neither from llmrouter.models.meta_router.MetaRouter "
        "nor from llmrouter.models.router.Router"
    )
    assert reading.invalid
    assert not reading.misnamed


def test_classes_that_inherit_from_each_other_do_not_go_round_for_ever() -> None:
    reading = reading_of("class MyRouter(OtherRouter): ...\nclass OtherRouter(MyRouter): ...")
    assert reading.failure is None


DEEP = {
    "parentheses": "x = " + "(" * 3000 + ")" * 3000,
    "signs": "x = " + "-" * 100_000 + "1",
    "branches": "if x: pass\n" + "elif x: pass\n" * 5000,
}


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (b"def (", "SyntaxError: invalid syntax (FILE, line 1)"),
        (b"x = 1\n  y = 2\n", "IndentationError: unexpected indent (FILE, line 2)"),
        (b"x = 1\0\n", "source code string cannot contain null bytes (FILE)"),
        (b"# -*- coding: nonsense -*-\n", "SyntaxError: unknown encoding: nonsense (FILE, line 0)"),
        (b"# -*- coding: ascii -*-\nx = '\xc3\xa9'\n", "'ascii' codec can't decode"),
        (b"x = '\xe9'\n", "'utf-8' codec can't decode"),
        *((source.encode(), "(FILE") for source in DEEP.values()),
    ],
    ids=["syntax", "indentation", "null", "no such encoding", "other encoding", "not UTF-8", *DEEP],
)
@pytest.mark.parametrize("file", ["router.py", "model.py", "__init__.py"])
def test_source_that_python_cannot_read_fails_and_names_the_file(file: str, source: bytes, told: str) -> None:
    folder = folder_of({file: source})
    assert is_candidate(folder)
    failure = read_folder(folder).failure
    assert failure is not None
    assert told.replace("FILE", file) in failure
    assert "ast.py" not in failure
    assert "source.py" not in failure


def test_a_declared_encoding_and_a_byte_order_mark_are_understood() -> None:
    latin = b"# -*- coding: latin-1 -*-\n" + ROUTER.encode() + b"x = '\xe9'\n"
    assert reading_of(latin).class_name == "MyRouter"
    assert reading_of(b"\xef\xbb\xbf" + ROUTER.encode()).class_name == "MyRouter"


def test_warnings_about_the_source_are_not_the_readers_business() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert reading_of(ROUTER + "pattern = '\\d'\nx = 1 is 1\n").class_name == "MyRouter"
    assert caught == []


@pytest.mark.parametrize(
    ("source", "summary"),
    [
        (
            '"""Of the module."""\n' + BASE + 'class MyRouter(Router):\n    """Of the class."""',
            "Of the class.",
        ),
        ('"""Of the module."""\n' + ROUTER, "Of the module."),
        (BASE + 'class MyRouter(Router):\n    """\n    Second line.\n\n    More.\n    """', "Second line."),
        (BASE + 'class MyRouter(Router):\n    """One.\n\n    Two.\n    """', "One."),
        (BASE + 'class MyRouter(Router):\n    """   """', ""),
        (ROUTER, ""),
    ],
)
def test_the_summary_is_the_first_line_of_the_docstring(source: str, summary: str) -> None:
    assert reading_of(source).summary == summary


def test_without_other_words_the_summary_is_that_of_init() -> None:
    assert reading_of(ROUTER, __init__='"""Of the package."""').summary == "Of the package."
    assert reading_of('"""Of the module."""\n' + ROUTER, __init__='"""No."""').summary == "Of the module."


@pytest.mark.parametrize(
    ("files", "trainer"),
    [
        ({}, None),
        ({"trainer": TRAINER_BASE + "class MyRouterTrainer(BaseTrainer): ..."}, "MyRouterTrainer"),
        ({"trainer": TRAINER_BASE + "class MyTrainer(BaseTrainer): ..."}, "MyTrainer"),
        ({"trainer": TRAINER_BASE + "class Quick(BaseTrainer): ...\nclass ATrainer(Quick): ..."}, "ATrainer"),
        ({"trainer": "from there import Base\nclass MyTrainer(Base): ..."}, "MyTrainer"),
        ({"trainer": "from there import MyTrainer"}, UNKNOWN),
        ({"trainer": "from there import *"}, UNKNOWN),
        ({"trainer": "MyTrainer = make()"}, UNKNOWN),
        ({"__init__": "from .somewhere import MyTrainer"}, "MyTrainer"),
        ({"__init__": "from llmrouter.models import BaseTrainer"}, None),
        ({"trainer": TRAINER_BASE + "class MyTrainer(BaseTrainer): ...\nclass Idle: ..."}, "MyTrainer"),
        (
            {"trainer": TRAINER_BASE + "class ATrainer(BaseTrainer): ...\nclass MyTrainer(BaseTrainer): ..."},
            "MyTrainer",
        ),
        (
            {"trainer": TRAINER_BASE + "class ATrainer(BaseTrainer): ...\nclass BTrainer(BaseTrainer): ..."},
            UNKNOWN,
        ),
    ],
)
def test_the_trainer_is_found_likewise(files: dict[str, str], trainer: str | None) -> None:
    reading = reading_of(ROUTER, **files)
    assert (reading.trainer_name, reading.trainer_failure, reading.failure) == (trainer, None, None)


def test_a_trainer_may_stand_beside_its_router() -> None:
    source = ROUTER + TRAINER_BASE + "class MyTrainer(BaseTrainer): ..."
    assert reading_of(source).trainer_name == "MyTrainer"
    assert read_folder(folder_of({"model.py": source}, "other")).trainer_name == "MyTrainer"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def (", "SyntaxError: invalid syntax (trainer.py, line 1)"),
        ("x = 1\0", "null bytes (trainer.py)"),
        ("", "no class in trainer.py whose name ends in 'Trainer'"),
        ("class MyTrainer: ...", "inherits from llmrouter.models.base_trainer.BaseTrainer"),
        (TRAINER_BASE + "class Coach(BaseTrainer): ...", "no class in trainer.py"),
    ],
)
def test_a_trainer_that_cannot_be_used_leaves_the_router_usable(source: str, told: str) -> None:
    reading = reading_of(ROUTER, trainer=source)
    assert (reading.class_name, reading.failure, reading.trainer_name) == ("MyRouter", None, None)
    assert told in str(reading.trainer_failure)
