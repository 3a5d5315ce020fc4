"""Longformer's hidden states, averaged over the tokens of each text."""

from __future__ import annotations

import copy
import functools
import json
import pickle
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmrouter.encoders import create_encoder, longformer, pretrained
from llmrouter.encoders.longformer import LongformerEncoder
from llmrouter.errors import LLMRouterError, MissingExtraError
from llmrouter.utils import get_longformer_embedding

pytestmark = pytest.mark.torch

TEXTS = ["Hi", "What is the capital of France?", "", "a" * 15, "b" * 40, "c" * 500, "日本 \N{GRINNING FACE}"]


def expected(folder: str, text: str) -> Any:
    """Return what the library gives for one text, with its own window and padding."""
    import torch
    from transformers import AutoTokenizer, LongformerModel

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = LongformerModel.from_pretrained(folder, add_pooling_layer=False).eval()
    tokens = tokenizer(text, return_tensors="pt", truncation=True, max_length=96)
    with torch.no_grad():
        return model(**tokens).last_hidden_state[0].mean(dim=0).numpy()


def test_texts_are_the_mean_of_their_hidden_states(tiny_longformer: str) -> None:
    features = create_encoder(f"longformer:{tiny_longformer}").encode(TEXTS)
    assert isinstance(features, np.ndarray)
    assert features.dtype == np.float32
    for text, row in zip(TEXTS, features, strict=True):
        np.testing.assert_allclose(row, expected(tiny_longformer, text), atol=1e-5)


def test_a_batch_equals_its_texts_alone(tiny_longformer: str) -> None:
    encoder = LongformerEncoder(tiny_longformer)
    texts = [f"{'word ' * (number % 23)}{number}" for number in range(30)]
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(encoder.encode(texts), alone, atol=1e-5)


def test_one_text_is_a_vector_and_several_are_a_matrix(tiny_longformer: str) -> None:
    import torch

    one = get_longformer_embedding("Hi", model_name=tiny_longformer)
    assert one.shape == (16,)
    assert one.dtype == torch.float32
    assert get_longformer_embedding(["Hi"], tiny_longformer).shape == (1, 16)
    assert get_longformer_embedding([], tiny_longformer).shape == (0, 16)
    # What a router may train on.
    torch.nn.Linear(16, 1)(one).backward()


