import { findMask, makeMask } from "../core/masks.js";
import { roundTo } from "./float16.js";

// Inputs of a case as Python draws them, bit for bit (attnpanel/bench/offline/shared_inputs.py): a counter is hashed, and a
// normal number is the sum of eight halves of words.

const GOLDEN = 0x9e3779b9;
const MEAN = 4 * 65535;
const SCALE = Math.sqrt(1.5) / 65536;

/** @param {number} word */
function hashed(word) {
  word = Math.imul(word ^ (word >>> 16), 0x7feb352d);
  word = Math.imul(word ^ (word >>> 15), 0x846ca68b);
  return (word ^ (word >>> 16)) >>> 0;
}

export class SharedGenerator {
  /** @param {number} seed */
  constructor(seed) {
    this.state = hashed(seed);
  }

  word() {
    const drawn = hashed(this.state);
    this.state = (this.state + GOLDEN) | 0;
    return drawn;
  }

  /** @param {number} count */
  normal(count) {
    const numbers = new Float64Array(count);
    for (let at = 0; at < count; at++) {
      let total = -MEAN;
      for (let each = 0; each < 4; each++) {
        const word = this.word();
        total += (word & 0xffff) + (word >>> 16);
      }
      numbers[at] = total * SCALE;
    }
    return numbers;
  }
}

/**
 * A request's sizes by the letters of the formulas, and the numbers that scale its scores.
 *
 * @param {BenchRequest} request
 */
export function sizesOf(request) {
  const { batch: B, heads: H, kv_heads: Hkv, query_len: T, key_len: S, head_dim: D, value_dim: Dv } = request;
  return { B, H, Hkv, T, S, D, Dv, group: H / Hkv, scale: request.scale ?? D ** -0.5, temperature: request.temperature };
}

/**
 * The inputs of a case.
 *
 * @param {BenchCase} case_
 * @param {MaskTable} masks
 * @returns {BenchInputs}
 */
export function makeInputs({ request, kind, seed }, masks) {
  const { B, H, Hkv, T, S, D, Dv } = sizesOf(request);
  const draws = new SharedGenerator(seed);
  const query = draws.normal(B * H * T * D);
  const key = draws.normal(B * Hkv * S * D);
  const value = draws.normal(B * Hkv * S * Dv);
  const bias = request.bias ? draws.normal(H * T * S).map((number) => 2 * number) : null;
  const shaped = ofKind(kind, draws, request, query, key, value);
  const [q, k, v] = shaped.map((numbers) => roundTo(numbers, request.dtype));
  return { query: q, key: k, value: v, mask: visible(request, masks), bias: bias && roundTo(bias, request.dtype) };
}

/**
 * As _of_kind of attnpanel/bench/certify/case.py.
 *
 * @param {string} kind
 * @param {SharedGenerator} draws
 * @param {BenchRequest} request
 * @param {...Float64Array} drawn
 * @returns {Float64Array[]} query, key, value
 */
function ofKind(kind, draws, request, ...drawn) {
  const { B, H, Hkv, T, S, D, Dv, group } = sizesOf(request);
  const [query, key, value] = drawn;
  /** @param {Float64Array} numbers @param {number} by */
  const times = (numbers, by) => numbers.map((number) => by * number);
  if (kind === "randn") return drawn;
  if (kind === "large") return [times(query, 8), times(key, 8), times(value, 100)];
  if (kind === "huge") return [times(query, 128), times(key, 128), value];
  if (kind === "positive") return drawn.map((numbers) => numbers.map(Math.abs));
  if (kind === "tiny") return [query.map((x) => x / 1024), key.map((x) => x / 1024), value.map((x) => x / 2 ** 80)];
  if (kind === "low") return [query.map((x) => 128 * Math.abs(x)), key.map((x) => -128 * Math.abs(x)), value];
  if (kind === "outlier") {
    for (let at = 0; at < query.length; at += D) query[at] *= 8;
    for (let at = 0; at < key.length; at += D) key[at] *= 8;
    for (let kv = 0; kv < B * Hkv; kv++) {
      const from = (kv * S + Math.floor(S / 2)) * Dv;
      for (let at = from; at < from + Dv; at++) value[at] *= 100;
    }
    return drawn;
  }
  if (kind === "peaked") {
    const peak = 24 / Math.sqrt(D);
    for (let row = 0; row < B * H * T; row++) {
      const head = Math.floor(row / T);
      const kv = Math.floor(head / H) * Hkv + Math.floor((head % H) / group);
      const target = (kv * S + (draws.word() % S)) * D;
      for (let d = 0; d < D; d++) query[row * D + d] = 0.5 * query[row * D + d] + peak * key[target + d];
    }
    return drawn;
  }
  throw new RangeError(`inputs must be of a known kind; got ${kind}`);
}

/**
 * The mask of a request: T*S, or that for each batch entry; null where every key is seen.
 *
 * @param {BenchRequest} request
 * @param {MaskTable} masks
 * @returns {?Uint8Array}
 */
export function visible(request, masks) {
  if (request.mask === "none") return null;
  const { T, S } = sizesOf(request);
  const row = findMask(masks, request.mask);
  /** @type {MaskValues} */
  const values = Object.fromEntries(request.mask_options);
  if (request.window !== null) values.window = request.window;
  const entries = (request.pad_lens ?? [null]).map((pad) => {
    return makeMask(row, T, S, { align: request.align, values: pad === null ? values : { ...values, pad_len: pad } });
  });
  const all = new Uint8Array(entries.length * T * S);
  entries.forEach((mask, at) => all.set(mask, at * T * S));
  return all;
}

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
  return byte;
});

/**
 * CRC-32 of the inputs, as inputs_digest of attnpanel/bench/offline/shared_inputs.py.
 *
 * @param {BenchInputs} inputs
 */
export function inputsDigest({ query, key, value, bias, mask }) {
  let crc = 0xffffffff;
  for (const array of [query, key, value, bias, mask]) {
    if (array === null) continue;
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    for (let at = 0; at < bytes.length; at++) crc = CRC[(crc ^ bytes[at]) & 0xff] ^ (crc >>> 8);
  }
  return ~crc >>> 0;
}
