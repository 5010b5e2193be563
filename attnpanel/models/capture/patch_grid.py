"""Find where on a picture the tokens of a model lie, from what it computes while it is captured.

A convolution over few channels that skips pixels makes patches: its result has their rows and
columns. Sequences of as many tokens, and up to 16 before them (CLS, registers), lie on the picture;
in a language model, the run of its image token in the ids that it reads.
"""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from attnpanel.models.capture.window_grids import window_grids
from attnpanel.trace.picture import MAX_BEFORE, Grid, Picture, picture_of, with_picture

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from torch import Tensor, nn

    from attnpanel.trace import Trace

# How configurations name the id that stands for a patch of the image.
IMAGE_IDS = ("image_token_id", "image_token_index", "img_context_token_id", "media_token_id")
# How models name the parameters of tokens before the patches, in the order of those.
BEFORE = (
    ("CLS", re.compile(r"(?:^|[._])cls_?token$|class_(?:token|embedding)$")),
    ("distillation", re.compile(r"dist(?:illation)?_token$")),
    ("register", re.compile(r"reg(?:ister)?_?tokens?$")),
)
# How models name what tells them the frames, rows and columns of each image's patches.
GIVEN = ("grid_thw", "image_grid_thw")
CHANNELS = 4  # of pixels, at most
MAX_MERGE = 8  # patches a side that models join to one token


