"""A short, correct attention kernel into which tests inject defects."""

from dataclasses import replace

import numpy as np

from attnpanel.kernels.implementation import Implementation, RawResult

FLOATS = {"float64": np.float64, "float32": np.float32, "float16": np.float32}


def unchanged(array, *_):
    return array


def make_attention(
    *,
    scale=1.0,
    temperature=lambda request: request.temperature,
    heads=lambda array, groups: np.repeat(array, groups, axis=1),
    mask=unchanged,
    fill=-np.inf,
    scores=unchanged,
    result=unchanged,
    empty_rows="zero",
    returns=("output", "weights", "logsumexp"),
):
    """Return an implementation that is correct unless a step is replaced.

    Each argument is a step of the kernel; replace one to inject a defect.
    """

    def prepare(inputs, request, *, threads=1):
        return lambda: result(call(inputs, request), inputs)

    def call(inputs, request):
        # 16-bit inputs are computed in float32, as their certificate expects.
        float_type = FLOATS[request.dtype]
        groups = request.heads // request.kv_heads
        query = inputs.query.astype(float_type)
        key, value = (heads(x.astype(float_type), groups) for x in (inputs.key, inputs.value))
        score = query @ key.swapaxes(-1, -2) * float_type(request.score_scale * scale)
        if inputs.bias is not None:
            score += inputs.bias
        score = scores(score / float_type(temperature(request)))
        visible = np.ones(score.shape[-2:], bool) if inputs.mask is None else inputs.mask
        score = np.where(mask(visible, request), score, float_type(fill))
        peak = score.max(axis=-1, keepdims=True)
        weights = np.exp(score - np.where(np.isneginf(peak), 0, peak))
        total = weights.sum(axis=-1, keepdims=True)
        weights /= np.where(total == 0, 1, total)
        with np.errstate(divide="ignore"):
            logsumexp = (np.log(total) + np.where(np.isneginf(peak), 0, peak)).squeeze(-1)
        arrays = {"output": weights @ value, "weights": weights, "logsumexp": logsumexp}
        arrays["output"] = arrays["output"].astype(request.dtype)
        kept = {name: array for name, array in arrays.items() if name in returns}
        return RawResult(**kept)

    return Implementation(
        name="made",
        framework="numpy",
        source="Vaswani et al., 2017, eq. 1",
        devices=("cpu",),
        dtypes=("float64", "float32", "float16"),
        returns=frozenset(returns),
        empty_rows=empty_rows,
        causal_align=None,
        scores_dtype="float32",
        compiles=False,
        limits="",
        unsupported=lambda request: [] if request.dtype in FLOATS else ["NumPy has no bfloat16"],
        prepare=prepare,
    )


def with_output(change):
    """Return a defect of the output only: `change(output, inputs)`."""
    return lambda raw, inputs: replace(raw, output=change(raw.output, inputs))
