"""The checks of a result's shape, dtype and device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnpanel.bench.certify.context import make_check, returned_arrays
from attnpanel.bench.certify.rounding import SIXTEEN_BIT
from attnpanel.kernels.arrays import describe

if TYPE_CHECKING:
    from attnpanel.bench.run.records import Check
    from attnpanel.kernels.implementation import Implementation, RawResult
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
