"""What a run of `python -m bench capture` leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from bench.environment import Environment  # noqa: TC001 - get_type_hints looks it up
from bench.results import Samples, check_seconds

CAPTURE_SCHEMA: Final = "attnpanel.bench-capture/1"
# The first is what the others are compared with.
PLAIN: Final = "plain"


@dataclass(frozen=True)
class Way:
    """One way to run the model, many times.

    Attributes
    ----------
    name : str
        "plain" is the model without anybody listening.
    wall_s, cpu_s : tuple of float
        One each for every round, in the order of the rounds; CPU is that of all threads.
    peak_bytes : tuple of int or None
        The most memory of some calls above what was held before them, their results included;
        None where the system tells none.
    stored_bytes : int
        What a call leaves behind: queries, keys, values and masks, or weights.
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
        "plain" first; all have as many rounds.
    """

    batch: int
    query_len: int
    ways: tuple[Way, ...]

    def __post_init__(self) -> None:
        if not self.ways or self.ways[0].name != PLAIN:
            raise ValueError(f"ways must begin with {PLAIN!r}")
        rounds = {len(seconds) for way in self.ways for seconds in (way.wall_s, way.cpu_s)}
        if len(rounds) != 1:
            raise ValueError(f"all ways must have as many rounds; got {sorted(rounds)}")


@dataclass(frozen=True)
class CaptureRun:
    """One run of `python -m bench capture`.

    Attributes
    ----------
    schema, preset : str
    environment : Environment
    model : str
    threads : int
        Those of torch.
    sizes : tuple of Size
    """

    schema: Literal["attnpanel.bench-capture/1"]
    preset: str
    environment: Environment
    model: str
    threads: int
    sizes: tuple[Size, ...]
