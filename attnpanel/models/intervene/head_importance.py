"""Measure how much a model's output depends on each head, by knocking it out.

If the inputs can be repeated, several heads are tested in one run, each missing in its own copy of
the input: for small inputs, starting a run costs more than computing it.
"""

from __future__ import annotations

import glob
import sys
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.models.intervene.intervene import applied
from attnpanel.models.intervene.intervention import AttentionChange, Intervention
from attnpanel.models.intervene.scale import scale_rule
from attnpanel.models.wrappers import module_of
from attnpanel.trace import Trace
from attnpanel.trace.coverage import list_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    Progress = Callable[[float, str], None]

    # Runs a model on this many copies of its input, stacked along the batch; returns its output.
    RunCopies = Callable[[int], Any]

BAR = 24  # characters
# Of all copies in a run together; 1,024 keep two cores busy already.
MAX_TOKENS = 1024


def head_importance(
    model: nn.Module,
    run: Callable[[], Any] | Mapping[str, Any],
    trace: Trace,
    *,
    progress: Progress | bool = False,
) -> tuple[NDArray[np.float64], ...]:
    """Measure how much the output changes without each head, and store it in the trace.

    Each head of the trace is knocked out by itself. In a module that is called several times the
    head is missing in all its calls, which then share one number.

    Parameters
    ----------
    model : torch.nn.Module
    run : mapping or callable
        Keyword arguments of the model, whose tensors have the sequences on their first axis;
        several heads are then tested in one run. Or a function that runs the model and returns its
        output, such as ``lambda: model(x)``: one run a head. The output is a tensor, or has
        `logits` or `last_hidden_state`.
    trace : Trace
        Of the same model: its layers and heads are tested, and `trace.head_importance` is set.
    progress : bool or callable, optional
        True draws a bar on the terminal. A callable receives the fraction done, 0 to 1, and what
        happens now; an exception from it ends the measurement.

    Returns
    -------
    tuple of float64 arrays of shape (H,)
        One a call. With `logits`, the total variation distance of the next token's probabilities,
        0 to 1; otherwise the cosine distance of the last hidden state, 0 to 2. Each is the mean
        over all positions; nan in a layer whose attention cannot all be changed, with a warning.

    Raises
    ------
    ValueError
        If the trace has no calls, or the output is of none of these forms.
    MissingDependencyError
        If PyTorch is not installed.

    References
    ----------
    Michel, Levy and Neubig, "Are Sixteen Heads Really Better than One?", 2019, section 3.2.

    Examples
    --------
    >>> with ap.capture(model) as trace:  # doctest: +SKIP
    ...     model(**inputs)
    >>> ap.head_importance(model, inputs, trace, progress=True)  # doctest: +SKIP
    >>> trace.analyze()["importance"].idxmax()  # doctest: +SKIP
    (5, 7)
    """
    module = module_of(model)
    if not isinstance(trace, Trace):
        raise ValueError(f"trace must be a Trace; got {type(trace).__name__}")  # noqa: TRY004 - one error type for wrong input
    if callable(run):
        run_once = run
        return measure(module, lambda _copies: run_once(), trace, max_copies=1, progress=progress)
    if not isinstance(run, Mapping):
        raise ValueError(  # noqa: TRY004 - one error type for wrong input
            f"run must be a function or a mapping of inputs; got {type(run).__name__}"
        )
    inputs = dict(run)
    copies = max_copies(inputs, trace)
    return measure(module, copying(model, inputs), trace, max_copies=copies, progress=progress)


def copying(run: Callable[..., Any], inputs: Mapping[str, Any]) -> RunCopies:
    """Return a function that calls `run` with copies of `inputs` stacked along the batch."""
    import torch

    def run_copies(count: int) -> Any:
        repeated = {
            name: value.repeat(count, *[1] * (value.dim() - 1))
            if isinstance(value, torch.Tensor) and value.dim()
            else value
            for name, value in inputs.items()
        }
        return run(**repeated)

    return run_copies


