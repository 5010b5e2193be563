import { chooseKernel, kernelFor } from "../core/kernels.js";
import { now, pause } from "./clock.js";

// The fastest that this device was seen to multiply and to copy, by the same clock as the calls.

const SAMPLES = 5;
const COPY_BYTES = [2 ** 16, 2 ** 19, 2 ** 22, 2 ** 26];
const GPU_COPY_BYTES = [2 ** 22, 2 ** 26];
/** Rows, columns and depth of products: square, and as attention has them. */
const PRODUCTS = [
  [256, 256, 256],
  [512, 512, 512],
  [512, 512, 64],
  [512, 64, 512],
];
const CHAINS = 8;
const ROUNDS_OF_JAVASCRIPT = 4000;

/**
 * Repeats an action until it takes long enough for the clock, and then takes samples.
 *
 * @param {(count: number) => void | Promise<void>} repeat
 * @param {number} least seconds of a sample
 * @returns {Promise<number[]>} seconds of one action
 */
async function samplesOf(repeat, least) {
  let count = 1;
  for (let seconds = 0; seconds < least && count < 2 ** 24; ) {
    const began = now();
    await repeat(count);
    seconds = now() - began;
    if (seconds < least) count = Math.ceil(count * Math.min(16, Math.max(2, (1.2 * least) / Math.max(seconds, 1e-9))));
  }
  const samples = [];
  for (let sample = 0; sample < SAMPLES; sample++) {
    await pause();
    const began = now();
    await repeat(count);
    samples.push(Math.max(now() - began, least / 100) / count);
  }
  return samples;
}

/**
 * The limits of one core: products by the page's kernels or a chain of multiplications and additions in JavaScript, whichever
 * is faster, and copies of arrays.
 *
 * @param {number} least seconds of a sample
 * @returns {Promise<BenchLimits>}
 */
export async function cpuLimits(least) {
  const kinds = [await rates(2 * CHAINS * ROUNDS_OF_JAVASCRIPT, (count) => void multiplyAdd(count), least)];
  chooseKernel();
  for (const [rows, columns, depth] of PRODUCTS) {
    const [left, right] = [rows * depth, columns * depth].map((length) => new Float32Array(length).fill(0.5));
    const out = new Float32Array(rows * columns);
    const vectors = { matrix: right, count: columns, depth, countStep: depth, depthStep: 1 };
    const kernel = kernelFor(out);
    const product = (/** @type {number} */ count) => {
      for (let each = 0; each < count; each++) kernel.product(out, left, 1, vectors, rows);
    };
    kinds.push(await rates(2 * rows * columns * depth, product, least));
  }
  const steps = [];
  for (const bytes of COPY_BYTES) {
    const [from, to] = [new Float32Array(bytes / 4).fill(1), new Float32Array(bytes / 4)];
    const copied = await rates(2 * bytes, (count) => {
      for (let each = 0; each < count; each++) to.set(from);
    }, least);
    steps.push({ bytes, rates: copied });
  }
  return limits("cpu", "float32", kinds, steps);
}

let kept = 0;

/** @param {number} count of so many rounds */
function multiplyAdd(count) {
  let [a, b, c, d, e, f, g, h] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];
  for (let round = 0; round < ROUNDS_OF_JAVASCRIPT * count; round++) {
    a = a * 0.999 + 0.001;
    b = b * 0.999 + 0.001;
    c = c * 0.999 + 0.001;
    d = d * 0.999 + 0.001;
    e = e * 0.999 + 0.001;
    f = f * 0.999 + 0.001;
    g = g * 0.999 + 0.001;
    h = h * 0.999 + 0.001;
  }
  kept = a + b + c + d + e + f + g + h; // or it need not be computed
  return kept;
}

/**
 * @param {number} work of an action
 * @param {(count: number) => void | Promise<void>} repeat
 * @param {number} least
 */
async function rates(work, repeat, least) {
  return (await samplesOf(repeat, least)).map((seconds) => work / seconds);
}

/**
 * @param {string} device
 * @param {DType} dtype
 * @param {number[][]} kinds rates of several kinds of products
 * @param {{bytes: number, rates: number[]}[]} steps
 * @returns {BenchLimits}
 */
function limits(device, dtype, kinds, steps) {
  const best = kinds.reduce((one, other) => (Math.max(...other) > Math.max(...one) ? other : one));
  return {
    ...{ device, dtype, threads: 1, gemm_flops_per_s: best, copy_bytes_per_s: steps[steps.length - 1].rates },
    ...{ datasheet: null, gemm_yardstick_s: [] },
    steps: steps.map(({ bytes, rates }) => ({ bytes, bytes_per_s: Math.max(...rates), per_yardstick: null })),
  };
}

