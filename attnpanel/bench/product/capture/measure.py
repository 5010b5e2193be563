"""Time a model without capture, with capture and with eager attention, in turns."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from attnpanel.bench.measure.environment import describe, load
from attnpanel.bench.measure.memory import peak_bytes_of
from attnpanel.bench.product.capture.results import CAPTURE_SCHEMA, PLAIN, CaptureRun, Size, Way
from attnpanel.models.capture.capture import capture
from attnpanel.models.loading import MINILM, load_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from attnpanel.trace import Trace


@dataclass(frozen=True)
class Preset:
    """What to measure.

    Attributes
    ----------
    name : str
    sizes : tuple of (int, int, int)
        B, T and the number of rounds.
    peaks : int
        Number of memory measurements.
    """

    name: str
    sizes: tuple[tuple[int, int, int], ...]
    peaks: int


FULL = Preset("full", ((1, 128, 20), (1, 512, 12), (8, 512, 5)), peaks=2)
QUICK = Preset("quick", ((1, 16, 3),), peaks=1)
WARM_UPS = 1
MMAP_THRESHOLD = -3  # malloc.h: M_MMAP_THRESHOLD


def measure(preset: Preset) -> CaptureRun:
    """Measure all sizes of a preset.

    Raises
    ------
    MissingDependencyError
        If PyTorch, transformers or MiniLM is not installed.
    """
    import torch

    model = load_model(MINILM).model
    eager = copy.deepcopy(model)
    eager.set_attn_implementation("eager")
    environment = describe(None)
    with torch.inference_mode():
        timed = [(size, _timed(model, eager, *size)) for size in preset.sizes]
        _map_each_block()
        sizes = tuple(
            Size(batch, query_len, tuple(_way(*item, preset.peaks) for item in drafts.items()))
            for (batch, query_len, _), drafts in timed
        )
    return CaptureRun(
        schema=CAPTURE_SCHEMA,
        preset=preset.name,
        environment=replace(environment, load_after=load()),
        model=MINILM,
        threads=torch.get_num_threads(),
        sizes=sizes,
    )


def _map_each_block() -> None:
    """Make malloc map large blocks individually, so that freed blocks are not resident.

    By default glibc keeps freed blocks between used ones: up to 60 % of what a capture stores, and
    a different amount in every run. Mapping slows every call down, so times are measured first.
    """
    with contextlib.suppress(OSError, AttributeError):  # only glibc has mallopt
        ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, 1 << 16)


def ways(model: Any, eager: Any, ids: Any) -> Mapping[str, Callable[[], Any]]:
    """Return the ways to run the model by name; each returns the result of a run."""

    def captured(**options: Any) -> Callable[[], Trace]:
        def run() -> Trace:
            with capture(model, **options) as trace:
                model(input_ids=ids)
            return trace

        return run

    return {
        PLAIN: lambda: model(input_ids=ids),
        "capture": captured(),
        "capture, float16, no values": captured(dtype="float16", values=False),
        "eager, output_attentions": lambda: eager(input_ids=ids, output_attentions=True),
    }


@dataclass
class _WayInProgress:
    """The measurements of one way so far."""

    run: Callable[[], Any]
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def sample(self) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        self.run()
        self.wall_s.append(time.perf_counter() - wall)
        self.cpu_s.append(time.process_time() - cpu)


def _timed(
    model: Any, eager: Any, batch: int, query_len: int, rounds: int
) -> dict[str, _WayInProgress]:
    import torch

    numbers = torch.Generator().manual_seed(0)
    ids = torch.randint(1000, model.config.vocab_size, (batch, query_len), generator=numbers)
    drafts = {name: _WayInProgress(run) for name, run in ways(model, eager, ids).items()}
    for draft in drafts.values():
        for _ in range(WARM_UPS):
            draft.run()
    for number in range(rounds):
        # Rotate the order in each round: the previous run affects the caches.
        order = list(drafts.values())
        for draft in order[number % len(order) :] + order[: number % len(order)]:
            draft.sample()
    return drafts


def _way(name: str, draft: _WayInProgress, peaks: int) -> Way:
    found = [peak_bytes_of(draft.run, "cpu") for _ in range(peaks)]
    known = [peak for peak in found if peak is not None]
    return Way(
        name,
        tuple(draft.wall_s),
        tuple(draft.cpu_s),
        tuple(known) if len(known) == len(found) else None,
        stored_bytes(draft.run()),
    )


def stored_bytes(result: Any) -> int:
    """Return the bytes of attention data in the result of a run."""
    if hasattr(result, "calls"):
        return sum(array.nbytes for array in _distinct(_arrays(result)))
    return sum(
        weights.numel() * weights.itemsize for weights in getattr(result, "attentions", None) or ()
    )


def _arrays(trace: Trace) -> Iterator[NDArray[np.generic]]:
    names = ("query", "key", "value", "mask", "bias", "recorded_weights")
    for call in trace.calls:
        yield from (getattr(call, name) for name in names if getattr(call, name) is not None)


def _distinct(arrays: Iterable[NDArray[np.generic]]) -> Iterable[NDArray[np.generic]]:
    return {id(array): array for array in arrays}.values()
