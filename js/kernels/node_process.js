// Computes attention by attention.js, as often as asked: what node_process.py talks to.
//
// On stdin come messages: their length as Uint32, then JSON.
//   {"load": id, ...sizes and options}   the bytes of query, key, value, mask and bias follow; `kernels` says
//                                        which may compute it, as in kernels.js
//   {"compute": id}                      answered
//   {"forget": [id, ...]}
// An answer is, head by head, the byte 0, output, weights and logsumexp; or at its end the byte 1, the length of
// a text as Uint32 and the text in UTF-8. Numbers are in this machine's byte order. The end of stdin ends it all.

import { readSync, writeSync } from "node:fs";

import { chooseKernel } from "../core/kernels.js";
import { attendHead } from "./head_call.js";

const MAX_AT_ONCE = 2 ** 30; // bytes
/**
 * A call's sizes, options and kernels, as javascript_node.py sends them, and its arrays.
 *
 * @typedef {import("./head_call.js").HeadCall & {kernels: string[]}} LoadedCall
 * @typedef {Pick<LoadedCall, "batch" | "heads" | "kvHeads" | "T" | "S" | "D" | "Dv" | "maskShape" | "kernels">} Sizes
 */

/** @param {ArrayBufferView} array */
const bytesOf = (array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/**
 * Fill a typed array from stdin, and return it; ends the process where stdin does.
 *
 * @template {ArrayBufferView} A
 * @param {A} array
 * @returns {A}
 */
function read(array) {
  const bytes = bytesOf(array);
  for (let at = 0; at < bytes.length; ) {
    const count = readSync(0, bytes, at, Math.min(bytes.length - at, MAX_AT_ONCE), null);
    if (count === 0) process.exit();
    at += count;
  }
  return array;
}

/**
 * Write typed arrays to stdout, whole.
 *
 * @param {...ArrayBufferView} arrays
 */
function write(...arrays) {
  for (const bytes of arrays.map(bytesOf)) {
    for (let at = 0; at < bytes.length; ) {
      at += writeSync(1, bytes, at, Math.min(bytes.length - at, MAX_AT_ONCE));
    }
  }
}

function readMessage() {
  const [length] = read(new Uint32Array(1));
  return JSON.parse(Buffer.from(read(new Uint8Array(length))).toString("utf8"));
}

/**
 * A call's sizes and options with its arrays.
 *
 * @param {Sizes & {type: "Float32Array" | "Float64Array", hasBias: boolean}} message
 * @returns {LoadedCall}
 */
function readCall({ batch, heads, kvHeads, T, S, D, Dv, type, maskShape, hasBias, kernels, ...options }) {
  const Floats = globalThis[type];
  return {
    ...{ batch, heads, kvHeads, T, S, D, Dv, maskShape, kernels, options },
    query: read(new Floats(batch * heads * T * D)),
    key: read(new Floats(batch * kvHeads * S * D)),
    value: read(new Floats(batch * kvHeads * S * Dv)),
    mask: maskShape && read(new Uint8Array(maskShape[0] * maskShape[1] * T * S)),
    bias: hasBias ? read(new Floats(heads * T * S)) : null,
  };
}

/** @param {LoadedCall} call */
function answer(call) {
  try {
    chooseKernel(call.kernels);
    for (let index = 0; index < call.batch * call.heads; index++) {
      const b = Math.floor(index / call.heads);
      const { output, weights, logsumexp } = attendHead(call, b, index % call.heads);
      write(new Uint8Array([0]), /** @type {Floats} */ (output), weights, logsumexp);
    }
  } catch (error) {
    const text = Buffer.from(String(error), "utf8");
    write(new Uint8Array([1]), new Uint32Array([text.length]), text);
  }
}

const calls = new Map();
while (true) {
  const { load, compute, forget, ...sizes } = readMessage();
  if (load !== undefined) calls.set(load, readCall(sizes));
  if (compute !== undefined) answer(calls.get(compute));
  if (forget !== undefined) for (const id of forget) calls.delete(id);
}
