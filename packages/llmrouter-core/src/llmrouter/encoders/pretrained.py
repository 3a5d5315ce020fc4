"""Find pretrained models: a local folder, or a name on the Hugging Face hub; neither code nor pickles run."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import logging
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from llmrouter.encoders.base import Encoder
from llmrouter.errors import LLMRouterError, MissingExtraError

logger = logging.getLogger(__name__)

# Settings, vocabularies and weights; no Python files, and no weights of other frameworks.
_PATTERNS = ["*.json", "*.jinja", "*.model", "*.safetensors", "*.txt"]
_OTHERS = ["onnx/*", "openvino/*"]
# Weights saved by torch, which models published before safetensors have alone. They are read with
# ``weights_only=True``, which takes tensors and refuses all else.
_TORCH = "pytorch_model*.bin"


class PretrainedEncoder(Encoder):
    """An encoder that is a model in a folder or on the hub, loaded when first used.

    Args:
        argument: The part of the encoder's name after the colon, if any.
        model_name: A folder, or the name of a model on the Hugging Face hub.
        device: Where torch computes.
    """

    def __init__(self, argument: str | None, model_name: str, device: str) -> None:
        super().__init__(argument)
        self.name = f"{self.name}:{argument}" if argument else self.name
        self.model_name = model_name
        self.device = device

    @cached_property
    def version(self) -> str:  # type: ignore[override]  # hashing a model's files takes a while
        """The state of the model; finds its files, but does not load it.

        Raises:
            LLMRouterError: There is no such model.
        """
        return f"1-{fingerprint(find_model(self.model_name))}"


def require(what: str, extra: str, *packages: str) -> None:
    """Check, without importing them, that packages are installed.

    Raises:
        MissingExtraError: One is not.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(what, extra)


def find_model(name: str) -> Path:
    """Return the folder of a model; what is neither a folder nor downloaded yet is downloaded.

    Args:
        name: A local folder, or a name on the Hugging Face hub such as ``allenai/longformer-base-4096``.

    Raises:
        LLMRouterError: There is no such folder, or the model cannot be downloaded.
    """
    folder = Path(os.path.expanduser(name))
    if folder.is_dir():
        return folder.resolve()
    if folder.is_absolute() or name.startswith((".", "~")) or len(folder.parts) > 2:
        raise LLMRouterError(f"Model {name}: there is no such folder")
    return _from_hub(name)


@functools.lru_cache(maxsize=8)
def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        with contextlib.suppress(LocalEntryNotFoundError):
            found = Path(snapshot_download(name, local_files_only=True))
            if has_safetensors(found) or any(found.rglob(_TORCH)):
                return found
        logger.info("Downloading the model %s", name)
        found = Path(snapshot_download(name, allow_patterns=_PATTERNS, ignore_patterns=_OTHERS))
        if not has_safetensors(found):
            snapshot_download(name, allow_patterns=_TORCH, ignore_patterns=_OTHERS)
    except Exception as error:  # of the hub's client, of its HTTP library, or of the file system
        raise LLMRouterError(
            f"Model {name}: there is no such folder, and it cannot be downloaded from the Hugging Face hub: "
            f"{_first_line(error)}; check the name and the network, or copy the model to this machine and "
            "name its folder"
        ) from error
    return found


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from showing progress, and warnings about weights that are checked here."""
    from transformers.utils import logging as shown

    level, bars = shown.get_verbosity(), shown.is_progress_bar_enabled()
    shown.set_verbosity_error()
    shown.disable_progress_bar()
    try:
        yield
    finally:
        shown.set_verbosity(level)
        if bars:
            shown.enable_progress_bar()


def has_safetensors(folder: Path) -> bool:
    """Whether a model's weights are there as safetensors."""
    return any(folder.rglob("*.safetensors"))


def unloadable(name: str, error: Exception) -> LLMRouterError:
    """Make the error for a model that is there but cannot be loaded."""
    return LLMRouterError(
        f"Model {name}: cannot be loaded: {_first_line(error)}; its folder must hold its configuration, its "
        "tokenizer and its weights, best as safetensors"
    )


def fingerprint(folder: Path) -> str:
    """Tell one state of a model from another.

    Of a model from the hub it is the revision, else a hash over the files that are read.
    """
    if folder.parent.name == "snapshots":
        return folder.name[:16]
    digest = hashlib.sha256()
    for path in sorted(_files(folder)):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]


def well_formed(texts: Sequence[str]) -> list[str]:
    """Return texts that tokenizers take: half a surrogate pair, as JSON may hold, becomes a question mark."""
    return [text if text.isascii() else text.encode("utf-8", "replace").decode() for text in texts]


def _files(folder: Path) -> Iterator[Path]:
    for pattern in (*_PATTERNS, _TORCH):
        yield from (path for path in folder.rglob(pattern) if path.is_file())


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip(' .')}" if lines else type(error).__name__
