// The offline bench's formulas as one module, and implementations with planted defects for its certificate to find.

import { certify, prepareCase } from "../../js/offline_bench/certificate.js";
import { halfBits, roundTo, toHalf } from "../../js/offline_bench/float16.js";
import { inputsDigest, makeInputs, sizesOf } from "../../js/offline_bench/inputs.js";
import { plainJavaScript, webAssembly } from "../../js/offline_bench/javascript.js";
import { headStatistics, judge, outputUnit, weightUnit } from "../../js/offline_bench/judge.js";
import { reference, rowsOf } from "../../js/offline_bench/reference.js";
import { fillShader, packMask } from "../../js/offline_bench/shader.js";
import { TimedRow, leastSeconds, toleranceOf } from "../../js/offline_bench/timing.js";

export { fillShader, halfBits, leastSeconds, makeInputs, packMask, reference, roundTo, toleranceOf };

export const digestOf = (case_, masks) => inputsDigest(makeInputs(case_, masks));

/** Reference, units and the judgement of an output. */
export function judged(case_, masks, output) {
  const inputs = makeInputs(case_, masks);
  const expected = reference(case_.request, inputs, { weights: true });
  const { failures, ratio } = judge(case_.request, inputs, output, expected);
  const unit = outputUnit(case_.request, expected);
  const statistics = case_.request.dtype === "float16" ? headStatistics(case_.request, inputs, output, expected, 0) : {};
  return { expected, unit, weightUnit: weightUnit(case_.request, expected), failures, ratio, statistics };
}

/** The reference of some queries of a head alone, and the same rows of the whole. */
export function referenceOfRows(case_, masks, head, queries) {
  const inputs = makeInputs(case_, masks);
  const { T, Dv } = sizesOf(case_.request);
  const whole = reference(case_.request, inputs).output;
  const some = reference(...rowsOf(case_.request, inputs, head, queries)).output;
  return [some, Float64Array.from(queries.flatMap((i) => [...whole.subarray((head * T + i) * Dv, (head * T + i + 1) * Dv)]))];
}

/** Attention with float16 results whose steps are rounded as told. */
function float16(round, store) {
  return {
    ...plainJavaScript(),
    name: "float16",
    leaks: [],
    unsupported: () => [],
    prepare(request, inputs) {
      const { B, H, Hkv, T, S, D, Dv, group, scale, temperature } = sizesOf(request);
      let result = null;
      const start = () => {
        const output = new Float32Array(B * H * T * Dv);
        const logsumexp = new Float32Array(B * H * T).fill(-Infinity);
        for (let row = 0; row < B * H * T; row++) {
          const head = Math.floor(row / T);
          const kv = Math.floor(head / H) * Hkv + Math.floor((head % H) / group);
          const entry = inputs.mask !== null && inputs.mask.length > T * S ? Math.floor(head / H) : 0;
          let [peak, total] = [-Infinity, 0];
          const scores = Array.from({ length: S }, (_, j) => {
            if (inputs.mask !== null && inputs.mask[(entry * T + (row % T)) * S + j] === 0) return -Infinity;
            let dot = 0;
            for (let d = 0; d < D; d++) dot += inputs.query[row * D + d] * inputs.key[(kv * S + j) * D + d];
            const added = inputs.bias === null ? 0 : inputs.bias[((head % H) * T + (row % T)) * S + j];
            const score = (dot * scale + added) / temperature;
            peak = Math.max(peak, score);
            return score;
          });
          if (peak === -Infinity) continue;
          const sums = new Float64Array(Dv);
          for (let j = 0; j < S; j++) {
            if (scores[j] === -Infinity) continue;
            const weight = Math.exp(scores[j] - peak);
            total += weight;
            for (let d = 0; d < Dv; d++) sums[d] = round(sums[d] + weight * inputs.value[(kv * S + j) * Dv + d]);
          }
          logsumexp[row] = peak + Math.log(total);
          for (let d = 0; d < Dv; d++) output[row * Dv + d] = store(sums[d] / total);
        }
        result = { output, logsumexp };
      };
      return { start, read: async () => result, release() {} };
    },
  };
}

/** Plain JavaScript on changed requests and inputs, with changed results. */
function changed({ request = (same) => same, inputs = (same) => same, result = (same) => same, leaks = ["value nan", "value inf"] }) {
  const right = plainJavaScript();
  return {
    ...right,
    leaks,
    prepare(asked, given) {
      const call = right.prepare(request(asked), inputs(given, asked));
      return { start: () => call.start(), read: async () => result(await call.read(), given), release() {} };
    },
  };
}

