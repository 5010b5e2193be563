import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { withResolution } from "../core/png_resolution.js";

test("a PNG says its resolution in a chunk with the right checksum, before its data", () => {
  const png = Uint8Array.from({ length: 60 }, (_, at) => at);
  const made = Buffer.from(withResolution(png, 300));
  assert.deepEqual([...made.subarray(0, 33)], [...png.subarray(0, 33)]);
  assert.deepEqual([...made.subarray(54)], [...png.subarray(33)]);
  const chunk = made.subarray(33, 54);
  assert.equal(chunk.readUInt32BE(0), 9);
  assert.equal(chunk.toString("latin1", 4, 8), "pHYs");
  assert.equal(chunk.readUInt32BE(8), 11811); // 300 / 0.0254 pixels a metre
  assert.equal(chunk.readUInt32BE(12), 11811);
  assert.equal(chunk.readUInt8(16), 1);
  assert.equal(chunk.readUInt32BE(17), crc32(chunk.subarray(4, 17)));
});
