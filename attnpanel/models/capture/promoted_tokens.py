"""From a head's output to tokens: the final norm of a pass, and the logits it adds most to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor, nn

# Tokens that are listed at each end.
LISTED = 5
# Positions whose norm is compared.
COMPARED = 8
# Numbers of the logits that are held at a time: 64 MB in float32.
MAX_NUMBERS = 1 << 24


@dataclass(frozen=True, eq=False)
class FinalNorm:
    """A norm as it acted on some vectors: ``scale * gain * (x - mean(x)) + bias``.

    Attributes
    ----------
    gain : float32 tensor of shape (d,)
    centred : bool
        Whether the mean was subtracted, as a LayerNorm does and an RMSNorm does not.
    scale : float32 tensor of shape (N,)
        The factor of each vector.
    """

    gain: Tensor
    centred: bool
    scale: Tensor

    def linear(self, vectors: Tensor) -> Tensor:
        """Apply all but the scale and the bias, which is linear, to vectors (…, d)."""
        if self.centred:
            vectors = vectors - vectors.mean(-1, keepdim=True)
        return vectors * self.gain


def find_norm(
    before: Tensor, after: Tensor, modules: Iterable[nn.Module], tolerance: float
) -> FinalNorm | None:
    """Return the norm that made one tensor (N, d) of another, by its numbers; None if none did.

    Tried are the gains and biases of the modules that have no other parameters, with 1 added to the
    gain (as in Gemma) and without, and no gain.
    """
    import torch

    before, after = before.detach().float(), after.detach().float()
    at = torch.linspace(0, len(before) - 1, min(COMPARED, len(before))).long().to(before.device)
    target = after[at]
    best: tuple[float, Tensor, Tensor, bool] | None = None
    for gain, bias in _gains(modules, before):
        for centred in (True, False):
            scaled = FinalNorm(gain, centred, gain).linear(before[at])
            squares = (scaled * scaled).sum(-1)
            scale = ((target - bias) * scaled).sum(-1) / squares
            error = (target - bias - scale[:, None] * scaled).abs().max() / target.abs().max()
            if (scale > 0).all() and (best is None or float(error) < best[0]):
                best = float(error), gain, bias, centred
    if best is None or not best[0] <= tolerance:
        return None
    _, gain, bias, centred = best
    scaled = FinalNorm(gain, centred, gain).linear(before)
    scale = ((after - bias) * scaled).sum(-1) / (scaled * scaled).sum(-1)
    return FinalNorm(gain, centred, scale)


def _gains(modules: Iterable[nn.Module], like: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    import torch

    size = like.shape[-1]
    none = torch.zeros(size, device=like.device)
    yield none + 1, none
    for module in modules:
        own = dict(module.named_parameters())
        gain, bias = own.pop("weight", None), own.pop("bias", None)
        if own or gain is None or gain.shape != (size,) or gain.device != like.device:
            continue
        added = none if bias is None else bias.detach().float()
        yield gain.detach().float(), added
        yield gain.detach().float() + 1, added


def promoted(rows: Tensor, basis: Tensor, unembedding: Tensor) -> tuple[Tensor, Tensor]:
    """Return the tokens of the largest and of the smallest logits, and these, in descending order.

    Parameters
    ----------
    rows : float32 tensor of shape (N, Dv)
    basis : float32 tensor of shape (Dv, d)
        What becomes of each channel of a row.
    unembedding : tensor of shape (V, d)

    Returns
    -------
    int64 tensor and float32 tensor of shape (N, K)
        K is twice the number listed at each end.
    """
    import torch

    size = len(unembedding)
    listed = min(LISTED, size // 2)
    step = max(MAX_NUMBERS // max(len(rows), *basis.shape), 2 * listed, 1)
    vectors = rows @ basis if len(rows) < len(basis) else None
    ends = []
    for largest in (True, False):
        ids = torch.empty(len(rows), 0, dtype=torch.int64, device=rows.device)
        ends.append((largest, ids, torch.empty(len(rows), 0, device=rows.device)))
    for start in range(0, size, step):
        part = unembedding[start : start + step].detach().float().mT
        logits = rows @ (basis @ part) if vectors is None else vectors @ part
        for end, (largest, ids, kept) in enumerate(ends):
            found = logits.topk(min(listed, logits.shape[-1]), largest=largest)
            values = torch.cat([kept, found.values], dim=-1)
            places = torch.cat([ids, found.indices + start], dim=-1)
            best = values.topk(min(listed, values.shape[-1]), largest=largest)
            ends[end] = largest, places.gather(-1, best.indices), best.values
    (_, high_ids, high), (_, low_ids, low) = ends
    return torch.cat([high_ids, low_ids.flip(-1)], -1), torch.cat([high, low.flip(-1)], -1)
