"""What can be certified of a CUDA implementation without a CUDA device: shape, dtype and device.

PyTorch's FakeTensorMode runs the implementation on tensors that have a shape, a dtype and a
device but no numbers. A mask that was left on the CPU is caught, a wrong value is not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from attnpanel.kernels.reasons import no_device
from bench.agreement import facts
from bench.bench_run import Agreement, Check
from bench.cases import make_inputs
from bench.raised import in_words

if TYPE_CHECKING:
    from attnpanel.kernels.implementation import Implementation
    from attnpanel.kernels.request import Request
    from bench.cases import Case

LEFT_OPEN = "values and masks were not looked at, nor which kernel torch would choose"

# A PyTorch built without CUDA runs most operations on fake CUDA tensors, but not all: ``x[0]``
# and ``~x`` look for the device.
NOT_BUILT = "PyTorch is not linked with support for"


def certify_fake(implementation: Implementation, case: Case) -> Agreement:
    """Certify shape, dtype and device of a result on a device that need not be here.

    Parameters
    ----------
    implementation : Implementation
    case : Case
        Its request names the device: ``"cuda"``.

    Returns
    -------
    Agreement
        With ``basis="fake"``. ``"pass"`` and ``"fail"`` are about shape, dtype and device; the
        reasons of a pass say what it leaves open. ``"unsupported"`` where the implementation
        would decline the request with a device too, or can't be run without one: what is
        compiled, and what is not PyTorch. ``"error"`` where it raises.

    Raises
    ------
    ValueError
        If the request's device is the CPU, which is always here.
    """
    request = case.request
    if request.device == "cpu":
        raise ValueError(
            f"a fake certificate is for a device that need not be here; got {case.name!r} on cpu"
        )
    missing = no_device(request.device)
    agreement = Agreement(implementation.name, case.name, "unsupported", "fake", (missing,), ())
    reasons = [reason for reason in implementation.unsupported(request) if reason != missing]
    if reasons:
        return replace(agreement, reasons=(missing, *reasons))
    if implementation.framework != "torch" or not _runs_on_fakes(implementation):
        return agreement
    try:
        checks = _propagated(implementation, case, request)
    except Exception as error:  # noqa: BLE001 - whatever an implementation raises is its verdict
        if NOT_BUILT in str(error):
            return replace(agreement, reasons=(missing, f"without one, {in_words(error)}"))
        return replace(agreement, verdict="error", reasons=(in_words(error),))
    wrong = tuple(f"{one.name}: {one.detail}" for one in checks if one.verdict != "pass")
    return replace(
        agreement,
        verdict="fail" if wrong else "pass",
        reasons=wrong or (f"{missing}: {LEFT_OPEN}",),
        checks=tuple(checks),
    )


def _runs_on_fakes(implementation: Implementation) -> bool:
    # Inductor and FlexAttention, which is traced even where it isn't compiled, ask for the device.
    return not (implementation.compiles or implementation.name == "torch-flex")


def _propagated(implementation: Implementation, case: Case, request: Request) -> list[Check]:
    from torch._subclasses.fake_tensor import FakeTensorDeviceMismatchError as Mismatch
    from torch._subclasses.fake_tensor import FakeTensorMode

    inputs = make_inputs(case)
    with FakeTensorMode():
        try:
            return facts(implementation, request, implementation.prepare(inputs, request)())
        except Mismatch as error:
            return [Check("device", "fail", in_words(error))]
