"""Certificates for CUDA on a machine without it, and the defects they find."""

from dataclasses import replace

import pytest

from attnpanel.bench.certify.cases import Case
from attnpanel.bench.certify.meta_device import certify_fake
from attnpanel.kernels import IMPLEMENTATIONS, find_implementation
from attnpanel.kernels.implementation import RawResult
from attnpanel.kernels.request import Request

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")

MISSING = "no CUDA device here"
# B2 H6/2 T5 S7 D11 Dv13: distinct primes where the rules allow.
GROUPED = Request(2, 6, 2, 5, 7, 11, 13, device="cuda", mask="key_padding", pad_lens=(3, 7))
CASES = [
    GROUPED,
    Request(2, 3, 3, 5, 7, 11, 11, "float16", "cuda", bias=True),
    Request(2, 3, 3, 7, 7, 11, 11, "bfloat16", "cuda", mask="causal"),
    Request(2, 3, 3, 5, 7, 11, 11, "float64", "cuda", mask="window", window=2, temperature=0.7),
    Request(2, 3, 3, 1, 7, 11, 11, "float32", "cuda", mask="padding", pad_lens=(1, 0)),
]
ON_FAKES = [
    implementation
    for implementation in IMPLEMENTATIONS
    if implementation.framework == "torch" and not implementation.compiles
]


@pytest.mark.thorough(every=4)
@pytest.mark.parametrize("implementation", ON_FAKES, ids=lambda implementation: implementation.name)
@pytest.mark.parametrize("request_", CASES, ids=lambda request: Case(request).name)
def test_shape_dtype_and_device_pass_without_a_device(implementation, request_):
    declined = [r for r in implementation.unsupported(request_) if r != MISSING]

    agreement = certify_fake(implementation, Case(request_))

    assert agreement.basis == "fake"
    if declined:
        assert agreement.verdict == "unsupported"
        assert agreement.reasons == (MISSING, *declined)
    else:
        assert agreement.verdict == "pass"
        assert [check.name for check in agreement.checks] == ["shape", "dtype", "device"]
        assert agreement.reasons[0].startswith(f"{MISSING}: values and masks were not looked at")
        assert agreement.max_ratio is None


def test_each_uncompiled_implementation_passes_at_least_one_case():
    for implementation in ON_FAKES:
        verdicts = {certify_fake(implementation, Case(request)).verdict for request in CASES}
        assert "pass" in verdicts, implementation.name


@pytest.mark.parametrize("name", ["torch-flex", "torch-flex-compiled", "torch-compiled-eager"])
def test_implementations_that_access_the_device_are_unsupported(name):
    request = replace(GROUPED, head_dim=17, value_dim=17)

    agreement = certify_fake(find_implementation(name), Case(request))

    assert (agreement.verdict, agreement.basis) == ("unsupported", "fake")
    assert agreement.reasons == (MISSING,)


def test_implementations_without_cuda_are_unsupported():
    agreement = certify_fake(find_implementation("numpy-naive"), Case(GROUPED))

    assert agreement.verdict == "unsupported"
    assert "numpy-naive runs on cpu; got device cuda" in agreement.reasons


def planted(change):
    """Eager attention with a defect in it."""
    eager = find_implementation("torch-eager")

    def prepare(inputs, request, *, threads=1):
        return change(eager.prepare, inputs, request)

    return replace(eager, name="planted", prepare=prepare)


def mask_left_on_the_cpu(prepare, inputs, request):
    run = prepare(replace(inputs, mask=None), request)
    mask = torch.tensor(inputs.mask)
    return lambda: RawResult(run().output * mask.any(-1, keepdim=True))


def changed(change):
    def made(prepare, inputs, request):
        run = prepare(inputs, request)

        def defective():
            result = run()
            return RawResult(change(result.output), result.weights)

        return defective

    return made


@pytest.mark.parametrize(
    ("defect", "check", "detail"),
    [
        (mask_left_on_the_cpu, "device", "two devices, cuda:0 and cpu"),
        (changed(lambda x: torch.empty(x.shape, dtype=x.dtype)), "device", "got cpu"),
        (changed(lambda x: x.double()), "dtype", "output must be float32; got float64"),
        (changed(lambda x: x.mT), "shape", "(2, 6, 5, 13); got (2, 6, 13, 5)"),
    ],
    ids=["mask on the CPU", "result on the CPU", "other dtype", "transposed"],
)
def test_an_injected_defect_is_found_without_a_device(defect, check, detail):
    agreement = certify_fake(planted(defect), Case(GROUPED))

    assert agreement.verdict == "fail"
    assert [check.name for check in agreement.checks if check.verdict == "fail"] == [check]
    assert agreement.reasons[0].startswith(f"{check}: ")
    assert detail in agreement.reasons[0]


def test_an_exception_is_the_verdict_error():
    def raises(prepare, inputs, request):
        raise KeyError("planted")

    agreement = certify_fake(planted(raises), Case(GROUPED))

    assert agreement.verdict == "error"
    assert agreement.reasons == ("KeyError: 'planted'",)


@pytest.mark.skipif(torch.backends.cuda.is_built(), reason="PyTorch is built with CUDA")
def test_operations_missing_in_cpu_builds_of_torch_are_unsupported():
    agreement = certify_fake(planted(changed(lambda x: x[0])), Case(GROUPED))

    assert agreement.verdict == "unsupported"
    assert agreement.reasons[0] == MISSING
    assert "not linked with support for cuda" in agreement.reasons[1]


def test_a_case_on_the_cpu_is_refused():
    with pytest.raises(ValueError, match=r"for a device that need not be here; got .* on cpu"):
        certify_fake(find_implementation("torch-eager"), Case(replace(GROUPED, device="cpu")))
