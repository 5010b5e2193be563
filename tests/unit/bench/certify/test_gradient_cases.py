"""Gradients that are wrong under one mask, size or option fail one of the cases of gradients."""

from dataclasses import replace

import pytest

from attnpanel.bench.certify.gradients_certificate import certify_gradients, gradient_cases
from attnpanel.kernels import find_implementation

BASE = find_implementation("torch-sdpa-math")
WHERE = {
    **{
        f"mask {kind}": lambda r, kind=kind: r.mask == kind
        for kind in ("prefix", "documents", "causal_documents")
    },
    "one query": lambda r: r.query_len == 1 and r.key_len > 1,
    "several sequences": lambda r: r.batch > 1 and r.query_len > 16,
    "groups of four": lambda r: r.heads // r.kv_heads == 4,
    "128 channels": lambda r: r.head_dim == 128,
    "Dv other than D": lambda r: r.value_dim != r.head_dim and r.query_len > 16,
    "bias and groups": lambda r: r.bias and r.heads != r.kv_heads,
    "negative scale": lambda r: r.score_scale < 0 and r.query_len > 16,
    "a remainder of 24 queries": lambda r: r.query_len % 64 == 24,
}


@pytest.mark.parametrize("name", WHERE)
@pytest.mark.parametrize("gradient", ["query", "key", "value"])
def test_a_gradient_that_is_wrong_somewhere_fails(name, gradient):
    def prepare(inputs, request, given, *, threads=1):
        call = BASE.gradients.prepare(inputs, request, given, threads=threads)

        def run():
            found = call()
            if not WHERE[name](request):
                return found
            return replace(found, **{gradient: getattr(found, gradient) / 2})

        return run

    planted = replace(BASE, gradients=replace(BASE.gradients, prepare=prepare))
    cases = sorted(
        (case for case in gradient_cases("float32") if WHERE[name](case.request)),
        key=lambda case: case.request.query_len * case.request.key_len,
    )

    assert "fail" in (certify_gradients(planted, case).verdict for case in cases)
