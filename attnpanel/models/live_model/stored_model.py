"""A model's weights and tokenizer as data for an offline file, and the error that storing makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.models.live_model.families import family_of
from attnpanel.models.live_model.packed_tensors import pack_tensors
from attnpanel.models.live_model.stored_arrays import read_arrays, rounded
from attnpanel.models.live_model.tokenizer_settings import tokenizer_settings, unreachable_ids
from attnpanel.models.prompts import trace_ids
from attnpanel.models.tokens import names_of_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnpanel.models.live_model.families import ModelFamily
    from attnpanel.models.loading import LoadedModel
    from attnpanel.trace import Trace

SCHEMA = "attnpanel.live-model/1"
MAX_WEIGHTS = 150_000_000
MAX_TOKENS = 2048
# Attention weights that a trace in float16 has lost by at most. A difference beyond this comes from
# another model, or from a run that was changed.
MOST_ROUNDING = 0.05


@dataclass(frozen=True)
class StoredModel:
    """A model to be run in an offline file.

    Attributes
    ----------
    description : dict
        ``ModelDescription`` of js/types/live_model.d.ts.
    data : bytes
        The weights as float16, those of normalization as float32.
    """

    description: dict[str, Any]
    data: bytes

    @property
    def sentence(self) -> str:
        """What the page says about the model and its error."""
        about, error = self.description, self.description["error"]
        changed = error["nextToken"]
        next_token = (
            ""
            if changed is None
            else f" A next token's probability differs by at most {changed:.2g}."
        )
        return (
            f"{about['name']} itself is in this file: {about['weights'] / 1e6:.3g} million "
            "weights, stored as float16. On the report's own prompt, attention weights computed "
            f"from them differ from the model's by at most {error['weights']:.2g}; the largest is "
            f"at the same key in {error['sameLargest']} of {error['rows']} rows." + next_token
        )


def store_model(loaded: LoadedModel, trace: Trace) -> StoredModel:
    """Arrange a model for an offline file.

    Parameters
    ----------
    loaded : LoadedModel
        Of a family in :data:`attnpanel.models.live_model.FAMILIES`, with at most
        :data:`MAX_WEIGHTS` weights.
    trace : Trace
        One prompt's attention in this model, on which the error of the stored weights is measured.

    Returns
    -------
    StoredModel

    Raises
    ------
    ValueError
        If the model or its tokenizer is of another kind, too large, or has a weight beyond
        float16's range, or if the trace does not come from it.
    """
    model = loaded.model.base_model
    family = family_of(model.config)
    settings = tokenizer_settings(loaded.tokenizer)
    limit = min(loaded.position_limit or MAX_TOKENS, MAX_TOKENS)
    head = loaded.model.get_output_embeddings() if family.causal else None
    # A decoder may draw any token.
    unreachable = unreachable_ids(loaded.tokenizer, settings) if head is None else []
    arrays = read_arrays(family, model, limit, unreachable, head)
    left_out = sum(last + 1 - first for first, last in unreachable)
    _check_vocabulary(settings["vocabulary"], len(arrays["words"]) + left_out)
    count = sum(array.size for array in arrays.values())
    if count > MAX_WEIGHTS:
        raise ValueError(
            f"a model in a file must have at most {MAX_WEIGHTS / 1e6:.0f} million weights; "
            f"{loaded.name!r} has {count / 1e6:.0f} million"
        )
    ids = _checked_ids(loaded, trace)
    tensors, data = pack_tensors(arrays)
    description = {
        "schema": SCHEMA,
        "name": loaded.name,
        "family": family.label,
        "weights": count,
        "bytes": len(data),
        **family.shape(model.config),
        "limit": limit,
        "padding": model.config.pad_token_id if family.padded_positions else None,
        "tensors": tensors,
        "withoutEmbedding": unreachable,
        "tokenizer": settings | {"vocabulary": _without(settings["vocabulary"], unreachable)},
        "nextTokens": 0 if head is None else len(arrays.get("next_token.weight", arrays["words"])),
        "ends": loaded.ends,
        "error": _error(family, loaded, trace, ids, predicts=head is not None),
        "prompt": _prompt(loaded.tokenizer, ids),
    }
    return StoredModel(description, data)


def prompt_of(loaded: LoadedModel, trace: Trace) -> str:
    """Return the text of a trace that a model computed; "" if no text gives its tokens.

    Raises
    ------
    ValueError
        If the trace does not come from the model.
    """
    return _prompt(loaded.tokenizer, _checked_ids(loaded, trace))


def _checked_ids(loaded: LoadedModel, trace: Trace) -> list[int]:
    """Return the ids of a trace's tokens; refuse one whose weights differ from a model's."""
    ids = _ids(loaded, trace)
    largest = max(
        float(np.abs(call.weights(head) - again.weights(head)).max())
        for call, again in zip(trace.calls, trace_ids(loaded, ids).calls, strict=True)
        for head in range(call.heads)
    )
    if not largest <= MOST_ROUNDING:
        raise ValueError(
            f"a report with a model must show what {loaded.name!r} gives for its tokens; attention "
            f"weights differ by {largest:.2g}"
        )
    return ids


def _without(vocabulary: list[str], unreachable: Sequence[tuple[int, int]]) -> list[str]:
    """Return a vocabulary with nothing for pieces that no text gives."""
    kept = list(vocabulary)
    for first, last in unreachable:
        kept[first : last + 1] = [""] * (last + 1 - first)
    return kept


def _ids(loaded: LoadedModel, trace: Trace) -> list[int]:
    """Return the ids of a trace's tokens."""
    shape = [(call.batch, call.heads, call.head_dim) for call in trace.calls]
    config = loaded.model.config
    family = family_of(config)
    about = family.shape(config)
    expected = [(1, about["heads"], about["headDim"])] * about["layers"]
    if shape != expected:
        raise ValueError(
            f"a report with a model must show one prompt's {about['layers']} layers of "
            f"{about['heads']} heads in it; got a trace of {len(shape)} calls of "
            f"(batch, heads, head_dim) {sorted(set(shape), key=str)}"
        )
    names = names_of_ids(loaded.tokenizer, range(len(loaded.tokenizer)))
    pieces = loaded.tokenizer.convert_ids_to_tokens(range(len(loaded.tokenizer)))
    numbers: dict[str, int] = {}
    for number, (name, piece) in enumerate(zip(names, pieces, strict=True)):
        # Of tokens of the same name the one that is written otherwise, as a line break, is meant.
        if name not in numbers or name != piece:
            numbers[name] = number
    tokens = trace.query_tokens[0]
    unknown = sorted({token for token in tokens if token not in numbers})
    if unknown:
        raise ValueError(
            f"a report with a model must show tokens of {loaded.name!r}; it has no {unknown[0]!r}"
        )
    return [numbers[token] for token in tokens]


