"""The checks of a result's shape, dtype and device."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from attnpanel.bench.certify.context import make_check, returned_arrays
from attnpanel.bench.certify.rounding import SIXTEEN_BIT
from attnpanel.kernels.arrays import describe
from attnpanel.kernels.implementation import RawResult

if TYPE_CHECKING:
    from attnpanel.bench.run.records import Check
    from attnpanel.kernels.implementation import Implementation
    from attnpanel.kernels.request import Request


def metadata_checks(
    implementation: Implementation, request: Request, raw: RawResult
) -> list[Check]:
    """Check shape, dtype and device of a result without reading its values.

    Parameters
    ----------
    implementation : Implementation
    request : Request
    raw : RawResult
        Its arrays may be fake tensors (FakeTensorMode).

    Returns
    -------
    list of Check
        ``"shape"``, ``"dtype"`` and ``"device"``, in this order.
    """
    rows = (request.batch, request.heads, request.query_len)
    shapes = {
        "output": (*rows, request.value_dim),
        "weights": (*rows, request.key_len),
        "logsumexp": rows,
    }
    found = {name: describe(array) for name, array in returned_arrays(raw).items()}
    returned, declared = (
        ", ".join(sorted(n)) for n in (found, {"output", *implementation.returns})
    )
    shape = "" if returned == declared else f"what is returned must be {declared}; got {returned}; "
    dtype = device = ""
    for name, fact in found.items():
        if fact.shape != shapes[name]:
            shape += f"{name} must have shape {shapes[name]}; got {fact.shape}; "
        allowed = [request.dtype]
        if name != "output" and request.dtype in SIXTEEN_BIT:
            allowed.append("float32")
        if fact.dtype not in allowed:
            dtype += f"{name} must be {' or '.join(allowed)}; got {fact.dtype}; "
        if fact.device != request.device:
            device += f"{name} must be on {request.device}; got {fact.device}; "
    failures = {"shape": shape, "dtype": dtype, "device": device}
    return [make_check(name, detail.removesuffix("; ")) for name, detail in failures.items()]


def why_no_result(result: Any) -> str:
    """Return why a result need not exist yet; empty if it is made of arrays in memory."""
    if type(result) is not RawResult:
        return f"a call must return a RawResult; got {type(result).__name__}"
    return not_in_memory(returned_arrays(result))


def not_in_memory(arrays: dict[str, Any]) -> str:
    """Return which of some arrays, by name, is not one of a framework itself; else empty."""
    for name, array in arrays.items():
        kind = type(array)
        defined = getattr(sys.modules.get(kind.__module__), kind.__name__, None)
        package = kind.__module__.partition(".")[0]
        if package not in {"numpy", "torch", "jaxlib"} or defined is not kind:
            return (
                f"{name} must be an array of NumPy, PyTorch or JAX itself; "
                f"got {kind.__module__}.{kind.__qualname__}"
            )
    return ""
