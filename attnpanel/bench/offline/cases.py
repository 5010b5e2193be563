"""The cases of the offline page, with numbers that it checks its own reference by."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from attnpanel.bench.certify.cases import Case, certificate_cases
from attnpanel.bench.certify.long_cases import long_cases
from attnpanel.bench.certify.reference import reference
from attnpanel.bench.certify.specialised_cases import specialised_cases
from attnpanel.bench.measure.flop_count import flops, minimal_bytes
from attnpanel.bench.offline.shared_inputs import inputs_digest, shared_inputs
from attnpanel.kernels.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from attnpanel.kernels.request import DType

# What the page computes on, and in which dtypes.
DEVICES: Final[dict[str, tuple[DType, ...]]] = {
    "cpu": ("float32",),
    "webgpu": ("float32", "float16"),
}
# Ties draw values in another way, which the page has not.
KINDS: Final = frozenset({"randn", "peaked", "outlier", "large", "huge", "positive", "tiny", "low"})
# What the page runs, as in js/offline_bench/run.js.
IMPLEMENTATIONS: Final = ("javascript", "javascript-wasm", "webgpu-f32", "webgpu-f16")
# Multiplications of a case: beyond, the page's reference takes more than a second.
MAX_WORK: Final = 2**25
# Of a dtype's cases, one in so many is certified.
STRIDE: Final = 6
LENGTHS: Final = (256, 512, 1024, 2048)
MASKS: Final = ("none", "causal")
SAMPLES: Final = 12


def certified_cases(device: str) -> list[Case]:
    """Return the cases that the page certifies on a device, besides those that it times.

    Of the certificate's own cases of each dtype, without the long ones and those for what
    kernels are specialised for, the first of each mask and every sixth.
    """
    chosen = []
    others = frozenset((*specialised_cases(), *long_cases()))
    for dtype in DEVICES[device]:
        suited = [
            case
            for case in certificate_cases()
            if case not in others
            and (case.request.dtype, case.kind in KINDS) == (dtype, True)
            and _work(case.request) <= MAX_WORK
        ]
        first: dict[str, Case] = {}
        for case in suited:
            first.setdefault(case.request.mask, case)
        kept = (
            case for at, case in enumerate(suited) if at % STRIDE == 0 or case in first.values()
        )
        chosen += [replace(case, request=replace(case.request, device=device)) for case in kept]
    return chosen


def timed_cases(device: str, lengths: Sequence[int] = LENGTHS) -> list[Case]:
    """Return the cases that the page times on a device."""
    return [
        Case(Request(1, 8, 8, n, n, 64, 64, dtype=dtype, device=device, mask=mask))
        for dtype in DEVICES[device]
        for mask in MASKS
        for n in lengths
    ]


def listed(cases: Sequence[Case]) -> Iterator[dict[str, Any]]:
    """Yield cases as the page takes them: name, content, digest of the inputs, samples.

    Of cases larger than `MAX_WORK` there are no samples: the page judges them by some rows.
    """
    known: dict[Any, tuple[int, list[list[float]]]] = {}
    for case in cases:
        # The numbers are the same on every device.
        key = replace(case, request=replace(case.request, device="cpu"))
        if key not in known:
            known[key] = _drawn(case)
        digest, samples = known[key]
        yield {
            "name": case.name,
            "case": asdict(case),
            "digest": digest,
            "samples": samples,
            "flops": flops(case.request),
            "bytes": minimal_bytes(case.request),
        }


def _drawn(case: Case) -> tuple[int, list[list[float]]]:
    """Return the digest of a case's inputs, and outputs of the reference by their index."""
    inputs = shared_inputs(case)
    if _work(case.request) > MAX_WORK:
        return inputs_digest(inputs), []
    output = reference(case.request, inputs).output.ravel()
    at = np.unique(np.linspace(0, output.size - 1, SAMPLES).astype(int))
    return inputs_digest(inputs), [[int(index), float(output[index])] for index in at]


def _work(request: Request) -> int:
    pairs = request.query_len * request.key_len
    return request.batch * request.heads * pairs * (request.head_dim + request.value_dim)
