"""Copy tensors into read-only NumPy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

HALF_MAX = 65504.0  # the largest float16


def fits_half(tensor: Tensor) -> bool:
    """Whether float16 can hold a tensor's numbers."""
    import torch

    if tensor.dtype == torch.float16 or tensor.numel() == 0:
        return True
    low, high = torch.aminmax(tensor.detach())
    return bool(low >= -HALF_MAX and high <= HALF_MAX)


def half_or_float(*, half: bool) -> Any:
    """Return torch's dtype for stored arrays."""
    import torch

    return torch.float16 if half else torch.float32


def copy_tensor(tensor: Tensor, dtype: Any) -> NDArray[Any]:
    """Copy into a read-only array: caches and in-place operations may change the tensor later."""
    import torch

    # NumPy asks Linux for huge pages and torch does not: allocating takes half as long.
    array = np.empty(tuple(tensor.shape), dtype=str(dtype).removeprefix("torch."))
    torch.from_numpy(array).copy_(tensor.detach())
    array.flags.writeable = False
    return array
