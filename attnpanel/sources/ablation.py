"""How much a model's output needs each head: knock one out, run again, compare.

Of inputs that can be repeated several heads are tried in one run, each without its own head in a
copy of the input: small runs cost more to start than to compute.
"""

from __future__ import annotations

import glob
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.sources.intervene import intervene

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from attnpanel.trace import Trace

    Progress = Callable[[float, str], None]

    # Runs a model on so many copies of its input, put below each other, and returns its output.
    Run = Callable[[int], Any]

BAR = 24  # characters
# Of all copies in a run together. Of two cores more than this keep both busy anyway.
MOST_TOKENS = 1024


def head_importance(
    model: nn.Module,
    run: Callable[[], Any] | Mapping[str, Any],
    trace: Trace,
    *,
    progress: Progress | bool = False,
) -> tuple[NDArray[np.float64], ...]:
    """How much the output changes without each head, which the trace keeps and its maps show.

    Each head of the trace is knocked out by itself. A module that is called several times loses
    the head in all its calls, which then share one number.

    Parameters
    ----------
    model : torch.nn.Module
    run : mapping or callable
        What the model is called with, by name; its tensors have the sequences on their first axis,
        and several heads are tried in one run. Or what runs the model and returns its output, e.g.
        ``lambda: model(x)``: one run a head. The output is a tensor, or has `logits` or
        `last_hidden_state`.
    trace : Trace
        Of the same model: its layers and heads are tried, and `trace.head_importance` is set.
    progress : bool or callable, optional
        True draws a bar on the terminal. A callable gets the fraction done, 0 to 1, and what
        happens now; what it raises ends the measurement.

    Returns
    -------
    tuple of float64 arrays of shape (H,)
        One a call. With `logits`, the total variation distance of the next token's
        probabilities, 0 to 1; else the cosine distance of the last hidden state, 0 to 2. Each is
        the mean over all positions.

    Raises
    ------
    ValueError
        If the trace has no calls, or the output is none of these.
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
    if callable(run):
        once = run
        return measure(model, lambda _copies: once(), trace, most_copies=1, progress=progress)
    inputs = dict(run)
    run_copies = copying(model, inputs)
    most = most_copies(inputs, trace)
    return measure(model, run_copies, trace, most_copies=most, progress=progress)


def copying(run: Callable[..., Any], inputs: Mapping[str, Any]) -> Run:
    """Make what calls `run` with copies of `inputs` below each other."""
    import torch

    def run_copies(count: int) -> Any:
        repeated = {
            name: one.repeat(count, *[1] * (one.dim() - 1))
            if isinstance(one, torch.Tensor) and one.dim()
            else one
            for name, one in inputs.items()
        }
        return run(**repeated)

    return run_copies


def most_copies(inputs: Mapping[str, Any], trace: Trace) -> int:
    """How many copies of its inputs a model is run with at once; 1 where they would mix.

    They mix where attention is over another batch than the inputs': windows, or folded heads.
    """
    batch = next((len(one) for one in inputs.values() if getattr(one, "ndim", 0)), 0)
    if any(call.batch != batch for call in trace.calls):
        return 1
    longest = max((max(call.query_len, call.key_len) for call in trace.calls), default=1)
    return max(MOST_TOKENS // (batch * longest), 1) if batch else 1


def measure(
    model: nn.Module,
    run: Run,
    trace: Trace,
    *,
    most_copies: int,
    progress: Progress | bool = False,
) -> tuple[NDArray[np.float64], ...]:
    """Do what :func:`head_importance` says, with a `run` that may be asked for copies."""
    if not trace.calls:
        raise ValueError("trace must hold at least one attention call; got none")
    heads = {call.layer: trace.head_numbers(call) for call in trace.calls}
    tried = [(layer, head) for layer, numbers in heads.items() for head in numbers]
    tell = progress if callable(progress) else _draw_bar if progress else tell_nobody
    found = _knock_out(model, run, tried, most_copies, tell)
    made = [[found[call.layer, head] for head in trace.head_numbers(call)] for call in trace.calls]
    importance = tuple(np.array(numbers) for numbers in made)
    trace.head_importance = importance
    return importance


def tell_nobody(_fraction: float, _text: str) -> None:
    """Stand in for a progress that nobody asked for."""


def _draw_bar(fraction: float, text: str) -> None:
    """Draw a bar over the one before; the last one ends its line."""
    bar = ("#" * round(BAR * fraction)).ljust(BAR, ".")
    end = "\n" if fraction == 1 else ""
    sys.stderr.write(f"\r[{bar}] {fraction:4.0%} {text[:60]:60}{end}")
    sys.stderr.flush()


def _knock_out(
    model: nn.Module,
    run: Run,
    tried: list[tuple[str, int]],
    most_copies: int,
    tell: Progress,
) -> dict[tuple[str, int], float]:
    import torch

    found: dict[tuple[str, int], float] = {}
    with torch.inference_mode():
        before = _output(run(1))
        for done in range(0, len(tried), most_copies):
            some = tried[done : done + most_copies]
            tell(done / len(tried), _named(some))
            with ExitStack() as stack:
                for layer in dict.fromkeys(layer for layer, _ in some):
                    heads = [head for one, head in some if one == layer]
                    # One sequence in which the head is missing, for each of the input's.
                    scale = np.array(
                        [[(layer, head) != one for head in heads] for one in some], float
                    )
                    stack.enter_context(
                        intervene(
                            model,
                            layer=glob.escape(layer),
                            head=heads,
                            scale=scale.repeat(len(before[1]), axis=0) if len(some) > 1 else 0,
                        )
                    )
                after = _output(run(len(some)))
            parts = after[1].chunk(len(some))
            found |= {one: _distance(before, part) for one, part in zip(some, parts, strict=True)}
    tell(1.0, "Done")
    return found


def _named(some: Sequence[tuple[str, int]]) -> str:
    layer, head = some[0]
    more = f" and {len(some) - 1} more" if len(some) > 1 else ""
    return f"Knocking out {layer}, head {head}{more}"


def _output(output: Any) -> tuple[str, Tensor]:
    """What is compared, (…, T, C), and which kind of numbers it holds."""
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


def _distance(before: tuple[str, Tensor], other: Tensor) -> float:
    kind, one = before
    if kind == "logits":
        apart = (one.softmax(-1) - other.softmax(-1)).abs().sum(-1) / 2
    else:
        # In float64: close to 1, a cosine of float32 is too coarse for what one head changes.
        one, other = one.double(), other.double()
        lengths = one.norm(dim=-1) * other.norm(dim=-1)
        # A state of length 0 has no direction: as far as any other.
        apart = 1 - (one * other).sum(-1) / lengths.where(lengths > 0, 1)
    return max(float(apart.double().mean()), 0.0)  # rounding may leave a hair below 0
