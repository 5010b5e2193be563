"""Read calls of torch's matrix products, and what their sides are in attention."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
        The operands as they were passed.
    equation : (str, str, str) or None
        The subscripts of an einsum: left, right, result.
    scale : float
        Factor that the function itself applies to the product.
    added : tensor or None
        Tensor that the function itself adds to the product.
    """

    left: Tensor
    right: Tensor
    equation: tuple[str, str, str] | None = None
    scale: float = 1.0
    added: Tensor | None = None

    @property
    def activations(self) -> bool:
        """Whether the right side is an activation; a parameter or its view makes a linear layer.

        The left side may be a parameter: learned queries.
        """
        from torch.nn import Parameter

        base = self.right._base if self.right._base is not None else self.right  # noqa: SLF001 - torch has no public name
        return not isinstance(base, Parameter)

    @property
    def mixes_values(self) -> bool:
        """Whether weights (…, T, S) on the left are summed over S and over nothing else."""
        if self.equation is None:
            return True
        weights, value, result = self.equation
        row, column = weights[-2], weights[-1]
        return column in value and column not in result and row in result and row not in value

    def query_and_key(self) -> tuple[Tensor | None, Tensor | None]:
        """Return (…, T, D) and (…, S, D), or None twice if this cannot be their scores."""
        if self.equation is None:
            if min(self.left.dim(), self.right.dim()) < 2:
                return None, None
            return self.left, self.right.transpose(-2, -1)
        left, right, result = self.equation
        if len(result) < 2:
            return None, None
        rows, columns = result[-2], result[-1]
        operands = {left: self.left, right: self.right}
        sides = {letter: [x for x in operands if letter in x] for letter in (rows, columns)}
        if any(len(found) != 1 for found in sides.values()) or sides[rows] == sides[columns]:
            return None, None
        lead = result[:-2]
        if not set(lead) <= set(left) | set(right):
            return None, None
        query = _arrange(operands[sides[rows][0]], sides[rows][0], lead, rows)
        key = _arrange(operands[sides[columns][0]], sides[columns][0], lead, columns)
        return query, key

    @property
    def scores_own_keys(self) -> bool:
        """Whether each query is multiplied with keys of its own, such as those of a window."""
        if self.equation is None or len(self.equation[2]) < 2:
            return False
        left, right, result = self.equation
        row, column = result[-2], result[-1]
        own = row in left and row in right and (column in left) != (column in right)
        return own and self.sums_one_axis

    @property
    def scores_in_another_order(self) -> bool:
        """Whether this may be scores whose last two axes are not those of queries and keys."""
        if self.equation is None:
            return False
        left, right, result = self.equation
        rows = [x for x in result if x in left and x not in right]
        columns = [x for x in result if x in right and x not in left]
        moved = {*rows, *columns} != set(result[-2:])
        return len(rows) == len(columns) == 1 and moved and self.sums_one_axis

    @property
    def sums_one_axis(self) -> bool:
        """Whether something of length above 1 is summed: D of query and key."""
        if self.equation is None:
            return self.left.shape[-1] > 1
        left, right, result = self.equation
        sizes = dict(zip(left, self.left.shape, strict=False))
        return any(
            letter in right and letter not in result and sizes[letter] > 1 for letter in sizes
        )

    def swapped(self) -> Product:
        """Return the same product with its sides exchanged: ``right.mT @ left.mT`` of a matmul."""
        if self.equation is None:
            return replace(self, left=self.right.mT, right=self.left.mT)
        left, right, result = self.equation
        return replace(self, left=self.right, right=self.left, equation=(right, left, result))

    def expand_to_result(self, flags: Tensor) -> Tensor | None:
        """Broadcast a flag for each of the left side's leading axes over the result.

        Returns
        -------
        tensor that broadcasts to the result, or None
            None if the product sums over one of those axes.
        """
        if self.equation is None:
            return flags[..., None, None]
        left, _, result = self.equation
        lead = left[:-2]
        if not set(lead) <= set(result):
            return None
        moved = flags.permute([lead.index(letter) for letter in result if letter in lead])
        sizes = iter(moved.shape)
        return moved.reshape([next(sizes) if letter in lead else 1 for letter in result])

    def value(self) -> Tensor:
        """Return (…, S, Dv), if the left side holds weights (…, T, S)."""
        if self.equation is None:
            return self.right
        weights, value, _ = self.equation
        return _arrange(self.right, value, weights[:-2], weights[-1])


