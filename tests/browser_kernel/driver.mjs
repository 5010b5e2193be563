// Calls exports of the module whose path is given: one request a line on stdin, one reply a line on stdout.
//
// Arrays travel as {"$array": "Float64Array", "data": base64}, nan and infinities as {"$number": "NaN"},
// array types as {"$type": "Float64Array"}. A reply holds `result` and whether an argument was `changed`,
// or `error`.

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const kernel = await import(pathToFileURL(process.argv[2]).href);

function decode(value) {
  if (Array.isArray(value)) return value.map(decode);
  if (value === null || typeof value !== "object") return value;
  if ("$number" in value) return Number(value.$number);
  if ("$type" in value) return globalThis[value.$type];
  if ("$array" in value) {
    const bytes = Uint8Array.from(Buffer.from(value.data, "base64"));
    return new globalThis[value.$array](bytes.buffer);
  }
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, decode(item)]));
}

function encode(value) {
  if (ArrayBuffer.isView(value)) {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    return { $array: value.constructor.name, data: bytes.toString("base64") };
  }
  if (typeof value === "number") return Number.isFinite(value) ? value : { $number: String(value) };
  if (typeof value === "function") return { $type: value.name };
  if (Array.isArray(value)) return value.map(encode);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, encode(item)]));
}

for await (const line of createInterface({ input: process.stdin })) {
  const { name, args } = JSON.parse(line);
  let reply;
  try {
    const given = args.map(decode);
    const before = JSON.stringify(given.map(encode));
    const result = encode(await kernel[name](...given));
    reply = { result, changed: JSON.stringify(given.map(encode)) !== before };
  } catch (error) {
    reply = { error: `${error.name}: ${error.message}` };
  }
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
