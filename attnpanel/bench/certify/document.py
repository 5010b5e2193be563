"""The certificate of one subject: what was certified, how, and what was not."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from attnpanel.bench.certify.cases import BLOCKS, Case, make_inputs
from attnpanel.bench.certify.document_scope import scope
from attnpanel.bench.certify.error_units import PASSING_UNITS
from attnpanel.bench.certify.judgement import error_unit
from attnpanel.bench.certify.reference import reference
from attnpanel.bench.certify.serving import Invariance  # noqa: TC001 - get_type_hints looks them up
from attnpanel.bench.certify.subject import Subject  # noqa: TC001
from attnpanel.bench.measure.environment import Environment  # noqa: TC001
from attnpanel.bench.run.records import Verdict  # noqa: TC001
from attnpanel.bench.run.serialization import ResultFileError, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from attnpanel.bench.certify.description import Description
    from attnpanel.bench.run.records import Agreement

CERTIFICATE_SCHEMA: Final = "attnpanel.certificate/1"
# Reasons of one case that are kept.
MAX_REASONS: Final = 3
REFERENCE: Final = (
    "Attention by its formula in NumPy, in float64 on the same rounded inputs (longdouble for "
    "float64), independent of every implementation."
)
GRADIENTS: Final = " gradients"
NO_GRADIENTS: Final = "Gradients."
# True of every certificate; docs/bench.md says more.
NEVER_COVERED: Final = (
    "Dropout; float8 inputs; masks that no rule of this project describes; a bias that "
    "differs by sequence.",
    "Lengths, widths and numbers of heads beyond those of the scope, and three factors at once "
    "unless they met by chance: the cases combine them in pairs.",
    "Keys hidden from some queries only that hold nan or inf. More than 50 calls on the same "
    "arrays.",
    "In 16 bits, errors below those that the certificate finds (attnpanel bench sharpness).",
    "Speed: nothing here is timed. A function that recognises the certificate, or works around it "
    "in its process.",
)


@dataclass(frozen=True)
class CaseResult:
    """The certificate of one case, in short.

    Attributes
    ----------
    case : str
    dtype : str
        With `GRADIENTS` after it where gradients were judged.
    verdict : {"pass", "fail", "unsupported", "error"}
    units : float or None
        Largest error in units of rounding error; up to 8 pass.
    worst : tuple of int or None
        Position (b, h, t, d) of that error.
    reasons : tuple of str
        Why the verdict is not ``"pass"``.
    """

    case: str
    dtype: str
    verdict: Verdict
    units: float | None
    worst: tuple[int, ...] | None
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Margin:
    """The largest error in a dtype.

    Attributes
    ----------
    dtype : str
        As of :class:`CaseResult`.
    passed : int
        Number of cases that passed.
    not_finite : int
        Number of cases whose output is nan or inf where it must not be; their error is no number.
    units : float
        The largest error of the other cases.
    limit : float
        The largest error that passes.
    case : str
    worst : tuple of int or None
        Position (b, h, t, d).
    """

    dtype: str
    passed: int
    not_finite: int
    units: float
    limit: float
    case: str
    worst: tuple[int, ...] | None


@dataclass(frozen=True)
class CheckCount:
    """How often a check passed, failed and raised."""

    name: str
    passed: int
    failed: int
    errors: int


@dataclass(frozen=True)
class Certificate:
    """What is known of one implementation of attention, and by which evidence.

    Attributes
    ----------
    schema : str
    subject : Subject
    framework, device : str
    threads : int
    properties : dict of str to str
        What it was seen to do, or declares, each of them certified.
    verdict : {"pass", "fail", "error"}
        ``"pass"`` if at least one case passed and none failed; ``"error"`` if none failed, but one
        raised or crashed, or none could be judged.
    summary : str
        The verdict in a sentence.
    scope, not_covered : tuple of str
        Sentences.
    reference : str
    reference_error_units : float or None
        Largest error of the float64 reference against longdouble, in units of float32; None where
        longdouble is float64.
    seed : int
        Added to the seed of every case.
    cases : tuple of CaseResult
    margins : tuple of Margin
    checks : tuple of CheckCount
    invariances : tuple of Invariance
    environment : Environment
    command : str
        Repeats the certificate; empty if no command can.
    digest : str
        SHA-256 of the rest. It shows a changed file; it proves no author.
    """

    schema: Literal["attnpanel.certificate/1"]
    subject: Subject
    framework: str
    device: str
    threads: int
    properties: dict[str, str]
    verdict: Literal["pass", "fail", "error"]
    summary: str
    scope: tuple[str, ...]
    not_covered: tuple[str, ...]
    reference: str
    reference_error_units: float | None
    seed: int
    cases: tuple[CaseResult, ...]
    margins: tuple[Margin, ...]
    checks: tuple[CheckCount, ...]
    invariances: tuple[Invariance, ...]
    environment: Environment
    command: str
    digest: str


def make_certificate(
    description: Description,
    judged: Sequence[tuple[Case, Agreement]],
    invariances: Sequence[Invariance],
    *,
    environment: Environment,
    seed: int,
    threads: int,
    command: str,
    not_held: Sequence[str] = (),
) -> Certificate:
    """Return the certificate of a subject by its judged cases, at least one.

    `not_held` is what the way they were judged can't see.
    """
    cases = tuple(_case_result(case, agreement) for case, agreement in judged)
    verdict = _verdict(cases)
    requests = [case.request for case, agreement in judged if agreement.verdict in ("pass", "fail")]
    unsigned = Certificate(
        schema=CERTIFICATE_SCHEMA,
        subject=description.subject,
        framework=description.framework,
        device=judged[0][0].request.device,
        threads=threads,
        properties=description.properties,
        verdict=verdict,
        summary=_summary(verdict, cases),
        scope=scope(requests),
        not_covered=(
            *_declined(description, cases),
            *_interpreted(judged),
            *not_held,
            *(() if any(r.direction != "forward" for r in requests) else (NO_GRADIENTS,)),
            *NEVER_COVERED,
        ),
        reference=REFERENCE,
        reference_error_units=reference_error_units(),
        seed=seed,
        cases=cases,
        margins=_margins(cases, description),
        checks=_count_checks(agreement for _, agreement in judged),
        invariances=tuple(invariances),
        environment=environment,
        command=command,
        digest="",
    )
    return replace(unsigned, digest=digest_of(unsigned))


def digest_of(certificate: Certificate) -> str:
    """Return the SHA-256 of a certificate without its digest, as sorted JSON without spaces."""
    content = asdict(replace(certificate, digest=""))
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_certificate(path: Path) -> Certificate:
    """Read a certificate that was written as JSON.

    Raises
    ------
    ResultFileError
        If the file is damaged, of another schema, or was changed: its digest is another.
    OSError
        If it can't be read.
    """
    found = read(path, Certificate)
    digest = digest_of(found)
    if digest != found.digest:
        raise ResultFileError(
            f"{path} was changed since it was written: its digest must be {digest[:12]}…; "
            f"got {found.digest[:12]!r}"
        )
    return found


def reference_error_units() -> float | None:
    """Return the largest error of the float64 reference on one head, in units of float32."""
    request = replace(BLOCKS, heads=1, kv_heads=1, query_len=67, key_len=257)
    if np.finfo(np.longdouble).eps == np.finfo(np.float64).eps:
        return None
    inputs = make_inputs(Case(request))
    found = reference(request, inputs)
    wider = reference(replace(request, dtype="float64"), inputs)
    unit = error_unit(request, inputs, found, None)
    return float((np.abs(found.output - wider.output) / unit).max())


def _case_result(case: Case, agreement: Agreement) -> CaseResult:
    return CaseResult(
        case.name,
        case.request.dtype + (GRADIENTS if case.request.direction != "forward" else ""),
        agreement.verdict,
        agreement.max_ratio,
        agreement.worst,
        agreement.reasons[:MAX_REASONS],
    )


def _verdict(cases: Sequence[CaseResult]) -> Literal["pass", "fail", "error"]:
    verdicts = {case.verdict for case in cases}
    if "fail" in verdicts:
        return "fail"
    return "pass" if "pass" in verdicts and "error" not in verdicts else "error"


def _summary(verdict: str, cases: Sequence[CaseResult]) -> str:
    counts = Counter(case.verdict for case in cases)
    judged = len(cases) - counts["unsupported"]
    gradients = Counter(case.verdict for case in cases if case.dtype.endswith(GRADIENTS))
    of_gradients = gradients.total() - gradients["unsupported"]
    if verdict == "pass":
        more = f", {of_gradients} of them of gradients" if of_gradients else ""
        return f"Computes attention in all {judged} cases that it takes{more}."
    if verdict == "fail":
        more = f", {gradients['fail']} of them of gradients" if gradients["fail"] else ""
        return f"Is wrong in {counts['fail']} of {judged} cases{more}."
    if counts["error"]:
        return f"Raised or ended in {counts['error']} of {judged} cases."
    if counts["graded"]:
        return (
            f"Nothing was certified: it is graded, in {counts['graded']} cases, since it does not "
            "claim to compute attention to rounding."
        )
    return "Nothing was certified: it takes none of the cases."


def _declined(description: Description, cases: Sequence[CaseResult]) -> list[str]:
    """Return what the subject does not take: reasons, with the number of their cases."""
    reasons = Counter(case.reasons[0] for case in cases if case.verdict == "unsupported")
    found = [f"{reason} ({count} cases)" for reason, count in reasons.most_common()]
    if description.subject.source_sha256 is None:
        found.append("Its source could not be read, so the hash of it is missing.")
    return found


def _interpreted(judged: Sequence[tuple[Case, Agreement]]) -> list[str]:
    count = sum(agreement.basis == "interpreted" for _, agreement in judged)
    words = "Compiled code: an interpreter of its kernel computed the results"
    return [f"{words} ({count} cases)."] if count else []


def _margins(cases: Sequence[CaseResult], description: Description) -> tuple[Margin, ...]:
    limits = {name + GRADIENTS: limit for name, limit in description.gradient_limits.items()}
    found = []
    for dtype in dict.fromkeys(case.dtype for case in cases):
        judged = [c for c in cases if c.dtype == dtype and c.verdict in ("pass", "fail")]
        known = [case for case in judged if case.units is not None]
        if not judged:
            continue
        worst = max(known, key=lambda case: case.units or 0.0, default=judged[0])
        found.append(
            Margin(
                dtype=dtype,
                passed=sum(case.verdict == "pass" for case in judged),
                not_finite=len(judged) - len(known),
                units=worst.units or 0.0,
                limit=limits.get(dtype, PASSING_UNITS),
                case=worst.case,
                worst=worst.worst,
            )
        )
    return tuple(found)


def _count_checks(agreements: Iterable[Agreement]) -> tuple[CheckCount, ...]:
    counts: dict[str, Counter[str]] = {}
    for agreement in agreements:
        for check in agreement.checks:
            counts.setdefault(check.name, Counter())[check.verdict] += 1
    return tuple(
        CheckCount(name, count["pass"], count["fail"], count["error"])
        for name, count in counts.items()
    )