def _arrange(tensor: Tensor, letters: str, lead: str, kept: str) -> Tensor:
    """Permute an operand's axes to: lead, kept, and all others flattened into one."""
    others = sorted(letter for letter in letters if letter not in lead and letter != kept)
    shared = [letter for letter in lead if letter in letters]
    moved = tensor.permute([letters.index(letter) for letter in (*shared, kept, *others)])
    arranged = moved.flatten(len(shared) + 1) if others else moved.unsqueeze(-1)
    for axis, letter in enumerate(lead):
        if letter not in letters:
            arranged = arranged.unsqueeze(axis)
    return arranged


def product_of(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Product | None:
    """Read a call of a torch function as a product of two tensors; None if it is not one."""
    reader = _readers().get(func)
    if reader is None:
        return None
    try:
        return reader(*args, **kwargs)
    except TypeError:
        # Arguments in a form that the readers below do not know.
        return None


@cache
def _readers() -> dict[Any, Callable[..., Product | None]]:
    import torch

    tensor = torch.Tensor
    readers: dict[Any, Callable[..., Product | None]] = dict.fromkeys(
        (torch.matmul, tensor.matmul, tensor.__matmul__, torch.linalg.matmul), _matmul
    )
    readers |= dict.fromkeys((torch.bmm, tensor.bmm, torch.mm, tensor.mm), _bmm)
    readers |= dict.fromkeys((torch.baddbmm, tensor.baddbmm), _baddbmm)
    readers |= dict.fromkeys((torch.addmm, tensor.addmm), _addmm)
    readers[torch.einsum] = _einsum
    readers[torch.tensordot] = _tensordot
    return readers


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
    # With beta 0 torch ignores the input, even nan and inf.
    added = None if float(beta) == 0 else input * beta
    return Product(batch1, batch2, scale=float(alpha), added=added)


def _addmm(
    input: Tensor,  # noqa: A002 - torch's signature
    mat1: Tensor,
    mat2: Tensor,
    **factors: Any,
) -> Product | None:
    product = _baddbmm(input, mat1, mat2, **factors)
    return product if product.activations else None  # else a linear layer


def _tensordot(a: Tensor, b: Tensor, dims: Any = 2, **_: Any) -> Product | None:
    """Read a tensordot as the einsum that it is."""
    if isinstance(dims, int):
        dims = (range(a.dim() - dims, a.dim()), range(dims))
    if len(dims) != 2:
        return None
    summed = [[dims[i]] if isinstance(dims[i], int) else list(dims[i]) for i in (0, 1)]
    left = [chr(0x3B1 + axis) for axis in range(a.dim())]
    right = [chr(0x3B1 + a.dim() + axis) for axis in range(b.dim())]
    for i, j in zip(*summed, strict=True):
        right[j] = left[i]
    result = [letter for letter in (*left, *right) if (letter in left) != (letter in right)]
    return Product(a, b, ("".join(left), "".join(right), "".join(result)))


def _einsum(equation: Any, *operands: Any) -> Product | None:
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    if not isinstance(equation, str) or len(operands) != 2:
        return None
    inputs, arrow, result = equation.replace(" ", "").partition("->")
    left, _, right = inputs.partition(",")
    if not arrow:
        # The result has the letters that occur once, in alphabetical order.
        once = set(left.replace(".", "")) ^ set(right.replace(".", ""))
        result = "..." * ("..." in inputs) + "".join(sorted(once))
    if "..." in equation:
        # Both operands must have the same leading axes; they get letters that no equation uses.
        extra = operands[0].dim() - (len(left) - 3)
        right_extra = operands[1].dim() - (len(right) - 3)
        if "..." not in left or "..." not in right or right_extra != extra:
            return None
        letters = "".join(chr(0x3B1 + axis) for axis in range(extra))
        left, right, result = (part.replace("...", letters) for part in (left, right, result))
    if len(set(left)) != len(left) or len(set(right)) != len(right):
        return None
    return Product(operands[0], operands[1], (left, right, result))
