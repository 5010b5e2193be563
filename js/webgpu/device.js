// A browser's GPU: arrays there and back, pipelines, and what the device reports.

const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|basic render|software|warp/i;
const WAIT_BYTES = 16;
/** @type {GPUFeatureName[]} */
const FEATURES = ["shader-f16", "timestamp-query"];

/** A device, and what its adapter says of itself. */
export class Gpu {
  lost = "";
  /** @type {Promise<void>} */
  before = Promise.resolve();

  /**
   * @param {GPUDevice} device
   * @param {Record<string, any>} info
   * @param {boolean} fallback
   */
  constructor(device, info, fallback) {
    this.device = device;
    this.words = ["vendor", "architecture", "device", "description"]
      .filter((name) => info[name])
      .map((name) => `${name} ${info[name]}`)
      .join("; ");
    this.software = fallback || SOFTWARE.test(this.words);
    this.half = device.features.has("shader-f16");
    /** @type {Map<string, GPUComputePipeline>} */
    this.pipelines = new Map();
    this.waiting = device.createBuffer({ size: WAIT_BYTES, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    device.lost.then(({ message, reason }) => {
      this.lost = `the GPU's device was lost (${reason}${message ? `: ${message}` : ""})`;
    });
  }

  /** Why the device can't be used any more; empty while it can. */
  check() {
    if (this.lost) throw new Error(this.lost);
  }

  /** @param {string} code @param {string} entryPoint */
  pipeline(code, entryPoint) {
    const name = `${entryPoint} ${code}`;
    const known = this.pipelines.get(name);
    if (known !== undefined) return known;
    const module = this.device.createShaderModule({ code });
    const made = this.device.createComputePipeline({ layout: "auto", compute: { module, entryPoint } });
    this.pipelines.set(name, made);
    return made;
  }

  /** @param {ArrayBufferView} array @param {number} [usage] */
  upload(array, usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC) {
    const size = Math.max(Math.ceil(array.byteLength / 4) * 4, 4);
    const buffer = this.device.createBuffer({ size, usage, mappedAtCreation: true });
    new Uint8Array(buffer.getMappedRange()).set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    buffer.unmap();
    return buffer;
  }

  /** @param {number} size in bytes */
  allocate(size) {
    return this.device.createBuffer({ size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST });
  }

  /**
   * Waits until a buffer was written: until its first bytes have arrived.
   *
   * @param {GPUBuffer} buffer
   */
  async wait(buffer) {
    const encoder = this.device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, 0, this.waiting, 0, Math.min(WAIT_BYTES, buffer.size));
    this.device.queue.submit([encoder.finish()]);
    await this.waiting.mapAsync(GPUMapMode.READ);
    this.waiting.unmap();
  }

  /**
   * The bytes of a buffer.
   *
   * @param {GPUBuffer} buffer
   */
  async download(buffer) {
    const copy = this.device.createBuffer({ size: buffer.size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const encoder = this.device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, 0, copy, 0, buffer.size);
    this.device.queue.submit([encoder.finish()]);
    await copy.mapAsync(GPUMapMode.READ);
    const bytes = copy.getMappedRange().slice(0);
    copy.destroy();
    return bytes;
  }

  /**
   * Does something after all that came before, and throws what the device reports of it.
   *
   * @template R
   * @param {() => Promise<R>} action
   * @returns {Promise<R>}
   */
  checked(action) {
    const run = this.before.then(() => this.scoped(action)); // one at a time: error scopes are a stack
    this.before = run.then(
      () => {},
      () => {},
    );
    return run;
  }

  /**
   * @template R
   * @param {() => Promise<R>} action
   * @returns {Promise<R>}
   */
  async scoped(action) {
    this.check();
    this.device.pushErrorScope("out-of-memory");
    this.device.pushErrorScope("validation");
    /** @type {{result?: R, error?: unknown}} */
    const outcome = {};
    try {
      outcome.result = await action();
    } catch (error) {
      outcome.error = error;
    }
    const [invalid, full] = [await this.device.popErrorScope(), await this.device.popErrorScope()];
    this.check();
    if (full !== null) throw new Error(`out of memory on the GPU: ${full.message || "an allocation failed"}`);
    if (invalid !== null) throw new Error(invalid.message);
    if ("error" in outcome) throw outcome.error;
    return /** @type {R} */ (outcome.result);
  }
}

/**
 * The browser's GPU, or why there is none.
 *
 * @returns {Promise<Gpu | string>}
 */
export async function findGpu() {
  if (!navigator.gpu) {
    return globalThis.isSecureContext
      ? "this browser has no WebGPU"
      : "this browser offers WebGPU only on pages that it takes for secure, and this one is not";
  }
  try {
    const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
    if (adapter === null) return "the browser finds no adapter for WebGPU";
    const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
    const device = await adapter.requestDevice({
      requiredFeatures: FEATURES.filter((name) => adapter.features.has(name)),
      requiredLimits: { maxBufferSize, maxStorageBufferBindingSize },
    });
    const info = /** @type {any} */ (adapter.info ?? {});
    return new Gpu(device, info, Boolean(info.isFallbackAdapter ?? /** @type {any} */ (adapter).isFallbackAdapter));
  } catch (error) {
    return `the browser gives no WebGPU device: ${/** @type {Error} */ (error).message}`;
  }
}

/**
 * Rows of 0 and others as bits, 32 a word.
 *
 * @param {Uint8Array} matrix rows*columns
 * @param {number} rows
 * @param {number} columns
 */
export function packBits(matrix, rows, columns) {
  const count = Math.ceil(columns / 32);
  const words = new Uint32Array(rows * count);
  for (let row = 0, at = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, at++) {
      if (matrix[at] !== 0) words[row * count + (column >>> 5)] |= 1 << (column & 31);
    }
  }
  return words;
}
