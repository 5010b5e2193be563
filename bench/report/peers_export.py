"""Writes one page with one peer; runs in the peers' environment, in a process of its own.

``python -m bench.report.peers_export PEER WEIGHTS.npz OUTPUT.html|- RESULT.json MEMORY_BYTES``: the
weights file holds `weights` (layers, heads, T, T) and `tokens` (T,). With "-" nothing is
exported: the process loads what an export loads, and its memory is what an export's is compared
with. Of the project it imports `bench.process_use` only.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.process_use import limit_memory, measured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray


def bertviz_head_view(weights: NDArray[Any], tokens: list[str]) -> str:
    """BertViz's view of one layer's heads."""
    bertviz, torch = importlib.import_module("bertviz"), importlib.import_module("torch")
    layers = [torch.from_numpy(layer[None]) for layer in weights]
    return str(bertviz.head_view(layers, tokens, html_action="return").data)


def bertviz_model_view(weights: NDArray[Any], tokens: list[str]) -> str:
    """BertViz's view of all layers and heads."""
    bertviz, torch = importlib.import_module("bertviz"), importlib.import_module("torch")
    layers = [torch.from_numpy(layer[None]) for layer in weights]
    return str(bertviz.model_view(layers, tokens, html_action="return").data)


def inspectus(weights: NDArray[Any], tokens: list[str]) -> str:
    """Inspectus has no export: what it would display in a notebook is kept."""
    shown = importlib.import_module("inspectus")
    with _displayed() as parts:
        shown.attention(weights, tokens)
    return "".join(parts)


def circuitsvis(weights: NDArray[Any], tokens: list[str]) -> str:
    """CircuitsVis' heads, all layers one after another, with its script in the page."""
    attention = importlib.import_module("circuitsvis.attention")
    heads = weights.reshape(-1, *weights.shape[2:])
    # Left alone it hides the upper triangle, which a bidirectional model fills.
    return str(attention.attention_heads(heads, tokens, mask_upper_tri=False).local_src)


def attnview(weights: NDArray[Any], tokens: list[str]) -> str:
    """What attnview's export writes, all layers."""
    shown = importlib.import_module("attnview")
    cache = {("pattern", index): layer for index, layer in enumerate(weights)}
    return str(shown.render_html(shown.from_cache(cache, tokens=tokens)))


EXPORTS: dict[str, tuple[tuple[str, ...], Callable[[NDArray[Any], list[str]], str]]] = {
    "bertviz-head": (("bertviz", "torch"), bertviz_head_view),
    "bertviz-model": (("bertviz", "torch"), bertviz_model_view),
    "inspectus": (("inspectus.attention_viz", "IPython.display", "torch"), inspectus),
    "circuitsvis": (("circuitsvis.attention",), circuitsvis),
    "attnview": (("attnview",), attnview),
}


def main(peer: str, source: str, output: str, result: str, memory_bytes: str) -> None:
    """Export unless `output` is "-", and write what it took to `result`."""
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
