"""Wrong attentions that hide or spread nan and inf, or take rare contents, masks or sizes amiss.

As in :mod:`tests.unit.bench.certify.planted_defects`, each with the cases that could find it.
"""

import numpy as np

from tests.unit.bench.certify.planted_defects import given, is_small, planted, returned
from tests.unit.bench.certify.planted_varied_defects import grouped, without_last_value


def is_masked_by_array(request):
    return is_small(request) and request.mask not in ("none", "causal")


def without_nan(array, _request):
    return np.nan_to_num(array, nan=0, posinf=np.inf, neginf=-np.inf)


def without_inf(array, _request):
    largest = np.finfo(array.dtype).max if array.dtype.kind == "f" else 3e38
    return np.where(np.isinf(array), np.sign(array) * largest, array).astype(array.dtype)


def sequences_spoiled(output, inputs, _request):
    spoiled = ~np.isfinite(inputs.value.astype(np.float64)).all()
    return output * np.float32(np.nan) if spoiled else output


def queries_spoiled(over):
    """Defect: nan of a query reaches all that share an axis of (B, H, T, D) with it."""

    def make(output, inputs, _request):
        spoiled = np.isnan(inputs.query).any(axis=over, keepdims=True)
        return np.where(spoiled, np.float32(np.nan), output)

    return returned(lambda r: is_small(r) and r.query_len > 1, make)


def last_keys_taken_as_seen(output, inputs, _request):
    hidden = np.isneginf(inputs.bias[..., -8:]).all(axis=-1, keepdims=True)
    return np.where(hidden, output * np.float32(1.1), output)


def zero_if_all_scores_are_below(limit):
    def make(output, inputs, request):
        group = request.heads // request.kv_heads
        query, key = (x.astype(np.float64) for x in (inputs.query, inputs.key))
        scores = query @ np.repeat(key, group, axis=1).swapaxes(-1, -2) * request.score_scale
        return output * ~(scores.max(-1) < limit)[..., None]

    return make


def mask_kept_by_address():
    kept = {}

    def change(inputs, request, prepare):
        mask = inputs.mask
        if mask is None or not is_masked_by_array(request):
            return prepare()
        key = (mask.ctypes.data, mask.shape, request)
        kept.setdefault(key, (mask, mask.copy()))  # the first is held, so that its memory is
        return prepare(mask=kept[key][1])

    return planted(change), is_masked_by_array


def mask_assumed_contiguous():
    def change(inputs, request, prepare):
        mask = inputs.mask
        if mask is None or mask.base is None or mask.flags.c_contiguous:
            return prepare()
        whole = mask.base.reshape(-1)
        if whole.size < mask.size or whole.dtype != mask.dtype:
            return prepare()
        return prepare(mask=whole[: mask.size].reshape(mask.shape))

    return planted(change), is_masked_by_array


# The last value is lost.
SIZES = {
    "64 heads a key head, one query": lambda r: r.heads // r.kv_heads > 32 and r.query_len == 1,
    "40 heads a key head": lambda r: r.heads // r.kv_heads > 32 and r.query_len > 1,
    "sequence 65": lambda r: r.batch > 64,
    "D beyond 576": lambda r: r.head_dim > 576,
    "float32, D 128, S > 2049": lambda r: (
        r.dtype == "float32" and r.head_dim >= 128 and r.key_len > 2049 and r.query_len > 1
    ),
    "one query of a window, groups of 8, D 128": lambda r: (
        r.mask == "window" and r.query_len == 1 and r.heads >= 8 * r.kv_heads and r.head_dim == 128
    ),
    "float64, S > 541": lambda r: r.dtype == "float64" and r.key_len > 541 and r.query_len > 1,
    "odd heads in groups, bfloat16, S > 255": lambda r: (
        r.dtype == "bfloat16" and r.heads % 2 and grouped(r) and r.key_len > 255
    ),
    "four sequences of groups, S > 127": lambda r: r.batch > 3 and grouped(r) and r.key_len > 127,
}

CONTENT = {
    "nan of a query becomes 0": given(is_small, query=without_nan),
    "nan of a key becomes 0": given(is_small, key=without_nan),
    "inf of a key becomes a large number": given(is_small, key=without_inf),
    "inf of a value becomes a large number": given(is_small, value=without_inf),
    "nan of a bias becomes 0": given(
        lambda r: is_small(r) and r.bias, bias=lambda bias, _: np.where(bias != bias, 0, bias)
    ),
    "nan of one sequence reaches the others": returned(
        lambda r: is_small(r) and r.batch > 1, sequences_spoiled
    ),
    "-inf of a bias becomes -60": given(
        lambda r: is_small(r) and r.bias, bias=lambda bias, _: np.maximum(bias, -60)
    ),
    "nan of a query reaches the others of its head": queries_spoiled((2, 3)),
    "nan of a query reaches the other heads": queries_spoiled((1, 2, 3)),
    "-inf of a bias on the last keys of a query": returned(
        lambda r: r.bias and r.dtype == "float32" and 24 <= r.key_len < 100, last_keys_taken_as_seen
    ),
    "a maximum begins at -1e6": returned(
        lambda r: r.dtype == "float32" and r.mask == "key_padding",
        zero_if_all_scores_are_below(-1e6),
    ),
    "small numbers of float16 flushed": given(
        lambda r: r.dtype == "float16" and r.scale is not None and r.scale > 1e3,
        value=lambda v, _: np.where(np.abs(v) < 2**-14, 0, v).astype(v.dtype),
    ),
    "a mask kept by its address": mask_kept_by_address(),
    "a mask assumed to be contiguous": mask_assumed_contiguous(),
    **{name: given(when, value=without_last_value) for name, when in SIZES.items()},
}
