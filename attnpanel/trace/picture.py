"""The picture whose patches a trace's tokens are, and where they lie on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.attention.validation import check_count, check_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from attnpanel.trace.call import AttentionCall

# Pixels of a stored picture's longer side, and how many pictures of a batch are stored.
MAX_SIDE = 320
MAX_IMAGES = 32
MAX_GRIDS = 64
MAX_CELLS = 1 << 14
# Tokens such as CLS and registers that a grid is expected after, where nothing else is said.
MAX_BEFORE = 16


@dataclass(frozen=True)
class Grid:
    """Tokens of a sequence that lie on a picture in rows and columns, from the upper left.

    Attributes
    ----------
    rows, columns : int
    length : int
        How many tokens the sequence has that they are part of.
    start : int
        Position of the first of them in that sequence.
    names : tuple of str
        What the tokens before them are called, such as ``("CLS", "register 1")``; may be shorter.
    grows : bool
        Whether the sequence may be longer, as a text that a model goes on writing.
    layers : tuple of str
        The layers whose calls have this grid; empty: those of every layer without one of its own.
    windows : (int, int)
        Windows from top to bottom and from left to right. Each is a sequence: the sequences of a
        batch are the windows of the first image, row by row, then those of the second.
    shift : (int, int)
        By how many rows and columns the windows are moved down and right; those at the end go on
        at the beginning.

    Raises
    ------
    ValueError
        If a number is no count, or the tokens do not fit the sequence.
    """

    rows: int
    columns: int
    length: int
    start: int = 0
    names: tuple[str, ...] = ()
    grows: bool = False
    layers: tuple[str, ...] = ()
    windows: tuple[int, int] = (1, 1)
    shift: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        for name in ("rows", "columns", "length", "start"):
            check_count(name, getattr(self, name))
        if not 1 <= self.size <= MAX_CELLS:
            raise ValueError(
                f"a grid must have 1 to {MAX_CELLS} cells; got {self.rows} × {self.columns}"
            )
        if self.start + self.size > self.length:
            raise ValueError(
                f"a grid of {self.rows} × {self.columns} tokens from position {self.start} must "
                f"fit its sequence; got {self.length} tokens"
            )
        for name in ("windows", "shift"):
            for number in getattr(self, name):
                check_count(name, number)
        if not 1 <= self.size * self.windows[0] * self.windows[1] <= MAX_CELLS:
            raise ValueError(
                f"windows must be at least one, and have at most {MAX_CELLS} cells; got "
                f"{self.windows[0]} × {self.windows[1]}"
            )
        for text in (*self.names, *self.layers):
            check_text("names", text)
        if len(self.names) > self.start:
            raise ValueError(
                f"names are those of the {self.start} tokens before the grid; got {len(self.names)}"
            )

    @property
    def size(self) -> int:
        """How many tokens lie on the picture."""
        return self.rows * self.columns

    def fits(self, length: int, layer: str = "") -> bool:
        """Whether a layer's sequence of this length holds the grid."""
        if self.layers and layer not in self.layers:
            return False
        return length == self.length or (self.grows and length >= self.length)


@dataclass(frozen=True, eq=False)
class Picture:
    """Pictures of a trace, one for each sequence of the batch or one for all, and their grids.

    Attributes
    ----------
    images : tuple of uint8 arrays (height, width, 3)
        Red, green and blue; empty where there is a grid alone, as of a board. At most 320 pixels
        a side: see :func:`picture_of`.
    grids : tuple of Grid
        For each length of a sequence, at most one without layers.

    Raises
    ------
    ValueError
        If an image is no such array, or two grids are of sequences of one length.
    """

    images: tuple[NDArray[np.uint8], ...]
    grids: tuple[Grid, ...]

    def __post_init__(self) -> None:
        if len(self.images) > MAX_IMAGES or not 1 <= len(self.grids) <= MAX_GRIDS:
            raise ValueError(
                f"a picture has at most {MAX_IMAGES} images and 1 to {MAX_GRIDS} grids; got "
                f"{len(self.images)} and {len(self.grids)}"
            )
        for image in self.images:
            if (
                image.dtype != np.uint8
                or image.ndim != 3
                or image.shape[2] != 3
                or not 1 <= min(image.shape) <= max(image.shape) <= MAX_SIDE
            ):
                raise ValueError(
                    f"an image must be a uint8 array (height, width, 3) of at most {MAX_SIDE} "
                    f"pixels a side; got {image.dtype} of shape {image.shape}"
                )
        lengths = [grid.length for grid in self.grids if not grid.layers]
        if len(set(lengths)) < len(lengths):
            raise ValueError(f"a length of sequences must have one grid; got {sorted(lengths)}")

    def grid_of(self, length: int, layer: str = "") -> Grid | None:
        """Return the grid of a layer's sequences of this many tokens; None if they have none."""
        fitting = [grid for grid in self.grids if grid.fits(length, layer)]
        fitting.sort(key=lambda grid: (not grid.layers, grid.length != length))
        return fitting[0] if fitting else None


def picture_of(image: Any, grids: Sequence[Grid]) -> Picture:
    """Return a picture of what a caller has: scaled down to at most 320 pixels a side.

    Parameters
    ----------
    image : path, PIL image, array, tensor, a list of them, or None
        (H, W), (H, W, 1 to 4) or (1 to 4, H, W): bytes, or floats from 0 to 1; other floats, such
        as a model's normalised input, are stretched over that range. With a further axis in front,
        one for each sequence of the batch. None stores the grids alone.
    grids : sequence of Grid
    """
    images = [] if image is None else _images(image)
    return Picture(tuple(map(_small, images[:MAX_IMAGES])), tuple(grids))


