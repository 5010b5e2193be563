// Computes attention by attention.js, as often as asked: what node_process.py talks to.
//
// Called with the path of attention.js. On stdin come messages: their length as Uint32, then JSON.
//   {"load": id, ...sizes and options}   the bytes of query, key, value, mask and bias follow
//   {"compute": id}                      answered
//   {"forget": [id, ...]}
// An answer is, head by head, the byte 0, output, weights and logsumexp; or at its end the byte 1, the length of
// a text as Uint32 and the text in UTF-8. Numbers are in this machine's byte order. The end of stdin ends it all.

import { readFileSync, readSync, writeSync } from "node:fs";

// As a data: URL the very bytes are a module, whatever package.json an older Node looks for beside the file.
const source = readFileSync(process.argv[2]).toString("base64");
const { attend } = await import(`data:text/javascript;base64,${source}`);

const MOST_AT_ONCE = 2 ** 30; // bytes
const bytesOf = (array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** Fill a typed array from stdin, and return it; ends the process where stdin does. */
function read(array) {
  const bytes = bytesOf(array);
  for (let at = 0; at < bytes.length; ) {
    const count = readSync(0, bytes, at, Math.min(bytes.length - at, MOST_AT_ONCE));
    if (count === 0) process.exit();
    at += count;
  }
  return array;
}

/** Write typed arrays to stdout, whole. */
function write(...arrays) {
  for (const bytes of arrays.map(bytesOf)) {
    for (let at = 0; at < bytes.length; ) {
      at += writeSync(1, bytes, at, Math.min(bytes.length - at, MOST_AT_ONCE));
    }
  }
}

function readMessage() {
  const [length] = read(new Uint32Array(1));
  return JSON.parse(Buffer.from(read(new Uint8Array(length))).toString("utf8"));
}

/** A call's sizes and options with its arrays. */
function readCall({ batch, heads, kvHeads, T, S, D, Dv, type, maskShape, hasBias, ...options }) {
  const Floats = globalThis[type];
  return {
    ...{ batch, heads, kvHeads, T, S, D, Dv, maskShape, options },
    query: read(new Floats(batch * heads * T * D)),
    key: read(new Floats(batch * kvHeads * S * D)),
    value: read(new Floats(batch * kvHeads * S * Dv)),
    mask: maskShape && read(new Uint8Array(maskShape[0] * maskShape[1] * T * S)),
    bias: hasBias ? read(new Floats(heads * T * S)) : null,
  };
}

const part = (array, index, size) => array.subarray(index * size, (index + 1) * size);

/** Every step of query head h of batch entry b. */
function attendHead({ heads, kvHeads, T, S, D, Dv, maskShape, options, query, key, value, mask, bias }, b, h) {
  const kv = b * kvHeads + Math.floor(h / (heads / kvHeads));
  const visible = mask && part(mask, (b % maskShape[0]) * maskShape[1] + (h % maskShape[1]), T * S);
  return attend(part(query, b * heads + h, T * D), part(key, kv, S * D), part(value, kv, S * Dv), {
    ...options,
    ...{ T, S, D, Dv, visible, bias: bias && part(bias, h, T * S) },
  });
}

function answer(call) {
  try {
    for (let index = 0; index < call.batch * call.heads; index++) {
      const b = Math.floor(index / call.heads);
      const { output, weights, logsumexp } = attendHead(call, b, index % call.heads);
      write(new Uint8Array([0]), output, weights, logsumexp);
    }
  } catch (error) {
    const text = Buffer.from(`${error.name}: ${error.message}`, "utf8");
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
