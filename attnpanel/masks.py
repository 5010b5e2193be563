"""Which query may attend to which key: the mask kinds, as boolean matrices.

True always means *may attend*, as in PyTorch's scaled_dot_product_attention.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MaskName = Literal["none", "padding", "causal", "key_padding", "window"]
Align = Literal["top_left", "bottom_right"]


@dataclass(frozen=True)
class MaskKind:
    """One row of the table of masks.

    Attributes
    ----------
    kind : str
        What :func:`make_mask` takes.
    label : str
        What a menu shows.
    description : str
        One sentence for a tooltip.
    needs : tuple of str
        The parameters of :func:`make_mask` without which this kind has no meaning.
    """

    kind: MaskName
    label: str
    description: str
    needs: tuple[str, ...] = ()


MASKS: tuple[MaskKind, ...] = (
    MaskKind("none", "none", "Every query sees every key."),
    MaskKind(
        "padding",
        "padding",
        "Padded positions neither attend nor are attended to, so their rows are empty.",
        ("pad_len",),
    ),
    MaskKind("causal", "causal", "A query sees its own position and the ones before it."),
    MaskKind(
        "key_padding",
        "key padding",
        "No query sees a padded key; padded queries still attend, as in most models.",
        ("pad_len",),
    ),
    MaskKind(
        "window",
        "window",
        "A query sees the keys fewer than `window` positions away, on both sides.",
        ("window",),
    ),
)


def make_mask(
    kind: MaskName,
    query_len: int,
    key_len: int | None = None,
    *,
    pad_len: int | None = None,
    window: int | None = None,
    align: Align = "top_left",
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

    Parameters
    ----------
    kind : {"none", "padding", "causal", "key_padding", "window"}
        See :data:`MASKS` for what each needs.
    query_len : int
        T, at least 1, in tokens.
    key_len : int, optional
        S, at least 1, in tokens. Defaults to `query_len`.
    pad_len : int, optional
        How many leading positions are real, in tokens: 0 to S for ``"key_padding"``, 0 to the
        longer of T and S for ``"padding"``. Other kinds ignore it.
    window : int, optional
        At least 1, in tokens; other kinds than ``"window"`` ignore it.
    align : {"top_left", "bottom_right"}, optional
        Where the diagonal of ``"causal"`` and ``"window"`` starts when T and S differ:
        ``"top_left"`` is PyTorch's ``is_causal``, ``"bottom_right"`` lets the last query see
        the last key, as flash-attention and decoding with a cache do. Other kinds ignore it.

    Returns
    -------
    bool array of shape (T, S)

    Raises
    ------
    ValueError
        For an unknown kind or alignment, a length below 1, or a parameter the kind needs that
        is missing or out of range. The message names the rule and the value.

    References
    ----------
    PyTorch documentation, ``torch.nn.functional.scaled_dot_product_attention`` and
    ``torch.nn.attention.bias``; Jiang et al., "Mistral 7B", 2023, section 2.

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
    if kind not in get_args(MaskName):
        raise ValueError(f"kind must be one of {', '.join(get_args(MaskName))}; got {kind!r}")
    if align not in get_args(Align):
        raise ValueError(f"align must be 'top_left' or 'bottom_right'; got {align!r}")
    key_len = query_len if key_len is None else key_len
    _check_int("query_len", query_len, 1)
    _check_int("key_len", key_len, 1)

    query_index = np.arange(query_len)[:, None]  # (T, 1)
    key_index = np.arange(key_len)[None, :]  # (1, S)
    position = query_index + (key_len - query_len if align == "bottom_right" else 0)
    visible = np.ones((query_len, key_len), dtype=bool)
    match kind:
        case "none":
            pass
        case "padding":
            real = _check_int("pad_len", pad_len, 0, max(query_len, key_len))
            visible = (query_index < real) & (key_index < real)
        case "key_padding":
            visible &= key_index < _check_int("pad_len", pad_len, 0, key_len)
        case "causal":
            visible = key_index <= position
        case "window":
            visible = np.abs(position - key_index) < _check_int("window", window, 1)
    return visible


def _check_int(name: str, value: object, low: int, high: int | None = None) -> int:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, np.integer))
        or value < low
        or (high is not None and value > high)
    ):
        rule = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name} must be an integer {rule}; got {value!r}")
    return int(value)
