"""Each torch implementation against the formula written out in attention_cases.py."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from attnpanel.attention.mask_table import mask_kinds
from attnpanel.bench.certify.cases import example_mask
from attnpanel.kernels import find_implementation
from attnpanel.kernels.arrays import describe, to_float64
from attnpanel.kernels.request import Inputs, Request
from attnpanel.kernels.torch_ import inputs as torch_inputs
from tests.unit.kernels.attention_cases import a_request, draw, formula

torch = pytest.importorskip("torch")

pytestmark = [
    # What Inductor imports uses it.
    pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning"),
]

UNCOMPILED = [
    "torch-eager",
    "torch-multihead",
    "torch-sdpa",
    "torch-sdpa-math",
    "torch-sdpa-flash",
    "torch-flex",
    "torch-ring",
]
ALL = [*UNCOMPILED, "torch-compiled-eager", "torch-flex-compiled"]
EMPTY = {"nan": np.nan, "zero": 0.0}

# Each can be run by all of the above but for what REFUSED says.
REQUESTS = {
    "no mask": a_request(),
    "one query": a_request(query_len=1, temperature=0.7),
    "causal, diagonal top left": a_request(mask="causal"),
    "causal, more queries than keys": a_request(query_len=7, key_len=5, mask="causal"),
    "causal, diagonal bottom right": a_request(mask="causal", align="bottom_right"),
    "causal, first rows empty": a_request(
        query_len=7, key_len=5, mask="causal", align="bottom_right"
    ),
    "padding, one entry all padded": a_request(mask="padding", pad_lens=(3, 0)),
    "key padding with a bias": a_request(
        mask="key_padding", pad_lens=(3, 7), bias=True, temperature=0.7
    ),
    "window bottom right with a scale": a_request(
        mask="window", window=2, align="bottom_right", scale=0.3
    ),
    "cold, so that one key wins": a_request(mask="causal", bias=True, temperature=0.01),
    "hot, so that all weights are near": a_request(mask="causal", temperature=100.0),
    "float64": a_request(dtype="float64", mask="causal", bias=True, temperature=0.7),
    "float16": a_request(dtype="float16", mask="key_padding", pad_lens=(0, 5), bias=True),
    "bfloat16": a_request(dtype="bfloat16", mask="causal", align="bottom_right", bias=True),
    "bfloat16, cold": a_request(dtype="bfloat16", temperature=0.01, bias=True),
    "grouped heads": a_request(kv_heads=2, mask="causal"),
    "one key head for all": a_request(kv_heads=1, mask="window", window=3),
    "wider values": a_request(value_dim=13, bias=True),
    **{
        f"{kind} of the table": a_request(align="bottom_right", **example_mask(kind, 5, 7, 2))
        for kind in mask_kinds()
    },
}
REFUSED = {
    ("torch-multihead", "bfloat16, cold"): (
        "nn.MultiheadAttention has no scale and no temperature; in the query's projection they "
        "would round bfloat16 queries a second time"
    ),
    ("torch-multihead", "grouped heads"): (
        "nn.MultiheadAttention has a key head for every query head; got 2 for 6"
    ),
    ("torch-multihead", "one key head for all"): (
        "nn.MultiheadAttention has a key head for every query head; got 1 for 6"
    ),
    ("torch-multihead", "wider values"): (
        "nn.MultiheadAttention's heads are as wide in values as in queries; "
        "got value_dim 13 and head_dim 11"
    ),
    ("torch-sdpa-flash", "wider values"): (
        "torch's kernel refuses the call: Flash attention requires q,k,v to have the same last "
        "dimension. Got Query.size(-1): 11, Key.size(-1): 11, Value.size(-1): 13 instead."
    ),
}


def assert_right(name, request, inputs=None):
    implementation = find_implementation(name)
    inputs = draw(request) if inputs is None else inputs
    empty = EMPTY[implementation.empty_rows]
    output, weights, logsumexp, allowed = formula(inputs, request, empty)

    result = implementation.prepare(inputs, request)()

    got = describe(result.output)
    assert (got.shape, got.dtype, got.device) == (output.shape, request.dtype, "cpu")
    error = abs(to_float64(result.output) - output)
    np.testing.assert_array_less(np.where(np.isnan(output), 0, error - allowed), 1e-300)
    np.testing.assert_array_equal(np.isnan(to_float64(result.output)), np.isnan(output))
    returned = {
        field.name
        for field in dataclasses.fields(result)
        if getattr(result, field.name) is not None
    }
    assert returned == implementation.returns
    if "weights" in returned:
        got_weights = to_float64(result.weights)
        # Beside a masked key nothing is left, and the rest agrees as well as the output does.
        np.testing.assert_array_equal(got_weights[weights == 0], 0)
        coarse = 2.0**-4 if request.dtype.endswith("16") else 1e-4
        np.testing.assert_allclose(got_weights, weights, rtol=coarse, atol=coarse)
    if "logsumexp" in returned:
        # Kept in float32 at least; scores are up to some hundreds.
        digits = 1e-13 if request.dtype == "float64" else 1e-5
        np.testing.assert_allclose(to_float64(result.logsumexp), logsumexp, rtol=digits, atol=1e-5)


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize("name", UNCOMPILED)
@pytest.mark.parametrize("what", REQUESTS)
def test_it_is_right_or_says_why_it_cannot_run(name, what):
    request = REQUESTS[what]
    reasons = find_implementation(name).unsupported(request)

    if (name, what) in REFUSED:
        assert reasons == [REFUSED[name, what]]
    else:
        assert reasons == []
        assert_right(name, request)


@pytest.mark.parametrize("name", UNCOMPILED)
def test_a_mask_that_is_not_the_requests_own_is_the_one_that_counts(name):
    # As when keys are put in another order and the mask with them: is_causal would be wrong.
    request = a_request(mask="causal")
    inputs = draw(request)
    order = [3, 0, 6, 1, 5, 2, 4]
    moved = dataclasses.replace(
        inputs,
        key=inputs.key[:, :, order],
        value=inputs.value[:, :, order],
        mask=inputs.mask[:, order],
    )

    assert_right(name, request, moved)


def assert_right_if_compiled_here(name, request):
    reasons = find_implementation(name).unsupported(request)
    if reasons:
        pytest.skip("; ".join(reasons))
    assert_right(name, request)


@pytest.mark.thorough
@pytest.mark.slow
def test_a_compiled_formula_is_right_and_gives_nan_to_empty_rows():
    request = a_request(
        kv_heads=2,
        value_dim=13,
        mask="key_padding",
        pad_lens=(0, 5),
        bias=True,
        temperature=0.7,
    )

    assert_right_if_compiled_here("torch-compiled-eager", request)


@pytest.mark.thorough
def test_compiled_flex_attention_is_right_and_gives_zeros_to_empty_rows():
    request = a_request(
        kv_heads=2,
        value_dim=13,
        query_len=7,
        key_len=5,
        mask="causal",
        align="bottom_right",
        bias=True,
        temperature=0.7,
    )

    assert_right_if_compiled_here("torch-flex-compiled", request)


def test_flex_attention_can_be_prepared_more_often_than_torch_recompiles_one_function():
    # The limit is 8 for functions that are compiled, and eager FlexAttention is traced.
    implementation = find_implementation("torch-flex")
    for query_len in range(2, 13):
        request = a_request(query_len=query_len, mask="causal", bias=query_len % 2 == 0)
        assert_right(implementation.name, request)


@pytest.mark.parametrize("name", ALL)
def test_a_device_that_is_not_here_is_a_reason_in_words(name):
    implementation = find_implementation(name)

    reasons = implementation.unsupported(a_request(device="xpu"))

    if "xpu" in implementation.devices:
        assert "no XPU device here" in reasons
    else:
        assert reasons == [f"{name} runs on cpu and cuda; got device xpu"]


@pytest.mark.parametrize("name", ["torch-sdpa-efficient", "torch-sdpa-cudnn"])
def test_the_backends_of_cuda_alone_say_so(name):
    reasons = find_implementation(name).unsupported(a_request())

    assert reasons == [f"{name} runs on cuda; got device cpu"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_what_a_cuda_kernel_never_takes_is_said_without_a_device():
    flash = find_implementation("torch-sdpa-flash")

    reasons = flash.unsupported(a_request(device="cuda", mask="window", window=2))

    assert reasons == [
        "no CUDA device here",
        "on CUDA this kernel computes in float16, bfloat16, not in float32",
        "on CUDA the flash kernel takes no mask but its own causal one",
    ]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("name", ["torch-sdpa", "torch-sdpa-math", "torch-sdpa-efficient"])
def test_a_bias_that_a_16_bit_mask_would_round_again_is_declined(name):
    # On a CPU the mask may be float32; on CUDA it has the query's dtype.
    request = a_request(device="cuda", dtype="float16", bias=True, temperature=0.7)
    sdpa = find_implementation(name)

    declined = "a float16 bias divided by the temperature would be rounded a second time"

    assert sdpa.unsupported(request) == ["no CUDA device here", declined]
    assert sdpa.unsupported(dataclasses.replace(request, temperature=1.0)) == [
        "no CUDA device here"
    ]


def test_compiled_flex_attention_says_that_it_has_no_float64():
    reasons = find_implementation("torch-flex-compiled").unsupported(a_request(dtype="float64"))

    assert reasons == ["torch-flex-compiled computes float32, float16, bfloat16; got float64"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("torch-sdpa", []),
        ("torch-flex", ["torch-flex needs PyTorch 2.9 or newer; here is 2.7"]),
        ("torch-flex-compiled", ["torch-flex-compiled needs PyTorch 2.13 or newer; here is 2.7"]),
    ],
)
def test_an_older_pytorch_is_a_reason_where_it_lacks_what_is_called(name, reason, monkeypatch):
    monkeypatch.setattr(torch_inputs, "version", lambda _: "2.7.1+cu126")

    assert find_implementation(name).unsupported(a_request()) == reason


@pytest.mark.parametrize("name", ["torch-compiled-eager", "torch-flex-compiled"])
def test_without_a_compiler_compiling_is_refused_in_words(name, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")

    reasons = find_implementation(name).unsupported(a_request())

    assert reasons == ["torch.compile needs a C++ compiler for a CPU; no-such-compiler is not here"]


def test_random_numbers_are_drawn_as_if_nothing_had_been_prepared():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)

    for name in ALL:
        find_implementation(name).prepare(draw(a_request()), a_request())

    np.testing.assert_array_equal(torch.rand(3), expected)


def test_listing_the_implementations_loads_no_framework():
    code = (
        "import sys, attnpanel.kernels; "
        "sys.exit(bool({'torch', 'jax', 'onnxruntime'} & set(sys.modules)))"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_backends_context_is_entered_outside_the_calls(monkeypatch):
    import torch.nn.attention

    entered = []
    original = torch.nn.attention.sdpa_kernel

    def counting(backend):
        entered.append(backend)
        return original(backend)

    monkeypatch.setattr(torch.nn.attention, "sdpa_kernel", counting)
    found = find_implementation("torch-sdpa-math")
    request = Request(1, 1, 1, 3, 3, 2, 2)
    zeros = np.zeros((1, 1, 3, 2), np.float32)
    call = found.prepare(Inputs(zeros, zeros, zeros, None, None), request)

    with found.context():
        call()
        call()
    assert len(entered) == 1
    call()
    assert len(entered) == 2


def test_a_device_without_memory_does_not_make_a_call_unsupported(monkeypatch):
    import torch

    def no_memory(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    request = Request(1, 7, 7, 3, 3, 2, 2)
    found = find_implementation("torch-sdpa-flash")
    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.functional, "scaled_dot_product_attention", no_memory)
        assert found.unsupported(request) == []
    assert found.unsupported(request) == []
