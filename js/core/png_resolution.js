// The resolution of a PNG: a chunk pHYs, without which programs take it for one of a screen.

const HEADER = 33; // bytes of the signature and of the chunk IHDR, after which pHYs may stand
const METRES_PER_INCH = 0.0254;

/**
 * A PNG that says its resolution.
 *
 * @param {Uint8Array} png without a chunk pHYs, as canvases make it
 * @param {number} dpi pixels per inch
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function withResolution(png, dpi) {
  const chunk = new Uint8Array(21);
  const view = new DataView(chunk.buffer);
  const perMetre = Math.round(dpi / METRES_PER_INCH);
  view.setUint32(0, 9); // bytes of data
  chunk.set([0x70, 0x48, 0x59, 0x73], 4); // pHYs
  view.setUint32(8, perMetre);
  view.setUint32(12, perMetre);
  view.setUint8(16, 1); // the unit is the metre
  view.setUint32(17, checksum(chunk.subarray(4, 17)));
  const whole = new Uint8Array(png.length + chunk.length);
  whole.set(png.subarray(0, HEADER));
  whole.set(chunk, HEADER);
  whole.set(png.subarray(HEADER), HEADER + chunk.length);
  return whole;
}

/**
 * CRC-32 as PNG has it.
 *
 * @param {Uint8Array} bytes
 */
function checksum(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}
