"""The result of `python -m bench load`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from attnpanel.bench.measure.environment import Environment  # noqa: TC001 - get_type_hints looks it up
from attnpanel.bench.run.serialization import (
    Interaction,
    Samples,
    check_seconds,
)

LOAD_SCHEMA: Final = "attnpanel.bench-load/1"


@dataclass(frozen=True)
class PageLoad:
    """What one address takes.

    Attributes
    ----------
    name, query : str
        What a reader does there, and the query of its address.
    cpu_s : tuple of float
        CPU seconds of the server for one page after another, HTTP and websocket.
    first_heatmap_s : tuple of float
        Seconds in Chromium from the request to the first heatmap, the server being warm.
    first_bytes, second_bytes : int
        Bytes that Chromium receives on a first and on a second visit, websocket included.
    pages : int
        How many were opened at once, each as a first visit.
    together_s : float
        Seconds until the last of them was open.
    ping_s : tuple of float
        Seconds of others' requests to `/health` meanwhile.
    memory_bytes : tuple of int
        Resident memory of the server before, with all pages open, and after all were closed.
    """

    name: str
    query: str
    cpu_s: Samples
    first_heatmap_s: Samples
    first_bytes: int
    second_bytes: int
    pages: int
    together_s: float
    ping_s: Samples
    memory_bytes: tuple[int, int, int]

    def __post_init__(self) -> None:
        for name in ("cpu_s", "first_heatmap_s", "ping_s"):
            check_seconds(f"{self.name}: {name}", getattr(self, name))


@dataclass(frozen=True)
class PromptLoad:
    """Prompts that several pages run at once.

    Attributes
    ----------
    pages, presses : int
        How many pages there were, and how often Run was pressed on each the second time.
    once_s, pressed_s : float
        Seconds until all was done, of one press on each page and of `presses`.
    running, waiting : int
        The most works at a time, of all pages.
    threads_before, threads_most : int
        The server's threads.
    ping_s : tuple of float
        Seconds of others' requests to `/health` meanwhile.
    """

    pages: int
    presses: int
    once_s: float
    pressed_s: float
    running: int
    waiting: int
    threads_before: int
    threads_most: int
    ping_s: Samples

    def __post_init__(self) -> None:
        check_seconds("prompts: ping_s", self.ping_s)


@dataclass(frozen=True)
class LoadRun:
    """One run of `python -m bench load`.

    Attributes
    ----------
    schema, preset : str
    environment : Environment
    pages : tuple of PageLoad
    sliders : dict of str to Interaction
        A slider in one of two open pages: "alone", and "in a crowd" with the other pages open.
    prompts : PromptLoad or None
        None where the default model is not installed.
    """

    schema: Literal["attnpanel.bench-load/1"]
    preset: str
    environment: Environment
    pages: tuple[PageLoad, ...]
    sliders: dict[str, Interaction]
    prompts: PromptLoad | None
