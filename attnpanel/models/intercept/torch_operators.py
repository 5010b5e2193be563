"""The torch functions and tensor methods of each operation that attention uses."""

from __future__ import annotations

from functools import cache
from typing import Any


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
        # Put a tensor in some places of another, which is the first argument.
        "place": frozenset(
            {
                tensor.__setitem__,
                torch.scatter,
                tensor.scatter,
                tensor.scatter_,
                torch.index_copy,
                tensor.index_copy,
                tensor.index_copy_,
                torch.slice_scatter,
                tensor.slice_scatter,
                torch.index_put,
                tensor.index_put,
                tensor.index_put_,
            }
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
        "layout": frozenset(
            {
                tensor.__getitem__,
                tensor.view,
                tensor.reshape,
                torch.reshape,
                tensor.flatten,
                tensor.unflatten,
                tensor.transpose,
                torch.transpose,
                tensor.permute,
                torch.permute,
                tensor.contiguous,
            }
        ),
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
        # Linear in the scores, so that a product of nothing else with values is linear attention.
        "linear": frozenset(
            {
                torch.neg,
                tensor.neg,
                tensor.__neg__,
                tensor.masked_fill,
                tensor.masked_fill_,
                torch.masked_fill,
                torch.tril,
                tensor.tril,
                torch.triu,
                tensor.triu,
                torch.where,
                tensor.where,
                torch.cat,
                torch.stack,
                torch.clone,
                tensor.clone,
                tensor.contiguous,
                tensor.to,
                tensor.float,
                tensor.half,
                tensor.bfloat16,
                tensor.double,
                tensor.type,
                tensor.type_as,
                tensor.detach,
                torch.detach,
                tensor.view,
                tensor.reshape,
                torch.reshape,
                tensor.flatten,
                torch.flatten,
                tensor.unflatten,
                torch.transpose,
                tensor.transpose,
                torch.permute,
                tensor.permute,
                torch.squeeze,
                tensor.squeeze,
                torch.unsqueeze,
                tensor.unsqueeze,
                tensor.expand,
                tensor.repeat,
                tensor.__getitem__,
                functional.pad,
                torch.roll,
                tensor.roll,
            }
        ),
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
