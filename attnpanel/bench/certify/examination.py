"""Certify one subject on many cases, in this process or in one of its own."""

from __future__ import annotations

import secrets
import shlex
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, get_args, overload

from attnpanel.bench.certify.cases import Case, select_cases
from attnpanel.bench.certify.certificate import certify as certify_case
from attnpanel.bench.certify.description import describe, why_no_gradients
from attnpanel.bench.certify.direction import certify_direction
from attnpanel.bench.certify.document import make_certificate
from attnpanel.bench.certify.function_observation import FunctionError
from attnpanel.bench.certify.gradients_certificate import DTYPES as GRADIENT_DTYPES
from attnpanel.bench.certify.gradients_certificate import gradient_cases
from attnpanel.bench.certify.plain_function import as_implementation
from attnpanel.bench.certify.serving import measure_invariance
from attnpanel.bench.certify.subject import name_of
from attnpanel.bench.measure import environment
from attnpanel.bench.run.child import ChildFailure
from attnpanel.bench.run.integrity import Integrity
from attnpanel.bench.run.records import Agreement
from attnpanel.kernels.request import DType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from attnpanel.bench.certify.description import Description
    from attnpanel.bench.certify.document import Certificate
    from attnpanel.bench.certify.plain_call import Framework
    from attnpanel.bench.certify.serving import Invariance
    from attnpanel.bench.run.children import Children
    from attnpanel.kernels.implementation import Implementation

Which = Literal["all", "few"]
SEEDS: Final = 2**31
# What found that a subject replaced its judge in this process; no list, of which it would find the
# growth, too.
REPLACED_EARLIER: Final[deque[Callable[[], str]]] = deque()


class Examiner(Protocol):
    """Answers what a certificate needs to know of its subject."""

    @property
    def not_held(self) -> tuple[str, ...]:
        """What this way to examine can't see, in sentences."""

    def describe(self, device: str) -> Description:
        """Describe the subject."""

    def certify(self, case: Case) -> Agreement:
        """Certify one case; an exception of the subject is its verdict."""

    def why_no_gradients(self, device: str) -> str:
        """Return why the subject gives no gradients at all; empty if it gives some."""

    def invariance(self, device: str, dtype: DType) -> tuple[Invariance, ...]:
        """Measure how far the laws of serving hold in a dtype."""


class InProcess:
    """Certifies a subject in this process, which a crash ends.

    What judges is compared before and after each case
    (:class:`attnpanel.bench.run.integrity.Integrity`). Once a subject has replaced some of it, no
    case is judged any more, of this subject or another, until it is put back.

    Raises
    ------
    attnpanel.bench.certify.function_observation.FunctionError
        If a function does not compute even one small call.
    """

    not_held: Final[tuple[str, ...]] = (
        "What judges it, beyond doubt: subject and judge were in one process. What judges was "
        "compared before and after each case, so what was replaced before the certificate began, "
        "or was put back in time, is not seen. attnpanel bench certify gives a function a process "
        "of its own.",
    )

    def __init__(
        self, subject: Any, *, framework: Framework | None, device: str, threads: int
    ) -> None:
        self._subject, self._threads, self._name = subject, threads, name_of(subject)
        # Bound before the subject's first call, which may replace the method.
        self._violations = [
            *(found for found in REPLACED_EARLIER if found()),
            Integrity().violation,
        ]
        self._implementation = as_implementation(
            subject, self._name, framework=framework, device=device
        )

    def describe(self, device: str) -> Description:  # noqa: ARG002 - of which it was made
        """Describe the subject."""
        return describe(self._implementation, self._name, self._subject)

    def certify(self, case: Case) -> Agreement:
        """Certify one case; what judges it having been replaced is the verdict ``"error"``."""
        violation = self._violation()
        if not violation:
            judged = certify_direction(self._implementation, case, threads=self._threads)
            violation = self._violation()
        if violation:
            return Agreement(self._name, case.name, "error", "computed", (violation,), ())
        return judged

    def invariance(self, device: str, dtype: DType) -> tuple[Invariance, ...]:
        """Measure how far the laws of serving hold in a dtype; none if their judge was replaced."""
        if self._violation():
            return ()
        found = measure_invariance(
            self._implementation, dtype, device=device, threads=self._threads
        )
        return () if self._violation() else found

    def why_no_gradients(self, device: str) -> str:
        """Return why the subject gives no gradients at all; empty if it gives some."""
        return why_no_gradients(self._implementation, device)

    def _violation(self) -> str:
        for violation in self._violations:
            if found := violation():
                if violation not in REPLACED_EARLIER:
                    REPLACED_EARLIER.append(violation)
                return found
        return ""


