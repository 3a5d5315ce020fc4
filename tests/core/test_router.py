"""The contract of a router: what its constructor gives it, and data that are read when first used."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter.data.candidates import read_candidates
from llmrouter.data.routing_data import RoutingData
from llmrouter.errors import CheckpointError, ConfigError, DataError
from llmrouter.models.router import Router

DATA_KEYS = [
    "llm_data",
    "llm_embedding_data",
    "query_data_train",
    "query_data_test",
    "query_embedding_data",
    "routing_data_train",
    "routing_data_test",
]
MODULE = "llmrouter.models.router"
OPTIONAL = [key for key in DATA_KEYS if key != "llm_data"]
ROW = {"query": "one", "best_llm": "small", "performance": 1.0}


class First(Router):
    """Names the first candidate."""

    def route_single(self, query_input: dict[str, Any]) -> dict[str, Any]:
        return {"model_name": next(iter(self.llm_data)), "query": query_input["query"]}


class Own(First):
    """Has candidates of its own, from before the router is constructed."""

    def __init__(self, yaml_path: Any = None) -> None:
        self.llm_data = {"own": {}}
        self.size = 3
        super().__init__(yaml_path)


def with_data(**paths: Any) -> First:
    return First({"data_path": paths})


def data_file(key: str, folder: str = ".") -> str:
    Path(folder).mkdir(parents=True, exist_ok=True)
    path = Path(folder) / f"{key}.json"
    path.write_text(json.dumps({"small": {}} if key == "llm_data" else [ROW]))
    return str(path)


def test_route_single_is_all_that_must_be_defined() -> None:
    with pytest.raises(TypeError, match="route_single"):
        Router()  # type: ignore[abstract]
    assert (
        First({"data_path": {"llm_data": data_file("llm_data")}}).route_single(ROW)["model_name"] == "small"
    )


def test_a_batch_is_by_default_routed_in_order() -> None:
    batch = [{"query": "one"}, {"query": "two"}]
    assert [result["query"] for result in Own().route_batch(batch)] == ["one", "two"]


def test_all_attributes_are_there_without_a_configuration() -> None:
    router = Own()
    assert router.cfg == {"data_path": {}, "model_path": {}, "hparam": {}, "metric": {}}
    assert router.metric_weights == []
    assert router.resources is None
    assert [getattr(router, key) for key in OPTIONAL] == [None] * 6


@pytest.mark.parametrize("form", [str, Path, lambda path: json.loads(Path(path).read_text())])
def test_a_configuration_is_a_path_or_a_mapping(
    form: Callable[[str], Any], config: Callable[..., str]
) -> None:
    resources = object()
    router = First(form(config(hparam={"k": 5}, metric={"weights": {"b": 2, "a": 0.5}})), resources)
    assert router.cfg["hparam"] == {"k": 5}
    assert router.metric_weights == [2, 0.5]
    assert router.resources is resources
    assert list(router.llm_data) == ["small", "large"]


def test_a_wrong_configuration_stops_construction() -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: there is no such file"):
        First("absent.yaml")


@pytest.mark.parametrize("key", DATA_KEYS)
def test_data_are_read_on_first_use(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    router = with_data(**{key: f"{key}.json"})
    data_file(key)
    assert len(getattr(router, key)) == 1


@pytest.mark.parametrize("key", DATA_KEYS)
def test_data_are_read_once(key: str) -> None:
    router = with_data(**{key: data_file(key)})
    first = getattr(router, key)
    Path(f"{key}.json").unlink()
    assert getattr(router, key) is first


@pytest.mark.parametrize("key", ["routing_data_train", "routing_data_test"])
def test_routing_data_are_a_sequence_of_rows(key: str) -> None:
    data = getattr(with_data(**{key: data_file(key)}), key)
    assert isinstance(data, RoutingData)
    assert list(data) == [ROW]


@pytest.mark.parametrize("key", OPTIONAL)
def test_a_missing_path_is_no_error_until_it_is_used(key: str) -> None:
    router = with_data(**{key: "absent.json", "llm_data": data_file("llm_data")})
    assert router.route_single({"query": "one"})["model_name"] == "small"
    with pytest.raises(ConfigError, match=rf"^configuration: data_path\.{key}: there is no .*absent\.json$"):
        getattr(router, key)


def test_routing_reads_no_training_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any) -> None:
        raise AssertionError(f"{given} was read")

    for reader in ("read_rows", "read_embeddings", "read_routing_data"):
        monkeypatch.setattr(f"{MODULE}.{reader}", refuse)
    router = with_data(**{key: data_file(key) for key in DATA_KEYS})
    assert len(router.route_batch([ROW, ROW])) == 2
    with pytest.raises(AssertionError, match="was read"):
        router.query_data_train  # noqa: B018


@pytest.mark.parametrize("key", DATA_KEYS)
def test_a_null_path_is_no_path(key: str) -> None:
    router = with_data(**{key: None})
    if key in OPTIONAL:
        assert getattr(router, key) is None
    else:
        with pytest.raises(ConfigError, match="is missing"):
            router.llm_data  # noqa: B018


def test_missing_candidates_are_told_at_first_use_with_their_place(write: Callable[[str, str], Path]) -> None:
    router = First(write("config.yaml", "hparam:\n  k: 5\ndata_path:\n  # none yet\n"))
    with pytest.raises(ConfigError) as caught:
        router.llm_data  # noqa: B018
    assert str(caught.value) == (
        "config.yaml:3: data_path.llm_data: is missing; name the JSON file of the candidate LLMs"
    )


def test_a_missing_file_is_told_with_its_line_and_both_places(write: Callable[[str, str], Path]) -> None:
    router = First(str(write("conf/config.yaml", "data_path:\n  llm_data: sub/llm.json\n")))
    with pytest.raises(ConfigError) as caught:
        router.llm_data  # noqa: B018
    here = Path.cwd()
    assert str(caught.value) == (
        f"conf/config.yaml:2: data_path.llm_data: there is neither {here / 'conf/sub/llm.json'} "
        f"nor {here / 'sub/llm.json'}"
    )


def test_a_missing_file_with_but_one_place(write: Callable[[str, str], Path]) -> None:
    router = First(write("config.yaml", "data_path:\n  llm_data: llm.json\n"))
    with pytest.raises(ConfigError, match=rf"there is no {Path.cwd() / 'llm.json'}$"):
        router.llm_data  # noqa: B018


@pytest.mark.parametrize(
    ("places", "found"), [(["conf", "."], "conf"), (["conf"], "conf"), (["."], "."), (["conf/sub", "."], ".")]
)
def test_a_path_is_looked_up_beside_the_configuration_first(
    places: list[str], found: str, write: Callable[[str, str], Path]
) -> None:
    for place in places:
        Path(place).mkdir(exist_ok=True, parents=True)
        Path(place, "llm.json").write_text(json.dumps({place: {}}))
    router = First(write("conf/config.yaml", "data_path:\n  llm_data: llm.json\n"))
    assert list(router.llm_data) == [found]


def test_a_mapping_looks_in_the_current_folder() -> None:
    data_file("llm_data", "sub")
    assert list(with_data(llm_data="sub/llm_data.json").llm_data) == ["small"]


def test_an_absolute_path_is_taken_as_it_is(write: Callable[[str, str], Path], tmp_path: Path) -> None:
    path = data_file("llm_data", str(tmp_path / "far"))
    assert list(First(write("config.yaml", f"data_path: {{llm_data: {path}}}")).llm_data) == ["small"]


def test_a_tilde_is_the_home_folder(write: Callable[[str, str], Path]) -> None:
    data_file("llm_data", str(Path.home() / "data"))
    router = First(write("config.yaml", "data_path: {llm_data: ~/data/llm_data.json}"))
    assert list(router.llm_data) == ["small"]


def test_the_home_of_nobody_is_a_missing_file() -> None:
    with pytest.raises(ConfigError, match=r"there is no .*~nobody-at-all/llm\.json"):
        with_data(llm_data="~nobody-at-all/llm.json").llm_data  # noqa: B018


def test_a_path_in_a_mapping_may_be_a_path_object() -> None:
    assert list(with_data(llm_data=Path(data_file("llm_data"))).llm_data) == ["small"]


@pytest.mark.parametrize("key", DATA_KEYS)
@pytest.mark.parametrize("given", [5, ["a.json"], {"a": 1}, True])
def test_a_path_of_the_wrong_type(key: str, given: Any) -> None:
    Path("config.yaml").write_text(f"data_path:\n  {key}: {json.dumps(given)}\n")
    with pytest.raises(ConfigError) as caught:
        getattr(First("config.yaml"), key)
    assert (caught.value.line, caught.value.key) == (2, f"data_path.{key}")
    assert caught.value.problem == f"expected the path of a file, found {given!r}"


@pytest.mark.parametrize("key", DATA_KEYS)
def test_a_malformed_file_is_told_on_every_use(key: str) -> None:
    Path("bad.json").write_text('{"a":\n oops')
    router = with_data(**{key: "bad.json"})
    for _ in range(2):
        with pytest.raises(DataError, match=r"^bad\.json:2: is not valid JSON"):
            getattr(router, key)


def test_a_file_that_was_mended_is_read() -> None:
    router = with_data(llm_data="llm.json")
    with pytest.raises(ConfigError):
        router.llm_data  # noqa: B018
    Path("llm.json").write_text('{"small": {}}')
    assert list(router.llm_data) == ["small"]


@pytest.mark.parametrize("key", DATA_KEYS)
def test_every_data_attribute_is_assignable_before_construction(key: str) -> None:
    class Early(First):
        def __init__(self) -> None:
            setattr(self, key, "mine")
            super().__init__({"data_path": {key: "absent.json"}})

    assert getattr(Early(), key) == "mine"


@pytest.mark.parametrize("key", DATA_KEYS)
def test_every_data_attribute_is_assignable_afterwards(key: str) -> None:
    router = with_data(**{key: data_file(key)})
    assert getattr(router, key) != "mine"
    setattr(router, key, "mine")
    assert getattr(router, key) == "mine"


def test_candidates_of_its_own_need_no_configuration() -> None:
    assert Own().route_single({"query": "one"})["model_name"] == "own"
    assert Own().size == 3


def test_an_attribute_error_while_reading_is_not_a_missing_attribute(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> None:
        raise AttributeError("'NoneType' object has no attribute 'rows'")

    monkeypatch.setattr(f"{MODULE}.read_candidates", broken)
    router = with_data(llm_data=data_file("llm_data"))
    with pytest.raises(RuntimeError, match=r"reading data_path\.llm_data from .* failed: 'NoneType' object"):
        router.llm_data  # noqa: B018
    with pytest.raises(RuntimeError, match="failed"):
        hasattr(router, "llm_data")


def test_what_a_router_lacks_is_still_an_attribute_error() -> None:
    assert not hasattr(Own(), "answer_query")
    with pytest.raises(AttributeError, match="absent"):
        Own().absent  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("method", ["save_router", "load_router"])
def test_a_router_without_state_says_so(method: str) -> None:
    with pytest.raises(CheckpointError, match=rf"^w\.pt: Own has no state to .*{method}$"):
        getattr(Own(), method)("w.pt")


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda router: pickle.loads(pickle.dumps(router))]
)
@pytest.mark.parametrize("used", [False, True])
def test_a_router_is_copied_and_pickled(
    copied: Callable[[First], First], used: bool, config: Callable[..., str]
) -> None:
    rows = data_file("routing_data_train")
    router = First(config(data_path={"routing_data_train": rows}))
    if used:
        assert (len(router.llm_data), len(router.routing_data_train or [])) == (2, 1)
    again = copied(router)
    assert type(again) is First
    assert again.cfg == router.cfg
    assert list(again.routing_data_train or []) == [ROW]
    assert again.route_single(ROW) == router.route_single(ROW)


def test_a_deep_copy_shares_nothing(config: Callable[..., str]) -> None:
    router = First(config())
    again = copy.deepcopy(router)
    again.llm_data["more"] = {}
    again.cfg["hparam"]["k"] = 5
    assert "more" not in router.llm_data
    assert router.cfg["hparam"] == {}


def test_threads_that_read_at_once_see_the_same_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(path: Path) -> Any:
        time.sleep(0.02)
        return read_candidates(path)

    monkeypatch.setattr(f"{MODULE}.read_candidates", slowly)
    router = with_data(llm_data=data_file("llm_data"))
    start = threading.Barrier(8)
    found: list[Any] = []

    def use() -> None:
        start.wait(timeout=300)
        found.append(router.llm_data)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert found == [{"small": {}}] * 8


def test_a_constructor_that_prints_and_routes_works(capsys: pytest.CaptureFixture[str]) -> None:
    class Talking(Own):
        def __init__(self, yaml_path: Any = None) -> None:
            print("before")
            super().__init__(yaml_path)
            print(self.route_single({"query": "one"})["model_name"])

    Talking()
    assert capsys.readouterr().out == "before\nown\n"


def test_a_lazy_getattr_of_a_subclass_is_asked_only_for_what_is_missing() -> None:
    class Lazy(First):
        def __getattr__(self, name: str) -> str:
            if name.startswith("lazy_"):
                return name
            raise AttributeError(name)

    router = Lazy({"data_path": {"llm_data": data_file("llm_data")}})
    assert (router.lazy_index, list(router.llm_data), router.query_data_train) == (
        "lazy_index",
        ["small"],
        None,
    )
    assert not hasattr(router, "index")
    assert copy.deepcopy(router).lazy_index == "lazy_index"


def test_a_mixin_among_the_bases_is_constructed_too() -> None:
    class Counting:
        def __init__(self) -> None:
            super().__init__()
            self.count = 0

    class Mixed(Own, Counting):
        pass

    assert Mixed().count == 0
    assert Mixed().cfg["hparam"] == {}


@pytest.mark.torch
def test_torchs_module_before_the_router_is_refused_when_the_class_is_defined() -> None:
    from torch import nn

    advice = r"class Wrong: name the router before torch's Module .* class Wrong\(Router, nn.Module\)"
    with pytest.raises(TypeError, match=advice):

        class Wrong(nn.Module, First):
            pass


@pytest.mark.torch
def test_a_kind_of_torchs_module_before_the_router_is_refused_too() -> None:
    from torch import nn

    with pytest.raises(TypeError, match="inherit from MetaRouter"):

        class Wrong(nn.Linear, First):
            pass


@pytest.mark.torch
def test_torchs_module_after_the_router_works() -> None:
    import torch

    class Right(First, torch.nn.Module):
        def __init__(self, yaml_path: Any = None) -> None:
            super().__init__(yaml_path)
            self.layer = torch.nn.Linear(2, 1)

    router = Right({"data_path": {"llm_data": data_file("llm_data")}})
    assert [name for name, _ in router.named_parameters()] == ["layer.weight", "layer.bias"]
    assert router.route_single(ROW)["model_name"] == "small"
    assert router.query_data_train is None


@pytest.mark.torch
@pytest.mark.parametrize("key", DATA_KEYS)
def test_with_torch_data_are_assignable_before_construction_too(key: str) -> None:
    import torch

    class Early(First, torch.nn.Module):
        def __init__(self) -> None:
            setattr(self, key, {"mine": {}})
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

    assert getattr(Early(), key) == {"mine": {}}


@pytest.mark.torch
def test_with_torch_a_lazy_getattr_falls_through_to_the_modules() -> None:
    import torch

    class Lazy(First, torch.nn.Module):
        def __init__(self, yaml_path: Any) -> None:
            super().__init__(yaml_path)
            self.layer = torch.nn.Linear(1, 1)

        def __getattr__(self, name: str) -> Any:
            return "made" if name == "index" else super().__getattr__(name)

    router = Lazy({"data_path": {"llm_data": data_file("llm_data")}})
    assert (router.index, list(router.llm_data)) == ("made", ["small"])
    assert isinstance(router.layer, torch.nn.Linear)
    with pytest.raises(AttributeError, match="absent"):
        router.absent  # noqa: B018


@pytest.mark.torch
def test_with_torch_an_attribute_error_while_reading_is_not_a_missing_attribute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    class Right(First, torch.nn.Module):
        pass

    monkeypatch.setattr(f"{MODULE}.read_candidates", lambda path: path.rows)
    with pytest.raises(RuntimeError, match=r"has no attribute 'rows'"):
        Right({"data_path": {"llm_data": data_file("llm_data")}}).llm_data  # noqa: B018


def test_the_contract_does_without_torch_and_numpy() -> None:
    code = (
        "import sys; import llmrouter.routing, llmrouter.models.base_trainer, llmrouter.data.embeddings;"
        "print({'torch', 'numpy', 'safetensors'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == "set()\n"
