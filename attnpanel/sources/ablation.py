"""How much a model's output needs each head: knock one out, run again, compare."""

from __future__ import annotations

import glob
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.sources.intervene import intervene

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from attnpanel.trace import Trace

    Progress = Callable[[float, str], None]

BAR = 24  # characters


def head_importance(
    model: nn.Module,
    run: Callable[[], Any],
    trace: Trace,
    *,
    progress: Progress | bool = False,
) -> tuple[NDArray[np.float64], ...]:
    """How much the output changes without each head, which the trace keeps and its maps show.

    Each head of the trace is knocked out by itself, and the model runs once for each. A module
    that is called several times loses the head in all its calls, which then share one number.

    Parameters
    ----------
    model : torch.nn.Module
    run : callable
        Runs the model and returns its output, e.g. ``lambda: model(**inputs)``. The output is a
        tensor, or has `logits` or `last_hidden_state`.
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
    >>> ap.head_importance(model, lambda: model(**inputs), trace, progress=True)  # doctest: +SKIP
    >>> trace.analyze()["importance"].idxmax()  # doctest: +SKIP
    (5, 7)
    """
    if not trace.calls:
        raise ValueError("trace must hold at least one attention call; got none")
    heads = {call.layer: trace.head_numbers(call) for call in trace.calls}
    tried = [(layer, head) for layer, numbers in heads.items() for head in numbers]
    tell = progress if callable(progress) else _draw_bar if progress else tell_nobody
    found = _knock_out(model, run, tried, tell)
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
    model: nn.Module, run: Callable[[], Any], tried: list[tuple[str, int]], tell: Progress
) -> dict[tuple[str, int], float]:
    import torch

    found = {}
    with torch.inference_mode():
        before = _output(run())
        for done, (layer, head) in enumerate(tried):
            tell(done / len(tried), f"Knocking out {layer}, head {head}")
            with intervene(model, layer=glob.escape(layer), head=head, scale=0):
                found[layer, head] = _distance(before, _output(run()))
    tell(1.0, "Done")
    return found


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


def _distance(before: tuple[str, Tensor], after: tuple[str, Tensor]) -> float:
    kind, one = before
    other = after[1]
    if kind == "logits":
        apart = (one.softmax(-1) - other.softmax(-1)).abs().sum(-1) / 2
    else:
        # In float64: close to 1, a cosine of float32 is too coarse for what one head changes.
        one, other = one.double(), other.double()
        lengths = one.norm(dim=-1) * other.norm(dim=-1)
        # A state of length 0 has no direction: as far as any other.
        apart = 1 - (one * other).sum(-1) / lengths.where(lengths > 0, 1)
    return max(float(apart.double().mean()), 0.0)  # rounding may leave a hair below 0
