"""Attention as a WebGPU shader with an online softmax, by the package wgpu.

It runs on whatever adapter the system has, a GPU or Mesa's lavapipe, which is a CPU. Inputs and
results are NumPy arrays.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from attnpanel.kernels.implementation import Implementation, RawResult
from attnpanel.kernels.reasons import unmet

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from attnpanel.kernels.request import DType, Inputs, Request

NAME: Final = "wgpu-online"
DTYPES: tuple[DType, ...] = ("float32", "float16")
# The feature that an adapter with float16 has.
HALF: Final = "shader-f16"
WORKGROUP: Final = 64
# What every adapter offers: bytes of a storage buffer, and workgroups along an axis.
MAX_BUFFER_BYTES: Final = 2**27
MAX_WORKGROUPS: Final = 65535
MAX_WIDTH: Final = 256
MAX_KEYS: Final = 52_000

SHADER: Final = Path(__file__).with_name("attention.wgsl").read_text(encoding="utf-8")
# Keys of a tile, at most, and the bytes that every adapter lets a workgroup share.
MAX_TILE: Final = 32
SHARED_BYTES: Final = 2**14


@dataclass(frozen=True)
class Adapter:
    """A device that computes, or why there is none; `half`: whether it has float16."""

    device: Any
    reason: str = ""
    half: bool = False


@functools.cache
def adapter() -> Adapter:
    """Return the system's device; the same for every call of the process."""
    try:
        import wgpu

        found = wgpu.gpu.request_adapter_sync()
        if found is None:
            return Adapter(None, "wgpu finds no adapter here")
        half = HALF in found.features
        return Adapter(found.request_device_sync(required_features=[HALF] * half), half=half)
    except Exception as error:  # noqa: BLE001 - whatever a driver raises, there is no device
        words = str(error).strip().partition("\n")[0]
        return Adapter(None, f"wgpu finds no adapter here: {type(error).__name__}: {words}")


@dataclass(frozen=True, eq=False)
class PackedMask:
    """A mask as the shader reads it.

    Attributes
    ----------
    words : uint32 array
        32 keys a word, the first in its lowest bit.
    strides : tuple of int
        Words from one batch entry, head and query to the next; 0 where they share a mask.
    ranges : uint32 array of shape (…, 2)
        Of each `WORKGROUP` queries, the first key to look at, a multiple of 32, and the end.
    range_strides : tuple of int
        Ranges from one batch entry and head to the next.
    """

    words: NDArray[np.uint32]
    strides: tuple[int, int, int]
    ranges: NDArray[np.uint32]
    range_strides: tuple[int, int]