def checked_grid(grid: Any) -> tuple[int, int]:
    """Return the rows and columns of a caller's grid.

    Raises
    ------
    ValueError
        If it is not two counts from 1.
    """
    pair = tuple(grid) if isinstance(grid, (tuple, list)) else ()
    if len(pair) != 2 or not all(type(n) is int and n >= 1 for n in pair):
        raise ValueError(f"grid must be (rows, columns), two integers from 1; got {grid!r}")
    return pair


def grid_for(
    size: tuple[int, int], length: int, *, start: int | None = None, names: tuple[str, ...] = ()
) -> Grid:
    """Return the grid of a sequence: what is before it is no part of the picture.

    Parameters
    ----------
    size : (rows, columns)
    length : int
        How many tokens the sequence has.
    start : int, optional
        Position of the first token on the picture. By default the last tokens are the picture's.
    names : tuple of str, optional
        Of the tokens before it.
    """
    rows, columns = size
    first = length - rows * columns if start is None else start
    if first < 0:
        raise ValueError(
            f"grid must have at most as many cells as the sequence has tokens; got {rows} × "
            f"{columns} and {length} tokens"
        )
    return Grid(rows, columns, length, first, names[:first])


def _images(image: Any) -> list[NDArray[Any]]:
    if isinstance(image, (list, tuple)):
        return [one for item in image for one in _images(item)]
    array = _array(image)
    if array.ndim == 4:
        return [_channels_last(one) for one in array]
    if array.ndim not in (2, 3):
        raise ValueError(
            f"image must have axes (H, W), (H, W, channels) or (channels, H, W); got shape "
            f"{array.shape}"
        )
    return [_channels_last(array)]


def _array(image: Any) -> NDArray[Any]:
    if isinstance(image, str) or hasattr(image, "__fspath__"):
        from PIL import Image

        with Image.open(image) as opened:
            return np.asarray(opened.convert("RGB"))
    if hasattr(image, "convert"):  # PIL's, in any of its modes
        return np.asarray(image.convert("RGB"))
    if hasattr(image, "detach"):
        image = image.detach().cpu().float().numpy()
    return np.asarray(image)


def _channels_last(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return bytes (H, W, 3)."""
    if array.ndim == 2:
        array = array[..., None]
    if array.shape[0] <= 4 < array.shape[2]:
        array = np.moveaxis(array, 0, -1)
    if not 1 <= array.shape[2] <= 4 or 0 in array.shape:
        raise ValueError(f"image must have 1 to 4 channels; got shape {array.shape}")
    colours = array[..., :3] if array.shape[2] >= 3 else np.repeat(array[..., :1], 3, axis=2)
    if colours.dtype.kind == "f":
        floats = np.nan_to_num(colours.astype(np.float32), posinf=0, neginf=0)
        low, high = min(float(floats.min()), 0.0), max(float(floats.max()), 1.0)
        if (low, high) != (0.0, 1.0):
            low, high = float(floats.min()), float(floats.max())
        colours = np.round((floats - low) / max(high - low, 1e-12) * 255)
    elif colours.dtype.kind == "b":
        colours = colours * 255
    elif colours.dtype.kind not in "iu":
        raise ValueError(f"image must hold numbers; got {colours.dtype}")
    return np.ascontiguousarray(np.clip(colours, 0, 255).astype(np.uint8))


def _small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scale an image down to at most 320 pixels a side."""
    height, width, _ = image.shape
    part = MAX_SIDE / max(height, width)
    if part < 1:
        from PIL import Image

        size = (max(round(width * part), 1), max(round(height * part), 1))
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
    image = np.ascontiguousarray(image)
    image.flags.writeable = False
    return image


def with_picture(
    calls: Sequence[AttentionCall],
    image: Any,
    grid: Any,
    *,
    start: int | None = None,
    names: Sequence[str] = (),
) -> Picture:
    """Return the picture of calls whose tokens are the cells of one grid.

    Parameters
    ----------
    calls : sequence of AttentionCall
    image : as for :func:`picture_of`
    grid : (rows, columns)
    start : int, optional
        Position of the first cell's token; by default the last tokens are the picture's, at most
        16 after the first.
    names : sequence of str, optional
        Of the tokens before the picture's.

    Raises
    ------
    ValueError
        If the tokens of no call fit the grid; the message has both.
    """
    size = checked_grid(grid)
    cells = size[0] * size[1]
    lengths = sorted({n for call in calls for n in (call.query_len, call.key_len)})
    before = (0, MAX_BEFORE) if start is None else (start, MAX_CELLS)
    fitting = [length for length in lengths if before[0] <= length - cells <= before[1]]
    if not fitting:
        raise ValueError(
            f"grid must hold the tokens of a call, {size[0]} × {size[1]} = {cells} of them"
            + (f" from position {start}" if start is not None else "")
            + f"; the calls have {', '.join(map(str, lengths[:5])) or 'none'}"
        )
    grids = [grid_for(size, length, start=start, names=tuple(names)) for length in fitting]
    return picture_of(image, grids[:MAX_GRIDS])
