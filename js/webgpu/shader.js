// Attention of one head on a GPU: its scores, their softmax and the mix of the values, each added to those of other heads.

const TILE = 64; // rows and columns of a product that a workgroup computes
const DEPTH = 16; // terms that it holds at a time
const PITCH = DEPTH + 1; // its rows lie in different banks
export const THREADS = 256;

/** Of the uniform: seven integers, three floats. */
export const SIZES_BYTES = 48;

/**
 * A product of matrices in tiles of 64 by 64, of which each of 16 * 16 threads computes 4 by 4.
 *
 * @param {{name: string, rows: string, columns: string, depth: string, left: string, right: string, write: string}} parts
 *   left, right: what stands at (row, term) and (column, term); write: what becomes of `sum` at (row, column)
 */
function product({ name, rows, columns, depth, left, right, write }) {
  return `
@compute @workgroup_size(16, 16)
fn ${name}(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u, @builtin(local_invocation_index) index: u32) {
  let top = group.y * ${TILE}u;
  let first = group.x * ${TILE}u;
  var sums: array<f32, 16>;
  for (var base = 0u; base < ${depth}; base += ${DEPTH}u) {
    for (var n = index; n < ${TILE * DEPTH}u; n += ${THREADS}u) {
      let at = n / ${DEPTH}u;
      let term = base + n % ${DEPTH}u;
      let place = at * ${PITCH}u + n % ${DEPTH}u;
      let row = top + at;
      let column = first + at;
      lefts[place] = 0.0;
      rights[place] = 0.0;
      if (term < ${depth}) {
        if (row < ${rows}) { lefts[place] = ${left}; }
        if (column < ${columns}) { rights[place] = ${right}; }
      }
    }
    workgroupBarrier();
    for (var term = 0u; term < ${DEPTH}u; term++) {
      for (var i = 0u; i < 4u; i++) {
        let x = lefts[(local.y * 4u + i) * ${PITCH}u + term];
        for (var j = 0u; j < 4u; j++) {
          sums[i * 4u + j] += x * rights[(local.x * 4u + j) * ${PITCH}u + term];
        }
      }
    }
    workgroupBarrier();
  }
  for (var i = 0u; i < 4u; i++) {
    for (var j = 0u; j < 4u; j++) {
      let row = top + local.y * 4u + i;
      let column = first + local.x * 4u + j;
      if (row < ${rows} && column < ${columns}) {
        let sum = sums[i * 4u + j];
        ${write}
      }
    }
  }
}
`;
}

/** Threads of a group bring their numbers together in partial[0]. @param {string} join of `one` and `other` */
function reduced(join) {
  return `
  workgroupBarrier();
  for (var half = ${THREADS / 2}u; half > 0u; half /= 2u) {
    if (index < half) {
      let one = partial[index];
      let other = partial[index + half];
      partial[index] = ${join};
    }
    workgroupBarrier();
  }`;
}

export const SHADER = `
struct Sizes {
  T: u32, S: u32, D: u32, Dv: u32,
  words: u32, // of a row of the mask; 0 where every key is visible
  starts: u32, // 1 for the first of the heads, which overwrites what an earlier question left
  has_sink: u32,
  scale: f32, warmth: f32, share: f32, // 1 / temperature, 1 / heads
  sink: f32,
}
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> query: array<f32>; // T * D
@group(0) @binding(2) var<storage, read> key: array<f32>; // S * D
@group(0) @binding(3) var<storage, read> value: array<f32>; // S * Dv
@group(0) @binding(4) var<storage, read> visible: array<u32>; // T * words, 32 keys a word
@group(0) @binding(5) var<storage, read_write> cells: array<f32>; // T * S: scores, then weights
@group(0) @binding(6) var<storage, read_write> scores: array<f32>;
@group(0) @binding(7) var<storage, read_write> weights: array<f32>;
@group(0) @binding(8) var<storage, read_write> output: array<f32>; // T * Dv

var<workgroup> lefts: array<f32, ${TILE * PITCH}>;
var<workgroup> rights: array<f32, ${TILE * PITCH}>;
var<workgroup> partial: array<f32, ${THREADS}>;

fn added(total: f32, part: f32) -> f32 { return select(total, 0.0, sizes.starts == 1u) + part * sizes.share; }
${product({
  name: "score",
  rows: "sizes.T",
  columns: "sizes.S",
  depth: "sizes.D",
  left: "query[row * sizes.D + term]",
  right: "key[column * sizes.D + term]",
  write: `let at = row * sizes.S + column;
        cells[at] = sum * sizes.scale;
        scores[at] = added(scores[at], sum * sizes.scale);`,
})}
fn seen(row: u32, column: u32) -> bool {
  return sizes.words == 0u || ((visible[row * sizes.words + column / 32u] >> (column % 32u)) & 1u) == 1u;
}

// A row that sees nothing has weights of 0.
@compute @workgroup_size(${THREADS})
fn weigh(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let row = group.x;
  let start = row * sizes.S;
  var peak = select(-3.4e38, sizes.sink, sizes.has_sink == 1u);
  for (var column = index; column < sizes.S; column += ${THREADS}u) {
    if (seen(row, column)) { peak = max(peak, cells[start + column]); }
  }
  partial[index] = peak;${reduced("max(one, other)")}
  peak = partial[0];
  workgroupBarrier();
  var sum = 0.0;
  for (var column = index; column < sizes.S; column += ${THREADS}u) {
    var weight = 0.0;
    if (seen(row, column)) { weight = exp((cells[start + column] - peak) * sizes.warmth); }
    cells[start + column] = weight;
    sum += weight;
  }
  partial[index] = sum;${reduced("one + other")}
  var total = partial[0];
  if (sizes.has_sink == 1u) { total += exp((sizes.sink - peak) * sizes.warmth); }
  let factor = select(0.0, 1.0 / total, total > 0.0);
  for (var column = index; column < sizes.S; column += ${THREADS}u) {
    let weight = cells[start + column] * factor;
    cells[start + column] = weight;
    weights[start + column] = added(weights[start + column], weight);
  }
}
${product({
  name: "mix",
  rows: "sizes.T",
  columns: "sizes.Dv",
  depth: "sizes.S",
  left: "cells[row * sizes.S + term]",
  right: "value[term * sizes.Dv + column]",
  write: `let at = row * sizes.Dv + column;
        output[at] = added(output[at], sum);`,
})}`;
