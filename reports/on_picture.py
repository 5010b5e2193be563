"""Report of a small vision model on a picture drawn here: what each patch looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.models.capture.capture import capture
from attnpanel.pages.explorer.report import save_report

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from attnpanel.trace import Trace

SIDE, PATCH = 224, 16
HEADS, CHANNELS, REGISTERS = 4, 96, 4
# The token of the patch in row 2, column 10.
SUN = 1 + REGISTERS + 2 * (SIDE // PATCH) + 10
NOTES = """
## What to look at

A picture drawn by a few lines of code, and a DINOv2 with registers as transformers builds it: two layers of four heads, 14 × 14 patches. Its weights are random, and
nothing is downloaded. Its keys are its queries, and larger than usual, so that a patch looks at patches that resemble it.

- Tap the sun, the roof, the grass, or go there by the arrow keys: each finds its like, in its own way in every head.
- *What looks at it* shows the column instead of the row: the patches that look at the chosen one.
- CLS and the registers are no patches: they stand beside the picture.
"""


def build(path: Path, title: str) -> Path:
    """Write the report."""
    trace = trace_of_picture()
    return save_report(trace, path, title=title, notes=NOTES, query_index=SUN)


def trace_of_picture() -> Trace:
    """Capture a small vision model with random weights on the drawn picture."""
    import torch

    picture = draw_picture()
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    model = small_model()
    with torch.inference_mode(), capture(model, image=picture) as trace:
        model(pixels)
    return trace


def small_model() -> Any:
    """Return a DINOv2 with registers of random weights, whose keys are its queries."""
    import torch
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    torch.manual_seed(0)
    config = Dinov2WithRegistersConfig(
        hidden_size=CHANNELS,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        image_size=SIDE,
        patch_size=PATCH,
        num_register_tokens=REGISTERS,
    )
    model = Dinov2WithRegistersModel(config).eval()
    with torch.no_grad():
        for layer in model.encoder.layer:
            attention = layer.attention
            attention.q_proj.weight.normal_(std=1.6 * CHANNELS**-0.5)
            attention.k_proj.weight.copy_(attention.q_proj.weight)
        # Positions would hide what patches look like.
        model.embeddings.position_embeddings.mul_(0.2)
    return model


def draw_picture() -> NDArray[np.uint8]:
    """Draw a house, a tree and a sun as bytes (224, 224, 3)."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    picture = np.empty((SIDE, SIDE, 3))
    picture[:] = np.stack([0.45 + 0.3 * y, 0.68 + 0.2 * y, 0.95 + 0 * y], -1)
    shapes = [
        ((x - 0.78) ** 2 + (y - 0.2) ** 2 < 0.09**2, (1.0, 0.83, 0.25)),
        (y > 0.72 + 0.03 * np.sin(7 * x), (0.36, 0.62, 0.28)),
        ((np.abs(x - 0.3) < 0.17) & (y > 0.46) & (y < 0.8), (0.9, 0.84, 0.74)),
        ((y > 0.26) & (y < 0.47) & (np.abs(x - 0.3) < (y - 0.26) * 1.05), (0.72, 0.25, 0.2)),
        ((np.abs(x - 0.3) < 0.045) & (y > 0.6) & (y < 0.8), (0.42, 0.26, 0.16)),
        ((np.abs(x - 0.72) < 0.022) & (y > 0.58) & (y < 0.82), (0.42, 0.28, 0.18)),
        ((x - 0.72) ** 2 + (y - 0.52) ** 2 < 0.12**2, (0.16, 0.45, 0.22)),
    ]
    for inside, colour in shapes:
        picture[inside] = colour
    grain = np.random.default_rng(0).normal(0, 0.015, picture.shape)
    return (np.clip(picture + grain, 0, 1) * 255).astype(np.uint8)
