"""The error of a sum of nearly equal weights, each addition of which is rounded alike.

A unit takes rounding errors for random, so that a sum of n terms errs by a few roundoffs. Nearly
equal terms are rounded alike. Let a sum of n equal terms reach ``2^k x`` with ``1 <= x < 2``, one
term after the other. Partial sums are multiples of their last bit, so each addition errs by what
rounding the term to that grid errs, always in the same direction. The last ``n (1 - 1/x)``
additions err by up to half a last bit, ``2^k u``; the ``n / 2x`` before them, whose sums are below
``2^k``, by half of that, and so on. Relative to the sum that is::

    n u / x · ((1 - 1/x) + (1/4 + 1/16 + …) / x) = n u (1/x - 2 / 3x²) <= 3/8 n u    (x = 4/3)

Sums in blocks of b terms err by ``3/8 (b + n/b) u``, pairwise ones by ``u log2 n``, as a unit has
it. A kernel need not say how it sums, so the first is allowed: once where the normaliser matters
(weights, log-sum-exp), twice for a sum of weights.

Terms are rounded alike as far as their remainders after the last bit h agree, which
``a = |mean_j exp(2 pi i P_j / h)|`` measures: 1 of equal terms, and about ``1 / sqrt(n)`` where
they spread over a last bit or more. The sum errs by ``a`` times the bound. h depends on how weights
are scaled before they are summed, so the largest a of several h counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Last bits of a sum, relative to it and to the roundoff: from 1 to 2, and of the binade before.
LAST_BITS: Final = 2.0 ** (np.arange(-4, 5) / 4)
# a² of n random remainders is exponential with mean 1 / n, so exceeds this with probability e^-9.
RANDOM: Final = 9.0


def alike_error(
    weights: NDArray[np.floating], visible: NDArray[np.bool_], roundoff: float
) -> NDArray[np.floating]:
    """Return the relative error of a row's sum that rounding alike explains, (T,).

    Parameters
    ----------
    weights : float array of shape (T, S)
        Of the reference.
    visible : bool array of shape (T, S)
    roundoff : float
        Unit roundoff of the sums' arithmetic.
    """
    count = np.maximum(visible.sum(axis=-1), 1)
    alike = np.zeros(count.shape)
    for last_bit in roundoff * LAST_BITS:
        turns = 2 * np.pi * np.modf(weights / last_bit)[0]
        cosine, sine = (np.where(visible, f(turns), 0).sum(axis=-1) for f in (np.cos, np.sin))
        alike = np.maximum(alike, (cosine**2 + sine**2) / count**2)
    found = 3 / 8 * count * roundoff * np.sqrt(np.maximum(alike - RANDOM / count, 0))
    return np.asarray(found)
