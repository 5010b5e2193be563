"""A model's arrays by the names that JavaScript has, in the precision in which they are stored."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.models.live_model.families import NORMS, PRODUCTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from attnpanel.models.live_model.families import ModelFamily


def read_arrays(
    family: ModelFamily,
    model: Any,
    limit: int,
    unreachable: Sequence[tuple[int, int]],
    head: Any = None,
) -> dict[str, NDArray[Any]]:
    """Return a model's arrays: float16, but for those of normalization, and angles.

    Parameters
    ----------
    family : ModelFamily
    model : transformers.PreTrainedModel
        Without a head.
    limit : int
        The number of positions to store.
    unreachable : sequence of (int, int)
        Runs of ids whose embeddings are left out, first and last.
    head : torch.nn.Linear, optional
        What gives the scores of next tokens.

    Raises
    ------
    ValueError
        If a weight is beyond float16's range, or the head is of another kind.
    """
    state = _State(model)
    return (
        _embeddings(family, model, state, limit, unreachable)
        | _products(family, model, state)
        | _normalizations(family, model, state)
        | _scores(family, model, head)
    )


def _scores(family: ModelFamily, model: Any, head: Any) -> dict[str, NDArray[Any]]:
    """Return the matrix that gives the scores of next tokens, unless the embeddings are that."""
    if head is None or head.weight is model.get_input_embeddings().weight:
        return {}
    if getattr(head, "bias", None) is not None:
        raise ValueError(
            f"a {family.label} model in a file can't be run: its next tokens' scores must have no "
            f"bias; got one of {head.bias.numel()} numbers"
        )
    return {"next_token.weight": _State(head).read("weight")}


class _State:
    """A model's weights as checked arrays."""

    def __init__(self, model: Any) -> None:
        self._tensors = model.state_dict()

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def read(self, name: str, dtype: type = np.float16) -> NDArray[Any]:
        array: NDArray[Any] = self._tensors[name].detach().float().cpu().numpy()
        if not np.isfinite(array).all() or np.abs(array).max() > np.finfo(np.float16).max:
            raise ValueError(
                f"a weight in a file must be at most 65504; {name} has {np.abs(array).max():.3g}"
            )
        return array.astype(dtype)


def _embeddings(
    family: ModelFamily,
    model: Any,
    state: _State,
    limit: int,
    unreachable: Sequence[tuple[int, int]],
) -> dict[str, NDArray[Any]]:
    named = family.embeddings
    left_out = [number for first, last in unreachable for number in range(first, last + 1)]
    words = state.read(named["words"])
    arrays = {"words": np.delete(words, np.array(left_out, dtype=int), axis=0)}
    if "positions" in named:
        padding = model.config.pad_token_id if family.padded_positions else 0
        stop = padding + limit + family.padded_positions
        arrays["positions"] = state.read(named["positions"])[padding:stop]
    if "types" in named:
        arrays["type"] = state.read(named["types"])[0]
    if family.rotary:
        arrays["frequencies"] = model.rotary_emb.inv_freq.float().cpu().numpy()
    return arrays


def _products(family: ModelFamily, model: Any, state: _State) -> dict[str, NDArray[Any]]:
    arrays = {}
    parts = [part for part in PRODUCTS if part in family.parts]
    for layer in range(family.option(model.config, "layers")):
        for part in parts:
            name = family.layer.format(layer) + family.parts[part]
            joined = [other for other in parts if family.parts[other] == family.parts[part]]
            for kind in ("weight", "bias"):
                if f"{name}.{kind}" not in state:
                    continue
                array = state.read(f"{name}.{kind}")
                array = array.T if family.transposed else array
                rows = len(array) // len(joined)
                at = joined.index(part) * rows
                arrays[f"{layer}.{part}.{kind}"] = array[at : at + rows]
    return arrays


def _normalizations(family: ModelFamily, model: Any, state: _State) -> dict[str, NDArray[Any]]:
    # As float32: 27 kB of MiniLM's file, which as float16 would be a quarter of the whole error.
    return {
        f"{ours}.{kind}": state.read(f"{name}.{kind}", np.float32)
        for ours, name in _norms(family, model).items()
        for kind in ("weight", "bias")
        if f"{name}.{kind}" in state
    }


def rounded(family: ModelFamily, model: Any) -> Any:
    """Return a copy of a model, with or without a head, in float32 with the weights stored."""
    import torch

    made = copy.deepcopy(model).float()
    base = made.base_model
    exact = {id(base.get_submodule(name)) for name in _norms(family, base).values()}
    with torch.no_grad():
        for module in made.modules():
            if id(module) not in exact:
                for parameter in module.parameters(recurse=False):
                    parameter.copy_(parameter.half())
    return made


def _norms(family: ModelFamily, model: Any) -> dict[str, str]:
    """Return the names of a model's normalizations by those that JavaScript has."""
    names = {"norm": family.embeddings["norm"]}
    for layer in range(family.option(model.config, "layers")):
        start = family.layer.format(layer)
        names |= {f"{layer}.{part}": start + family.parts[part] for part in NORMS}
    return names
