"""Save the model of a finished run as safetensors, load it, and trace it on another text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.training.loop import make_model, trace_tokens
from attnpanel.training.records import RunStoreError
from attnpanel.training.tasks import make_task

if TYPE_CHECKING:
    from attnpanel.models.tiny_lm import TinyLM
    from attnpanel.trace import Trace
    from attnpanel.training.settings import TrainingSettings
    from attnpanel.training.store import RunStore
    from attnpanel.training.tasks import Task

SCHEMA: Final = "attnpanel.model/1"


def pack_checkpoint(model: TinyLM, settings: TrainingSettings, task: Task) -> bytes:
    """Return a model's weights as a safetensors file with the run's settings as metadata."""
    from safetensors.torch import save

    metadata = {
        "schema": SCHEMA,
        "settings": settings.to_json(),
        "vocabulary": json.dumps(task.vocabulary),
    }
    weights = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    packed: bytes = save(weights, metadata=metadata)
    return packed


def load_checkpoint(store: RunStore, number: int) -> TinyLM:
    """Return the model of a finished run.

    Raises
    ------
    RunStoreError
        If the run or its weights do not exist, or the weights do not fit its settings.
    """
    settings = store.run(number).settings
    task = make_task(settings.task, store.text(number))
    return _unpack(store.model_bytes(number), make_model(settings, task), number)


def _unpack(data: bytes, model: TinyLM, number: int) -> TinyLM:
    """Load untrusted weights into the model whose shapes they must have."""
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
    """Return the attention of a run's model on another text.

    Parameters
    ----------
    store : RunStore
    number : int
        A run that has ended.
    text : str
        Tokens of the run's task, separated by spaces: ``"a b c a"``; letters for the task ``text``.

    Raises
    ------
    ValueError
        If the text is too long or has a token that is not in the vocabulary, or the run has no
        attention.
    """
    settings = store.run(number).settings
    if not settings.attends:
        raise ValueError(f"run {number} is the baseline without attention")
    task = make_task(settings.task, store.text(number))
    tokens = np.array([task.tokens_of(text)], dtype=np.int64)
    trace = trace_tokens(load_checkpoint(store, number), task, tokens)
    trace.model = f"run {number}, {settings.title}"
    return trace
