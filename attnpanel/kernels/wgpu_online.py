"""Attention as a WebGPU shader with an online softmax, by the package wgpu.

It runs on whatever adapter the system has, a GPU or Mesa's lavapipe, which is a CPU. Inputs and
results are NumPy arrays.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from attnpanel.kernels.implementation import Implementation, RawResult
from attnpanel.kernels.native_causal import is_top_left_causal
from attnpanel.kernels.reasons import unmet

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.kernels.request import DType, Inputs, Request

NAME: Final = "wgpu-online"
DTYPES: tuple[DType, ...] = ("float32",)
WORKGROUP: Final = 64
# What every adapter offers: bytes of a storage buffer, and workgroups along an axis.
MAX_BUFFER_BYTES: Final = 2**27
MAX_WORKGROUPS: Final = 65535
MAX_WIDTH: Final = 256
MAX_KEYS: Final = 65_000

# One invocation a query. exp() is the shader's own, since WebGPU allows it errors of some ulp times
# the exponent; the logarithm of the log-sum-exp is NumPy's. Nothing of a hidden key is read. Loops
# over channels are written out: Mesa 22.3's lavapipe ends all loops of an invocation, without an
# error, after 65,535 rounds.
SHADER: Final = """
@group(0) @binding(0) var<storage, read> query: array<f32>;
@group(0) @binding(1) var<storage, read> key: array<f32>;
@group(0) @binding(2) var<storage, read> value: array<f32>;
@group(0) @binding(3) var<storage, read> mask: array<u32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read> scales: array<f32>;
@group(0) @binding(6) var<storage, read_write> result: array<f32>;
@group(0) @binding(7) var<storage, read_write> sums: array<f32>;

const T = {query_len}u;
const S = {key_len}u;
const D = {head_dim}u;
const DV = {value_dim}u;
const HEADS = {heads}u;
const GROUP = {group}u;

// e^x for x up to 0: 2^k e^r with |r| up to ln(2) / 2, and the series of e^r; 0 below 2^-126.
fn exponential(x: f32) -> f32 {{
  if (x < -87.3) {{ return 0.0; }}
  let k = round(x * 1.4426950408889634);
  let r = (x - k * 0.693359375) + k * 2.12194440054690583e-4;
  let tail = r * (0.16666666666 + r * (0.041666666666 + r * (0.0083333333 + r * 0.0013888889)));
  return (1.0 + r * (1.0 + r * (0.5 + tail))) * bitcast<f32>(u32(i32(k) + 127) << 23u);
}}

@compute @workgroup_size({workgroup})
fn attention(@builtin(global_invocation_id) id: vec3<u32>) {{
  let row = id.x;
  let head = id.y;
  if (row >= T) {{ return; }}
  let batch = head / HEADS;
  let kv = head / GROUP;
  let q = (head * T + row) * D;
  let masked = batch * {mask_batch}u + (head % HEADS) * {mask_head}u + row * {mask_query}u;
  let biased = ((head % HEADS) * T + row) * S;
  var summed: array<f32, DV>;
  var peak = 0.0;
  var total = 0.0;
  let end = select(S, min(S, row + 1u), {causal});
  for (var j = 0u; j < end; j++) {{
    if ({masked} && mask[masked + j * {mask_key}u] == 0u) {{ continue; }}
    var score = 0.0;
    let k = (kv * S + j) * D;
    {products}
    score *= scales[0];
    if ({biased}) {{ score += bias[biased + j] * scales[1]; }}
    var kept = 1.0;
    var weight = 1.0;
    if (total == 0.0) {{
      peak = score;
      kept = 0.0;
    }} else if (score > peak) {{
      kept = exponential(peak - score);
      peak = score;
    }} else {{
      weight = exponential(score - peak);
    }}
    total = total * kept + weight;
    let v = (kv * S + j) * DV;
    {sums}
  }}
  let divisor = select(total, 1.0, total == 0.0);
  let o = (head * T + row) * DV;
  {results}
  sums[2u * (head * T + row)] = peak;
  sums[2u * (head * T + row) + 1u] = total;
}}
"""


@dataclass(frozen=True)
class Adapter:
    """A device that computes, or why there is none."""

    device: Any
    reason: str = ""


@functools.cache
def adapter() -> Adapter:
    """Return the system's device; the same for every call of the process."""
    try:
        import wgpu

        found = wgpu.gpu.request_adapter_sync()
        if found is None:
            return Adapter(None, "wgpu finds no adapter here")
        return Adapter(found.request_device_sync())
    except Exception as error:  # noqa: BLE001 - whatever a driver raises, there is no device
        words = str(error).strip().partition("\n")[0]
        return Adapter(None, f"wgpu finds no adapter here: {type(error).__name__}: {words}")


