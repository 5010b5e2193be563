"""A trace's picture in its file: grids as JSON, images as tensors of bytes."""

from __future__ import annotations

from reprlib import repr as short
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.trace.picture import MAX_GRIDS, MAX_IMAGES, Grid, Picture

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

FIELDS = ("grids", "images")
GRID_FIELDS = ("rows", "columns", "length", "start", "names", "grows", "layers", "windows", "shift")
LISTS = ("names", "layers", "windows", "shift")
MAX_NAMES = 64
MAX_LAYERS = 1 << 10
MAX_NAME_CHARS = 4096


def pack_picture(
    picture: Picture, *, images: bool
) -> tuple[dict[str, NDArray[np.uint8]], dict[str, Any]]:
    """Return a picture's tensors by name, and its record.

    Parameters
    ----------
    picture : Picture
    images : bool
        False leaves the images out and keeps the grids.
    """
    kept = picture.images if images else ()
    tensors = {f"picture.{i}": np.ascontiguousarray(image) for i, image in enumerate(kept)}
    grids = [
        {name: getattr(grid, name) for name in GRID_FIELDS}
        | {name: list(getattr(grid, name)) for name in LISTS}
        for grid in picture.grids
    ]
    return tensors, {"grids": grids, "images": list(tensors)}


def parse_picture(
    record: Any, arrays: Mapping[str, NDArray[Any]]
) -> tuple[Picture, tuple[str, ...]]:
    """Check the record of a picture; return the picture, and its images' names in the file.

    Parameters
    ----------
    record : untrusted JSON
    arrays : mapping of str to array
        The tensors of the file, whose numbers are not read.

    Raises
    ------
    ValueError
        The first broken rule and the value that broke it.
    """
    _check_fields("picture", record, FIELDS)
    names, rows = record["images"], record["grids"]
    if (
        not isinstance(names, list)
        or len(names) > MAX_IMAGES
        or len(set(map(str, names))) < len(names)
    ):
        raise ValueError(
            f"picture.images must name at most {MAX_IMAGES} tensors, each once; got {short(names)}"
        )
    for name in names:
        if not isinstance(name, str) or name not in arrays:
            raise ValueError(f"picture.images must name tensors of the file; got {short(name)}")
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_GRIDS:
        raise ValueError(f"picture.grids must be a list of 1 to {MAX_GRIDS}; got {short(rows)}")
    grids = [_parse_grid(f"picture.grids[{i}]", row) for i, row in enumerate(rows)]
    return Picture(tuple(arrays[name] for name in names), tuple(grids)), tuple(names)


def _parse_grid(where: str, row: Any) -> Grid:
    _check_fields(where, row, GRID_FIELDS)
    for name, most in (("names", MAX_NAMES), ("layers", MAX_LAYERS)):
        texts = row[name]
        if not isinstance(texts, list) or len(texts) > most:
            raise ValueError(f"{where}.{name} must be a list of at most {most}")
        if any(not isinstance(text, str) or len(text) > MAX_NAME_CHARS for text in texts):
            raise ValueError(f"{where}.{name} must be texts of at most {MAX_NAME_CHARS} characters")
    for name in ("windows", "shift"):
        if not isinstance(row[name], list) or len(row[name]) != 2:
            raise ValueError(f"{where}.{name} must be two counts; got {short(row[name])}")
    if type(row["grows"]) is not bool:
        raise ValueError(f"{where}.grows must be true or false; got {short(row['grows'])}")
    return Grid(**row | {name: tuple(row[name]) for name in LISTS})


def _check_fields(name: str, record: object, fields: tuple[str, ...]) -> None:
    if not isinstance(record, dict) or record.keys() != set(fields):
        got = sorted(record) if isinstance(record, dict) else record
        raise ValueError(f"{name} must have the fields {', '.join(fields)}; got {short(got)}")
