"""Heads that a model folds into the batch, (B · H, T, D), told apart again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from attnpanel.rules import check_count

if TYPE_CHECKING:
    from torch import Tensor, nn

    from attnpanel.sources.capture_seen import SeenCall

# What model code calls its number of heads, where it folds them into the batch.
HEAD_COUNTS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "nhead", "heads")


def check_folded_heads(told: int | None) -> None:
    """Refuse what is no number of heads."""
    if told is not None:
        check_count("folded_heads", told)
        if told < 1:
            raise ValueError(f"folded_heads must be at least 1; got {told}")


def heads_in_batch(batch: int, modules: tuple[nn.Module, ...], told: int | None = None) -> int:
    """How many heads a batch of three axes holds for each sequence.

    Parameters
    ----------
    batch : int
        B · H.
    modules : tuple of torch.nn.Module
        The modules that are running: the innermost, or its `config`, may name the number.
    told : int, optional
        The number, where the caller knows it.

    Raises
    ------
    ValueError
        If the batch does not hold so many as were told.
    """
    if told is not None:
        if batch % told:
            raise ValueError(f"folded_heads={told} must divide the batch, B · H; got {batch}")
        return told
    named: list[Any] = [
        getattr(owner, name, None)
        for module in modules[:1]
        for owner in (module, getattr(module, "config", None))
        for name in HEAD_COUNTS
    ]
    return next((n for n in named if type(n) is int and n > 0 and batch % n == 0), 1)


def unfolded(seen: SeenCall, heads: int) -> SeenCall:
    """Return a call of shape (B · H, 1, T, D) with its heads on an axis of their own."""
    if not seen.folded or heads == 1:
        return seen
    batch = seen.query.shape[0]

    def split(tensor: Tensor | None) -> Tensor | None:
        """Leave what is the same for the whole batch as it is."""
        if tensor is None or tensor.dim() < 4 or tensor.shape[0] != batch:
            return tensor
        return tensor.reshape(batch // heads, heads, *tensor.shape[2:])

    parts = {name: split(getattr(seen, name)) for name in ("query", "key", "value", "weights")}
    return replace(
        seen,
        **parts,  # type: ignore[arg-type]  # a dict loses which of them may be None
        mask=split(seen.mask),
        bias=split(seen.bias),
        folded=False,
    )
