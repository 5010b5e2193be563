"""Which channels of queries and keys a rotary position embedding has rotated together."""

from __future__ import annotations

from dataclasses import dataclass
from reprlib import repr as short
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from attnpanel.attention.validation import check_choice, check_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

RotaryLayout = Literal["half_split", "interleaved"]


@dataclass(frozen=True)
class Rotary:
    """The layout of a rotary position embedding (RoPE): its pairs of channels.

    A pair of channels is a vector in a plane, which is rotated by an angle that grows with the
    token's position. The products of the two channels of a pair therefore mean something together
    only; their sum depends on the distance of the two tokens.

    Attributes
    ----------
    layout : {"half_split", "interleaved"}
        ``"half_split"``: channel i is rotated with ``i + channels / 2``, as in Llama and GPT-NeoX.
        ``"interleaved"``: 2i with ``2i + 1``, as in the paper and in GPT-J.
    channels : int
        Even: the first so many channels are rotated, and those after them are not.

    Raises
    ------
    ValueError
        If `layout` is neither, or `channels` is not even and positive.

    References
    ----------
    Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021, eq. 15.

    Examples
    --------
    >>> Rotary("half_split", 4).pairs.tolist()
    [[0, 2], [1, 3]]
    >>> Rotary("interleaved", 4).pairs.tolist()
    [[0, 1], [2, 3]]
    """

    layout: RotaryLayout
    channels: int

    def __post_init__(self) -> None:
        check_choice("rotary.layout", self.layout, get_args(RotaryLayout))
        check_count("rotary.channels", self.channels)
        if self.channels % 2 or not self.channels:
            raise ValueError(f"rotary.channels must be even and positive; got {self.channels}")

    @property
    def pairs(self) -> NDArray[np.intp]:
        """The channels of each pair, (channels / 2, 2), in the order of their frequencies."""
        channels = np.arange(self.channels, dtype=np.intp)
        if self.layout == "half_split":
            return channels.reshape(2, -1).T
        return channels.reshape(-1, 2)


def check_rotary(rotary: object, head_dim: int | None) -> None:
    """Raise ValueError unless `rotary` is None or a layout of channels that a call has."""
    if rotary is None:
        return
    if not isinstance(rotary, Rotary):
        raise ValueError(f"rotary must be a Rotary or None; got {type(rotary).__name__}")  # noqa: TRY004 - one error type for wrong input
    if rotary.channels > (head_dim or 0):
        raise ValueError(f"rotary.channels must be at most D = {head_dim}; got {rotary.channels}")


def parse_rotary(record: object) -> Rotary:
    """Return the layout in an untrusted record, ``[layout, channels]``, or raise ValueError."""
    if not isinstance(record, list) or len(record) != 2 or not isinstance(record[0], str):
        raise ValueError(f"rotary must be a layout and a number of channels; got {short(record)}")
    return Rotary(*record)