@functools.lru_cache(maxsize=64)
def pipeline(request: Request, strides: tuple[int, ...], causal: bool, masked: bool) -> Any:  # noqa: FBT001 - the cache's key
    """Return the compiled shader of a request."""

    def word(condition: bool) -> str:  # noqa: FBT001
        return "true" if condition else "false"

    names = ("mask_batch", "mask_head", "mask_query", "mask_key")
    source = SHADER.format(
        query_len=request.query_len,
        key_len=request.key_len,
        head_dim=request.head_dim,
        value_dim=request.value_dim,
        heads=request.heads,
        group=request.heads // request.kv_heads,
        workgroup=WORKGROUP,
        causal=word(causal),
        masked=word(masked),
        biased=word(request.bias),
        products=_each(request.head_dim, "score += query[q + {d}u] * key[k + {d}u];"),
        sums=_each(
            request.value_dim, "summed[{d}] = summed[{d}] * kept + weight * value[v + {d}u];"
        ),
        results=_each(request.value_dim, "result[o + {d}u] = summed[{d}] / divisor;"),
        **dict(zip(names, strides, strict=True)),
    )
    device = adapter().device
    module = device.create_shader_module(code=source)
    return device.create_compute_pipeline(
        layout="auto", compute={"module": module, "entry_point": "attention"}
    )


def _each(count: int, statement: str) -> str:
    return "\n    ".join(statement.format(d=d) for d in range(count))


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
    pairs = request.query_len * request.key_len
    largest = 4 * max(
        request.batch * request.heads * request.query_len * max(request.head_dim, 2),
        request.batch * request.heads * request.query_len * request.value_dim,
        request.batch * request.kv_heads * request.key_len * request.head_dim,
        request.batch * request.kv_heads * request.key_len * request.value_dim,
        request.heads * pairs if request.bias else 0,
        request.batch * pairs if request.mask != "none" else 0,
    )
    if largest > MAX_BUFFER_BYTES or request.batch * request.heads > MAX_WORKGROUPS:
        reasons.append(
            f"WebGPU offers {MAX_BUFFER_BYTES} bytes an array and {MAX_WORKGROUPS} heads; "
            f"got {largest} and {request.batch * request.heads}"
        )
    if not reasons and adapter().reason:
        reasons.append(adapter().reason)
    return reasons


def prepare(
    inputs: Inputs,
    request: Request,
    *,
    threads: int = 1,  # noqa: ARG001 - the driver's
) -> Callable[[], RawResult]:
    """Copy the inputs to the device; see :class:`Implementation`."""
    import wgpu

    device = adapter().device
    causal = is_top_left_causal(inputs, request)
    mask = None if causal else inputs.mask
    nothing = np.zeros(1, np.float32)
    strides: tuple[int, ...] = (0, 0, 0, 0)
    if mask is not None:
        mask = mask[(None,) * (4 - mask.ndim)]
        full = (request.batch, request.heads, request.query_len, request.key_len)
        places = np.broadcast_to(np.arange(mask.size, dtype=np.int32).reshape(mask.shape), full)
        # Of elements, 0 along axes that are broadcast.
        strides = tuple(step // places.itemsize for step in places.strides)
    rows = request.batch * request.heads * request.query_len
    scales = [request.score_scale / request.temperature, 1 / request.temperature]
    given = [
        *(np.ascontiguousarray(array) for array in (inputs.query, inputs.key, inputs.value)),
        nothing if mask is None else np.ascontiguousarray(mask, np.uint32),
        nothing if inputs.bias is None else np.ascontiguousarray(inputs.bias),
        np.array(scales, np.float32),
    ]
    usage = wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC
    read = [device.create_buffer_with_data(data=array, usage=usage) for array in given]
    written = [
        device.create_buffer(size=4 * rows * width, usage=usage) for width in (request.value_dim, 2)
    ]
    compiled = pipeline(request, strides, causal, mask is not None)
    # A layout has the bindings that the shader, as compiled for the request, still uses.
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
        output, sums = (
            np.frombuffer(device.queue.read_buffer(buffer), np.float32) for buffer in written
        )
        shape = (request.batch, request.heads, request.query_len)
        peak, total = np.moveaxis(sums.reshape(*shape, 2), -1, 0)
        empty = total == 0
        logsumexp = np.where(empty, -np.inf, peak + np.log(np.where(empty, 1, total)))
        return RawResult(
            output.reshape(*shape, request.value_dim).copy(),
            logsumexp=logsumexp.astype(np.float32),
        )

    return run


WGPU_ONLINE = Implementation(
    name=NAME,
    framework="wgpu",
    source="Milakov and Gimelshein, “Online normalizer calculation”, 2018, as a WebGPU shader",
    devices=("cpu",),
    dtypes=DTYPES,
    returns=frozenset({"output", "logsumexp"}),
    empty_rows="zero",
    causal_align="top_left",
    scores_dtype="float32",
    compiles=True,
    limits=(
        "WebGPU's adapter, a GPU or lavapipe; inputs and results are in CPU memory, and its time "
        "has the copy back. float32 only; head_dim and value_dim up to 256; 128 MiB an array. "
        "Mask: True may attend; its own causal option where that begins at the top left."
    ),
    unsupported=unsupported,
    prepare=prepare,
    hidden_leaks=frozenset(),
    strided=True,
)
