"""Certify shape, dtype and device of an implementation without its device.

PyTorch's FakeTensorMode runs the implementation on tensors that have a shape, a dtype and a
device but no data. It finds a mask left on the CPU; it cannot find a wrong value.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from attnpanel.bench.certify.cases import make_inputs
from attnpanel.bench.certify.checks_metadata import metadata_checks
from attnpanel.bench.run.exception_text import format_exception
from attnpanel.bench.run.records import Agreement, Check
from attnpanel.kernels.reasons import no_device

if TYPE_CHECKING:
    from attnpanel.bench.certify.cases import Case
    from attnpanel.kernels.implementation import Implementation
    from attnpanel.kernels.request import Request

NOT_CHECKED = "values and masks were not looked at, nor which kernel torch would choose"

# PyTorch built without CUDA runs most operations on fake CUDA tensors, but ``x[0]`` and ``~x``
# access the device and raise an error with this text.
NO_CUDA_BUILD = "PyTorch is not linked with support for"


def certify_fake(implementation: Implementation, case: Case) -> Agreement:
    """Certify shape, dtype and device of a result for a device that may be absent.

    Parameters
    ----------
    implementation : Implementation
    case : Case
        Its request names the device: ``"cuda"``.

    Returns
    -------
    Agreement
        With ``basis="fake"``. ``"pass"`` and ``"fail"`` concern shape, dtype and device only; the
        reasons of a pass say what was not checked. ``"unsupported"`` if the implementation
        declines the request even with the device, or cannot run on fake tensors: it is compiled,
        or not PyTorch. ``"error"`` if it raises.

    Raises
    ------
    ValueError
        If the request's device is the CPU, which is always available.
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
    if implementation.framework != "torch" or not _runs_on_fake_tensors(implementation):
        return agreement
    try:
        checks = _propagate(implementation, case, request)
    except Exception as error:  # noqa: BLE001 - any exception is the verdict "error"
        if NO_CUDA_BUILD in str(error):
            return replace(agreement, reasons=(missing, f"without one, {format_exception(error)}"))
        return replace(agreement, verdict="error", reasons=(format_exception(error),))
    failures = tuple(f"{check.name}: {check.detail}" for check in checks if check.verdict != "pass")
    return replace(
        agreement,
        verdict="fail" if failures else "pass",
        reasons=failures or (f"{missing}: {NOT_CHECKED}",),
        checks=tuple(checks),
    )


def _runs_on_fake_tensors(implementation: Implementation) -> bool:
    # Inductor accesses the device, and so does FlexAttention, which is traced even uncompiled.
    return not implementation.compiles


def _propagate(implementation: Implementation, case: Case, request: Request) -> list[Check]:
    from torch._subclasses.fake_tensor import FakeTensorDeviceMismatchError as Mismatch
    from torch._subclasses.fake_tensor import FakeTensorMode

    inputs = make_inputs(case)
    with FakeTensorMode():
        try:
            return metadata_checks(
                implementation, request, implementation.prepare(inputs, request)()
            )
        except Mismatch as error:
            return [Check("device", "fail", format_exception(error))]
