"""What a certificate judged, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from attnpanel.kernels.request import DType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnpanel.kernels.request import Request


def scope(requests: Sequence[Request]) -> tuple[str, ...]:
    """Describe the requests that were judged, in sentences."""
    forward = [request for request in requests if request.direction == "forward"]
    backward = [request for request in requests if request.direction != "forward"]
    return (*_forward_scope(forward), *_gradient_scope(backward))


def _forward_scope(requests: Sequence[Request]) -> tuple[str, ...]:
    if not requests:
        return ()

    def levels(name: str) -> list[Any]:
        return sorted({getattr(request, name) for request in requests})

    def span(name: str) -> str:
        found = levels(name)
        return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"

    def words(name: str) -> str:
        return ", ".join(map(str, levels(name)))

    dtypes = [dtype for dtype in get_args(DType) if dtype in levels("dtype")]
    groups = sorted({request.heads // request.kv_heads for request in requests})
    options = [
        (any(r.bias for r in requests), "a bias that is added to the scores"),
        (any(r.temperature != 1 for r in requests), "temperatures"),
        (any((r.scale or 1) < 0 for r in requests), "a negative scale"),
        (any(r.align == "bottom_right" for r in requests), "the diagonal at either end"),
    ]
    found = [words for there, words in options if there]
    return (
        f"{len(requests)} cases in {', '.join(dtypes)}, on {words('device')}.",
        f"T {span('query_len')} queries, S {span('key_len')} keys; D {words('head_dim')}; "
        f"Dv {words('value_dim')}.",
        f"Batches of {span('batch')}; {span('heads')} heads, {' or '.join(map(str, groups))} for "
        "a head of keys.",
        f"Masks: {words('mask')}.",
        *((f"With {', '.join(found)}.",) if found else ()),
        "Inputs: normal, peaked, with outliers, large; other values, orders of keys, hidden keys "
        "and identity values made from them.",
    )


def _gradient_scope(requests: Sequence[Request]) -> tuple[str, ...]:
    if not requests:
        return ()
    dtypes = [dtype for dtype in get_args(DType) if dtype in {r.dtype for r in requests}]
    longest = max(request.query_len for request in requests)
    return (
        f"Gradients of query, key, value and bias in {len(requests)} cases in {', '.join(dtypes)}, "
        f"T to {longest}, S to {max(request.key_len for request in requests)}.",
    )