def _check_vocabulary(vocabulary: list[str], embeddings: int) -> None:
    if embeddings < len(vocabulary):
        raise ValueError(
            f"a model must have an embedding for each of its tokenizer's {len(vocabulary)} tokens; "
            f"it has {embeddings}"
        )


def _prompt(tokenizer: Any, ids: list[int]) -> str:
    """Return a text that gives these ids; "" if their own text does not."""
    text = str(tokenizer.decode(ids, skip_special_tokens=True))
    return text if list(tokenizer(text, verbose=False)["input_ids"]) == ids else ""


def _error(
    family: ModelFamily, loaded: LoadedModel, trace: Trace, ids: list[int], *, predicts: bool
) -> dict[str, Any]:
    """Measure what float16 weights and float32 arithmetic change for a trace's tokens."""
    copied = type(loaded)(loaded.name, rounded(family, loaded.model), loaded.tokenizer)
    other = trace_ids(copied, ids)
    largest, rows, same = 0.0, 0, 0
    for call, again in zip(trace.calls, other.calls, strict=True):
        for head in range(call.heads):
            weights, others = call.weights(head), again.weights(head)
            largest = max(largest, float(np.abs(weights - others).max()))
            rows += len(weights)
            same += int((weights.argmax(axis=1) == others.argmax(axis=1)).sum())
    return {
        "weights": largest,
        "rows": rows,
        "sameLargest": same,
        "nextToken": _next_token_error(loaded.model, copied.model, ids) if predicts else None,
    }


def _next_token_error(model: Any, other: Any, ids: list[int]) -> float:
    """Return the largest difference of a next token's probability."""
    import torch

    tokens = torch.tensor([ids])
    with torch.inference_mode():
        own, changed = (
            torch.softmax(each(input_ids=tokens).logits.double(), dim=-1) for each in (model, other)
        )
    return float((own - changed).abs().max())