class PatchGrid:
    """What one capture learns of a model's picture.

    Parameters
    ----------
    model : torch.nn.Module
    image : as for :meth:`attnpanel.Trace.set_picture`, True or None
        True stores the pixels that the model is given.
    grid : (rows, columns) or None
        None: found while the model runs.
    """

    def __init__(self, model: nn.Module, image: Any, grid: Any) -> None:
        self._model, self._image, self._grid = model, image, grid
        config = getattr(model, "config", None)
        ids = (getattr(config, name, None) for name in IMAGE_IDS)
        self._image_id = next((number for number in ids if type(number) is int), None)
        self._sizes: dict[tuple[int, int], None] = {}
        # Of images whose patches came one by one, in an order of the model's own.
        self._given: dict[tuple[int, int], None] = {}
        self._pixels: Tensor | None = None
        self._batch = 0
        self._runs: dict[int, tuple[int, int]] = {}  # length of the ids -> start and length

    def note_convolution(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note a convolution (B, C, H, W) that makes patches of pixels; or (N, C, frames, …)."""
        pixels, weight = args[0], args[1]
        if weight.dim() == 5:
            self._given |= dict.fromkeys(filter(None, [_given_size()]))
            return
        stride, padding = _pair(args, kwargs, 3, "stride", 1), _pair(args, kwargs, 4, "padding", 0)
        if weight.dim() != 4 or weight.shape[1] > CHANNELS or pixels.dim() != 4 or min(stride) < 2:
            return
        rows, columns = (
            (pixels.shape[2 + i] + 2 * padding[i] - weight.shape[2 + i]) // stride[i] + 1
            for i in (0, 1)
        )
        if rows > 0 and columns > 0:
            self._sizes[rows, columns] = None
            self._batch = len(pixels)
            if self._image is True and self._pixels is None:
                self._pixels = pixels.detach()

    def note_ids(self, ids: Any) -> None:
        """Note the first run of image tokens in the ids (B, T) that an embedding reads."""
        if self._image_id is None or ids.dim() != 2 or ids.is_floating_point():
            return
        found = (ids[0] == self._image_id).nonzero().flatten().tolist()
        if found:
            run = next(
                (i for i, (a, b) in enumerate(pairwise(found)) if b != a + 1), len(found) - 1
            )
            self._runs[ids.shape[1]] = found[0], run + 1

    def describe(self, trace: Trace) -> str:
        """Set the trace's picture; return why it has none where one was given, or "".

        Raises
        ------
        ValueError
            If the grid that was given fits no call.
        """
        image = self._pixels if self._image is True else self._image
        if not trace.calls:
            return ""
        grids = list(self._grids(trace))
        if grids:
            trace.picture = picture_of(image, grids)
        elif self._grid is not None:
            trace.picture = with_picture(trace.calls, image, self._grid)
        elif self._image is not None:
            return (
                "the image is not in the trace: which tokens are its patches was not found; pass "
                "grid=(rows, columns)"
            )
        if trace.picture is not None and not trace.query_tokens:
            _name_patches(trace, trace.picture)
        return ""

    def _grids(self, trace: Trace) -> Iterator[Grid]:
        sizes = [self._grid] if self._grid is not None else list(self._sizes)
        lengths = {n for call in trace.calls for n in (call.query_len, call.key_len)}
        known: set[int] = set()
        for length, (start, run) in self._runs.items():
            size = _merged([*sizes, *self._given], run)
            if size is not None and any(n >= length for n in lengths):
                known.add(length)
                yield Grid(*size, length, start, grows=True)
        if self._grid is not None and (known or not self._sizes):
            return
        yield from window_grids(self._model, trace.calls, list(self._sizes), self._batch)
        names = self._names()
        for rows, columns in sizes:
            counts = sorted(length - rows * columns for length in lengths - known)
            counts = [count for count in counts if 0 <= count <= MAX_BEFORE]
            # Other sequences, such as a text's, may be nearly as long.
            named = [count for count in counts if count in {0, len(names)}]
            for before in named if len(names) in counts else counts[:1]:
                length = rows * columns + before
                known.add(length)
                yield Grid(rows, columns, length, before, _names_of(names, before))

    def _names(self) -> tuple[str, ...]:
        """Return what the model calls the tokens before its patches."""
        names: list[str] = []
        for name, pattern in BEFORE:
            found = [p for key, p in self._model.named_parameters() if pattern.search(key)]
            if found and name == "register":
                names += [f"register {i + 1}" for i in range(_tokens(found[0]))]
            elif found:
                names.append(name)
        return tuple(names)


def _names_of(names: tuple[str, ...], count: int) -> tuple[str, ...]:
    if len(names) == count:
        return names
    return ("CLS",) if count == 1 else tuple(f"token {i}" for i in range(count))


def _given_size() -> tuple[int, int] | None:
    """Return rows and columns of the first image, which a running function was given by name.

    Qwen-VL and its like read patches that a processor has cut, and are told how many each image
    has: frames, rows and columns.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - as running_modules()
    while frame is not None:
        for name in GIVEN:
            given: Any = frame.f_locals.get(name)
            if getattr(given, "ndim", 0) == 2 and given.shape[1] == 3:
                frames, rows, columns = (int(number) for number in given[0])
                return (rows, columns) if frames == 1 else None
        frame = frame.f_back
    return None


def _tokens(parameter: Any) -> int:
    return int(parameter.shape[-2]) if parameter.dim() > 1 else 1


def _merged(sizes: Sequence[tuple[int, int]], count: int) -> tuple[int, int] | None:
    """Return rows and columns of so many tokens, each of one patch or of several joined."""
    for rows, columns in sizes:
        for side in range(1, MAX_MERGE + 1):
            if rows % side == columns % side == 0 and rows * columns == count * side * side:
                return rows // side, columns // side
    return None


def _pair(
    args: tuple[Any, ...], kwargs: dict[str, Any], at: int, name: str, default: int
) -> tuple[int, int]:
    value = args[at] if len(args) > at else kwargs.get(name, default)
    if isinstance(value, int):
        return value, value
    return (0, 0) if isinstance(value, str) or len(value) != 2 else tuple(value)


def _name_patches(trace: Trace, picture: Picture) -> None:
    """Name the tokens of a sequence that is a picture, if it is the only one: row and column."""
    if len(picture.grids) != 1 or picture.grids[0].grows or picture.grids[0].layers:
        return
    (grid,) = picture.grids
    patches = [f"{row}·{column}" for row in range(grid.rows) for column in range(grid.columns)]
    rows = max(call.batch for call in trace.calls)
    trace.set_tokens([[*grid.names, *patches]] * rows)
