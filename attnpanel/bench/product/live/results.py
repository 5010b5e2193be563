"""The result of `python -m bench live`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from attnpanel.bench.measure.environment import Environment  # noqa: TC001 - get_type_hints looks it up
from attnpanel.bench.run.serialization import Samples, check_seconds

LIVE_SCHEMA: Final = "attnpanel.bench-live/1"


@dataclass(frozen=True)
class Typed:
    """Seconds from Enter to the picture of a text, one text after another."""

    tokens: int
    picture_s: Samples

    def __post_init__(self) -> None:
        check_seconds(f"{self.tokens} tokens", self.picture_s)


@dataclass(frozen=True)
class LiveRun:
    """One run of `python -m bench live`: MiniLM in a report, in Chromium.

    Attributes
    ----------
    schema, preset : str
    environment : Environment
    kernel : str
        What computed the model.
    file_bytes : int
    first_picture_s, ready_s : tuple of float
        Seconds from opening the file to the first heatmap, and until a text is run.
    ordinary_first_picture_s : tuple of float
        The same of a report without a model, opened in turn with the other.
    typed : tuple of Typed
    max_weight_error : float
        The largest difference of an attention weight from PyTorch's, of all heads and sentences.
    rows, same_largest : int
        Rows of weights, and those whose largest weight is at the same key as PyTorch's.
    texts, characters, differing : int
        Random texts and code points, and how many of both were tokenized otherwise.
    """

    schema: Literal["attnpanel.bench-live/1"]
    preset: str
    environment: Environment
    kernel: str
    file_bytes: int
    first_picture_s: Samples
    ready_s: Samples
    ordinary_first_picture_s: Samples
    typed: tuple[Typed, ...]
    max_weight_error: float
    rows: int
    same_largest: int
    texts: int
    characters: int
    differing: int
