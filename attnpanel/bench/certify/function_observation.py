"""Observe on small calls what a plain function of attention computes, and how.

What it cannot do it declines by raising. What it does beyond the request (how it treats a query
without keys, what leaks from hidden keys, where it rounds 16-bit numbers) is observed here once,
and then certified on every case.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from attnpanel.bench.certify.cases import BLOCKS, SQUARE, Case, make_inputs
from attnpanel.bench.certify.checks_hidden import CONTENTS, poisoned
from attnpanel.bench.certify.checks_state import ADJACENT_LAYOUTS, ANY_LAYOUTS, laid_out
from attnpanel.bench.certify.checks_visible import CONTENTS as VISIBLE_CONTENTS
from attnpanel.bench.certify.checks_visible import with_content
from attnpanel.bench.certify.judged_rows import judged_rows
from attnpanel.bench.certify.judgement import judge
from attnpanel.bench.certify.plain_call import DTYPES, TEMPERED_BIAS, square_causal
from attnpanel.bench.certify.reference import reference
from attnpanel.bench.certify.rounding import SIXTEEN_BIT
from attnpanel.bench.certify.sixteen_bits import RoundingPlaces
from attnpanel.bench.run.exception_text import format_exception
from attnpanel.kernels.arrays import to_float64
from attnpanel.kernels.reasons import device_is_here

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from attnpanel.attention.validation import EmptyRows
    from attnpanel.bench.certify.checks_state import Layouts
    from attnpanel.bench.certify.plain_call import Framework, PlainCall
    from attnpanel.kernels.implementation import HiddenContent, NonFinite
    from attnpanel.kernels.request import DType, Request

NOT_COMPUTED: Final[dict[Framework, dict[str, str]]] = {
    "numpy": {"bfloat16": "NumPy has no bfloat16"},
    "torch": {},
    "jax": {"float64": "JAX computes it in float32, unless it is told not to"},
}


ADJACENT: Final = "inputs that are not contiguous"
STRIDED: Final = "channels that are not adjacent"
# What a call may need beyond one head and D = Dv, T = S, and a small call that needs it.
FEATURES: Final[dict[str, tuple[Callable[[Request], bool], Request]]] = {
    "several sequences": (lambda r: r.batch > 1, replace(SQUARE, heads=1, kv_heads=1)),
    "several heads": (lambda r: r.heads > 1, replace(SQUARE, batch=1)),
    "grouped heads": (
        lambda r: r.heads != r.kv_heads,
        replace(SQUARE, batch=1, heads=6, kv_heads=3),
    ),
    "T other than S": (lambda r: r.query_len != r.key_len, replace(SQUARE, key_len=7)),
    "Dv other than D": (lambda r: r.value_dim != r.head_dim, replace(SQUARE, value_dim=13)),
    "a mask": (
        lambda r: r.mask != "none" and not square_causal(r),
        replace(SQUARE, mask="key_padding", pad_lens=(3, 4)),
    ),
    "a causal call": (square_causal, replace(SQUARE, mask="causal")),
    "a bias": (lambda r: r.bias, replace(SQUARE, bias=True)),
    # A plain function takes no temperature: its scale includes it.
    "another scale": (lambda r: r.scale is not None or r.temperature != 1, SQUARE),
    TEMPERED_BIAS: (lambda r: r.bias and r.temperature != 1, SQUARE),
}
ONE_HEAD: Final = replace(SQUARE, batch=1, heads=1, kv_heads=1)
# From the strictest class of rounding to the laxest.
PLACES: Final = (
    RoundingPlaces(weights=False),
    RoundingPlaces(),
    RoundingPlaces(scaled_query=True),
    RoundingPlaces(scores=True),
    RoundingPlaces(scores=True, scaled_query=True),
)


@dataclass(frozen=True)
class Observed:
    """What a function was seen to do on small calls.

    Attributes
    ----------
    framework : {"numpy", "torch", "jax"}
        Whose arrays it takes and returns.
    dtypes : tuple of str
        Those that it computes.
    declined : dict of str to str
        What it can't do, by the names of `FEATURES` and of layouts, and dtypes: the exception that
        it raised.
    empty_rows : {"zero", "uniform", "nan"}
    hidden_leaks, swallows : frozenset of str
    places : RoundingPlaces
        The strictest class of 16-bit rounding that explains its errors.
    """

    framework: Framework
    dtypes: tuple[DType, ...]
    declined: dict[str, str]
    empty_rows: EmptyRows = "zero"
    hidden_leaks: frozenset[HiddenContent] = frozenset()
    swallows: frozenset[NonFinite] = frozenset()
    places: RoundingPlaces = field(default_factory=RoundingPlaces)


class FunctionError(ValueError):
    """A function that computes no attention at all: not even one small call."""


def framework_of(call: PlainCall, device: str) -> Framework:
    """Return the framework whose arrays a function takes and returns; NumPy has the CPU alone.

    Raises
    ------
    FunctionError
        If it takes and returns none; the message has its exceptions.
    """
    failures = []
    tried: list[Framework] = ["numpy", "torch"]
    if "jax" in sys.modules:
        tried.append("jax")
    if device != "cpu":
        return "torch"
    for framework in tried:
        why = ""
        for dtype in ("float32", "float16"):
            try:
                output = _output(call, replace(ONE_HEAD, dtype=dtype), framework)
            except Exception as error:  # noqa: BLE001 - foreign code may raise anything
                why = why or format_exception(error)
                continue
            for found in DTYPES:
                # JAX's functions take NumPy arrays, too.
                if found in (framework, "jax") and any(
                    base.__module__.startswith(found) for base in type(output).__mro__
                ):
                    return found
            why = f"it returned {type(output).__name__}"
        failures.append(f"with {framework} arrays {why}")
    raise FunctionError(
        "a function must take query, key and value as NumPy arrays, PyTorch tensors or JAX arrays, "
        f"and return one of the same; {'; '.join(failures)}"
    )


def observe(call: PlainCall, framework: Framework, device: str) -> Observed:
    """Observe a function on small calls.

    Raises
    ------
    FunctionError
        If it computes no single head without a mask in any dtype; the message has its exception.
    """
    if device != "cpu" and not device_is_here(device):
        return Observed(framework, DTYPES[framework], {})
    declined: dict[str, str] = {
        dtype: why
        for dtype in DTYPES[framework]
        if (why := _refusal(call, replace(ONE_HEAD, dtype=dtype, device=device), framework))
    }
    dtypes: list[DType] = [dtype for dtype in DTYPES[framework] if dtype not in declined]
    if not dtypes:
        raise FunctionError(
            f"a function must compute one head without a mask; in float32 {declined['float32']}"
        )
    declined.update(NOT_COMPUTED[framework])
    usual: DType = "float32" if "float32" in dtypes else dtypes[0]
    for feature, (_, request) in FEATURES.items():
        small = replace(request, dtype=usual, device=device)
        why = call.missing(feature) or _refusal(call, small, framework)
        if why:
            declined[feature] = why
    swallows = _swallows(call, replace(ONE_HEAD, device=device), framework, dtypes)
    found = Observed(framework, tuple(dtypes), declined, swallows=swallows)
    several = "several heads" not in declined
    heads = 3 if several else 1
    small = replace(ONE_HEAD, heads=heads, kv_heads=heads, dtype=usual, device=device)
    for name, layouts in ((ADJACENT, ADJACENT_LAYOUTS), (STRIDED, ANY_LAYOUTS)):
        if why := _refusal_of_layouts(call, small, framework, layouts):
            declined[name] = why
    padded = replace(ONE_HEAD, mask="key_padding", pad_lens=(3,), dtype=usual, device=device)
    if "a mask" not in declined:
        hidden = replace(padded, pad_lens=(0,))
        found = replace(
            found,
            empty_rows=_empty_rows(call, hidden, framework),
            hidden_leaks=_leaks(call, padded, framework, dtypes),
        )
    return replace(found, places=_places(call, found, device))


def _refusal(call: PlainCall, request: Request, framework: Framework) -> str:
    """Return the exception of a function that cannot compute a request; empty if it can."""
    try:
        _output(call, request, framework)
    except Exception as error:  # noqa: BLE001 - foreign code may raise anything
        return format_exception(error)
    return ""


def _refusal_of_layouts(
    call: PlainCall,
    request: Request,
    framework: Framework,
    layouts: Sequence[Layouts],
) -> str:
    """Return the exception of a function given inputs that are not contiguous, or nothing."""
    inputs = make_inputs(Case(request))
    try:
        for names in layouts:
            to_float64(call.prepare(laid_out(inputs, names), request, framework)().output)
    except Exception as error:  # noqa: BLE001 - foreign code may raise anything
        return format_exception(error)
    return ""


def _empty_rows(call: PlainCall, request: Request, framework: Framework) -> EmptyRows:
    try:
        output = to_float64(_output(call, request, framework))
    except Exception:  # noqa: BLE001 - the certificate reports it
        return "zero"
    if np.isnan(output).all():
        return "nan"
    return "zero" if (output == 0).all() else "uniform"


def _leaks(
    call: PlainCall, request: Request, framework: Framework, dtypes: Sequence[DType]
) -> frozenset[HiddenContent]:
    """Return what reaches the output of a call whose last keys are hidden from every query."""
    return frozenset(
        content
        for content in CONTENTS
        if any(
            _leaks_in(call, replace(request, dtype=dtype), framework, content) for dtype in dtypes
        )
    )


def _leaks_in(
    call: PlainCall, request: Request, framework: Framework, content: HiddenContent
) -> bool:
    (seen,) = request.pad_lens or (0,)
    hidden = np.arange(request.key_len)[None] >= seen
    inputs = poisoned(make_inputs(Case(request)), hidden, content)
    try:
        return not np.isfinite(to_float64(call.prepare(inputs, request, framework)().output)).all()
    except Exception:  # noqa: BLE001 - the certificate reports it
        return False


def _swallows(
    call: PlainCall, request: Request, framework: Framework, dtypes: Sequence[DType]
) -> frozenset[NonFinite]:
    """Return whose nan and inf do not make the output of the first query nan or inf."""
    found = set()
    for dtype in dtypes:
        request = replace(request, dtype=dtype)
        inputs = make_inputs(Case(request))
        for content, kind in VISIBLE_CONTENTS.items():
            if content.startswith("bias"):
                continue
            written = with_content(request, inputs, content, (0, 0, 0), 0)
            try:
                output = to_float64(call.prepare(written, request, framework)().output)
            except Exception:  # noqa: BLE001, S112 - the certificate reports it
                continue
            if np.isfinite(output[0, 0, 0]).any():
                found.add(kind)
    return frozenset(found)


def _places(call: PlainCall, observed: Observed, device: str) -> RoundingPlaces:
    """Return the strictest class that explains the 16-bit errors of one head at block size.

    Near scores of 0 rounded weights show, and far from it a rounded query: of 32 channels, since a
    query times 1 / √64 is exact.
    """
    number = 0
    for dtype in SIXTEEN_BIT.intersection(observed.dtypes):
        request = replace(BLOCKS, heads=1, kv_heads=1, dtype=dtype, device=device)
        if "T other than S" in observed.declined:
            request = replace(request, key_len=request.query_len)
        for case in (Case(request), Case(replace(request, head_dim=32, value_dim=32), "large")):
            number = max(number, _class_of(call, case, observed.framework))
    return PLACES[number]


def _class_of(call: PlainCall, case: Case, framework: Framework) -> int:
    """Return which of `PLACES` first explains an output; that of rounded weights if none does."""
    request, inputs = case.request, make_inputs(case)
    try:
        output = to_float64(call.prepare(inputs, request, framework)().output)
    except Exception:  # noqa: BLE001 - the certificate reports it
        return 0
    for number, places in enumerate(PLACES):
        view = judged_rows(request, places)
        judged = view.inputs(inputs)
        expected = reference(view.request, judged)
        if output.shape != expected.output.shape:
            break
        if not judge(view.request, judged, output, expected, places=places).failures:
            return number
    return PLACES.index(RoundingPlaces())


def _output(call: PlainCall, request: Request, framework: Framework) -> Any:
    return call.prepare(make_inputs(Case(request)), request, framework)().output
