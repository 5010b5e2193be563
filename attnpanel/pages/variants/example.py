"""The example that all cards share: the toy's queries, keys and values, in each layout of heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.models.toy import make_toy_data

if TYPE_CHECKING:
    from numpy.typing import NDArray

GROUPS = 2
LATENT = 4


def example_layouts() -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return the toy's arrays in each layout of heads, by the layout's name.

    Returns
    -------
    dict
        ``query`` (4, 8, 2), ``key`` and ``value`` (KV heads, 8, 2). Grouped heads get the mean of
        their group's keys and values, as a model of many heads is turned into one of few (Ainslie
        et al., 2023, section 2.1). The latent layout also has ``latent`` (8, 4), and
        ``up`` (4, 16): keys and values of all heads are ``latent @ up``, the best approximation of
        that rank to the toy's own (its truncated singular value decomposition).
    """
    query, key, value = make_toy_data()
    heads, tokens, depth = key.shape

    def shared(count: int) -> dict[str, NDArray[np.float64]]:
        grouped = (count, heads // count, tokens, depth)
        return {
            "query": query,
            "key": key.reshape(grouped).mean(axis=1),
            "value": value.reshape(grouped).mean(axis=1),
        }

    joined = np.concatenate([key, value]).transpose(1, 0, 2).reshape(tokens, -1)
    left, size, up = np.linalg.svd(joined, full_matrices=False)
    # A decomposition leaves signs open, and libraries differ.
    largest = np.take_along_axis(up, np.abs(up).argmax(axis=1, keepdims=True), axis=1)
    up, left = (up * np.sign(largest))[:LATENT], left * np.sign(largest[:, 0])
    latent = (left * size)[:, :LATENT]
    rebuilt = (latent @ up).reshape(tokens, 2 * heads, depth).transpose(1, 0, 2)
    return {
        "multi": shared(heads),
        "grouped": shared(GROUPS),
        "single": shared(1),
        "latent": {
            "query": query,
            "key": rebuilt[:heads],
            "value": rebuilt[heads:],
            "latent": latent,
            "up": up,
        },
    }


def example_for_page() -> dict[str, Any]:
    """Return the example as plain data: sizes, tokens, and each layout's arrays row by row."""
    layouts = example_layouts()
    heads, tokens, depth = layouts["multi"]["query"].shape
    return {
        "tokens": [f"t{index}" for index in range(tokens)],
        "T": tokens,
        "D": depth,
        "heads": heads,
        "latent": {"width": LATENT, "numbers": layouts["latent"]["latent"].ravel().tolist()},
        "layouts": {
            name: {
                "kvHeads": len(arrays["key"]),
                **{part: arrays[part].ravel().tolist() for part in ("query", "key", "value")},
            }
            for name, arrays in layouts.items()
        },
    }
