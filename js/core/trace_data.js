import { halfToFloat } from "./float16.js";
import { visiblePairs } from "./visibility.js";

const PAYLOAD_SCHEMA = "attnpanel.payload/1";
/** @typedef {{dtype: ArrayLayout["dtype"], shape: number[], bytes: Uint8Array<ArrayBuffer>}} StoredArray */

const WIDTHS = { bool: 1, float16: 2, float32: 4, int32: 4 };

/**
 * Opens a trace serialized by attnpanel/explorer/wire_format.py. A call's arrays are decompressed on the first `ready`, or
 * passed to `receive` when they arrive later.
 *
 * @param {TraceMeta} meta the JSON document
 * @param {(string | ArrayBuffer | undefined)[]} payloads a call's arrays, as for `receive`; none for a call that is supplied later
 * @returns {Trace}
 */
export function openTrace(meta, payloads) {
  if (meta.schema !== PAYLOAD_SCHEMA) {
    throw new Error(`this page reads ${PAYLOAD_SCHEMA}; its data says ${JSON.stringify(meta.schema)}`);
  }
  const calls = meta.calls.map((fields, index) => openCall(fields, payloads[index], meta));
  return {
    ...meta,
    meta,
    calls,
    tokensOf(call, batch) {
      const own = meta.labels[calls.indexOf(call)][batch];
      if (own) return { queries: own[0], keys: own[1] };
      return { queries: meta.queryTokens[batch], keys: meta.queryTokens[batch] };
    },
  };
}

/** @param {CallFields} fields @param {string | ArrayBuffer | undefined} payload @param {TraceMeta} meta @returns {Call} */
function openCall(fields, payload, meta) {
  const { H, Hkv, T, S, D, Dv } = fields;
  /** @type {string | ArrayBuffer | undefined} */
  let packed = payload;
  /** @type {?Record<string, StoredArray>} */
  let arrays = null;
  /** @type {?Promise<void>} */
  let opening = null;
  const later = /** @type {{resolve: () => void, reject: (error: unknown) => void}} */ ({});
  const supplied = /** @type {Promise<void>} */ (new Promise((resolve, reject) => Object.assign(later, { resolve, reject })));
  const open = async () => {
    const bytes = typeof packed === "string" ? await inflate(packed).catch(() => null) : new Uint8Array(/** @type {ArrayBuffer} */ (packed));
    if (bytes?.length !== sizeOf(fields.arrays)) {
      throw new Error(`the data of layer ${fields.index} is damaged or cut short: get the file again`);
    }
    arrays ??= split(bytes, fields.arrays);
  };
  /** @type {Map<string, any>} */
  const cache = new Map();
  const stored = () => /** @type {Record<string, StoredArray>} */ (arrays);
  /** @template A @param {string} key @param {() => A} make @returns {A} */
  const kept = (key, make) => {
    if (!cache.has(key)) cache.set(key, make());
    return cache.get(key);
  };
  /** @param {string} name */
  const floats = (name) => kept(name, () => asFloats(stored()[name]));
  /** @param {string} name @param {number} index @param {number} length */
  const part = (name, index, length) => floats(name).subarray(index * length, (index + 1) * length);
  /** @param {number} head */
  const shared = (head) => Math.floor(head / (H / Hkv));
  return {
    ...fields,
    get opened() {
      return arrays !== null;
    },
    /** The serialized arrays, as for `receive`; undefined until they have arrived. */
    get packed() {
      return packed;
    },
    /** Decodes the call's arrays once; waits for them to arrive. */
    ready() {
      opening ??= packed === undefined ? supplied : open();
      return opening;
    },
    /** Takes the call's arrays: a base64 text, compressed, or an ArrayBuffer as it is. */
    receive(arrived) {
      packed = arrived;
      opening = open();
      opening.then(later.resolve, later.reject);
    },
    query: (batch, head) => part("query", batch * H + head, T * D),
    key: (batch, head) => part("key", batch * Hkv + shared(head), S * D),
    value: (batch, head) => (fields.hasValue ? part("value", batch * Hkv + shared(head), S * Dv) : null),
    headOutputs(batch, head) {
      /** @param {string} name @param {number} rows @param {number} listed @returns {any} */
      const own = (name, rows, listed = 1) => {
        const length = rows * listed;
        if (!stored()[name]) return null;
        const numbers = kept(name, () => (name.endsWith("_ids") ? new Int32Array(stored()[name].bytes.buffer) : asFloats(stored()[name])));
        return numbers.subarray((batch * H + head) * length, (batch * H + head + 1) * length);
      };
      const listed = stored()["outputs.key_ids"]?.shape[3] ?? 0;
      /** @param {string} side @param {number} rows */
      const tokens = (side, rows) => (listed ? { ids: own(`outputs.${side}_ids`, rows, listed), logits: own(`outputs.${side}_logits`, rows, listed), listed } : null);
      const scale = listed ? part("outputs.final_scale", batch, T) : null;
      return { norms: own("outputs.norms", S), keys: tokens("key", S), rows: tokens("row", T), scale };
    },
    recorded: (batch, head) => part("recorded", batch * H + head, T * S),
    bias: (batch, head) =>
      stored().bias ? kept(`bias ${batch} ${head}`, () => spread(stored().bias, floats("bias"), batch, head, T, S)) : null,
    visible: (batch, head) =>
      kept(stored().mask || stored().bias ? `visible ${batch} ${head}` : "visible", () => {
        const { mask: ofMask, bias: ofBias } = stored();
        const mask = ofMask ? spread(ofMask, ofMask.bytes, batch, head, T, S) : null;
        const bias = ofBias ? spread(ofBias, floats("bias"), batch, head, T, S) : null;
        const { causal, qOffset } = fields;
        return visiblePairs({ T, S, causal, qOffset, mask, bias });
      }),
    colours(batch, head, seed) {
      if (!fields.hasColours) return null;
      if (!fields.hasValue) return head === null ? meanRows(batch) : part("colours", batch * H + head, S * 3);
      const projection = meta.projections[Dv]?.[seed];
      if (!projection) return null;
      const all = kept(`colours ${batch} ${seed}`, () => paint(floats("value"), batch, projection));
      return head === null ? meanOfHeads(all, Hkv) : all.subarray(shared(head) * S * 3, (shared(head) + 1) * S * 3);
    },
  };

  /**
   * The colours of all key heads of one batch entry, on one scale: rgb_from_values of the notebook.
   *
   * @param {Float32Array} values
   * @param {number} batch
   * @param {ArrayLike<number>} projection
   */
  function paint(values, batch, projection) {
    const rows = Hkv * S;
    const projected = new Float64Array(rows * 3);
    let least = Infinity;
    let most = -Infinity;
    for (let row = 0; row < rows; row++) {
      const at = (batch * rows + row) * Dv;
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let d = 0; d < Dv; d++) sum += values[at + d] * projection[d * 3 + c];
        projected[row * 3 + c] = sum;
        if (sum < least) least = sum;
        if (sum > most) most = sum;
      }
    }
    for (let i = 0; i < projected.length; i++) projected[i] = (projected[i] - least) / (most - least + 1e-8);
    return projected;
  }

  /** @param {Floats} all @param {number} heads */
  function meanOfHeads(all, heads) {
    const mean = new Float64Array(S * 3);
    for (let i = 0; i < all.length; i++) mean[i % (S * 3)] += all[i] / heads;
    return mean;
  }

  /** @param {number} batch */
  function meanRows(batch) {
    return meanOfHeads(floats("colours").subarray(batch * H * S * 3, (batch + 1) * H * S * 3), H);
  }
}

