import assert from "node:assert/strict";
import { test } from "node:test";

import { certify } from "../offline_bench/certificate.js";
import { webGpu } from "../offline_bench/webgpu.js";
import { findGpu } from "../webgpu/device.js";

// The page's way to WebGPU, on a stand-in for the browser's.

Object.assign(globalThis, {
  GPUBufferUsage: { MAP_READ: 1, COPY_SRC: 4, COPY_DST: 8, STORAGE: 128 },
  GPUMapMode: { READ: 1 },
});

class Buffer {
  /** @param {{size: number}} descriptor */
  constructor({ size }) {
    this.size = size;
    this.bytes = new ArrayBuffer(size);
  }
  getMappedRange() {
    return this.bytes;
  }
  unmap() {}
  destroy() {}
  async mapAsync() {}
}

/** A device that computes nothing: `errors` are what its error scopes find, innermost first. */
class Device {
  features = new Set(["shader-f16"]);
  limits = { maxStorageBufferBindingSize: 2 ** 27, maxComputeWorkgroupsPerDimension: 65535 };
  /** @type {(?{message: string})[]} */
  errors = [];
  /** @type {Buffer[]} */
  buffers = [];
  /** @type {string[]} */
  shaders = [];
  queue = { submit() {} };
  constructor() {
    /** @type {(info: {message: string, reason: string}) => void} */
    this.lose = () => {};
    this.lost = new Promise((resolve) => (this.lose = resolve));
  }
  /** @param {{size: number}} descriptor */
  createBuffer(descriptor) {
    this.buffers.push(new Buffer(descriptor));
    return this.buffers[this.buffers.length - 1];
  }
  /** @param {{code: string}} descriptor */
  createShaderModule({ code }) {
    this.shaders.push(code);
  }
  createComputePipeline() {
    return { getBindGroupLayout() {} };
  }
  createBindGroup() {}
  createCommandEncoder() {
    const pass = { setPipeline() {}, setBindGroup() {}, dispatchWorkgroups() {}, end() {} };
    return { beginComputePass: () => pass, copyBufferToBuffer() {}, finish() {} };
  }
  pushErrorScope() {}
  async popErrorScope() {
    return this.errors.shift() ?? null;
  }
}

/** @param {any} gpu what navigator.gpu is */
function offer(gpu) {
  Object.defineProperty(globalThis, "navigator", { value: { gpu }, configurable: true });
}

/** @param {Device} device @param {object} [info] */
function offerDevice(device, info = { vendor: "acme" }) {
  const limits = { maxBufferSize: 2 ** 28, maxStorageBufferBindingSize: 2 ** 27 };
  offer({ requestAdapter: async () => ({ features: device.features, limits, info, requestDevice: async () => device }) });
  return findGpu();
}

/** @type {BenchRequest} */
const request = {
  ...{ batch: 1, heads: 1, kv_heads: 1, query_len: 2, key_len: 2, head_dim: 2, value_dim: 1, dtype: "float16", device: "webgpu" },
  ...{ mask: "none", align: "top_left", pad_lens: null, window: null, bias: false, scale: null, temperature: 1, mask_options: [] },
  direction: "forward",
};
const inputs = {
  query: Float32Array.of(1, -2, 0.5, 2 ** -24),
  ...{ key: new Float32Array(4), value: new Float32Array(2), mask: null, bias: null },
};
/** @type {any} */
const prepared = { request, inputs, expected: {}, listed: { name: "a case" } };

test("without a GPU the reason is one sentence", async () => {
  offer(undefined);
  Object.assign(globalThis, { isSecureContext: true });
  assert.equal(await findGpu(), "this browser has no WebGPU");
  Object.assign(globalThis, { isSecureContext: false });
  assert.match(String(await findGpu()), /only on pages that it takes for secure/);
  offer({ requestAdapter: async () => null });
  assert.match(String(await findGpu()), /no adapter/);
  offer({ requestAdapter: () => Promise.reject(new Error("blocked")) });
  assert.equal(await findGpu(), "the browser gives no WebGPU device: blocked");

  const nobody = webGpu("webgpu-f16", "float16", "this browser has no WebGPU", "");
  assert.deepEqual(nobody.unsupported(request), ["this browser has no WebGPU"]);
});

test("a software adapter is known by its names and by its own word", async () => {
  const found = await Promise.all(
    [{ architecture: "swiftshader" }, { isFallbackAdapter: true }, { description: "llvmpipe (LLVM 15.0.6)" }, { vendor: "nvidia" }].map(
      (info) => offerDevice(new Device(), info),
    ),
  );
  assert.deepEqual(found.map((gpu) => typeof gpu !== "string" && gpu.software), [true, true, true, false]);
});

test("float16 numbers go to the device as halves, four channels each", async () => {
  const device = new Device();
  const gpu = await offerDevice(device);
  const implementation = webGpu("webgpu-f16", "float16", gpu, "$ENABLE $TYPE");
  assert.deepEqual(implementation.unsupported(request), []);

  const call = implementation.prepare(request, inputs);

  // The first buffer is the one that calls are waited for by.
  assert.deepEqual([...new Uint16Array(device.buffers[1].bytes)], [0x3c00, 0xc000, 0, 0, 0x3800, 1, 0, 0]);
  assert.deepEqual(device.shaders, ["enable f16; f16"]);
  assert.equal((await call.read()).output.length, 2);
});

test("what a device can't do is a reason", async () => {
  const device = new Device();
  device.features.clear();
  const gpu = await offerDevice(device);
  const [half, single] = [webGpu("webgpu-f16", "float16", gpu, ""), webGpu("webgpu-f32", "float32", gpu, "")];

  assert.match(half.unsupported(request)[0], /no float16/);
  const wide = { ...request, dtype: /** @type {DType} */ ("float32"), value_dim: 260 };
  assert.match(single.unsupported(wide)[0], /up to 256; got 2 and 260/);
  assert.match(single.unsupported({ ...wide, value_dim: 4, query_len: 2 ** 24 })[0], /134217728 bytes an array/);
});

test("lack of memory and a lost device are the verdict of a case each", async () => {
  const device = new Device();
  const gpu = await offerDevice(device);
  const implementation = webGpu("webgpu-f16", "float16", gpu, "");
  device.errors = [null, { message: "allocation of 4 GB" }];
  const full = await certify(implementation, prepared, { kinds: [], parameters: [] });
  assert.deepEqual([full.verdict, full.reasons], ["error", ["Error: out of memory on the GPU: allocation of 4 GB"]]);

  device.lose({ reason: "unknown", message: "reset" });
  await null;
  const lost = await certify(implementation, prepared, { kinds: [], parameters: [] });
  assert.deepEqual([lost.verdict, lost.reasons], ["unsupported", ["the GPU's device was lost (unknown: reset)"]]);
});
