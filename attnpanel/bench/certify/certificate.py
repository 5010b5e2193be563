"""Certify an implementation on one case."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from attnpanel.bench.certify import checks_invariants as invariants
from attnpanel.bench.certify import checks_numeric as numeric
from attnpanel.bench.certify import checks_state as state
from attnpanel.bench.certify.checks_determinism import determinism
from attnpanel.bench.certify.checks_hidden import hidden_contents
from attnpanel.bench.certify.checks_mask import infinite_bias, other_mask
from attnpanel.bench.certify.checks_metadata import metadata_checks, why_no_result
from attnpanel.bench.certify.checks_sample import every_row
from attnpanel.bench.certify.checks_sizes import many_heads, other_lengths, other_numbers
from attnpanel.bench.certify.checks_visible import visible_contents
from attnpanel.bench.certify.context import CertificateContext, make_check, returned_arrays
from attnpanel.bench.certify.grade import graded
from attnpanel.bench.certify.judged_rows import (
    fresh_copy,
    inputs_of,
    judged_rows,
    overflow_reason,
    reference_of,
)
from attnpanel.bench.certify.meta_device import certify_fake
from attnpanel.bench.certify.sixteen_bits import rounding_places
from attnpanel.bench.run.exception_text import format_exception
from attnpanel.bench.run.records import Agreement, Check
from attnpanel.kernels.arrays import to_float64
from attnpanel.kernels.reasons import no_device

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.bench.certify.cases import Case
    from attnpanel.bench.run.records import Verdict
    from attnpanel.kernels.implementation import Implementation
    from attnpanel.kernels.request import Request


def certify(
    implementation: Implementation, case: Case, *, threads: int = 1, until_failed: bool = False
) -> Agreement:
    """Run an implementation on a case and check that it computes attention.

    The checks, in this order:

    - **shape, dtype, device**: must equal those of the request, in a RawResult of arrays of NumPy,
      PyTorch or JAX themselves, no subclasses. Weights and log-sum-exp of 16-bit inputs may be
      float32. If the shape is wrong, no other check is made.
    - **output, weights, logsumexp**: compared with a reference in float64 on the same rounded
      inputs (in longdouble for float64 requests), in rows that see a key. Errors are measured in
      units of the expected rounding error. Per output element, with u the unit roundoff, P the
      weights and κ_i the rounding error of the scores of row i::

          unit = u (κ_i + log2 S + 4) (P |V|) + smallest (1 + Σ_j |V_j|)
          κ_i = max_j (|scale| e_ij + |bias_ij|) / temperature
          e_ij = (sqrt(D Σ_d x_d^2) + sqrt(D / 3) |Σ_d x_d|) / 2,    x_d = q_id k_jd

      Up to 8 units pass; correct code reaches up to 4. No fixed tolerance works: 1e-5 fails
      correct code at temperature 0.01, and 1e-3 passes scores rounded to float16.

      For 16-bit inputs a unit is 1.25 standard deviations of what the implementation declares to
      round, beyond half a last bit (:mod:`attnpanel.bench.certify.sixteen_bits`), and the
      root mean square, the gain, the bias and the weight of the first and the last key of each
      head are judged, too
      (:mod:`attnpanel.bench.certify.sixteen_bit_statistics`).
    - **every row**: of a case with more than 2^25 scores the reference has a sample of rows
      (:mod:`attnpanel.bench.certify.judged_rows`); the others are compared with float32 attention.
    - **masked keys, key order, query order, shift, identity value**: invariants of attention, each
      checked on inputs made for it; see :mod:`attnpanel.bench.certify.checks_invariants`.
    - **other mask, infinite bias**: masks that are not causal, with holes, and a bias of -inf
      (:mod:`attnpanel.bench.certify.checks_mask`).
    - **many heads, other numbers, other lengths**: one small case in 65,544 heads, and in up to 128
      heads or sequences; eight cases at 128 lengths or widths each
      (:mod:`attnpanel.bench.certify.checks_sizes`).
    - **empty rows**: rows that see no key must follow the policy that the implementation declares.
    - **hidden contents**: nan and inf in keys that no query sees must not reach the output, unless
      the implementation declares that they do.
    - **visible contents**: nan and inf in what a query uses must reach its output, and no other
      sequence's (:mod:`attnpanel.bench.certify.checks_visible`).
    - **strided inputs, changed inputs, repeated calls**: inputs that are not contiguous, if the
      implementation claims them, which stay as they are, with what lies around them; other values
      at the same addresses; up to 50 calls of one preparation, after which the first result is
      still there.
    An implementation that declares itself `graded` gets cosine, relative L1 and RMSE instead of the
    comparisons (:mod:`bench.certify.grade`); its verdict is ``"graded"``, never ``"pass"``.

    - **determinism**: equal inputs give bit-identical results, from the same and from a newly
      prepared call, and the inputs are not modified.

    Without the request's device only shape, dtype and device are checked, by
    :func:`attnpanel.bench.certify.meta_device.certify_fake`.

    Parameters
    ----------
    implementation : Implementation
    case : Case
    threads : int, optional
        Threads that the implementation may use.
    until_failed : bool, optional
        Make no check after the first that fails.

    Returns
    -------
    Agreement
        Its verdict is ``"unsupported"`` if the implementation declines the request, ``"error"`` if
        it raises and ``"fail"`` if a check fails. Exceptions of the implementation are not
        propagated.

    References
    ----------
    Higham and Mary, "A new approach to probabilistic rounding error analysis", 2019.
    Blanchard, Higham and Higham, "Accurately computing the log-sum-exp and softmax functions",
    2021.

    Examples
    --------
    >>> from attnpanel.kernels import find_implementation
    >>> from attnpanel.bench.certify.cases import CERTIFICATE_CASES
    >>> certify(find_implementation("numpy-naive"), CERTIFICATE_CASES[0]).verdict
    'pass'
    """
    request = case.request
    basis = basis_of(implementation, request)
    blank = Agreement(implementation.name, case.name, "pass", basis, (), ())
    try:
        reasons = implementation.unsupported(request)
        if no_device(request.device) in reasons:
            return certify_fake(implementation, case)
        if reasons:
            return replace(blank, verdict="unsupported", reasons=tuple(reasons))
        view = judged_rows(request, rounding_places(implementation, request))
        if reason := overflow_reason(view, inputs_of(case)):
            return replace(blank, verdict="unsupported", reasons=(reason,))
        inputs = fresh_copy(inputs_of(case))
        call = implementation.prepare(inputs, request, threads=threads)
        raw = call()
        if reason := why_no_result(raw):
            return _conclude(blank, [make_check("shape", reason)])
        checks = metadata_checks(implementation, request, raw)
        results = {name: to_float64(array) for name, array in returned_arrays(raw).items()}
    except Exception as error:  # noqa: BLE001 - any exception is the verdict "error"
        return replace(blank, verdict="error", reasons=(format_exception(error),))
    if checks[0].verdict != "pass":
        return _conclude(blank, checks)
    context = CertificateContext(
        implementation=implementation,
        case=case,
        threads=threads,
        inputs=inputs,
        call=call,
        raw=raw,
        results={name: view.of(array) for name, array in results.items()},
        reference=reference_of(case, view),
    )
    for name, make in _applicable(context):
        if until_failed and any(check.verdict == "fail" for check in checks):
            break
        checks += _run_check(name, make, context)
    errors = numeric.errors(context)
    agreement = blank if errors is None else replace(blank, **errors)
    concluded = _conclude(agreement, checks)
    return graded(context, concluded) if implementation.graded else concluded


def basis_of(
    implementation: Implementation, request: Request
) -> Literal["computed", "interpreted"]:
    """Return how an implementation comes by its numbers on the request's device."""
    return "interpreted" if request.device in implementation.interpreted_on else "computed"