/**
 * One (T, S) matrix of an array that broadcasts to (B, H, T, S).
 *
 * @template {Float32Array | Uint8Array} A
 * @param {StoredArray} array
 * @param {A} numbers
 * @param {number} batch
 * @param {number} head
 * @param {number} T
 * @param {number} S
 */
function spread(array, numbers, batch, head, T, S) {
  const shape = [1, 1, 1, 1, ...array.shape].slice(-4);
  const [b, h, t, s] = shape;
  const start = ((b === 1 ? 0 : batch) * h + (h === 1 ? 0 : head)) * t * s;
  if (t === T && s === S) return /** @type {A} */ (numbers.subarray(start, start + T * S));
  const whole = new /** @type {any} */ (numbers.constructor)(T * S);
  for (let i = 0; i < T; i++) {
    for (let j = 0; j < S; j++) whole[i * S + j] = numbers[start + (t === 1 ? 0 : i) * s + (s === 1 ? 0 : j)];
  }
  return whole;
}

/** @param {StoredArray} array */
function asFloats({ dtype, bytes }) {
  if (dtype === "float16") return halfToFloat(new Uint16Array(bytes.buffer));
  return new Float32Array(bytes.buffer);
}

/**
 * Splits the bytes into arrays, whose bytes are shuffled: first bytes of all numbers, then second bytes, …
 *
 * @param {Uint8Array} bytes
 * @param {ArrayLayout[]} layout
 */
function split(bytes, layout) {
  /** @type {Record<string, StoredArray>} */
  const arrays = {};
  let start = 0;
  for (const { name, dtype, shape } of layout) {
    const width = WIDTHS[dtype];
    const count = countOf(shape);
    const joined = new Uint8Array(count * width);
    for (let w = 0; w < width; w++) {
      for (let i = 0; i < count; i++) joined[i * width + w] = bytes[start + w * count + i];
    }
    arrays[name] = { dtype, shape, bytes: joined };
    start += count * width;
  }
  return arrays;
}

/** @param {number[]} shape */
function countOf(shape) {
  return shape.reduce((product, size) => product * size, 1);
}

/** @param {ArrayLayout[]} layout */
function sizeOf(layout) {
  return layout.reduce((sum, { dtype, shape }) => sum + WIDTHS[dtype] * countOf(shape), 0);
}

/** @param {string} base64 */
async function inflate(base64) {
  const packed = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
