"""Read operators that are called as ``torch.ops.…`` or by torch's own names for its kernels.

``torch.export`` makes programs of them. An operator of ATen is followed as the Python function of
the same name; a kernel of scaled dot-product attention is read by its schema. Other operators
that compute attention cannot be read, and are named.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from types import BuiltinFunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Arguments = tuple[tuple[Any, ...], dict[str, Any]]

# Names of operators that compute attention in one step, in torch and in other packages.
ATTENTION = re.compile(
    r"attention|attn|flash|mha|sdpa|transformer_encoder_layer_fwd", re.IGNORECASE
)
KERNEL = "_scaled_dot_product_"
# Whose causal flag begins at the first key, whatever the lengths.
TOP_LEFT = ("_scaled_dot_product_attention_math", "_scaled_dot_product_flash_attention_for_cpu")
# Names that differ between ATen and Python.
OTHER_NAMES = {
    "_unsafe_view": "view",
    "_to_copy": "to",
    "select": "__getitem__",
    "slice": "__getitem__",
    "split_with_sizes": "split",
}


@cache
def operator_types() -> tuple[type, ...]:
    """Return the types of an operator of ``torch.ops`` and of its overloads."""
    from torch._ops import OpOverload, OpOverloadPacket

    return OpOverload, OpOverloadPacket


@cache
def python_function(operator: Callable[..., Any]) -> Callable[..., Any]:
    """Return torch's Python function for an operator of ATen; others as they are.

    The two take the same positional arguments.
    """
    import torch
    from torch.nn import functional

    namespace, name = _names(operator)
    if namespace != "aten":
        return operator
    if name == "scaled_dot_product_attention":
        return functional.scaled_dot_product_attention
    name = OTHER_NAMES.get(name, name)
    for owner in (torch, torch.Tensor, functional):
        function: Callable[..., Any] | None = getattr(owner, name, None)
        if function is not None:
            return function
    return operator


def sdpa_arguments(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Arguments | None:
    """Return what ``F.scaled_dot_product_attention`` would be given in place of a kernel.

    Returns
    -------
    (tuple, dict) or None
        None if the function is no such kernel, or it is not known what it computes.
    """
    import torch

    name = getattr(func, "__name__", "").partition(".")[0]
    if not name.startswith(KERNEL):
        return None
    operator = getattr(torch.ops.aten, name, None)
    if operator is None or "default" not in operator.overloads():
        return None
    schema = operator.default._schema.arguments  # noqa: SLF001 - torch has no public name
    known = {a.name: a.default_value for a in schema if a.has_default_value()}
    known |= dict(zip((a.name for a in schema), args, strict=False)) | kwargs
    if not {"query", "key", "value"} <= known.keys():
        return None
    query, key = known["query"], known["key"]
    causal = bool(known.get("is_causal"))
    if causal and name not in TOP_LEFT and query.shape[-2] != key.shape[-2]:
        return None  # kernels differ in where the causal rule begins
    mask = known.get("attn_mask")
    named = {
        "attn_mask": known.get("attn_bias") if mask is None else mask,
        "dropout_p": known.get("dropout_p", 0.0),
        "is_causal": causal,
        "scale": known.get("scale"),
        "enable_gqa": bool(known.get("enable_gqa")),
    }
    return (query, key, known["value"]), named


@lru_cache(maxsize=4096)
def unread_attention(func: Any) -> str | None:
    """Return the name of an operator that computes attention and cannot be read; else None."""
    if not isinstance(func, (*operator_types(), BuiltinFunctionType)):
        return None
    namespace, name = _names(func)
    if ATTENTION.search(name) is None or name.endswith("backward"):
        return None
    return f"torch.ops.{namespace}.{name}"


def _names(func: Any) -> tuple[str, str]:
    """Return the namespace and the name of an operator or one of torch's built-in functions."""
    module = getattr(func, "__module__", None) or ""
    namespace = module.rpartition(".")[2] if module.startswith("torch._ops.") else "aten"
    return namespace, getattr(func, "__name__", "").partition(".")[0]