/** What computes once, for the inputs that it had first. */
function stale() {
  const right = plainJavaScript();
  let first = null;
  const prepare = (asked, given) => {
    if (first === null) {
      first = right.prepare(asked, given);
      first.start();
    }
    return { start() {}, read: () => first.read(), release() {} };
  };
  return { ...right, prepare };
}

let calls = 0;
const truncated = (x) => {
  const near = toHalf(x);
  return Math.abs(near) <= Math.abs(x) ? near : near - Math.sign(x) * 2 ** (Math.floor(Math.log2(Math.abs(x))) - 10);
};

const IMPLEMENTATIONS = {
  javascript: plainJavaScript,
  "javascript-wasm": webAssembly,
  "wrong scale": () => changed({ request: (asked) => ({ ...asked, scale: 1.0001 * sizesOf(asked).scale }) }),
  "missing mask": () => changed({ inputs: (given) => ({ ...given, mask: null }) }),
  "mask as a penalty": () => changed({ inputs: penalised }),
  "heads of another group": () => changed({ request: (asked) => ({ ...asked, kv_heads: asked.heads }), inputs: repeatedHeads }),
  "stale output": stale,
  "results in one buffer": () => changed({ result: inOneBuffer }),
  "not finite": () => changed({ result: ({ output, logsumexp }) => ({ output: output.map((x, at) => (at === 3 ? NaN : x)), logsumexp }) }),
  "written inputs": () => changed({ result: (made, given) => (given.query.fill(0), made) }),
  "another result each time": () => changed({ result: jittered }),
  "leaks undeclared": () => changed({ leaks: [] }),
  "wrong output": () => changed({ result: ({ output, logsumexp }) => ({ output: output.map((x) => 1.001 * x), logsumexp }) }),
  "wrong logsumexp": () => changed({ result: ({ output, logsumexp }) => ({ output, logsumexp: logsumexp.map((x) => x + 1e-3) }) }),
  "nan in empty rows": () => changed({ result: ({ output, logsumexp }) => ({ output: output.map((x) => (x === 0 ? NaN : x)), logsumexp }) }),
  "one row too few": () => changed({ result: ({ output, logsumexp }) => ({ output: output.slice(1), logsumexp }) }),
  float16: () => float16(Math.fround, toHalf),
  "float16 sums": () => float16(toHalf, toHalf),
  "float16 truncated": () => float16(Math.fround, truncated),
  "float16 too large": () => float16(Math.fround, (x) => toHalf(1.0005 * x)),
};

function penalised(given, { heads: H, query_len: T, key_len: S }) {
  const { mask } = given;
  if (mask === null || mask.length > T * S) return given;
  const bias = Float32Array.from({ length: H * T * S }, (_, at) => (given.bias?.[at] ?? 0) + (mask[at % (T * S)] ? 0 : -20));
  return { ...given, mask: null, bias };
}

function repeatedHeads(given, { batch: B, heads: H, kv_heads: Hkv, key_len: S, head_dim: D, value_dim: Dv }) {
  const repeated = (array, width) => {
    const made = new Float32Array(B * H * S * width);
    for (let head = 0; head < B * H; head++) {
      const from = (Math.floor(head / H) * Hkv + (head % Hkv)) * S * width; // should be the head over the group's size
      made.set(array.subarray(from, from + S * width), head * S * width);
    }
    return made;
  };
  return { ...given, key: repeated(given.key, D), value: repeated(given.value, Dv) };
}

function jittered({ output, logsumexp }) {
  const factor = 1 + 2 ** -22 * (calls++ % 5);
  return { output: output.map((x) => x * factor), logsumexp };
}

const buffers = new Map();
function inOneBuffer({ output, logsumexp }) {
  if (!buffers.has(output.length)) buffers.set(output.length, new Float32Array(output.length));
  buffers.get(output.length).set(output);
  return { output: buffers.get(output.length), logsumexp };
}

/** The certificate of an implementation, or of one with a defect. */
export async function certificate(name, listed, masks) {
  return certify(IMPLEMENTATIONS[name](), prepareCase(listed, masks), masks);
}

/** What becomes of a timed row. */
export async function timedRow(name, listed, masks, limits, step) {
  const row = new TimedRow(IMPLEMENTATIONS[name](), prepareCase(listed, masks), { step, latency: 0 });
  await row.warmUp();
  for (let round = 0; round < 3; round++) if (!row.ended) await row.visit(round);
  row.refuseImpossible(limits);
  return row.record([]);
}
