"""A trace as a notebook cell shows it: one line a call, with a thumbnail."""

from __future__ import annotations

import base64
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from attnpanel.analysis.query_blocks import select_queries

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.trace.call import AttentionCall
    from attnpanel.trace.trace import Trace

SIDE = 40  # pixels of a thumbnail's longer side, at most
MAX_CELLS = 2**22  # computed for one thumbnail: heads × rows × keys
MAX_TOKENS = 12


def html_summary(trace: Trace) -> str:
    """Return the HTML of :class:`attnpanel.Trace` in a notebook; all text in it is escaped."""
    lines = [_line(number, call) for number, call in zip(trace.layer_numbers, trace, strict=True)]
    head = "".join(f"<th>{name}</th>" for name in ("", "layer", "kind", "B × H × T × S", "weights"))
    origin = " · ".join(filter(None, (trace.model, trace.source, trace.created)))
    tokens = trace.query_tokens[0] if trace.query_tokens else ()
    shown = " ".join(tokens[:MAX_TOKENS]) + (" …" if len(tokens) > MAX_TOKENS else "")
    count = f"{len(trace)} call{'s' * (len(trace) != 1)}"
    return (
        f"<div><b>Trace</b>: {count} · {escape(origin)}"
        + (f"<br><code>{escape(shown)}</code>" if shown else "")
        + f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _line(number: int, call: AttentionCall) -> str:
    sizes = f"{call.batch} × {call.heads} × {call.query_len} × {call.key_len}"
    recorded = "" if call.live else " (recorded)"
    picture = base64.b64encode(_png(thumbnail(call))).decode("ascii")
    image = (
        f'<img alt="weights, mean over heads" src="data:image/png;base64,{picture}" '
        f'style="height:{SIDE}px;image-rendering:pixelated">'
    )
    cells = (str(number), escape(call.layer), call.kind + recorded, sizes, image)
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def thumbnail(call: AttentionCall, batch: int = 0) -> NDArray[np.floating]:
    """Return the mean over heads of a sequence's weights, at most `SIDE` by `SIDE`.

    Rows are evenly spaced queries; a column is the largest weight of its keys.
    """
    rows = min(SIDE, call.query_len, max(MAX_CELLS // (call.heads * call.key_len), 1))
    queries = np.linspace(0, call.query_len - 1, rows).round().astype(int)
    part = select_queries(call, queries)
    total = np.zeros((rows, call.key_len), np.float32)
    for head in range(call.heads):
        total += np.nan_to_num(part.weights(head, batch))
    columns = min(SIDE, call.key_len)
    starts = np.arange(columns) * call.key_len // columns
    pooled: NDArray[np.floating] = np.maximum.reduceat(total, starts, axis=1) / call.heads
    return pooled


def _png(weights: NDArray[np.floating]) -> bytes:
    from PIL import Image

    # Square root, as the explorer colours weights; dark is much.
    most = max(float(weights.max()), 1e-9)
    grey = 255 - np.sqrt(np.clip(weights / most, 0, 1)) * 255
    file = BytesIO()
    Image.fromarray(grey.round().astype(np.uint8)).save(file, "PNG")
    return file.getvalue()
