"""The result of `python -m bench capture`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from attnpanel.bench.measure.environment import Environment  # noqa: TC001 - get_type_hints looks it up
from attnpanel.bench.run.serialization import Samples, check_seconds

CAPTURE_SCHEMA: Final = "attnpanel.bench-capture/1"
# The way that the others are compared with.
PLAIN: Final = "plain"


@dataclass(frozen=True)
class Way:
    """Repeated measurements of one way to run the model.

    Attributes
    ----------
    name : str
        "plain" is the model without capture.
    wall_s, cpu_s : tuple of float
        Duration and CPU time (all threads) in each round.
    peak_bytes : tuple of int or None
        Peak memory of some calls, results included, above that before them; None if unknown.
    stored_bytes : int
        Bytes of the result of a call: queries, keys, values and masks, or weights.
    """

    name: str
    wall_s: Samples
    cpu_s: Samples
    peak_bytes: tuple[int, ...] | None
    stored_bytes: int

    def __post_init__(self) -> None:
        check_seconds("wall_s", self.wall_s)
        check_seconds("cpu_s", self.cpu_s)
        if self.stored_bytes < 0:
            raise ValueError(f"stored_bytes must be 0 or more; got {self.stored_bytes}")


@dataclass(frozen=True)
class Size:
    """All ways at one size.

    Attributes
    ----------
    batch, query_len : int
        B and T.
    ways : tuple of Way
        "plain" first; all with the same number of rounds.
    """

    batch: int
    query_len: int
    ways: tuple[Way, ...]

    def __post_init__(self) -> None:
        if not self.ways or self.ways[0].name != PLAIN:
            raise ValueError(f"ways must begin with {PLAIN!r}")
        rounds = {len(seconds) for way in self.ways for seconds in (way.wall_s, way.cpu_s)}
        if len(rounds) != 1:
            raise ValueError(f"all ways must have the same number of rounds; got {sorted(rounds)}")


@dataclass(frozen=True)
class CaptureRun:
    """One run of `python -m bench capture`.

    Attributes
    ----------
    schema, preset : str
    environment : Environment
    model : str
    threads : int
        Number of torch's threads.
    sizes : tuple of Size
    """

    schema: Literal["attnpanel.bench-capture/1"]
    preset: str
    environment: Environment
    model: str
    threads: int
    sizes: tuple[Size, ...]
