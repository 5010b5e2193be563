"""Certificates never fail correct code, in 84 cases drawn by Hypothesis.

`python -m bench false-alarms` tries more than a thousand.
"""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from attnpanel.bench import certify
from attnpanel.kernels import find_implementation
from tests.unit.bench.certify.case_strategies import cases
from tests.unit.bench.certify.fault_injection import make_attention

pytestmark = pytest.mark.slow  # every case of the certificate, for every implementation
# 12 cases each. Kernels of different design, each tested against the formula.
CORRECT = {
    "made": make_attention(),
    "numpy-naive": find_implementation("numpy-naive"),
    "numpy-row-blocked": find_implementation("numpy-row-blocked"),
    "numpy-online": find_implementation("numpy-online"),
    "torch-eager": find_implementation("torch-eager"),
    "torch-sdpa-math": find_implementation("torch-sdpa-math"),
    "torch-sdpa-flash": find_implementation("torch-sdpa-flash"),
}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    # Synchronising two threads takes longer than these small products.
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.thorough(but=3)
@pytest.mark.parametrize("name", CORRECT)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_correct_code_is_never_failed(name, data):
    implementation = CORRECT[name]
    case = data.draw(cases(implementation.dtypes))
    assume(not implementation.unsupported(case.request))

    agreement = certify(implementation, case)

    assert agreement.reasons == ()
    assert agreement.verdict == "pass"
