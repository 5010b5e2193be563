"""Maximum flow through a layered network: push-relabel, for many sources at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Rounding error: less is no flow, and an edge with less capacity left is saturated.
EPSILON = 1e-12
# Edges of one layer that are processed at a time, over all sources.
MAX_EDGES = 2**19


def max_flows(capacities: Sequence[NDArray[Any]], sink: int) -> NDArray[np.float64]:
    """Compute the maximum flow from each node of the first layer to one node of the last.

    Parameters
    ----------
    capacities : sequence of arrays of shape (T, T)
        ``capacities[l][i, j]``: the capacity from node j of layer l to node i of layer l + 1.
    sink : int
        A node of the last layer.

    Returns
    -------
    float64 array of shape (T,)
        Each source's own maximum, as if it were the only source.

    References
    ----------
    Goldberg and Tarjan, "A New Approach to the Maximum-Flow Problem", 1988; heights are exact
    distances, recomputed for each sweep.

    Examples
    --------
    Two paths of 0.25 and 0.5 from node 0 to node 0:

    >>> max_flows([np.array([[0.25, 0], [0.75, 0]]), np.array([[1.0, 0.5], [0, 0]])], sink=0)
    array([0.75, 0.  ])
    """
    length = len(capacities[0])
    if len(capacities) == 1:
        return np.array(capacities[0][sink], dtype=float)
    size = max(MAX_EDGES // length**2, 1)
    groups = [np.arange(length)[start : start + size] for start in range(0, length, size)]
    return np.concatenate([_Preflow(capacities, sources, sink).run() for sources in groups])


class _Preflow:
    """A preflow for each of P sources, pushed towards the sink until no more arrives.

    Of the first layer only the source has edges, which it saturates at once; of the last layer only
    the sink. So the nodes are those of the K = L - 1 layers between, in arrays (K, P, T).
    """

    def __init__(
        self, capacities: Sequence[NDArray[Any]], sources: NDArray[Any], sink: int
    ) -> None:
        count, length = len(sources), len(capacities[0])
        self.layers = len(capacities) - 1
        self.excess = np.zeros((self.layers, count, length))
        self.excess[0] = capacities[0][:, sources].T
        # forward[l][p, j, i]: capacity left from node j of layer l to i of layer l + 1;
        # backward[l][p, j, i]: the flow there, which can be pushed back.
        self.forward = [
            np.broadcast_to(edges.T, (count, length, length)).astype(float)
            for edges in capacities[1:-1]
        ]
        self.backward = [np.zeros_like(edges) for edges in self.forward]
        self.to_sink = np.broadcast_to(capacities[-1][sink], (count, length)).astype(float)
        self.arrived = np.zeros(count)

    def run(self) -> NDArray[np.float64]:
        """Push until no node with a path to the sink has excess left."""
        while True:
            heights = self._heights()
            active = (self.excess > EPSILON) & (heights > 0)
            if not active.any():
                return self.arrived
            for height in range(int(heights[active].max()), 0, -1):
                self._push(heights, height)

    def _heights(self) -> NDArray[np.int32]:
        """Return the number of unsaturated edges to the sink, (K, P, T); 0 without a path."""
        heights = np.zeros(self.excess.shape, dtype=np.int32)
        heights[-1][self.to_sink > EPSILON] = height = 1
        while (heights == height).any():
            reached = heights == height
            height += 1
            for layer in range(self.layers):
                found = np.zeros(self.to_sink.shape, dtype=bool)
                if layer + 1 < self.layers and reached[layer + 1].any():
                    unsaturated = self.forward[layer] > EPSILON
                    found |= (unsaturated & reached[layer + 1][:, None, :]).any(axis=-1)
                if layer > 0 and reached[layer - 1].any():
                    carrying = self.backward[layer - 1] > EPSILON
                    found |= (carrying & reached[layer - 1][:, :, None]).any(axis=-2)
                heights[layer][found & (heights[layer] == 0)] = height
        return heights

    def _push(self, heights: NDArray[np.int32], height: int) -> None:
        """Push the excess of all nodes of one height down by one."""
        for layer in range(self.layers):
            active = (heights[layer] == height) & (self.excess[layer] > EPSILON)
            if not active.any():
                continue
            if layer + 1 == self.layers and height == 1:
                moved = np.where(active, np.minimum(self.excess[layer], self.to_sink), 0)
                self.excess[layer] -= moved
                self.to_sink -= moved
                self.arrived += moved.sum(axis=-1)
                continue
            if layer + 1 < self.layers:
                lower = (heights[layer + 1] == height - 1)[:, None, :]
                room = np.where(lower, self.forward[layer], 0)
                moved = _distribute(np.where(active, self.excess[layer], 0), room)
                self.excess[layer] -= moved.sum(axis=-1)
                self.excess[layer + 1] += moved.sum(axis=-2)
                self.forward[layer] -= moved
                self.backward[layer] += moved
            if layer > 0:
                lower = (heights[layer - 1] == height - 1)[:, None, :]
                room = np.where(lower, self.backward[layer - 1].swapaxes(-1, -2), 0)
                moved = _distribute(np.where(active, self.excess[layer], 0), room)
                self.excess[layer] -= moved.sum(axis=-1)
                self.excess[layer - 1] += moved.sum(axis=-2)
                self.backward[layer - 1] -= moved.swapaxes(-1, -2)
                self.forward[layer - 1] += moved.swapaxes(-1, -2)


def _distribute(amounts: NDArray[Any], room: NDArray[Any]) -> NDArray[np.float64]:
    """Fill edges in order, (P, T, T), with each node's amount, (P, T), until it is used up."""
    before = np.cumsum(room, axis=-1) - room
    return np.asarray(np.clip(amounts[..., None] - before, 0, room))