class InChild:
    """Certifies a subject in a process of its own, which may crash, hang or run out of memory."""

    not_held: Final[tuple[str, ...]] = ()

    def __init__(self, name: str, children: Children) -> None:
        self._name, self._children = name, children

    def describe(self, device: str) -> Description:
        """Describe the subject.

        Raises
        ------
        ChildFailure
            If it can't be imported, or ends its process.
        """
        found: Description = self._children.ask(self._name, "describe", device)
        return found

    def certify(self, case: Case) -> Agreement:
        """Certify one case; a process that ended is the verdict ``"error"``."""
        try:
            found: Agreement = self._children.ask(self._name, "certify", case)
        except ChildFailure as failure:
            return Agreement(self._name, case.name, "error", "computed", (str(failure),), ())
        return found

    def why_no_gradients(self, device: str) -> str:
        """Return why the subject gives no gradients at all; empty if it gives some."""
        found: str = self._children.ask(self._name, "why_no_gradients", device)
        return found

    def invariance(self, device: str, dtype: DType) -> tuple[Invariance, ...]:
        """Measure how far the laws of serving hold in a dtype; none if the process ends."""
        try:
            found: tuple[Invariance, ...] = self._children.ask(
                self._name, "invariance", device, dtype
            )
        except ChildFailure:
            return ()
        return found


def examine(
    examiner: Examiner,
    *,
    which: Which = "all",
    device: str = "cpu",
    dtypes: Sequence[DType] = (),
    seed: int | None = None,
    threads: int = 1,
    gradients: bool = False,
    command: str = "",
    on_progress: Callable[[int, int, str], None] = lambda _done, _of, _case: None,
) -> Certificate:
    """Certify a subject on every case of a choice, and measure the laws of serving.

    Parameters
    ----------
    examiner : Examiner
    which : {"all", "few"}
        ``"few"`` is the first case of each mask and dtype.
    device : str
    dtypes : sequence of str
        Empty for all.
    seed : int, optional
        From 0; added to the seed of every case. Drawn anew by default, so that a function cannot
        know its inputs.
    threads : int
    gradients : bool
        Whether to certify the gradients of query, key, value and bias, too.
    command : str
        Repeats the certificate, but for its seed, which is appended.
    on_progress : function of number done, number of all, name of the next case

    Raises
    ------
    ValueError
        If the seed is negative, there is no such case, or gradients are asked for and the subject
        gives none.
    """
    drawn = secrets.randbelow(SEEDS) if seed is None else seed
    if drawn < 0:
        raise ValueError(f"seed must be at least 0; got {drawn}")
    cases = [
        replace(case, seed=case.seed + drawn, request=replace(case.request, device=device))
        for case in (*select_cases(which), *(_gradient_cases(which) if gradients else ()))
        if not dtypes or case.request.dtype in dtypes
    ]
    if not cases:
        raise ValueError(
            f"cases must be all or few, in a dtype that there is; got {which}, {dtypes}"
        )
    before = environment.describe()
    description = examiner.describe(device)
    if gradients and (reason := examiner.why_no_gradients(device)):
        raise FunctionError(reason)
    judged = []
    for number, case in enumerate(cases):
        on_progress(number, len(cases), case.name)
        judged.append((case, examiner.certify(case)))
    passed = {
        case.request.dtype
        for case, agreement in judged
        if agreement.verdict == "pass" and case.request.direction == "forward"
    }
    invariances = [
        found
        for dtype in get_args(DType)
        if dtype in passed
        for found in examiner.invariance(device, dtype)
    ]
    return make_certificate(
        description,
        judged,
        invariances,
        environment=replace(before, load_after=environment.load()),
        seed=drawn,
        threads=threads,
        command=f"{command} --seed {drawn}" if command else "",
        not_held=examiner.not_held,
    )


def _gradient_cases(which: Which) -> list[Case]:
    return [
        replace(case, request=replace(case.request, direction="backward"))
        for dtype in GRADIENT_DTYPES
        for case in gradient_cases(dtype, small=which == "few")
    ]


