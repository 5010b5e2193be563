import { halfToFloat } from "../core/float16.js";
import { halfBits } from "./float16.js";
import { sizesOf } from "./inputs.js";
import { MAX_WIDTH, WORKGROUP, fillShader, packMask } from "./shader.js";

// Attention on the browser's GPU. Inputs lie in the device's memory before a call starts, and results stay there: no
// transfer is timed but 16 bytes of the last result, which force it to exist.

/**
 * @param {string} name
 * @param {DType} dtype
 * @param {import("../webgpu/device.js").Gpu | string} gpu
 * @param {string} template the shader
 * @returns {BenchImplementation}
 */
export function webGpu(name, dtype, gpu, template) {
  return {
    name,
    device: "webgpu",
    leaks: [],
    finish: (last) => /** @type {GpuCall} */ (last).ended(),
    guard: (action) => (typeof gpu === "string" ? action() : gpu.checked(action)),
    unsupported(request) {
      if (typeof gpu === "string") return [gpu];
      if (gpu.lost) return [gpu.lost];
      if (request.dtype !== dtype) return [`${name} computes ${dtype}; got ${request.dtype}`];
      if (dtype === "float16" && !gpu.half) return ["this adapter has no float16 (shader-f16)"];
      const { B, H, Hkv, T, S, D, Dv } = sizesOf(request);
      if (Math.max(D, Dv) > MAX_WIDTH) return [`${name} takes head_dim and value_dim up to ${MAX_WIDTH}; got ${D} and ${Dv}`];
      const { maxStorageBufferBindingSize: most, maxComputeWorkgroupsPerDimension: groups } = gpu.device.limits;
      const widest = 4 * Math.ceil(Math.max(D, Dv) / 4);
      const largest = 4 * Math.max(B * H * T * widest, B * Hkv * S * widest, request.bias ? H * T * S : 0, B * T * Math.ceil(S / 32));
      if (largest > most || B * H > groups) {
        return [`this device takes ${most} bytes an array and ${groups} heads; got ${largest} and ${B * H}`];
      }
      return [];
    },
    prepare: (request, inputs) => new GpuCall(/** @type {import("../webgpu/device.js").Gpu} */ (gpu), template, request, inputs),
  };
}

/** @implements {BenchCall} */
class GpuCall {
  /**
   * @param {import("../webgpu/device.js").Gpu} gpu
   * @param {string} template
   * @param {BenchRequest} request
   * @param {BenchInputs} inputs
   */
  constructor(gpu, template, request, inputs) {
    gpu.check();
    const { B, H, Hkv, T, S, D, Dv } = sizesOf(request);
    const half = request.dtype === "float16";
    /** @param {Float32Array} array */
    const stored = (array) => (half ? halfBits(array) : array);
    const packed = packMask(inputs.mask, T, S);
    this.gpu = gpu;
    this.half = half;
    this.sizes = { rows: B * H * T, Dv, width: 4 * Math.ceil(Dv / 4) };
    this.groups = [Math.ceil(T / WORKGROUP), B * H];
    const read = [
      gpu.upload(stored(inFours(inputs.query, B * H * T, D))),
      gpu.upload(stored(inFours(inputs.key, B * Hkv * S, D))),
      gpu.upload(stored(inFours(inputs.value, B * Hkv * S, Dv))),
      gpu.upload(packed.words),
      gpu.upload(packed.ranges),
      gpu.upload(inputs.bias === null ? new Float32Array(1) : stored(inputs.bias)),
    ];
    this.output = gpu.allocate(this.sizes.rows * this.sizes.width * (half ? 2 : 4));
    this.sums = gpu.allocate(this.sizes.rows * 8);
    this.buffers = [...read, this.output, this.sums];
    this.pipeline = gpu.pipeline(fillShader(template, request, packed, inputs.mask !== null), "attention");
    this.group = gpu.device.createBindGroup({
      layout: this.pipeline.getBindGroupLayout(0),
      entries: this.buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
  }

  start() {
    const encoder = this.gpu.device.createCommandEncoder();
    this.encode(encoder.beginComputePass());
    this.gpu.device.queue.submit([encoder.finish()]);
  }

  /** @param {GPUComputePassEncoder} pass */
  encode(pass) {
    pass.setPipeline(this.pipeline);
    pass.setBindGroup(0, this.group);
    pass.dispatchWorkgroups(this.groups[0], this.groups[1]);
    pass.end();
  }

  /** Seconds of one more call by the device's own clock; null where the browser does not offer it. */
  async deviceSeconds() {
    const { device } = this.gpu;
    if (!device.features.has("timestamp-query")) return null;
    const querySet = device.createQuerySet({ type: "timestamp", count: 2 });
    const resolved = device.createBuffer({ size: 16, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
    const encoder = device.createCommandEncoder();
    this.encode(encoder.beginComputePass({ timestampWrites: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 } }));
    encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
    device.queue.submit([encoder.finish()]);
    const [began, ended] = new BigUint64Array(await this.gpu.download(resolved));
    querySet.destroy();
    resolved.destroy();
    return Number(ended - began) / 1e9;
  }

  ended() {
    return this.gpu.wait(this.output);
  }

  async read() {
    const { rows, Dv, width } = this.sizes;
    const bytes = await this.gpu.download(this.output);
    const wide = this.half ? halfToFloat(new Uint16Array(bytes)) : new Float32Array(bytes);
    const output = new Float32Array(rows * Dv);
    for (let row = 0; row < rows; row++) output.set(wide.subarray(row * width, row * width + Dv), row * Dv);
    const sums = new Float32Array(await this.gpu.download(this.sums));
    const logsumexp = new Float32Array(rows);
    for (let row = 0; row < rows; row++) logsumexp[row] = sums[2 * row] + Math.log(sums[2 * row + 1]);
    return { output, logsumexp };
  }

  release() {
    for (const buffer of this.buffers) buffer.destroy();
  }
}

/**
 * Rows with channels of 0 up to a multiple of four.
 *
 * @param {Float32Array} array
 * @param {number} rows
 * @param {number} width
 */
function inFours(array, rows, width) {
  if (width % 4 === 0) return array;
  const wide = 4 * Math.ceil(width / 4);
  const padded = new Float32Array(rows * wide);
  for (let row = 0; row < rows; row++) padded.set(array.subarray(row * width, (row + 1) * width), row * wide);
  return padded;
}