# Made in this order after shape, dtype and device; a check that returns None does not apply.
CHECKS: Final[tuple[tuple[str, Callable[[CertificateContext], Check | None]], ...]] = (
    ("output", numeric.output),
    ("every row", every_row),
    ("weights", numeric.weights),
    ("logsumexp", numeric.logsumexp),
    ("masked keys", invariants.masked_keys),
    ("key order", invariants.key_order),
    ("query order", invariants.query_order),
    ("shift", invariants.shift),
    ("identity value", invariants.identity_value),
    ("other mask", other_mask),
    ("infinite bias", infinite_bias),
    ("many heads", many_heads),
    ("other numbers", other_numbers),
    ("other lengths", other_lengths),
    ("empty rows", numeric.empty_rows),
    ("hidden contents", hidden_contents),
    ("visible contents", visible_contents),
    ("strided inputs", state.strided_inputs),
    ("changed inputs", state.changed_inputs),
    ("repeated calls", state.repeated_calls),
    ("determinism", determinism),
)

# Those of a case that is judged in a sample of rows, where each call takes long.
SAMPLED_CHECKS: Final = frozenset(
    {"output", "every row", "logsumexp", "masked keys", "empty rows", "determinism"}
)

# Those of an implementation that is graded: none compares numbers with the reference.
GRADED_CHECKS: Final = frozenset({"masked keys", "empty rows", "hidden contents", "determinism"})


def _applicable(
    context: CertificateContext,
) -> list[tuple[str, Callable[[CertificateContext], Check | None]]]:
    sampled, graded_only = context.view.rows is not None, context.implementation.graded
    return [
        (name, make)
        for name, make in CHECKS
        if (not sampled or name in SAMPLED_CHECKS) and (not graded_only or name in GRADED_CHECKS)
    ]


def _run_check(
    name: str, make: Callable[[CertificateContext], Check | None], context: CertificateContext
) -> list[Check]:
    try:
        result = make(context)
    except Exception as error:  # noqa: BLE001 - any exception is the verdict "error"
        result = Check(name, "error", format_exception(error))
    return [] if result is None else [result]


def _conclude(agreement: Agreement, checks: list[Check]) -> Agreement:
    failed = [check for check in checks if check.verdict != "pass"]
    verdict: Verdict = "pass"
    if failed:
        verdict = "error" if all(check.verdict == "error" for check in failed) else "fail"
    return replace(
        agreement,
        verdict=verdict,
        reasons=tuple(f"{check.name}: {check.detail}" for check in failed),
        checks=tuple(checks),
    )
