"""A trace's picture as the page needs it: images as data URLs, grids as plain data."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import asdict
from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from attnpanel.trace.picture import Picture

JPEG_QUALITY = 90


def picture_for_page(picture: Picture | None) -> dict[str, Any] | None:
    """Return the images and grids of a picture, JSON-compatible; None if there is none."""
    if picture is None:
        return None
    return {
        "images": [data_url(image) for image in picture.images],
        "grids": [asdict(grid) for grid in picture.grids],
    }


def data_url(image: NDArray[np.uint8]) -> str:
    """Return an image (H, W, 3) as a data URL: PNG, or JPEG where that is smaller."""
    encoded = {}
    for kind, options in (("png", {"optimize": True}), ("jpeg", {"quality": JPEG_QUALITY})):
        file = BytesIO()
        Image.fromarray(image).save(file, kind, **options)
        encoded[kind] = file.getvalue()
    kind = min(encoded, key=lambda name: len(encoded[name]))
    return f"data:image/{kind};base64,{b64encode(encoded[kind]).decode()}"
