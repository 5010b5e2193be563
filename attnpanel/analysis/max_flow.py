"""Maximum flows through layers of pipes: push and relabel, for many sources at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# What rounding leaves over is no flow, and a pipe of this width is full.
NOTHING = 1e-12
# Pipes of one layer that are worked on at a time, over all sources.
MOST_PIPES = 2**19


def max_flows(pipes: Sequence[NDArray[Any]], sink: int) -> NDArray[np.float64]:
    """The maximum flow from each node of the first row to one of the last.

    Parameters
    ----------
    pipes : sequence of arrays of shape (T, T)
        ``pipes[l][i, j]``: the width of the pipe from node j of row l to node i of row l + 1.
    sink : int
        A node of the last row.

    Returns
    -------
    float64 array of shape (T,)
        Each source's own flow, as if it were alone.

    References
    ----------
    Goldberg and Tarjan, "A New Approach to the Maximum-Flow Problem", 1988; heights are exact
    distances at the start of each sweep.

    Examples
    --------
    Two paths of 0.25 and 0.5 from node 0 to node 0:

    >>> max_flows([np.array([[0.25, 0], [0.75, 0]]), np.array([[1.0, 0.5], [0, 0]])], sink=0)
    array([0.75, 0.  ])
    """
    length = len(pipes[0])
    if len(pipes) == 1:
        return np.array(pipes[0][sink], dtype=float)
    size = max(MOST_PIPES // length**2, 1)
    sources = [np.arange(length)[start : start + size] for start in range(0, length, size)]
    return np.concatenate([_Waves(pipes, some, sink).run() for some in sources])


class _Waves:
    """A preflow of each of P sources, pushed towards the sink until no more arrives.

    Of the first row only the source counts, which fills all its pipes at once; of the last only
    the sink. So the nodes are those of the K = L - 1 rows between, and arrays (K, P, T).
    """

    def __init__(self, pipes: Sequence[NDArray[Any]], sources: NDArray[Any], sink: int) -> None:
        count, length = len(sources), len(pipes[0])
        self.rows = len(pipes) - 1
        self.excess = np.zeros((self.rows, count, length))
        self.excess[0] = pipes[0][:, sources].T
        # forth[l][p, j, i]: what still fits from node j of row l to i of row l + 1; back: what
        # flows there, and so could be sent back.
        self.forth = [
            np.broadcast_to(pipe.T, (count, length, length)).astype(float) for pipe in pipes[1:-1]
        ]
        self.back = [np.zeros_like(pipe) for pipe in self.forth]
        self.out = np.broadcast_to(pipes[-1][sink], (count, length)).astype(float)
        self.arrived = np.zeros(count)

    def run(self) -> NDArray[np.float64]:
        """Push until no node that leads to the sink has anything left."""
        while True:
            heights = self._heights()
            waiting = (self.excess > NOTHING) & (heights > 0)
            if not waiting.any():
                return self.arrived
            for height in range(int(heights[waiting].max()), 0, -1):
                self._push(heights, height)

    def _heights(self) -> NDArray[np.int32]:
        """Pipes with room from each node to the sink, (K, P, T); 0 where none lead there."""
        heights = np.zeros(self.excess.shape, dtype=np.int32)
        heights[-1][self.out > NOTHING] = height = 1
        while (heights == height).any():
            reached = heights == height
            height += 1
            for row in range(self.rows):
                found = np.zeros(self.out.shape, dtype=bool)
                if row + 1 < self.rows and reached[row + 1].any():
                    roomy = self.forth[row] > NOTHING
                    found |= (roomy & reached[row + 1][:, None, :]).any(axis=-1)
                if row > 0 and reached[row - 1].any():
                    filled = self.back[row - 1] > NOTHING
                    found |= (filled & reached[row - 1][:, :, None]).any(axis=-2)
                heights[row][found & (heights[row] == 0)] = height
        return heights

    def _push(self, heights: NDArray[np.int32], height: int) -> None:
        """Move what waits at one height down by one."""
        for row in range(self.rows):
            waits = (heights[row] == height) & (self.excess[row] > NOTHING)
            if not waits.any():
                continue
            if row + 1 == self.rows and height == 1:
                moved = np.where(waits, np.minimum(self.excess[row], self.out), 0)
                self.excess[row] -= moved
                self.out -= moved
                self.arrived += moved.sum(axis=-1)
                continue
            if row + 1 < self.rows:
                lower = (heights[row + 1] == height - 1)[:, None, :]
                room = np.where(lower, self.forth[row], 0)
                moved = _share(np.where(waits, self.excess[row], 0), room)
                self.excess[row] -= moved.sum(axis=-1)
                self.excess[row + 1] += moved.sum(axis=-2)
                self.forth[row] -= moved
                self.back[row] += moved
            if row > 0:
                lower = (heights[row - 1] == height - 1)[:, None, :]
                room = np.where(lower, self.back[row - 1].swapaxes(-1, -2), 0)
                moved = _share(np.where(waits, self.excess[row], 0), room)
                self.excess[row] -= moved.sum(axis=-1)
                self.excess[row - 1] += moved.sum(axis=-2)
                self.back[row - 1] -= moved.swapaxes(-1, -2)
                self.forth[row - 1] += moved.swapaxes(-1, -2)


def _share(amounts: NDArray[Any], room: NDArray[Any]) -> NDArray[np.float64]:
    """Fill pipes in their order, (P, T, T), with what each node has, (P, T), while it lasts."""
    before = np.cumsum(room, axis=-1) - room
    return np.asarray(np.clip(amounts[..., None] - before, 0, room))
