/**
 * Decodes IEEE 754 half precision exactly, including subnormals, infinities and NaN.
 *
 * @param {Uint16Array} halves bit patterns
 * @returns {Float32Array} of the same length
 */
export function halfToFloat(halves) {
  const floats = new Float32Array(halves.length);
  const bits = new Uint32Array(floats.buffer);
  for (let index = 0; index < halves.length; index++) {
    const half = halves[index];
    const sign = (half & 0x8000) << 16;
    const magnitude = half & 0x7fff;
    if (magnitude >= 0x7c00) {
      bits[index] = sign | 0x7f800000 | ((magnitude & 0x3ff) << 13);
    } else if (magnitude >= 0x0400) {
      // The exponent's bias grows from 15 to 127.
      bits[index] = sign | ((magnitude << 13) + (112 << 23));
    } else {
      floats[index] = magnitude * 2 ** -24;
      bits[index] |= sign;
    }
  }
  return floats;
}