def max_copies(inputs: Mapping[str, Any], trace: Trace) -> int:
    """Return how many copies of its inputs to run a model with; 1 if copies would mix.

    They mix if attention has another batch than the inputs: windows, or folded heads.
    """
    batch = next((len(value) for value in inputs.values() if getattr(value, "ndim", 0)), 0)
    if any(call.batch != batch for call in trace.calls):
        return 1
    longest = max((max(call.query_len, call.key_len) for call in trace.calls), default=1)
    return max(MAX_TOKENS // (batch * longest), 1) if batch else 1


def measure(
    model: nn.Module,
    run: RunCopies,
    trace: Trace,
    *,
    max_copies: int,
    progress: Progress | bool = False,
) -> tuple[NDArray[np.float64], ...]:
    """Implement :func:`head_importance`, with a `run` that takes a number of copies."""
    if not trace.calls:
        raise ValueError("trace must hold at least one attention call; got none")
    heads = {call.layer: trace.head_numbers(call) for call in trace.calls}
    tested = [(layer, head) for layer, numbers in heads.items() for head in numbers]
    on_progress = progress if callable(progress) else _draw_bar if progress else no_progress
    found = _knock_out(model, run, tested, max_copies, on_progress)
    importance = tuple(
        np.array([found[call.layer, head] for head in trace.head_numbers(call)])
        for call in trace.calls
    )
    trace.head_importance = importance
    return importance


def no_progress(_fraction: float, _text: str) -> None:
    """Ignore progress."""


def _draw_bar(fraction: float, text: str) -> None:
    """Draw a bar over the previous one; the last one ends its line."""
    bar = ("#" * round(BAR * fraction)).ljust(BAR, ".")
    end = "\n" if fraction == 1 else ""
    sys.stderr.write(f"\r[{bar}] {fraction:4.0%} {text[:60]:60}{end}")
    sys.stderr.flush()


def _knock_out(
    model: nn.Module,
    run: RunCopies,
    tested: list[tuple[str, int]],
    max_copies: int,
    on_progress: Progress,
) -> dict[tuple[str, int], float]:
    import torch

    found: dict[tuple[str, int], float] = {}
    unreached: dict[str, None] = {}
    with torch.inference_mode():
        before = _output(run(1))
        for done in range(0, len(tested), max_copies):
            group = tested[done : done + max_copies]
            on_progress(done / len(tested), _describe(group))
            knock_outs: list[Intervention] = []
            with ExitStack() as stack:
                for layer in dict.fromkeys(layer for layer, _ in group):
                    heads = [head for other, head in group if other == layer]
                    # One row a copy, with 0 for the head that is missing in it.
                    scale = np.array(
                        [[(layer, head) != missing for head in heads] for missing in group], float
                    )
                    factors = scale.repeat(len(before[1]), axis=0) if len(group) > 1 else 0
                    knock_outs.append(_knock_out_of(model, layer, heads, factors))
                    stack.enter_context(applied(knock_outs[-1]))
                after = _output(run(len(group)))
            parts = after[1].chunk(len(group))
            found |= {
                missing: _distance(before, part) for missing, part in zip(group, parts, strict=True)
            }
            unreached |= {name: None for one in knock_outs for name in one.unsure_layers()}
    on_progress(1.0, "Done")
    if unreached:
        warnings.warn(
            f"importance of layer {list_layers(list(unreached))} is unknown: an intervention "
            "cannot reach all of its attention",
            UserWarning,
            stacklevel=4,
        )
    return {
        (layer, head): float("nan") if layer in unreached else number
        for (layer, head), number in found.items()
    }


def _knock_out_of(model: nn.Module, layer: str, heads: list[int], scale: Any) -> Intervention:
    return Intervention(
        model,
        layers=[glob.escape(layer)],
        heads=tuple(heads),
        change=AttentionChange(scale=scale_rule(scale)),
    )


def _describe(group: Sequence[tuple[str, int]]) -> str:
    layer, head = group[0]
    more = f" and {len(group) - 1} more" if len(group) > 1 else ""
    return f"Knocking out {layer}, head {head}{more}"


def _output(output: Any) -> tuple[str, Tensor]:
    """Return the tensor to compare, (…, T, C), and the name of what it holds."""
    import torch

    for name in ("logits", "last_hidden_state"):
        found = getattr(output, name, None)
        if isinstance(found, torch.Tensor):
            return name, found.float()
    if isinstance(output, torch.Tensor):
        return "last_hidden_state", output.float()
    raise ValueError(
        "run must return a tensor, or an output with logits or last_hidden_state; "
        f"got {type(output).__name__}"
    )


def _distance(before: tuple[str, Tensor], after: Tensor) -> float:
    kind, reference = before
    if kind == "logits":
        distance = (reference.softmax(-1) - after.softmax(-1)).abs().sum(-1) / 2
    else:
        # In float64: near 1, a float32 cosine is too coarse for the effect of one head.
        reference, after = reference.double(), after.double()
        lengths = reference.norm(dim=-1) * after.norm(dim=-1)
        # A state of length 0 has no direction; its distance counts as 1.
        distance = 1 - (reference * after).sum(-1) / lengths.where(lengths > 0, 1)
    return max(float(distance.double().mean()), 0.0)  # rounding may give slightly less than 0