def test_the_model_is_the_argument_else_the_variable_else_the_published_one(
    tiny_longformer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert create_encoder("longformer").model_name == "allenai/longformer-base-4096"  # type: ignore[attr-defined]
    monkeypatch.setenv("LLMROUTER_LONGFORMER", tiny_longformer)
    encoder = create_encoder("longformer")
    assert encoder.name == "longformer"
    assert encoder.encode(["Hi"]).shape == (1, 16)  # type: ignore[union-attr]
    assert encoder.dim == 16
    assert get_longformer_embedding("Hi").shape == (16,)
    assert LongformerEncoder("elsewhere").model_name == "elsewhere"
    assert LongformerEncoder("elsewhere").name == "longformer:elsewhere"


def test_the_version_changes_with_the_weights_and_not_with_the_place(
    tiny_longformer: str, make_longformer: Callable[..., Path]
) -> None:
    version = LongformerEncoder(tiny_longformer).version
    shutil.copytree(tiny_longformer, "copy")
    assert LongformerEncoder("copy").version == version
    assert LongformerEncoder(str(make_longformer(Path("other"), seed=1))).version != version


def test_threads_share_one_model(tiny_longformer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []

    def counting(name: str, folder: Path, device: str) -> Any:
        loaded.append(name)
        return load(name, folder, device)

    load = longformer._load.__wrapped__
    monkeypatch.setattr(longformer, "_load", functools.cache(counting))
    encoder = LongformerEncoder(tiny_longformer)
    alone = {text: expected(tiny_longformer, text) for text in TEXTS}
    results: list[Any] = []
    # Of different lengths, for these want different windows.
    threads = [
        threading.Thread(target=lambda text=text: results.append((text, encoder.encode([text]))))
        for text in TEXTS * 3
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loaded) == 1
    for text, features in results:
        np.testing.assert_allclose(features[0], alone[text], atol=1e-5)


def test_an_encoder_that_was_used_can_be_copied_and_pickled(tiny_longformer: str) -> None:
    encoder = LongformerEncoder(tiny_longformer)
    features = encoder.encode(["Hi"])
    for other in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert other.version == encoder.version
        np.testing.assert_array_equal(other.encode(["Hi"]), features)


def test_loading_shows_nothing(
    tiny_longformer: str, capfd: pytest.CaptureFixture[str], make_longformer: Callable[..., Path]
) -> None:
    folder = make_longformer(Path("fresh"), seed=2)
    capfd.readouterr()
    LongformerEncoder(str(folder)).encode(["Hi", "a" * 500])
    assert capfd.readouterr() == ("", "")


def test_a_model_of_another_kind_is_read_too() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "hi": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=8
    ).save_pretrained("bert")
    config = BertConfig(
        vocab_size=3, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    BertModel(config).save_pretrained("bert")
    features = LongformerEncoder("bert").encode(["hi", "hi there", "", "hi " * 100])
    assert features.shape == (4, 8)
    assert not features[2].any()  # this tokenizer adds no special tokens
    np.testing.assert_allclose(features[3], LongformerEncoder("bert").encode(["hi " * 8])[0], atol=1e-5)


def test_weights_saved_by_torch_are_read_without_running_code(make_longformer: Callable[..., Path]) -> None:
    import torch
    from safetensors.torch import load_file

    folder = make_longformer(Path("model"))
    features = LongformerEncoder(str(folder)).encode(["Hi"])
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    shutil.copytree(folder, "by-torch")
    np.testing.assert_allclose(LongformerEncoder("by-torch").encode(["Hi"]), features, atol=1e-6)

    class Payload:
        def __reduce__(self) -> Any:
            return Path.touch, (Path("ran"),)

    shutil.copytree(folder, "evil")
    torch.save({**weights, "payload": Payload()}, "evil/pytorch_model.bin")
    with pytest.raises(LLMRouterError, match="Model evil: cannot be loaded"):
        LongformerEncoder("evil").encode(["Hi"])
    assert not Path("ran").exists()


def test_code_in_a_model_is_not_run(make_longformer: Callable[..., Path]) -> None:
    folder = make_longformer(Path("model"))
    settings = json.loads((folder / "config.json").read_text())
    settings["auto_map"] = {"AutoModel": "evil.Evil", "AutoConfig": "evil.Evil"}
    del settings["model_type"]
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "evil.py").write_text("from pathlib import Path\nPath('ran').touch()\nclass Evil: ...\n")
    with pytest.raises(LLMRouterError, match="Model model: cannot be loaded"):
        LongformerEncoder("model").encode(["Hi"])
    assert not Path("ran").exists()


def test_a_model_without_all_its_weights_is_refused(make_longformer: Callable[..., Path]) -> None:
    from safetensors.torch import load_file, save_file

    folder = make_longformer(Path("model"))
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(LLMRouterError, match=r"1 of its weights are missing, such as encoder\.layer\.1\."):
        LongformerEncoder("model").encode(["Hi"])


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/model", "~/model", "a/b/c"])
def test_a_folder_that_is_missing_is_not_looked_for_on_the_hub(name: str) -> None:
    with pytest.raises(LLMRouterError) as caught:
        get_longformer_embedding("Hi", name)
    assert str(caught.value) == f"Model {name}: there is no such folder"


def test_a_folder_without_a_model_says_what_must_be_there() -> None:
    Path("empty").mkdir()
    with pytest.raises(LLMRouterError, match=r"empty: cannot be loaded: .*; its folder must hold") as caught:
        get_longformer_embedding("Hi", "empty")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nobody/no-such-model", "no such name"])
def test_without_a_network_the_error_says_what_to_do(name: str) -> None:
    with pytest.raises(LLMRouterError) as caught:
        get_longformer_embedding("Hi", name)
    message = str(caught.value)
    assert message.startswith(f"Model {name}: there is no such folder, and it cannot be downloaded")
    assert message.endswith("copy the model to this machine and name its folder")
    assert "\n" not in message
    with pytest.raises(LLMRouterError, match="cannot be downloaded"):
        assert LongformerEncoder(name).version


class Hub:
    """Stands in for the client of the hub: a cache, and what the hub offers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cache: set[str], offer: set[str]) -> None:
        import huggingface_hub

        pretrained._from_hub.cache_clear()
        self.folder = Path("hub/snapshots/0123456789abcdef0123456789abcdef01234567")
        self.offer = offer
        self.downloads: list[object] = []
        self.put(cache)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self.snapshot_download)

    def put(self, names: set[str]) -> None:
        for name in names:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / name).touch()

    def snapshot_download(
        self, name: str, local_files_only: bool = False, allow_patterns: Any = (), ignore_patterns: Any = ()
    ) -> str:
        from fnmatch import fnmatch

        from huggingface_hub.errors import LocalEntryNotFoundError

        if local_files_only:
            if not self.folder.exists():
                raise LocalEntryNotFoundError("not here")
            return str(self.folder)
        self.downloads.append(allow_patterns)
        patterns = [allow_patterns] if isinstance(allow_patterns, str) else allow_patterns
        self.put({name for name in self.offer if any(fnmatch(name, pattern) for pattern in patterns)})
        return str(self.folder)

    @property
    def files(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}


def test_a_model_in_the_cache_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch, cache={"config.json", "model.safetensors"}, offer=set())
    assert pretrained.find_model("some/model") == hub.folder
    assert LongformerEncoder("some/model").version == "1-0123456789abcdef"
    assert not hub.downloads


def test_only_what_is_read_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    offer = {"config.json", "vocab.txt", "model.safetensors", "pytorch_model.bin", "code.py", "tf_model.h5"}
    hub = Hub(monkeypatch, cache={"config.json"}, offer=offer)
    pretrained.find_model("some/model")
    assert hub.files == {"config.json", "vocab.txt", "model.safetensors"}


def test_weights_saved_by_torch_are_downloaded_where_there_are_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = Hub(monkeypatch, cache=set(), offer={"config.json", "pytorch_model.bin", "rust_model.ot"})
    pretrained.find_model("some/model")
    assert hub.files == {"config.json", "pytorch_model.bin"}


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for use in (lambda: create_encoder("longformer"), lambda: get_longformer_embedding("Hi")):
        with pytest.raises(MissingExtraError, match=r"pip install 'llmrouter-core\[longformer\]'"):
            use()
