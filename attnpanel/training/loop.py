"""The training loop, as an iterator of steps.

Its caller pauses or stops it by not asking for the next step.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from attnpanel.attention.errors import MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from attnpanel.models.tiny_lm import TinyLM
    from attnpanel.trace import Trace
    from attnpanel.training.settings import TrainingSettings
    from attnpanel.training.tasks import Examples, Task

WARM_UP: Final = 50
HELD_OUT: Final = 128  # sequences on which accuracy is measured, the same ones throughout
# How often a run is measured, and how often the attention of its example is stored.
POINTS, KEYFRAMES = 100, 50


@dataclass(frozen=True)
class HeldOut:
    """The model's performance on sequences that are not trained on.

    Attributes
    ----------
    loss : float
        Mean cross-entropy of the scored predictions, in nats.
    accuracy : float
        Fraction of them that is correct, 0 to 1.
    """

    loss: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Step:
    """One step of training.

    Attributes
    ----------
    number : int
        Steps taken; 0 is the untrained model.
    loss : float
        Of this step's examples, in nats; nan at step 0.
    held_out : HeldOut or None
        Measured about every hundredth of the run.
    trace : Trace or None
        The attention of the fixed example, about every fiftieth of the run.
    model : TinyLM or None
        The model itself; the next step changes it.
    """

    number: int
    loss: float
    held_out: HeldOut | None = None
    trace: Trace | None = None
    model: TinyLM | None = None


def fixed_example(settings: TrainingSettings, task: Task) -> Examples:
    """Return the sequence whose attention is recorded: the first held-out one."""
    return task.draw_held_out(_rng(settings, 1), 1)


def train(settings: TrainingSettings, task: Task) -> Iterator[Step]:
    """Train a tiny transformer, one step for each item that is requested.

    The same settings give the same steps on a CPU, bit for bit, however many cores it has.

    Parameters
    ----------
    settings : TrainingSettings
    task : Task

    Yields
    ------
    Step
        Step 0, the untrained model, and then each step.

    Raises
    ------
    MissingDependencyError
        If PyTorch is not installed.
    ValueError
        If the loss is no longer finite; the message says what to change.
    """
    try:
        import torch
        from torch.nn import functional
    except ImportError as error:
        raise MissingDependencyError("training needs PyTorch: pip install torch") from error
    device = device_name()
    rng = _rng(settings, 0)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        model = make_model(settings, task).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.98))
    held_out, example = (
        task.draw_held_out(_rng(settings, 2), HELD_OUT),
        fixed_example(settings, task),
    )
    points, keyframes = (
        spread_steps(settings.steps, POINTS),
        spread_steps(settings.steps, KEYFRAMES),
    )
    loss = math.nan
    for number in range(settings.steps + 1):
        if number:
            with _one_thread():
                for group in optimiser.param_groups:
                    group["lr"] = settings.learning_rate * min(1, number / WARM_UP)
                logits, targets = _predict(model, task.draw(rng, settings.batch), device)
                mean_loss = functional.cross_entropy(logits, targets)
                optimiser.zero_grad()
                mean_loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
            loss = float(mean_loss.detach())
            if not math.isfinite(loss):
                raise ValueError(
                    f"the loss is no longer a finite number at step {number}; "
                    f"choose a learning rate below {settings.learning_rate:g}"
                )
        yield Step(
            number,
            loss,
            _measure(model, held_out, device) if number in points | keyframes else None,
            _trace(model, task, example) if number in keyframes else None,
            model,
        )


def make_model(settings: TrainingSettings, task: Task) -> TinyLM:
    """Return an untrained model of a run's size, initialised by PyTorch's generator."""
    from attnpanel.models.tiny_lm import TinyLM

    return TinyLM(
        len(task.vocabulary),
        task.length,
        d_model=settings.d_model,
        heads=settings.heads,
        layers=settings.layers,
        attends=settings.attends,
    )


def device_name() -> str:
    """Return the device to train on: a GPU if PyTorch finds one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _rng(settings: TrainingSettings, stream: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, stream])


def spread_steps(steps: int, count: int) -> set[int]:
    """Return about `count` evenly spaced steps, including the first and the last."""
    return {round(steps * part / count) for part in range(count + 1)}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one core.

    For so small a model, more threads cost more time than they save, and sums over another number
    of threads would round differently.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _predict(model: Any, examples: Examples, device: str) -> tuple[Any, Any]:
    """Return scores (N, vocabulary) and correct tokens (N,) at the N scored positions."""
    import torch

    tokens = torch.from_numpy(examples.tokens).to(device)
    scored = torch.from_numpy(np.ascontiguousarray(examples.scored)).to(device)
    return model(tokens[:, :-1])[scored], tokens[:, 1:][scored]


def _measure(model: Any, examples: Examples, device: str) -> HeldOut:
    import torch
    from torch.nn import functional

    with torch.no_grad(), _one_thread():
        logits, targets = _predict(model, examples, device)
        correct = (logits.argmax(dim=-1) == targets).float().mean()
        return HeldOut(float(functional.cross_entropy(logits, targets)), float(correct))


def _trace(model: Any, task: Task, example: Examples) -> Trace | None:
    """Return the attention of the example, or None for the baseline without attention."""
    if all(block.attention is None for block in model.blocks):
        return None
    return trace_tokens(model, task, example.tokens[:, :-1])


def trace_tokens(model: TinyLM, task: Task, tokens: NDArray[np.int64]) -> Trace:
    """Return the attention of a model on one sequence, tokens (1, T)."""
    import torch

    from attnpanel.models.capture.capture import capture

    device = next(model.parameters()).device
    labels = task.labels(tokens[0])
    with torch.no_grad(), _one_thread(), capture(model, dtype="float16", tokens=labels) as trace:
        model(torch.from_numpy(tokens).to(device))
    return trace


def answer_weights(trace: Trace, answers: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return each head's mean weight on the answer's positions: (layers, heads), 0 to 1.

    Parameters
    ----------
    trace : Trace
        Of one sequence of length T.
    answers : bool array of shape (T, T)
        True where a query finds its answer; queries without an answer do not count.
    """
    asking = answers.any(axis=1)
    return np.array(
        [
            [
                float((call.weights(head) * answers)[asking].sum(axis=1).mean())
                for head in range(call.heads)
            ]
            for call in trace.calls
        ]
    )
