"""Is an implementation right? Its certificate on one case."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.kernels.arrays import describe, to_float64
from attnpanel.kernels.reasons import no_device
from attnpanel.kernels.request import Inputs
from bench import structure, values
from bench.bench_run import Agreement, Check
from bench.cases import make_inputs
from bench.raised import in_words
from bench.reference import reference
from bench.rounding import SIXTEEN_BIT
from bench.trial import Trial, check, returned
from bench.units import weight_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.kernels.implementation import Implementation, RawResult
    from attnpanel.kernels.request import Request
    from bench.bench_run import Verdict
    from bench.cases import Case


def certify(implementation: Implementation, case: Case, *, threads: int = 1) -> Agreement:
    """Run an implementation on a case, and say whether what it returns is attention.

    The checks, in this order:

    - **shape, dtype, device**: exactly those of the request. Weights and log-sum-exp of 16-bit
      inputs may be float32. A failed shape ends the certificate.
    - **output, weights, logsumexp**: against a reference in float64 on the same rounded inputs
      (longdouble where float64 is judged), for the rows that see a key. Errors are counted in
      units of what rounding explains. Per output element, with u the unit roundoff, P the
      weights and κ_i what rounding does to the scores of row i::

          unit = u (κ_i + log2 S + 4) (P |V|) + smallest (1 + Σ_j |V_j|)
          κ_i = max_j (|scale| e_ij + |bias_ij|) / temperature
          e_ij = (sqrt(D Σ_d x_d^2) + sqrt(D / 3) |Σ_d x_d|) / 2,    x_d = q_id k_jd

      and for 16-bit inputs ``4 u + 2^-24 (κ_i + log2 S)`` in place of ``u (…)``; see
      :mod:`bench.units` for large errors, and for scores that are kept in 16 bits, whose typical
      error must also be within twice that of plain 16-bit attention (:mod:`bench.plain`). Up to 8
      units pass; correct code has up to 4. Tolerances that are numbers fail both ways: 1e-5 fails
      correct code at temperature 0.01, 1e-3 passes scores rounded to float16.
    - **masked keys, key order, shift, identity value**: laws of attention, each tried on inputs
      made for it; see :mod:`bench.structure`.
    - **empty rows**: rows that see no key, against the policy the implementation declares.
    - **determinism**: the same inputs give the same bits, in one closure and in a new one, and
      the inputs are left as they were.

    On a device that is not here only the first three are made, as far as PyTorch can tell without
    it: :func:`bench.fake.certify_fake`.

    Parameters
    ----------
    implementation : Implementation
    case : Case
    threads : int, optional
        What the implementation is told to use.

    Returns
    -------
    Agreement
        Its verdict is ``"unsupported"`` where the implementation declines the request,
        ``"error"`` where it raises, ``"fail"`` where a check fails. Nothing an implementation
        raises comes out of here.

    References
    ----------
    Higham and Mary, "A new approach to probabilistic rounding error analysis", 2019: sums.
    Blanchard, Higham and Higham, "Accurately computing the log-sum-exp and softmax functions",
    2021.

    Examples
    --------
    >>> from attnpanel.kernels import find_implementation
    >>> from bench.cases import CERTIFICATE_CASES
    >>> certify(find_implementation("torch-eager"), CERTIFICATE_CASES[0]).verdict
    'pass'
    """
    blank = Agreement(implementation.name, case.name, "pass", "computed", (), ())
    request = case.request
    try:
        reasons = implementation.unsupported(request)
        if no_device(request.device) in reasons:
            return _without_device(implementation, case)
        if reasons:
            return replace(blank, verdict="unsupported", reasons=tuple(reasons))
        inputs = make_inputs(case)
        call = implementation.prepare(inputs, request, threads=threads)
        raw = call()
        checks = facts(implementation, request, raw)
        results = {name: to_float64(array) for name, array in returned(raw).items()}
    except Exception as error:  # noqa: BLE001 - whatever an implementation raises is its verdict
        return replace(blank, verdict="error", reasons=(in_words(error),))
    if checks[0].verdict != "pass":
        return _concluded(blank, checks)
    unit = weight_error(implementation, request, inputs)
    right = reference(request, inputs)
    trial = Trial(implementation, case, threads, inputs, call, raw, results, right, unit)
    for name, make in CHECKS:
        checks += _made(name, make, trial)
    errors = values.errors(trial)
    return _concluded(blank if errors is None else replace(blank, **errors), checks)


def facts(implementation: Implementation, request: Request, raw: RawResult) -> list[Check]:
    """Shape, dtype and device of what came back, without reading a number.

    Parameters
    ----------
    implementation : Implementation
    request : Request
    raw : RawResult
        Its arrays may be fake ones (FakeTensorMode).

    Returns
    -------
    list of Check
        ``"shape"``, ``"dtype"`` and ``"device"``, in this order.
    """
    rows = (request.batch, request.heads, request.query_len)
    shapes = {
        "output": (*rows, request.value_dim),
        "weights": (*rows, request.key_len),
        "logsumexp": rows,
    }
    found = {name: describe(array) for name, array in returned(raw).items()}
    came, declared = (", ".join(sorted(n)) for n in (found, {"output", *implementation.returns}))
    shape = "" if came == declared else f"what is returned must be {declared}; got {came}; "
    dtype = device = ""
    for name, fact in found.items():
        if fact.shape != shapes[name]:
            shape += f"{name} must have shape {shapes[name]}; got {fact.shape}; "
        allowed = [request.dtype]
        if name != "output" and request.dtype in SIXTEEN_BIT:
            allowed.append("float32")
        if fact.dtype not in allowed:
            dtype += f"{name} must be {' or '.join(allowed)}; got {fact.dtype}; "
        if fact.device != request.device:
            device += f"{name} must be on {request.device}; got {fact.device}; "
    wrong = {"shape": shape, "dtype": dtype, "device": device}
    return [check(name, detail.removesuffix("; ")) for name, detail in wrong.items()]


def determinism(trial: Trial) -> Check:
    """The same inputs give the same bits again, and are left as they were."""
    again = trial.call()
    call = trial.implementation.prepare(trial.inputs, trial.request, threads=trial.threads)
    found = []
    for what, raw in (("a second call", again), ("a second preparation", call())):
        results = {name: to_float64(array) for name, array in returned(raw).items()}
        found += [
            f"{what} must return the same {name} bit by bit; got another"
            for name, first in trial.results.items()
            if name not in results or not np.array_equal(results[name], first, equal_nan=True)
        ]
    before, after = make_inputs(trial.case), trial.inputs
    found += [
        f"{field.name} must be left as it was; it was written to"
        for field in fields(Inputs)
        if not np.array_equal(getattr(before, field.name), getattr(after, field.name))
    ]
    return check("determinism", "; ".join(found))


# After shape, dtype and device, in this order; a check that returns None does not apply.
CHECKS: Final[tuple[tuple[str, Callable[[Trial], Check | None]], ...]] = (
    ("output", values.output),
    ("weights", values.weights),
    ("logsumexp", values.logsumexp),
    ("masked keys", structure.masked_keys),
    ("key order", structure.key_order),
    ("shift", structure.shift),
    ("identity value", structure.identity_value),
    ("empty rows", values.empty_rows),
    ("determinism", determinism),
)


def _without_device(implementation: Implementation, case: Case) -> Agreement:
    from bench.fake import certify_fake  # which imports this module, for facts

    return certify_fake(implementation, case)


def _made(name: str, make: Callable[[Trial], Check | None], trial: Trial) -> list[Check]:
    try:
        made = make(trial)
    except Exception as error:  # noqa: BLE001 - whatever an implementation raises is its verdict
        made = Check(name, "error", in_words(error))
    return [] if made is None else [made]


def _concluded(agreement: Agreement, checks: list[Check]) -> Agreement:
    wrong = [check for check in checks if check.verdict != "pass"]
    verdict: Verdict = "pass"
    if wrong:
        verdict = "error" if all(check.verdict == "error" for check in wrong) else "fail"
    return replace(
        agreement,
        verdict=verdict,
        reasons=tuple(f"{check.name}: {check.detail}" for check in wrong),
        checks=tuple(checks),
    )
