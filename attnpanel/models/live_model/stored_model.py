"""A model's weights and tokenizer as data for an offline file, and the error that storing makes."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.models.live_model.families import NORMS, PRODUCTS, family_of
from attnpanel.models.live_model.packed_tensors import pack_tensors
from attnpanel.models.live_model.tokenizer_settings import tokenizer_settings, unreachable_ids
from attnpanel.models.prompts import trace_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from attnpanel.models.live_model.families import ModelFamily
    from attnpanel.models.loading import LoadedModel
    from attnpanel.trace import Trace

SCHEMA = "attnpanel.live-model/1"
MAX_WEIGHTS = 150_000_000
# Rounding the weights to 16 bits moves attention weights by about 1e-3. A difference beyond this
# comes from another model, or from a run that was changed.
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
        return (
            f"{about['name']} itself is in this file: {about['weights'] / 1e6:.3g} million "
            "weights, stored as float16. On the report's own prompt, attention weights computed "
            f"from them differ from the model's by at most {error['weights']:.2g}; the largest is "
            f"at the same key in {error['sameLargest']} of {error['rows']} rows."
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
    limit = loaded.position_limit
    assert limit is not None  # noqa: S101 - the families have tables of positions
    unreachable = unreachable_ids(loaded.tokenizer, settings)
    arrays = _arrays(family, model, limit, settings, unreachable)
    count = sum(array.size for array in arrays.values())
    if count > MAX_WEIGHTS:
        raise ValueError(
            f"a model in a file must have at most {MAX_WEIGHTS / 1e6:.0f} million weights; "
            f"{loaded.name!r} has {count / 1e6:.0f} million"
        )
    ids = _ids(loaded, trace)
    tensors, data = pack_tensors(arrays)
    description = {
        "schema": SCHEMA,
        "name": loaded.name,
        "family": family.label,
        "weights": count,
        "bytes": len(data),
        **family.shape(model.config),
        "limit": limit,
        "firstPosition": 0,
        "tensors": tensors,
        "withoutEmbedding": unreachable,
        "tokenizer": settings | {"vocabulary": _without(settings["vocabulary"], unreachable)},
        "error": _error(loaded, trace, ids),
        "prompt": _prompt(loaded.tokenizer, ids),
    }
    return StoredModel(description, data)


def _arrays(
    family: ModelFamily,
    model: Any,
    limit: int,
    settings: dict[str, Any],
    unreachable: Sequence[tuple[int, int]],
) -> dict[str, NDArray[Any]]:
    """Return a model's arrays by the names that JavaScript has, as they are stored."""
    state = model.state_dict()

    def read(name: str, dtype: type = np.float16) -> NDArray[Any]:
        array: NDArray[Any] = state[name].detach().float().cpu().numpy()
        if not np.isfinite(array).all() or np.abs(array).max() > np.finfo(np.float16).max:
            raise ValueError(
                f"a weight in a file must be at most 65504; {name} has {np.abs(array).max():.3g}"
            )
        return array.astype(dtype)

    named = family.embeddings
    words = read(named["words"])
    vocabulary = settings["vocabulary"]
    if len(words) < len(vocabulary):
        raise ValueError(
            f"a model must have an embedding for each of its tokenizer's {len(vocabulary)} tokens; "
            f"it has {len(words)}"
        )
    left_out = [number for first, last in unreachable for number in range(first, last + 1)]
    arrays = {
        "words": np.delete(words[: len(vocabulary)], np.array(left_out, dtype=int), axis=0),
        "positions": read(named["positions"])[:limit],
    }
    if "types" in named:
        arrays["type"] = read(named["types"])[0]
    linears: dict[str, str] = {}
    norms = {"norm": named["norm"]}
    for layer in range(family.option(model.config, "layers")):
        start = family.layer.format(layer)
        linears |= {f"{layer}.{part}": start + family.parts[part] for part in PRODUCTS}
        norms |= {f"{layer}.{part}": start + family.parts[part] for part in NORMS}
    for kind in ("weight", "bias"):
        arrays |= {f"{part}.{kind}": read(f"{name}.{kind}") for part, name in linears.items()}
        # 27 kB of MiniLM's file; as float16 they'd be a quarter of the whole error.
        arrays |= {
            f"{part}.{kind}": read(f"{name}.{kind}", np.float32) for part, name in norms.items()
        }
    return arrays


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
    vocabulary = loaded.tokenizer.get_vocab()
    tokens = trace.query_tokens[0]
    unknown = sorted({token for token in tokens if token not in vocabulary})
    if unknown:
        raise ValueError(
            f"a report with a model must show tokens of {loaded.name!r}; it has no {unknown[0]!r}"
        )
    return [vocabulary[token] for token in tokens]


def _prompt(tokenizer: Any, ids: list[int]) -> str:
    """Return a text that gives these ids; "" if their own text does not."""
    text = str(tokenizer.decode(ids, skip_special_tokens=True))
    return text if list(tokenizer(text, verbose=False)["input_ids"]) == ids else ""


def _error(loaded: LoadedModel, trace: Trace, ids: list[int]) -> dict[str, Any]:
    """Measure what rounding a model's weights to float16 changes in a trace's weights."""
    import torch

    rounded = copy.deepcopy(loaded.model)
    with torch.no_grad():
        for module in rounded.modules():
            if not isinstance(module, torch.nn.LayerNorm):
                for parameter in module.parameters(recurse=False):
                    parameter.copy_(parameter.half().to(parameter.dtype))
    other = trace_ids(type(loaded)(loaded.name, rounded, loaded.tokenizer), ids)
    largest, rows, same = 0.0, 0, 0
    for call, again in zip(trace.calls, other.calls, strict=True):
        for head in range(call.heads):
            weights, others = call.weights(head), again.weights(head)
            largest = max(largest, float(np.abs(weights - others).max()))
            rows += len(weights)
            same += int((weights.argmax(axis=1) == others.argmax(axis=1)).sum())
    if not largest <= MOST_ROUNDING:
        raise ValueError(
            f"a report with a model must show what {loaded.name!r} gives for its tokens; attention "
            f"weights differ by {largest:.2g}"
        )
    return {"weights": largest, "rows": rows, "sameLargest": same}
