"""Write one page with one peer, in the peers' environment, in a process of its own.

``python -m attnpanel.bench.product.report.peers_export PEER WEIGHTS.npz OUTPUT.html|- RESULT.json
MEMORY_BYTES``: the weights file holds `weights` (layers, heads, T, T) and `tokens` (T,). With "-"
the process loads everything but exports nothing; its memory is the baseline. It imports only
`attnpanel.bench.measure.process_use` of the project.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.bench.measure.process_use import limit_memory, measured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray


def bertviz_head_view(weights: NDArray[Any], tokens: list[str]) -> str:
    """Return BertViz's head view."""
    bertviz, torch = importlib.import_module("bertviz"), importlib.import_module("torch")
    layers = [torch.from_numpy(layer[None]) for layer in weights]
    return str(bertviz.head_view(layers, tokens, html_action="return").data)


def bertviz_model_view(weights: NDArray[Any], tokens: list[str]) -> str:
    """Return BertViz's model view: all layers and heads."""
    bertviz, torch = importlib.import_module("bertviz"), importlib.import_module("torch")
    layers = [torch.from_numpy(layer[None]) for layer in weights]
    return str(bertviz.model_view(layers, tokens, html_action="return").data)


def inspectus(weights: NDArray[Any], tokens: list[str]) -> str:
    """Return what Inspectus would display in a notebook: it has no export."""
    package = importlib.import_module("inspectus")
    with _displayed() as parts:
        package.attention(weights, tokens)
    return "".join(parts)


def circuitsvis(weights: NDArray[Any], tokens: list[str]) -> str:
    """Return CircuitsVis's attention heads of all layers, with its script inlined."""
    attention = importlib.import_module("circuitsvis.attention")
    heads = weights.reshape(-1, *weights.shape[2:])
    # By default it hides the upper triangle, which is not empty in a bidirectional model.
    return str(attention.attention_heads(heads, tokens, mask_upper_tri=False).local_src)


def attnview(weights: NDArray[Any], tokens: list[str]) -> str:
    """Return attnview's export of all layers."""
    package = importlib.import_module("attnview")
    cache = {("pattern", index): layer for index, layer in enumerate(weights)}
    return str(package.render_html(package.from_cache(cache, tokens=tokens)))


EXPORTS: dict[str, tuple[tuple[str, ...], Callable[[NDArray[Any], list[str]], str]]] = {
    "bertviz-head": (("bertviz", "torch"), bertviz_head_view),
    "bertviz-model": (("bertviz", "torch"), bertviz_model_view),
    "inspectus": (("inspectus.attention_viz", "IPython.display", "torch"), inspectus),
    "circuitsvis": (("circuitsvis.attention",), circuitsvis),
    "attnview": (("attnview",), attnview),
}


def main(peer: str, source: str, output: str, result: str, memory_bytes: str) -> None:
    """Export unless `output` is "-"; write the measurements to `result`."""
    modules, export = EXPORTS[peer]
    limit_memory(int(memory_bytes))
    for module in modules:
        importlib.import_module(module)
    with np.load(source, allow_pickle=False) as file:
        weights, tokens = file["weights"], [str(token) for token in file["tokens"]]
    with measured(Path(result)):
        if output != "-":
            page = f"<!DOCTYPE html>\n<html><meta charset='utf-8'>\n{export(weights, tokens)}\n"
            Path(output).write_text(page, encoding="utf-8")


@contextmanager
def _displayed() -> Iterator[list[str]]:
    display: Any = importlib.import_module("IPython.display")
    parts: list[str] = []
    kept, display.display = display.display, lambda shown: parts.append(str(shown.data))
    try:
        yield parts
    finally:
        display.display = kept


if __name__ == "__main__":
    main(*sys.argv[1:])
