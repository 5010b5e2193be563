"""Which query may attend to which key: masks as boolean matrices, and the rules behind them.

True always means *may attend*, as in PyTorch's scaled_dot_product_attention.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from attnpanel.attention.mask_rules import evaluate
from attnpanel.attention.mask_table import check_int, find_mask, mask_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from attnpanel.attention.mask_rules import Where
    from attnpanel.attention.mask_table import MaskKind, MaskName

Align = Literal["top_left", "bottom_right"]
# Cells of a mask that are made at once to count the pairs it lets through.
COUNTED_CELLS = 2**24


@dataclass(frozen=True)
class VisibleKeys:
    """A mask kind at given lengths, without the mask: what each query sees.

    Attributes
    ----------
    row : MaskKind
    query_len, key_len : int
    past : int
        The key position that query 0 stands at: 0, or ``key_len - query_len`` for a diagonal that
        ends at the bottom right.
    parameters : mapping
        The values of the kind's parameters by name.
    """

    row: MaskKind
    query_len: int
    key_len: int
    past: int
    parameters: Mapping[str, Any]

    def sees(self, query_index: Any, key_index: Any, where: Where = np.where) -> Any:
        """Whether queries see keys, by their indices: integers, arrays or tensors that broadcast.

        `where` is ``torch.where`` for tensors.
        """
        names = self._names(query_index)
        row = self.row
        first, stop = (evaluate(tree, names, where) for tree in (row.first_tree, row.stop_tree))
        # What holds for every key is left out: a compiled rule is as short as one by hand.
        seen = None if row.stop_tree == "S" else key_index < stop
        if row.first_tree != 0 or seen is None:
            seen = (first <= key_index) if seen is None else (first <= key_index) & seen
        if row.only_tree is not None:
            seen = seen & evaluate(row.only_tree, {**names, "j": key_index}, where)
        return seen

    def interval(self, queries: range | None = None) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return each query's first key and the one after its last, inside 0..S, shape (t,).

        Keys of an interval may be hidden where the row has a condition (`MaskKind.only`).
        """
        taken = range(self.query_len) if queries is None else queries
        names = self._names(np.arange(taken.start, taken.stop))
        ends = (self.row.first_tree, self.row.stop_tree)
        first, stop = (np.clip(evaluate(end, names), 0, self.key_len) for end in ends)
        shape = (len(taken),)
        return np.broadcast_to(first, shape), np.broadcast_to(stop, shape)

    def mask(self, queries: range | None = None) -> NDArray[np.bool_]:
        """Return the mask of all or some queries, of shape (t, S)."""
        taken = range(self.query_len) if queries is None else queries
        query_index = np.arange(taken.start, taken.stop)[:, None]
        seen: NDArray[np.bool_] = self.sees(query_index, np.arange(self.key_len)[None, :])
        shape = (len(taken), self.key_len)
        return seen if seen.shape == shape else np.array(np.broadcast_to(seen, shape))

    def pairs(self) -> int:
        """Return how many pairs of query and key are seen, without making the whole mask."""
        if self.row.only_tree is None and self.row.same_for_all:
            first, stop = self.interval(range(1))
            return self.query_len * max(0, int(stop[0]) - int(first[0]))
        if self.row.only_tree is None:
            first, stop = self.interval()
            return int(np.maximum(stop - first, 0).sum())
        step = max(1, COUNTED_CELLS // self.key_len)
        starts = range(0, self.query_len, step)
        blocks = (range(start, min(start + step, self.query_len)) for start in starts)
        return sum(int(self.mask(block).sum()) for block in blocks)

    def _names(self, query_index: Any) -> dict[str, Any]:
        lengths = {"T": self.query_len, "S": self.key_len}
        return {**lengths, "i": query_index, "p": query_index + self.past, **self.parameters}


def visible_keys(
    kind: MaskName,
    query_len: int,
    key_len: int,
    *,
    align: Align = "top_left",
    **parameters: object,
) -> VisibleKeys:
    """Return which keys each query sees under one kind; arguments as of :func:`make_mask`."""
    row = find_mask(kind)
    if align not in get_args(Align):
        raise ValueError(f"align must be 'top_left' or 'bottom_right'; got {align!r}")
    unknown = set(parameters) - set(mask_parameters())
    if unknown:
        raise TypeError(f"no mask kind has a parameter called {min(unknown)!r}")
    check_int("query_len", query_len, 1)
    check_int("key_len", key_len, 1)
    values = {
        parameter.name: parameter.check(parameters.get(parameter.name), query_len, key_len)
        for parameter in row.parameters
    }
    past = key_len - query_len if align == "bottom_right" else 0
    return VisibleKeys(row, query_len, key_len, past, values)


def make_mask(
    kind: MaskName,
    query_len: int,
    key_len: int | None = None,
    *,
    align: Align = "top_left",
    **parameters: object,
) -> NDArray[np.bool_]:
    """Boolean attention mask of one kind; True where a query may attend to a key.

    With `i` the query index, `j` the key index, and `p` the key position that query `i`
    stands at (`i` for ``align="top_left"``, ``i + key_len - query_len`` for
    ``"bottom_right"``), the visible pairs are

    - ``"none"``: all
    - ``"padding"``: ``i < pad_len`` and ``j < pad_len``; the other rows are empty
    - ``"key_padding"``: ``j < pad_len``
    - ``"causal"``: ``j <= p``
    - ``"window"``: ``|p - j| < window``, so ``window=1`` is the diagonal. The causal sliding
      window of Mistral 7B, ``p - window < j <= p``, is this one ``&`` the causal one.
    - ``"prefix"``: ``j <= p`` or ``j < prefix_len``, as a prefix language model has it
    - ``"documents"``: `j` and `p` in one document, as in packed sequences; a new one begins at
      each of `starts`. ``"causal_documents"``: and ``j <= p``.

    Parameters
    ----------
    kind : {"none", "padding", "causal", "key_padding", "window", "prefix", "documents", ...}
        The kinds of :data:`attnpanel.attention.mask_table.MASKS`.
    query_len : int
        T, at least 1, in tokens.
    key_len : int, optional
        S, at least 1, in tokens. Defaults to `query_len`.
    align : {"top_left", "bottom_right"}, optional
        Where the diagonal of kinds that have one starts when T and S differ:
        ``"top_left"`` is PyTorch's ``is_causal``, ``"bottom_right"`` lets the last query see
        the last key, as flash-attention and decoding with a cache do. Other kinds ignore it.
    **parameters
        What the kind needs, by name, as below; those of other kinds are ignored.
    pad_len : int, optional
        How many leading positions are real, in tokens: 0 to S for ``"key_padding"``, 0 to the
        longer of T and S for ``"padding"``. Other kinds ignore it.
    window : int, optional
        At least 1, in tokens; other kinds than ``"window"`` ignore it.
    prefix_len : int, optional
        0 to S, in tokens; other kinds than ``"prefix"`` ignore it.
    starts : sequence of int, optional
        Increasing key positions, 0 to S, at which documents after the first begin; kinds without
        documents ignore it.

    Returns
    -------
    bool array of shape (T, S)

    Raises
    ------
    ValueError
        For an unknown kind or alignment, a length below 1, or a parameter the kind needs that
        is missing or out of range. The message names the rule and the value.
    TypeError
        For a keyword that no kind needs.

    References
    ----------
    PyTorch documentation, ``torch.nn.functional.scaled_dot_product_attention`` and
    ``torch.nn.attention.bias``; Jiang et al., "Mistral 7B", 2023, section 2; Raffel et al.,
    "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", 2020,
    section 3.2 (prefix LM).

    Examples
    --------
    >>> make_mask("causal", 2, 3).astype(int)
    array([[1, 0, 0],
           [1, 1, 0]])
    >>> make_mask("causal", 2, 3, align="bottom_right").astype(int)
    array([[1, 1, 0],
           [1, 1, 1]])
    >>> (make_mask("window", 4, window=2) & make_mask("causal", 4)).astype(int)
    array([[1, 0, 0, 0],
           [1, 1, 0, 0],
           [0, 1, 1, 0],
           [0, 0, 1, 1]])
    """
    keys = query_len if key_len is None else key_len
    return visible_keys(kind, query_len, keys, align=align, **parameters).mask()
