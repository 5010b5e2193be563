"""The pages' own attention, `js/core/attention.js`, in WebAssembly and run by Node.js."""

from __future__ import annotations

from attnpanel.kernels.javascript.node_kernel import node_implementation

JAVASCRIPT_WASM = node_implementation(
    "javascript-wasm",
    # Never plain JavaScript: where neither starts, the call raises each one's reason.
    kernels=("wasm-relaxed-simd", "wasm-simd"),
    dtypes=("float32", "float16"),
    source="js/wasm/attention.c, run by Node.js: what reports and pages compute",
    precision=(
        "No float64, no bfloat16; float16 is computed in float32. Products are summed in float32, "
        "at most 256 terms at a time, and softmax in float64. Weights below 1.2e-38 are 0."
    ),
)
