"""A flash kernel for 16 bits in NumPy: rounds its weights to 16 bits, and has faults on request."""

from dataclasses import replace

import ml_dtypes
import numpy as np

from attnpanel.kernels import find_implementation
from attnpanel.kernels.implementation import RawResult
from attnpanel.kernels.numpy_.call import NumpyCall

ROUNDED = {
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float8": ml_dtypes.float8_e4m3fn,
    "float32": np.float32,
}


def rounded(array, dtype):
    return array.astype(ROUNDED[dtype]).astype(np.float32)


def truncated(array, dtype):
    """Round towards zero."""
    if dtype == "bfloat16":
        bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
        return (bits & np.uint32(0xFFFF0000)).view(np.float32)
    nearest = array.astype(np.float16)
    beyond = np.abs(nearest.astype(np.float32)) > np.abs(array)
    return np.where(beyond, np.nextafter(nearest, np.float16(0)), nearest).astype(np.float32)


def simulated_flash(fault="", *, block=128, weights=None, **declared):
    """Return an implementation that is correct unless a fault is named.

    Parameters
    ----------
    fault : str
        What :func:`attend_head` does wrongly.
    block : int
        Keys of a block.
    weights : str, optional
        Dtype that weights are rounded to; by default that of the request.
    declared
        Fields of the implementation.
    """

    def prepare(inputs, request, *, threads=1):
        def run():
            call = NumpyCall.of(inputs, request)
            output, _ = call.new_results()
            for head in call.heads():
                output[head.index] = attend_head(
                    head, call, request.dtype, weights or request.dtype, fault, block
                )
            if fault == "output truncated":
                output = truncated(output, request.dtype)
            return RawResult(output.astype(call.stored))

        return run

    base = find_implementation("numpy-row-blocked")
    fields = {"returns": frozenset({"output"}), "weights_dtype": "storage", **declared}
    fields = {"hidden_leaks": None, "reads_in_place": frozenset(), **fields}
    return replace(base, name=f"flash {fault}", prepare=prepare, **fields)


def attend_head(head, call, dtype, weights, fault, block):  # noqa: C901 - one fault a branch
    """Compute one head's output in float32, keys in blocks."""
    rows, key_len = len(head.query), len(head.key)
    peak = np.full((rows, 1), -np.inf, np.float32)
    total = np.zeros((rows, 1), np.float32)
    output = np.zeros((rows, head.value.shape[1]), np.float32)
    store = truncated if fault == "weights truncated" else rounded
    for start in range(0, key_len, block):
        keys = slice(start, start + block)
        scores = head.query @ head.key[keys].T * np.float32(call.scale)
        if fault == "scores rounded":
            scores = rounded(scores, dtype)
        if head.bias is not None:
            scores = scores + head.bias[:, keys]
        scores = scores / np.float32(call.temperature)
        if head.mask is not None:
            scores = np.where(head.mask[:, keys], scores, np.float32(-np.inf))
        new_peak = np.maximum(peak, scores.max(axis=1, keepdims=True))
        # Without the guard, -inf - -inf is nan in rows that have not seen a key so far.
        shift = new_peak
        if fault != "no guard for hidden blocks":
            shift = np.where(np.isneginf(new_peak), np.float32(0), new_peak)
        with np.errstate(invalid="ignore"):
            exponentials, rescale = np.exp(scores - shift), np.exp(peak - shift)
        products = store(exponentials, weights)
        value = head.value[keys]
        added, summed = products @ value, exponentials.sum(axis=1, keepdims=True)
        if fault == "last key twice" and keys.stop >= key_len:
            added = added + products[:, -1:] * value[-1:]
        if fault == "last key's value lost" and keys.stop >= key_len:
            added = added - products[:, -1:] * value[-1:]
        output, total, peak = output * rescale + added, total * rescale + summed, new_peak
        if fault == "accumulator in 16 bits":
            output = rounded(output, dtype)
        if fault == "row sum in 16 bits":
            total = rounded(total, dtype)
    if fault == "log-sum-exp in 16 bits":
        total = np.exp(rounded(peak + np.log(total), dtype) - peak)
    output = output / np.where(total == 0, 1, total)
    if fault.startswith("output times"):
        output *= np.float32(fault.split()[-1])
    if fault == "output rounded to bfloat16":
        output = rounded(output, "bfloat16")
    return output
