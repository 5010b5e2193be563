"""The torch functions and tensor methods of each operation that attention uses."""

from __future__ import annotations

from functools import cache
from typing import Any

# Methods of tensors, and functions of torch, that move numbers and change none.
LAYOUTS = """view reshape flatten unflatten transpose permute squeeze unsqueeze swapaxes swapdims
    movedim moveaxis expand repeat contiguous clone detach roll flip chunk split unbind
    index_select narrow select t adjoint view_as reshape_as expand_as __getitem__"""
# Properties of tensors that do so.
LAYOUT_PROPERTIES = ("mT", "T", "mH", "H", "data")


def named(names: str) -> set[Any]:
    """Return the methods of tensors and functions of torch with these names, where they exist."""
    import torch

    owners = (torch.Tensor, torch)
    return {getattr(owner, name, None) for name in names.split() for owner in owners} - {None}


@cache
def layouts() -> frozenset[Any]:
    """Return the functions that move numbers and change none."""
    import torch

    properties = {getattr(torch.Tensor, name).__get__ for name in LAYOUT_PROPERTIES}
    return frozenset(named(LAYOUTS) | properties | {stand_in})


def stand_in(before: Any, after: Any) -> Any:  # noqa: ARG001 - what follows tensors reads it
    """Return a tensor that holds the numbers of another one: what a compiled function returned."""
    return after


