/**
 * A layer's arrays as openTrace takes them: bytes of 32-bit floats, all first bytes first.
 *
 * @param {Float32Array[]} arrays
 * @returns {ArrayBuffer}
 */
export function packLayer(arrays) {
  const packed = new Uint8Array(arrays.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let start = 0;
  for (const { buffer, byteOffset, byteLength, length } of arrays) {
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    for (let i = 0, from = 0, to = start; i < length; i++, from += 4, to++) {
      packed[to] = bytes[from];
      packed[to + length] = bytes[from + 1];
      packed[to + 2 * length] = bytes[from + 2];
      packed[to + 3 * length] = bytes[from + 3];
    }
    start += byteLength;
  }
  return packed.buffer;
}
