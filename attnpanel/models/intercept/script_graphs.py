"""Whether the graph of a torch.jit script computes attention, by its text."""

from __future__ import annotations

import re
from typing import Any

SCRIPTED = "it is a torch.jit script, whose functions cannot be seen"

_SOFTMAX = re.compile(r"aten::(?:_?(?:log_)?softmax|exp)\b")
_PRODUCT = re.compile(r"aten::(?:matmul|bmm|baddbmm|einsum|mm)\b")
_FUSED = re.compile(r"aten::_?(?:scaled_dot_product|multi_head|native_multi_head)\w*")


def graph_has_attention(graph: Any) -> bool:
    """Whether a graph of torch.jit has a softmax and a product, or a fused attention."""
    text = str(graph)
    written_out = _SOFTMAX.search(text) is not None and _PRODUCT.search(text) is not None
    return written_out or _FUSED.search(text) is not None


def graph_has_softmax(graph: Any) -> bool:
    """Whether a graph of torch.jit has a softmax, whose scores may be a product made outside."""
    return _SOFTMAX.search(str(graph)) is not None
