"""The model that a run ended with: kept as safetensors, given back, and run on another text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.training.run import RunStoreError
from attnpanel.training.tasks import make_task
from attnpanel.training.training import make_model, trace_tokens

if TYPE_CHECKING:
    from attnpanel.sources.tiny_lm import TinyLM
    from attnpanel.trace import Trace
    from attnpanel.training.settings import TrainingSettings
    from attnpanel.training.store import RunStore
    from attnpanel.training.tasks import Task

SCHEMA: Final = "attnpanel.model/1"


def pack_model(model: TinyLM, settings: TrainingSettings, task: Task) -> bytes:
    """Return a model's weights as a safetensors file that says what they belong to."""
    from safetensors.torch import save

    about = {
        "schema": SCHEMA,
        "settings": settings.to_json(),
        "vocabulary": json.dumps(task.vocabulary),
    }
    weights = {name: one.detach().cpu().contiguous() for name, one in model.state_dict().items()}
    packed: bytes = save(weights, metadata=about)
    return packed


def kept_model(store: RunStore, number: int) -> TinyLM:
    """Return the model that a run ended with.

    Raises
    ------
    RunStoreError
        If the run or its weights are not there, or are not its own.
    """
    settings = store.run(number).settings
    task = make_task(settings.task, store.text(number))
    return _unpack(store.model_bytes(number), make_model(settings, task), number)


def _unpack(data: bytes, model: TinyLM, number: int) -> TinyLM:
    """Put weights that anybody may have written into the model whose shapes they must have."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        model.load_state_dict(load(data))
    except (SafetensorError, RuntimeError, ValueError, KeyError) as error:
        raise RunStoreError(
            f"the weights of run {number} are damaged: {str(error)[:200]}"
        ) from error
    return model.eval()


def trace_run(store: RunStore, number: int, text: str) -> Trace:
    """Return the attention that the model of a run pays to another text.

    Parameters
    ----------
    store : RunStore
    number : int
        A run that has ended.
    text : str
        Tokens of the run's task, parted by blanks: ``"a b c a"``; for the task ``text``, letters.

    Raises
    ------
    ValueError
        If it is too long, holds what the run has no token for, or the run has no attention.
    """
    settings = store.run(number).settings
    if not settings.attends:
        raise ValueError(f"run {number} is the baseline: it has no attention")
    task = make_task(settings.task, store.text(number))
    tokens = np.array([task.tokens_of(text)], dtype=np.int64)
    trace = trace_tokens(kept_model(store, number), task, tokens)
    trace.model = f"run {number}, {settings.title}"
    return trace
