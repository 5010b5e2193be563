"""Factors of heads' outputs: one number, or one for each sequence and head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.attention.validation import check_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from attnpanel.models.intervene.target import CallTarget


@dataclass(frozen=True, eq=False)
class ScaleRule:
    """Factors of the chosen heads' outputs.

    Attributes
    ----------
    array : float array broadcastable to (B, chosen heads)
    """

    array: NDArray[np.floating]

    def factors(self, target: CallTarget, heads: Sequence[int]) -> Tensor:
        """Return the factors of the chosen heads of one call, of shape (B, heads).

        Raises
        ------
        ValueError
            If the array does not broadcast to that shape.
        """
        full = (target.batch, len(heads))
        return target.broadcast("scale", self.array, "(B, chosen heads)", full)


def scale_rule(scale: Any) -> ScaleRule | None:
    """Check the `scale` of :func:`attnpanel.intervene`; None if it changes nothing.

    Raises
    ------
    ValueError
        If it is neither a finite number nor an array of finite numbers.
    """
    if np.ndim(scale) == 0 and not hasattr(scale, "detach"):
        check_number("scale", scale)
        return None if scale == 1 else ScaleRule(np.array(float(scale)))
    array = np.asarray(scale.detach().cpu() if hasattr(scale, "detach") else scale)
    if not np.issubdtype(array.dtype, np.floating) or array.ndim > 2:
        raise ValueError(
            "scale must be a number or a float array of up to two axes, (B, chosen heads); "
            f"got {array.dtype} of shape {array.shape}"
        )
    if not np.isfinite(array).all():
        raise ValueError("scale must be finite throughout; got nan or inf")
    return None if (array == 1).all() else ScaleRule(array)