def pack_mask(mask: NDArray[np.bool_] | None, query_len: int, key_len: int) -> PackedMask:
    """Pack a mask that broadcasts to (B, H, T, S)."""
    tiles = -(-query_len // WORKGROUP)
    if mask is None:
        whole = np.tile(np.array([0, key_len], np.uint32), (tiles, 1))
        return PackedMask(np.zeros(1, np.uint32), (0, 0, 0), whole, (0, 0))
    mask = mask[(None,) * (4 - mask.ndim)]
    mask = np.broadcast_to(mask, (*mask.shape[:3], key_len))
    count = -(-key_len // 32)
    bits = np.packbits(mask, axis=-1, bitorder="little")
    bits = np.pad(bits, ((0, 0),) * 3 + ((0, 4 * count - bits.shape[-1]),))
    steps = (mask.shape[1] * mask.shape[2] * count, mask.shape[2] * count, count)
    strides = [step * (size > 1) for step, size in zip(steps, mask.shape[:3], strict=True)]
    rows = np.broadcast_to(mask, (*mask.shape[:2], query_len, key_len))
    seen = np.logical_or.reduceat(rows, np.arange(tiles) * WORKGROUP, axis=2)
    first, last = seen.argmax(axis=-1), key_len - seen[..., ::-1].argmax(axis=-1)
    some = seen.any(axis=-1)
    ranges = np.stack([np.where(some, first // 32 * 32, 0), np.where(some, last, 0)], axis=-1)
    return PackedMask(
        np.ascontiguousarray(bits).view("<u4").ravel(),
        (strides[0], strides[1], strides[2]),
        ranges.astype(np.uint32),
        (mask.shape[1] * tiles * (mask.shape[0] > 1), tiles * (mask.shape[1] > 1)),
    )


def shader(
    request: Request,
    strides: tuple[int, int, int],
    range_strides: tuple[int, int],
    masked: bool,  # noqa: FBT001 - part of a cache's key
) -> str:
    """Return the shader of a request, whose mask has these strides."""
    depth, width = -(-request.head_dim // 4), -(-request.value_dim // 4)
    tile = MAX_TILE
    while tile * (depth + width) * 16 > SHARED_BYTES:
        tile //= 2
    half = request.dtype == "float16"
    scales = np.array([request.score_scale / request.temperature, 1 / request.temperature])
    scale, bias_scale = (f"{number:.17e}" for number in scales.astype(np.float32).astype(float))
    values = {
        "ENABLE": "enable f16;" if half else "",
        "TYPE": "f16" if half else "f32",
        "STORED": "nearest" if half else "",
        "T": request.query_len,
        "S": request.key_len,
        "D4": depth,
        "DV4": width,
        "TILE": tile,
        "HEADS": request.heads,
        "GROUP": request.heads // request.kv_heads,
        "SCALE": scale,
        "BIAS_SCALE": bias_scale,
        "KEY_VECTORS": tile * depth,
        "VALUE_VECTORS": tile * width,
        "KEY_LOADS": -(-tile * depth // WORKGROUP),
        "VALUE_LOADS": -(-tile * width // WORKGROUP),
        "MASK_BATCH": strides[0],
        "MASK_HEAD": strides[1],
        "MASK_QUERY": strides[2],
        "RANGE_BATCH": range_strides[0],
        "RANGE_HEAD": range_strides[1],
        "MASKED": str(masked).lower(),
        "BIASED": str(request.bias).lower(),
    }
    lines = []
    for line in SHADER.splitlines():
        repeated = re.fullmatch(r"( *)for (\w+): (.*)", line)
        if repeated is None:
            lines.append(line)
            continue
        indent, name, statement = repeated.groups()
        lines += [indent + statement.replace("#", str(n)) for n in range(int(values[name]))]
    names = "|".join(sorted(values, key=len, reverse=True))
    return re.sub(rf"\$({names})", lambda found: str(values[found[1]]), "\n".join(lines))


@functools.lru_cache(maxsize=64)
def pipeline(
    request: Request,
    strides: tuple[int, int, int],
    range_strides: tuple[int, int],
    masked: bool,  # noqa: FBT001 - part of the cache's key
) -> Any:
    """Return the compiled shader of a request."""
    device = adapter().device
    module = device.create_shader_module(code=shader(request, strides, range_strides, masked))
    return device.create_compute_pipeline(
        layout="auto", compute={"module": module, "entry_point": "attention"}
    )


def unsupported(request: Request) -> list[str]:
    """Return the reasons why it can't run a request here; see :class:`Implementation`."""
    reasons = unmet(NAME, request, devices=("cpu",), dtypes=DTYPES, packages=("wgpu",))
    if max(request.head_dim, request.value_dim) > MAX_WIDTH:
        reasons.append(
            f"{NAME} takes head_dim and value_dim up to {MAX_WIDTH}; "
            f"got {request.head_dim} and {request.value_dim}"
        )
    if request.key_len > MAX_KEYS:
        reasons.append(
            f"{NAME} takes up to {MAX_KEYS} keys, since lavapipe ends longer loops; "
            f"got {request.key_len}"
        )
    largest = largest_array(request)
    if largest > MAX_BUFFER_BYTES or request.batch * request.heads > MAX_WORKGROUPS:
        reasons.append(
            f"WebGPU offers {MAX_BUFFER_BYTES} bytes an array and {MAX_WORKGROUPS} heads; "
            f"got {largest} and {request.batch * request.heads}"
        )
    if not reasons and adapter().reason:
        reasons.append(adapter().reason)
    if not reasons and request.dtype == "float16" and not adapter().half:
        reasons.append(f"{NAME} computes float16 where the adapter has {HALF}; this one has not")
    return reasons


def largest_array(request: Request) -> int:
    """Return the bytes of the largest array that the shader reads or writes."""
    widest = max(4 * -(-width // 4) for width in (request.head_dim, request.value_dim))
    pairs = request.query_len * request.key_len
    longest = max(request.heads * request.query_len, request.kv_heads * request.key_len)
    words = request.batch * request.query_len * -(-request.key_len // 32)
    return 4 * max(
        request.batch * longest * widest, request.heads * pairs if request.bias else 0, words
    )


def prepare(
    inputs: Inputs,
    request: Request,
    *,
    threads: int = 1,  # noqa: ARG001 - the driver's
) -> Callable[[], RawResult]:
    """Copy the inputs to the device; see :class:`Implementation`."""
    import wgpu

    device = adapter().device
    packed = pack_mask(inputs.mask, request.query_len, request.key_len)
    given = [
        *(_in_fours(array) for array in (inputs.query, inputs.key, inputs.value)),
        packed.words,
        packed.ranges,
        # Of one number, where there is no bias, in the 4 bytes that a buffer has at least.
        np.zeros(2, inputs.query.dtype) if inputs.bias is None else _in_words(inputs.bias),
    ]
    usage = wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC
    read = [device.create_buffer_with_data(data=array, usage=usage) for array in given]
    rows = request.batch * request.heads * request.query_len
    width = 4 * -(-request.value_dim // 4)
    written = [
        device.create_buffer(size=rows * bytes_, usage=usage)
        for bytes_ in (width * inputs.query.itemsize, 8)
    ]
    masked = inputs.mask is not None
    compiled = pipeline(request, packed.strides, packed.range_strides, masked)
    group = device.create_bind_group(
        layout=compiled.get_bind_group_layout(0),
        entries=[
            {"binding": number, "resource": {"buffer": buffer, "offset": 0, "size": buffer.size}}
            for number, buffer in enumerate((*read, *written))
        ],
    )
    groups = -(-request.query_len // WORKGROUP)

    def run() -> RawResult:
        encoder = device.create_command_encoder()
        step = encoder.begin_compute_pass()
        step.set_pipeline(compiled)
        step.set_bind_group(0, group)
        step.dispatch_workgroups(groups, request.batch * request.heads)
        step.end()
        device.queue.submit([encoder.finish()])
        output = np.frombuffer(device.queue.read_buffer(written[0]), inputs.query.dtype)
        sums = np.frombuffer(device.queue.read_buffer(written[1]), np.float32)
        shape = (request.batch, request.heads, request.query_len)
        peak, total = np.moveaxis(sums.reshape(*shape, 2), -1, 0)
        empty = total == 0
        logsumexp = np.where(empty, -np.inf, peak + np.log(np.where(empty, 1, total)))
        return RawResult(
            output.reshape(*shape, width)[..., : request.value_dim].copy(),
            logsumexp=logsumexp.astype(np.float32),
        )

    return run


def _in_fours(array: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return an array with channels of 0 up to a multiple of four."""
    return np.pad(array, ((0, 0),) * 3 + ((0, -array.shape[-1] % 4),))


def _in_words(array: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the numbers of an array, one more where they would end within 4 bytes."""
    return np.pad(array.ravel(), (0, array.size * array.itemsize % 4 // 2))


WGPU_ONLINE = Implementation(
    name=NAME,
    framework="wgpu",
    source="Milakov and Gimelshein, “Online normalizer calculation”, 2018, as a WebGPU shader",
    devices=("cpu",),
    dtypes=DTYPES,
    returns=frozenset({"output", "logsumexp"}),
    empty_rows="zero",
    causal_align=None,
    scores_dtype="float32",
    weights_dtype="float32",
    compiles=True,
    limits=(
        "WebGPU's adapter, a GPU or lavapipe; inputs and results are in CPU memory, and its time "
        "has the copy back. float32, and float16 where the adapter has it, computed in float32; "
        "head_dim and value_dim up to 256; 128 MiB an array. Mask: True may attend."
    ),
    unsupported=unsupported,
    prepare=prepare,
    hidden_leaks=frozenset(),
    strided=True,
)