def repeating_command(
    name: str, which: Which, dtypes: Sequence[str], device: str, *, gradients: bool = False
) -> str:
    """Return the command that makes the same certificate, but for its seed."""
    words = ["attnpanel", "bench", "certify", name]
    words += ["--cases", which] if which != "all" else []
    words += ["--dtype", *dtypes] if dtypes else []
    words += ["--device", device] if device != "cpu" else []
    words += ["--gradients"] if gradients else []
    return shlex.join(words)


@overload
def certify(subject: Implementation, case: Case, *, threads: int = ...) -> Agreement: ...
@overload
def certify(
    subject: Implementation | Callable[..., Any],
    case: None = ...,
    *,
    threads: int = ...,
    framework: Framework | None = ...,
    device: str = ...,
    cases: Which = ...,
    dtypes: Sequence[DType] = ...,
    seed: int | None = ...,
    gradients: bool = ...,
) -> Certificate: ...
def certify(
    subject: Any,
    case: Case | None = None,
    *,
    threads: int = 1,
    framework: Framework | None = None,
    device: str = "cpu",
    cases: Which = "all",
    dtypes: Sequence[DType] = (),
    seed: int | None = None,
    gradients: bool = False,
) -> Agreement | Certificate:
    """Certify that a function computes attention, or an implementation on one case.

    Errors are measured in units of what rounding explains, of which 8 pass, against attention in
    float64 on the same rounded inputs; and laws must hold, whatever the numbers: hidden keys change
    no bit, the order of keys and a shift of scores nothing, weights sum to 1. docs/bench.md has the
    units, the checks and what they can't see. Runs in this process, which a crash of the subject
    ends; `python -m bench certify` gives it one of its own.

    Parameters
    ----------
    subject : callable or Implementation
        ``fn(query, key, value, *, mask, scale, is_causal)`` of NumPy arrays, PyTorch tensors or
        JAX arrays, (B, H, T, D), (B, Hkv, S, D) and (B, Hkv, S, Dv), returns (B, H, T, Dv) in their
        dtype. The mask is None or boolean, (B or 1, 1, T, S), True where a query may attend; the
        scale a float; `is_causal` True, with `mask` None, for causal calls with T = S. It may leave
        out keywords, and take ``bias``, (1, H, T, S); what it can't compute it declines by raising.
    case : Case, optional
        With an Implementation: this case alone, by
        :func:`attnpanel.bench.certify.certificate.certify`.
    threads : int
        Threads that it may use; those of PyTorch are its process'.
    framework : {"numpy", "torch", "jax"}, optional
        Whose arrays a function takes; by default, that of what it returns.
    device : str
    cases : {"all", "few"}
        ``"few"`` is the first case of each mask and dtype: seconds.
    dtypes : sequence of str
        Empty for all.
    seed : int, optional
        Of the inputs; drawn anew by default.
    gradients : bool
        Whether to certify the gradients, too, that PyTorch's autograd or ``jax.vjp`` gives.

    Returns
    -------
    Certificate
        Or an Agreement, if a case was given. Exceptions of the subject are verdicts.

    Raises
    ------
    attnpanel.bench.certify.function_observation.FunctionError
        If a function does not compute even one small call, or no gradients where they are asked
        for.
    ValueError
        If the seed is negative, or there is no such case.

    References
    ----------
    Higham and Mary, "A new approach to probabilistic rounding error analysis", 2019.
    Blanchard, Higham and Higham, "Accurately computing the log-sum-exp and softmax functions",
    2021.

    Examples
    --------
    >>> import numpy as np
    >>> def attention(q, k, v, *, mask=None, scale=1.0, is_causal=False):
    ...     scores = scale * (q @ k.swapaxes(-1, -2))
    ...     weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    ...     return weights / weights.sum(axis=-1, keepdims=True) @ v
    >>> certify(attention, cases="few", dtypes=["float32"]).verdict  # it ignores the mask
    'fail'
    """
    if case is not None:
        return certify_case(subject, case, threads=threads)
    examiner = InProcess(subject, framework=framework, device=device, threads=threads)
    name = name_of(subject)
    importable = "<" not in name and not name.startswith("__main__:")
    return examine(
        examiner,
        which=cases,
        device=device,
        dtypes=dtypes,
        seed=seed,
        threads=threads,
        gradients=gradients,
        command=repeating_command(name, cases, dtypes, device, gradients=gradients)
        if importable
        else "",
    )
