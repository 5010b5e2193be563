"""Gradients that are wrong under one mask, size or option fail one of the cases of gradients."""

from dataclasses import replace

import pytest
import torch

from attnpanel.bench.certify.cases import SQUARE, Case
from attnpanel.bench.certify.gradients_certificate import certify_gradients, gradient_cases
from attnpanel.bench.certify.plain_function import implementation_of
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
    "groups in more than two sequences": lambda r: r.batch > 2 and r.kv_heads > 1,
    **{
        f"groups of {count}": lambda r, count=count: r.heads == count * r.kv_heads
        for count in (3, 5, 7)
    },
    "a remainder of 63 keys": lambda r: r.key_len % 64 == 63,
    "a remainder of one query": lambda r: r.query_len > 1 == r.query_len % 64,
    "over 2,048 queries": lambda r: r.query_len > 2048,
    "over 2,048 keys": lambda r: r.key_len > 2048 and r.query_len > 64,
}


@pytest.mark.thorough(every=4)
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


def formula(query, key, value, mask, scale):
    scores = scale * query @ key.mT
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(-1) @ value


class Changed(torch.autograd.Function):
    """The formula and its gradients, changed by what the backward pass is given."""

    @staticmethod
    def forward(ctx, query, key, value, mask, scale, change):
        ctx.save_for_backward(query, key, value)
        ctx.rest = mask, scale, change
        return formula(query, key, value, mask, scale)

    @staticmethod
    def backward(ctx, given):
        mask, scale, change = ctx.rest
        with torch.enable_grad():
            arrays = [array.detach().requires_grad_() for array in ctx.saved_tensors]
            output = formula(*arrays, mask, scale)
        given, factor = change(given, ctx.saved_tensors[1], ctx.needs_input_grad)
        found = torch.autograd.grad(output, arrays, given)
        return found[0], factor * found[1], found[2], None, None, None


def read_as_contiguous(given, _key, _needed):
    if given.stride()[-1] == 0:
        return given, 1
    flat = torch.as_strided(given, (given.numel(),), (1,))
    return flat.reshape(given.shape), 1


def where(test):
    """Change the key's gradient where `test(key, elements of a token in all heads)`."""
    return lambda given, key, _: (given, 0.9 if test(key, key.shape[1] * key.shape[3]) else 1)


WAYS = {
    "other ways: dO with heads last in memory": read_as_contiguous,
    "one number as dO": lambda given, *_: (given * (1 if given.stride()[-1] else 0.9), 1),
    "other ways: inputs with heads last in memory": where(lambda k, token: k.stride(2) == token),
    "other ways: inputs that are slices of a cache": where(
        lambda k, _: k.stride(1) > k.shape[2] * k.shape[3]
    ),
    "other ways: inputs packed in one array": where(lambda k, token: k.stride(2) == 3 * token),
    "one key head, expanded": where(lambda k, _: k.shape[1] > 1 and k.stride(1) == 0),
    "other ways: the key alone needs one": lambda given, _, needed: (given, float(needed[0])),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_gradient_that_is_wrong_when_asked_for_in_another_way_fails(way):
    def attention(query, key, value, *, mask=None, scale=1.0):
        return Changed.apply(query, key, value, mask, scale, WAYS[way])

    found = certify_gradients(implementation_of(attention, "changed"), Case(SQUARE))

    assert [reason.partition(": d ")[0] for reason in found.reasons] == [way]


def test_an_output_that_is_wrong_while_it_is_differentiated_fails():
    def attention(query, key, value, *, mask=None, scale=1.0):
        output = formula(query, key, value, mask, scale)
        return output + 0.1 * output.detach() if query.requires_grad else output

    found = certify_gradients(implementation_of(attention, "drops"), Case(SQUARE))

    assert [reason.partition(":")[0] for reason in found.reasons] == ["output while differentiated"]
