"""Call a plain function of attention: with arrays of its framework and the keywords it takes."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from attnpanel.kernels.implementation import RawResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from attnpanel.kernels.request import DType, Inputs, Request
    from attnpanel.kernels.torch_.inputs import Copies

Framework = Literal["numpy", "torch", "jax"]
KEYWORDS: Final = ("mask", "scale", "is_causal")
# NumPy has no bfloat16, and JAX float64 only if it is told to.
DTYPES: Final[dict[Framework, tuple[DType, ...]]] = {
    "numpy": ("float64", "float32", "float16"),
    "torch": ("float64", "float32", "float16", "bfloat16"),
    "jax": ("float32", "float16", "bfloat16"),
}
TEMPERED_BIAS: Final = "a bias with a temperature"


def square_causal(request: Request) -> bool:
    """Whether a mask is causal and its alignment makes no difference."""
    return request.mask == "causal" and request.query_len == request.key_len


class PlainCall:
    """A function and the keywords that it takes."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        try:
            parameters = inspect.signature(function).parameters
        except (TypeError, ValueError):  # compiled code without a signature
            self.keywords: frozenset[str] = frozenset(KEYWORDS)
            return
        every = any(p.kind == p.VAR_KEYWORD for p in parameters.values())
        named = {key for key, p in parameters.items() if p.kind != p.POSITIONAL_ONLY}
        known = {*KEYWORDS, "bias"} & named
        self.keywords = frozenset(known | set(KEYWORDS) if every else known)

    def prepare(
        self, inputs: Inputs, request: Request, framework: Framework
    ) -> Callable[[], RawResult]:
        """Convert the inputs to arrays of the framework; return the call on them.

        Inputs that are tensors or arrays of JAX already are taken as they are, so that gradients
        reach them.
        """
        convert = CONVERTERS[framework](request)
        positional = [convert(array) for array in (inputs.query, inputs.key, inputs.value)]
        mask, causal = inputs.mask, square_causal(request) and "is_causal" in self.keywords
        if mask is not None:
            mask = convert(mask[(None,) * (4 - mask.ndim)])
        given = {
            "mask": None if causal else mask,
            "scale": request.score_scale / request.temperature,
            "is_causal": causal,
            "bias": None if inputs.bias is None else convert(inputs.bias[None]),
        }
        keywords = {key: value for key, value in given.items() if key in self.keywords}
        function = self.function
        arrays = (inputs.query, inputs.key, inputs.value)
        copies = [
            (array, tensor)
            for array, tensor in zip(arrays, positional, strict=True)
            if framework == "torch" and request.dtype == "bfloat16" and _is_writeable(array)
        ]

        def run() -> RawResult:
            # Overflow and nan are judged; NumPy's warnings of them say nothing more.
            with np.errstate(all="ignore"):
                result = RawResult(function(*positional, **keywords))
            for array, tensor in copies:
                if tensor._version:  # noqa: SLF001 - how torch counts changes in place
                    array[...] = tensor.detach().cpu().float().numpy()
            return result

        return run

    def missing(self, feature: str) -> str:
        """Return why the keywords do not express a feature; empty if they do."""
        keywords = {
            "a mask": ("mask",),
            "a causal call": ("is_causal", "mask"),
            "a bias": ("bias",),
            "another scale": ("scale",),
        }.get(feature, ())
        if feature == TEMPERED_BIAS:
            return "it takes no keyword temperature"
        if not keywords or self.keywords.intersection(keywords):
            return ""
        return f"it takes no keyword {' or '.join(keywords)}"


def _is_writeable(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.flags.writeable


def _as_array(_request: Request) -> Callable[[NDArray[Any]], Any]:
    return lambda array: array


def _as_jax(request: Request) -> Callable[[Any], Any]:
    import jax.numpy as jnp

    def convert(array: Any) -> Any:
        if not isinstance(array, np.ndarray):
            return array
        return jnp.asarray(array if array.dtype == bool else array.astype(jnp.dtype(request.dtype)))

    return convert


def _as_tensor(request: Request) -> Callable[[NDArray[Any]], Any]:
    import torch

    from attnpanel.kernels.torch_.inputs import tensor_of, torch_device

    device = torch_device(request)
    copies: Copies = {}

    def convert(array: Any) -> Any:
        if not isinstance(array, np.ndarray):
            return array
        dtype = torch.bool if array.dtype == bool else getattr(torch, request.dtype)
        if array.flags.writeable and device.type == "cpu" and request.dtype != "bfloat16":
            return torch.from_numpy(array)
        shared = copies if dtype != torch.bool else None
        return tensor_of(array, dtype, device, shared)

    return convert


CONVERTERS: Final[dict[Framework, Callable[[Request], Callable[[Any], Any]]]] = {
    "numpy": _as_array,
    "torch": _as_tensor,
    "jax": _as_jax,
}
