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
# Logits whose largest is looked for at once.
BLOCK = 64
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


def promoted(
    rows: Tensor, basis: Tensor, unembedding: Tensor, seen: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the tokens of the largest and of the smallest logits, and these, in descending order.

    Parameters
    ----------
    rows : float32 tensor of shape (G, N, Dv)
        For each head.
    basis : float32 tensor of shape (G, Dv, d)
        What becomes of each channel of a row.
    unembedding : tensor of shape (V, d)
    seen : float32 tensor of shape (G, N - S, S), optional
        The rows from S on as sums of the first S, which are fewer than Dv: spares their products.

    Returns
    -------
    int64 tensor and float32 tensor of shape (G, N, K)
        K is twice the number listed at each end.
    """
    import torch

    groups, count, _ = rows.shape
    size, listed = len(unembedding), min(LISTED, len(unembedding) // 2)
    vectors = basis if seen is None else rows[:, : seen.shape[-1]] @ basis
    step = max(MAX_NUMBERS // (groups * vectors.shape[1] + count), 2 * listed, 1)
    ids = torch.empty(2, groups, count, 0, dtype=torch.int64, device=rows.device)
    kept = torch.empty(2, groups, count, 0, device=rows.device)
    for start in range(0, size, step):
        part = unembedding[start : start + step].detach().float().mT
        products = (vectors.flatten(0, 1) @ part).view(*vectors.shape[:2], -1)
        found = [
            _ends(own @ part_of if seen is None else torch.cat([part_of, own @ part_of]), listed)
            for own, part_of in zip(rows if seen is None else seen, products, strict=True)
        ]
        values = torch.cat([kept, torch.stack([x for x, _ in found], 1)], -1)
        places = torch.cat([ids, torch.stack([x for _, x in found], 1) + start], -1)
        sign = torch.tensor([1.0, -1.0], device=rows.device)[:, None, None, None]
        order = (values * sign).topk(min(listed, values.shape[-1])).indices
        ids, kept = places.gather(-1, order), values.gather(-1, order)
    return torch.cat([ids[0], ids[1].flip(-1)], -1), torch.cat([kept[0], kept[1].flip(-1)], -1)


def _ends(logits: Tensor, listed: int) -> tuple[Tensor, Tensor]:
    """Return the largest of logits (N, V), the smallest, and where they are: (2, N, K) each.

    The largest are in the blocks with the largest maxima, of which only as many are searched.
    """
    import torch

    whole = logits.shape[-1] // BLOCK * BLOCK
    blocks = logits[:, :whole].view(len(logits), whole // BLOCK, BLOCK)
    rest = logits[:, whole:]
    count = min(listed, blocks.shape[1])
    found = []
    for largest in (True, False):
        extremes = blocks.amax(-1) if largest else blocks.amin(-1)
        best = extremes.topk(count, largest=largest).indices
        inside = blocks.gather(1, best[..., None].expand(-1, -1, BLOCK)).flatten(1)
        places = best[..., None] * BLOCK + torch.arange(BLOCK, device=best.device)
        after = torch.arange(whole, logits.shape[-1], device=best.device).expand(len(rest), -1)
        places = torch.cat([places.flatten(1), after], -1)
        top = torch.cat([inside, rest], -1).topk(min(listed, logits.shape[-1]), largest=largest)
        found.append((top.values, places.gather(-1, top.indices)))
    return torch.stack([x for x, _ in found]), torch.stack([x for _, x in found])
