import { packBits } from "../webgpu/device.js";
import { sizesOf } from "./inputs.js";

// Fills in attnpanel/kernels/attention.wgsl, and packs masks for it, as attnpanel/kernels/wgpu_online.py does.

export const WORKGROUP = 64;
const MAX_TILE = 32;
const SHARED_BYTES = 2 ** 14;
export const MAX_WIDTH = 256;

/**
 * A mask as the shader reads it: 32 keys a word, and the keys to look at of each 64 queries.
 *
 * @param {?Uint8Array} mask T*S, or that for each batch entry
 * @param {number} T
 * @param {number} S
 */
export function packMask(mask, T, S) {
  const tiles = Math.ceil(T / WORKGROUP);
  const entries = mask === null ? 1 : mask.length / (T * S);
  const ranges = new Uint32Array(2 * entries * tiles);
  if (mask === null) {
    for (let tile = 0; tile < tiles; tile++) ranges[2 * tile + 1] = S;
    return { words: new Uint32Array(1), ranges, strides: [0, 0, 0], rangeStrides: [0, 0] };
  }
  const count = Math.ceil(S / 32);
  for (let entry = 0; entry < entries; entry++) {
    for (let tile = 0; tile < tiles; tile++) {
      let [first, end] = [S, 0];
      for (let i = tile * WORKGROUP; i < Math.min((tile + 1) * WORKGROUP, T); i++) {
        const row = entry * T + i;
        for (let j = 0; j < S; j++) {
          if (mask[row * S + j] === 0) continue;
          first = Math.min(first, j);
          end = Math.max(end, j + 1);
        }
      }
      ranges.set(end > 0 ? [first - (first % 32), end] : [0, 0], 2 * (entry * tiles + tile));
    }
  }
  const more = entries > 1 ? 1 : 0;
  return { words: packBits(mask, entries * T, S), ranges, strides: [more * T * count, 0, T > 1 ? count : 0], rangeStrides: [more * tiles, 0] };
}

/**
 * The shader of a request.
 *
 * @param {string} template
 * @param {BenchRequest} request
 * @param {{strides: number[], rangeStrides: number[]}} packed
 * @param {boolean} masked
 */
export function fillShader(template, request, { strides, rangeStrides }, masked) {
  const { T, S, D, Dv, H, group, scale, temperature } = sizesOf(request);
  const [depth, width] = [Math.ceil(D / 4), Math.ceil(Dv / 4)];
  let tile = MAX_TILE;
  while (tile * (depth + width) * 16 > SHARED_BYTES) tile /= 2;
  const half = request.dtype === "float16";
  /** @type {Record<string, string | number>} */
  const values = {
    ENABLE: half ? "enable f16;" : "",
    TYPE: half ? "f16" : "f32",
    STORED: half ? "nearest" : "",
    T,
    S,
    D4: depth,
    DV4: width,
    TILE: tile,
    HEADS: H,
    GROUP: group,
    SCALE: Math.fround(scale / temperature).toExponential(17),
    BIAS_SCALE: Math.fround(1 / temperature).toExponential(17),
    KEY_VECTORS: tile * depth,
    VALUE_VECTORS: tile * width,
    KEY_LOADS: Math.ceil((tile * depth) / WORKGROUP),
    VALUE_LOADS: Math.ceil((tile * width) / WORKGROUP),
    MASK_BATCH: strides[0],
    MASK_HEAD: strides[1],
    MASK_QUERY: strides[2],
    RANGE_BATCH: rangeStrides[0],
    RANGE_HEAD: rangeStrides[1],
    MASKED: String(masked),
    BIASED: String(request.bias),
  };
  const lines = template.split("\n").flatMap((line) => {
    const repeated = /^( *)for (\w+): (.*)$/.exec(line);
    if (repeated === null) return [line];
    const [, indent, name, statement] = repeated;
    return Array.from({ length: Number(values[name]) }, (_, n) => indent + statement.replaceAll("#", String(n)));
  });
  const names = Object.keys(values).sort((one, other) => other.length - one.length);
  return lines.join("\n").replace(RegExp(`\\$(${names.join("|")})`, "g"), (_, name) => String(values[name]));
}