def moved_axes(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[int]:
    """Return the axes along which a function of "reorder" or "pick" changes places."""
    name = getattr(func, "__name__", "")
    if name == "__getitem__":
        return _indexed_axes(*args)
    given: Any = (
        args[1:] if name == "flip" else args[2 if name in {"roll", "take_along_dim"} else 1 :][:1]
    )
    axes = kwargs.get("dims", kwargs.get("dim", given))
    numbers: list[Any] = []
    for axis in axes if isinstance(axes, (tuple, list)) else [axes]:
        numbers += axis if isinstance(axis, (tuple, list)) else [axis]
    return [number for number in numbers if isinstance(number, int)]


def _indexed_axes(tensor: Any, index: Any) -> list[int]:
    """Return the axes that ``tensor[index]`` reads by whole numbers in a tensor or a list."""
    parts = index if isinstance(index, tuple) else (index,)
    axes, axis = [], 0
    for at, part in enumerate(parts):
        if part is None:
            continue
        if part is Ellipsis:
            axis = tensor.dim() - sum(rest is not None for rest in parts[at + 1 :])
            continue
        dtype = str(getattr(part, "dtype", ""))
        if isinstance(part, list) or "int" in dtype:
            axes.append(axis)
        axis += getattr(part, "ndim", 1) if "bool" in dtype else 1
    return axes


@cache
def operators() -> dict[str, frozenset[Any]]:
    """Map the name of an operation to the functions that compute it."""
    import torch
    from torch.nn import functional

    tensor = torch.Tensor
    return {
        "softmax": frozenset(
            {
                functional.softmax,
                torch.softmax,
                tensor.softmax,
                torch.special.softmax,
                torch._softmax,  # noqa: SLF001 - as programs of torch.export call it
                torch._safe_softmax,  # noqa: SLF001
            }
        ),
        # Normalise over keys too, in ways that query and key alone do not give.
        "other softmax": frozenset({functional.gumbel_softmax, functional.softmin}),
        # Parts of a rotary position embedding.
        "negate": frozenset(
            {torch.neg, torch.negative, tensor.neg, tensor.negative, tensor.__neg__}
        ),
        "join": frozenset({torch.cat, torch.concat, torch.concatenate, torch.stack}),
        "complex": frozenset({torch.view_as_complex}),
        "halve": frozenset({torch.chunk, tensor.chunk}),
        "exp": frozenset({torch.exp, tensor.exp}),
        "squash": frozenset(
            named("sigmoid relu square")
            | {functional.relu, functional.sigmoid, functional.softplus, torch.special.expit}
        ),
        "tanh": frozenset({torch.tanh, tensor.tanh, tensor.tanh_}),
        "sum": frozenset({torch.sum, tensor.sum}),
        "log_softmax": frozenset(
            {
                functional.log_softmax,
                torch.log_softmax,
                tensor.log_softmax,
                torch.special.log_softmax,
                torch._log_softmax,  # noqa: SLF001
            }
        ),
        "dropout": frozenset(
            {
                functional.dropout,
                functional.dropout1d,
                functional.dropout2d,
                functional.dropout3d,
                functional.feature_alpha_dropout,
                functional.alpha_dropout,
                torch.dropout,
                torch.dropout_,
                torch.native_dropout,
                torch.feature_dropout,
            }
        ),
        "write": frozenset({tensor.__setitem__}),
        "select": frozenset({torch.where, tensor.where}),
        "concatenate": frozenset({torch.cat, torch.concat, torch.concatenate}),
        # From here on functions run that no mode sees.
        "sparse": frozenset(named("to_sparse to_sparse_csr to_sparse_csc to_sparse_bsr")),
        # Hand out the memory of a tensor, in which numbers may be changed unseen.
        "memory": frozenset(
            getattr(tensor, name)
            for name in ("numpy", "__array__", "__dlpack__", "untyped_storage", "data_ptr")
        ),
        # Put a tensor in some places of another, which is the first argument.
        "place": frozenset(
            named(
                "__setitem__ scatter scatter_ scatter_add scatter_add_ index_copy index_copy_ "
                "index_add index_add_ index_put index_put_ slice_scatter masked_scatter "
                "masked_scatter_"
            )
        ),
        # Keep the numbers and change their places along an axis.
        "reorder": frozenset(
            {
                torch.flip,
                tensor.flip,
                torch.roll,
                tensor.roll,
                torch.gather,
                tensor.gather,
                torch.index_select,
                tensor.index_select,
                torch.take_along_dim,
                tensor.take_along_dim,
            }
        ),
        "layout": layouts(),
        # Multiply by an inverse matrix.
        "solve": frozenset(
            {
                torch.linalg.solve,
                torch.linalg.solve_triangular,
                torch.linalg.lstsq,
                torch.cholesky_solve,
                tensor.cholesky_solve,
            }
        ),
        "expand": frozenset(named("expand expand_as broadcast_to")),
        # Mix what they read across other axes than that of the keys, so that nothing made of them
        # is a matrix of weights any more, unless it keeps the size: heads that are mixed.
        "layer": frozenset(
            {
                functional.linear,
                functional.bilinear,
                functional.conv1d,
                functional.conv2d,
                functional.conv3d,
                functional.layer_norm,
                functional.rms_norm,
                functional.group_norm,
                functional.batch_norm,
                torch.conv1d,
                torch.conv2d,
                torch.addmm,
                torch.tensordot,
                torch.einsum,
                tensor.addmm,
            }
        ),
        "linear layer": frozenset({functional.linear, torch.addmm, tensor.addmm}),
        # Choose keys by their scores: the only functions followed whose results are no floats.
        "choose": frozenset(
            {
                torch.argmax,
                tensor.argmax,
                torch.argmin,
                tensor.argmin,
                torch.topk,
                tensor.topk,
                torch.max,
                tensor.max,
                torch.sort,
                tensor.sort,
                torch.argsort,
                tensor.argsort,
            }
        ),
        "compare": frozenset(
            {
                torch.eq,
                tensor.eq,
                tensor.__eq__,
                torch.ge,
                tensor.ge,
                tensor.__ge__,
                torch.gt,
                tensor.gt,
                tensor.__gt__,
            }
        ),
        # Pick some places of their first argument by the numbers in another.
        "pick": frozenset(
            {
                torch.gather,
                tensor.gather,
                torch.index_select,
                tensor.index_select,
                torch.take_along_dim,
                tensor.take_along_dim,
                tensor.__getitem__,
            }
        ),
        # Lay out a window around each position, as a convolution does.
        "window": frozenset(
            {tensor.unfold, functional.unfold, torch.as_strided, tensor.as_strided}
        ),
        "convolution": frozenset(
            {functional.conv1d, functional.conv2d, functional.conv3d, torch.conv1d, torch.conv2d}
        ),
        "embedding": frozenset({functional.embedding, torch.embedding}),
        # Multiply by element, and add.
        "blend": frozenset(named("lerp lerp_ addcmul addcmul_ addcdiv addcdiv_")),
        # Linear in the scores, so that a product of nothing else with values is linear attention.
        "linear": layouts()
        | named(
            "neg __neg__ negative masked_fill masked_fill_ tril triu where cat stack concat to "
            "float half bfloat16 double type type_as"
        )
        | {functional.pad},
        "add": frozenset(
            {torch.add, tensor.add, tensor.add_, tensor.__add__, tensor.__iadd__, tensor.__radd__}
        ),
        "sub": frozenset({torch.sub, tensor.sub, tensor.sub_, tensor.__sub__, tensor.__isub__}),
        "mul": frozenset(
            {torch.mul, tensor.mul, tensor.mul_, tensor.__mul__, tensor.__imul__, tensor.__rmul__}
        ),
        "div": frozenset(
            {
                torch.div,
                tensor.div,
                tensor.div_,
                tensor.__truediv__,
                tensor.__itruediv__,
                torch.true_divide,
            }
        ),
    }
