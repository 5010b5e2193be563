"""Products of tensors in torch's spellings, and what their sides are in attention."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Product:
    """A batched matrix product ``left @ right``, or an einsum of two operands.

    Attributes
    ----------
    left, right : tensors
        As they were given.
    equation : (str, str, str) or None
        The letters of an einsum: left, right, result.
    scale : float
        What the product is multiplied by at once.
    added : tensor or None
        What is added to it at once.
    """

    left: Tensor
    right: Tensor
    equation: tuple[str, str, str] | None = None
    scale: float = 1.0
    added: Tensor | None = None

    @property
    def activations(self) -> bool:
        """Whether the right side is of this run; by a parameter or its view it is a linear layer.

        On the left a parameter may stand: learned queries.
        """
        from torch.nn import Parameter

        base = self.right._base if self.right._base is not None else self.right  # noqa: SLF001 - torch has no public way
        return not isinstance(base, Parameter)

    @property
    def mixes_values(self) -> bool:
        """Whether weights (…, T, S) on the left are summed over S, and over nothing else."""
        if self.equation is None:
            return True
        weights, value, made = self.equation
        row, column = weights[-2], weights[-1]
        return column in value and column not in made and row in made and row not in value

    def query_and_key(self) -> tuple[Tensor | None, Tensor | None]:
        """Return (…, T, D) and (…, S, D), or None twice where this can't be their scores."""
        if self.equation is None:
            if min(self.left.dim(), self.right.dim()) < 2:
                return None, None
            return self.left, self.right.transpose(-2, -1)
        one, other, made = self.equation
        if len(made) < 2:
            return None, None
        rows, columns = made[-2], made[-1]
        operands = {one: self.left, other: self.right}
        sides = {letter: [x for x in operands if letter in x] for letter in (rows, columns)}
        if any(len(found) != 1 for found in sides.values()) or sides[rows] == sides[columns]:
            return None, None
        lead = made[:-2]
        if not set(lead) <= set(one) | set(other):
            return None, None
        query = _arranged(operands[sides[rows][0]], sides[rows][0], lead, rows)
        key = _arranged(operands[sides[columns][0]], sides[columns][0], lead, columns)
        return query, key

    def of_result(self, flags: Tensor) -> Tensor | None:
        """Spread a flag for each of the left side's leading axes over the result.

        Returns
        -------
        tensor that broadcasts to the result, or None
            None where the product sums over one of those axes.
        """
        if self.equation is None:
            return flags[..., None, None]
        left, _, made = self.equation
        lead = left[:-2]
        if not set(lead) <= set(made):
            return None
        moved = flags.permute([lead.index(letter) for letter in made if letter in lead])
        sizes = iter(moved.shape)
        return moved.reshape([next(sizes) if letter in lead else 1 for letter in made])

    def value(self) -> Tensor:
        """Return (…, S, Dv), where the left side holds weights (…, T, S)."""
        if self.equation is None:
            return self.right
        weights, value, _ = self.equation
        return _arranged(self.right, value, weights[:-2], weights[-1])


def _arranged(tensor: Tensor, letters: str, lead: str, kept: str) -> Tensor:
    """Bring an operand's axes into the order lead, kept, all others together as one."""
    others = sorted(letter for letter in letters if letter not in lead and letter != kept)
    shared = [letter for letter in lead if letter in letters]
    moved = tensor.permute([letters.index(letter) for letter in (*shared, kept, *others)])
    whole = moved.flatten(len(shared) + 1) if others else moved.unsqueeze(-1)
    for at, letter in enumerate(lead):
        if letter not in letters:
            whole = whole.unsqueeze(at)
    return whole


def product_of(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Product | None:
    """Read a call of a torch function as a product of two tensors; None if it is none."""
    kind = _spellings().get(func)
    if kind is None:
        return None
    try:
        return kind(*args, **kwargs)
    except TypeError:
        # A spelling that is not known: not followed.
        return None


@cache
def _spellings() -> dict[Any, Callable[..., Product | None]]:
    import torch

    tensor = torch.Tensor
    found: dict[Any, Callable[..., Product | None]] = dict.fromkeys(
        (torch.matmul, tensor.matmul, tensor.__matmul__), _matmul
    )
    found |= dict.fromkeys((torch.bmm, tensor.bmm), _bmm)
    found |= dict.fromkeys((torch.baddbmm, tensor.baddbmm), _baddbmm)
    found[torch.einsum] = _einsum
    return found


def _matmul(input: Tensor, other: Tensor, **_: Any) -> Product:  # noqa: A002 - torch's signature
    return Product(input, other)


def _bmm(input: Tensor, mat2: Tensor, **_: Any) -> Product:  # noqa: A002 - torch's signature
    return Product(input, mat2)


def _baddbmm(
    input: Tensor,  # noqa: A002 - torch's signature
    batch1: Tensor,
    batch2: Tensor,
    *,
    beta: float = 1.0,
    alpha: float = 1.0,
    **_: Any,
) -> Product:
    # With beta 0 torch does not read the input, whatever it holds.
    added = None if float(beta) == 0 else input * beta
    return Product(batch1, batch2, scale=float(alpha), added=added)


def _einsum(equation: Any, *operands: Any) -> Product | None:
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    if not isinstance(equation, str) or len(operands) != 2 or "->" not in equation:
        return None
    inputs, made = equation.replace(" ", "").split("->")
    one, _, other = inputs.partition(",")
    if "..." in equation:
        # The same leading axes on all: they get letters that no equation uses.
        extra = operands[0].dim() - (len(one) - 3)
        if "..." not in one or "..." not in other or operands[1].dim() - (len(other) - 3) != extra:
            return None
        letters = "".join(chr(0x3B1 + at) for at in range(extra))
        one, other, made = (part.replace("...", letters) for part in (one, other, made))
    if len(set(one)) != len(one) or len(set(other)) != len(other):
        return None
    return Product(operands[0], operands[1], (one, other, made))