// Eight vectors of four numbers an invocation, so that no addition waits for the one before.
const MULTIPLY_ADD = `$ENABLE
@group(0) @binding(0) var<storage, read_write> result: array<vec4<f32>>;
@compute @workgroup_size(64)
fn attention(@builtin(global_invocation_id) id: vec3<u32>) {
  let factor = vec4<$TYPE>(0.999);
  let more = vec4<$TYPE>($TYPE(id.x & 7u) * 0.001);
  $STARTS
  for (var round = 0u; round < $ROUNDS; round++) {
    $STEPS
  }
  result[id.x] = vec4<f32>($SUM);
}`;
const VECTORS = 8;
const ROUNDS = 512;
const WRITTEN_OUT = 8;

/** @param {DType} dtype */
function multiplyAddShader(dtype) {
  const names = Array.from({ length: VECTORS }, (_, n) => `a${n}`);
  const type = dtype === "float16" ? "f16" : "f32";
  const step = names.map((name) => `${name} = fma(${name}, factor, more);`).join(" ");
  return MULTIPLY_ADD.replace("$ENABLE", dtype === "float16" ? "enable f16;" : "")
    .replaceAll("$TYPE", type)
    .replace("$STARTS", names.map((name, n) => `var ${name} = more * ${type}(${n});`).join(" "))
    .replace("$ROUNDS", `${ROUNDS}u`)
    .replace("$STEPS", Array(WRITTEN_OUT).fill(step).join("\n    "))
    .replace("$SUM", names.join(" + "));
}

/**
 * The limits of a GPU for a dtype: multiplications with additions of float32 or float16 numbers, whichever is faster, since
 * a kernel may convert; and copies from buffer to buffer.
 *
 * @param {import("../webgpu/device.js").Gpu} gpu
 * @param {DType[]} dtypes
 * @param {number} least seconds of a sample
 * @returns {Promise<BenchLimits[]>}
 */
export async function gpuLimits(gpu, dtypes, least) {
  return gpu.checked(async () => {
    const groups = gpu.software ? 64 : 4096;
    const result = gpu.allocate(groups * 64 * 16);
    /** @type {number[][]} */
    const kinds = [];
    for (const dtype of dtypes) {
      const pipeline = gpu.pipeline(multiplyAddShader(dtype), "attention");
      const entries = [{ binding: 0, resource: { buffer: result } }];
      const group = gpu.device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
      const repeat = async (/** @type {number} */ count) => {
        const encoder = gpu.device.createCommandEncoder();
        const pass = encoder.beginComputePass();
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        for (let each = 0; each < count; each++) pass.dispatchWorkgroups(groups);
        pass.end();
        gpu.device.queue.submit([encoder.finish()]);
        await gpu.wait(result);
      };
      kinds.push(await rates(2 * 4 * VECTORS * ROUNDS * WRITTEN_OUT * groups * 64, repeat, least));
    }
    result.destroy();
    /** @type {{bytes: number, rates: number[]}[]} */
    const steps = [];
    for (const bytes of GPU_COPY_BYTES) {
      const [from, to] = [gpu.allocate(bytes), gpu.allocate(bytes)];
      const repeat = async (/** @type {number} */ count) => {
        const encoder = gpu.device.createCommandEncoder();
        for (let each = 0; each < count; each++) encoder.copyBufferToBuffer(from, 0, to, 0, bytes);
        gpu.device.queue.submit([encoder.finish()]);
        await gpu.wait(to);
      };
      steps.push({ bytes, rates: await rates(2 * bytes, repeat, least) });
      from.destroy();
      to.destroy();
    }
    return dtypes.map((dtype, at) => limits("webgpu", dtype, kinds.slice(0, at + 1), steps));
  });
}

/**
 * Seconds that an empty submission takes, the shortest of some.
 *
 * @param {import("../webgpu/device.js").Gpu} gpu
 */
export async function latencyOf(gpu) {
  const buffer = gpu.allocate(64);
  const seconds = [];
  for (let look = 0; look < 2 * SAMPLES; look++) {
    const began = now();
    for (let each = 0; each < 10; each++) await gpu.wait(buffer);
    seconds.push((now() - began) / 10);
  }
  buffer.destroy();
  return Math.min(...seconds);
}
