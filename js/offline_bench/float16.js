// float16 as float64 numbers, and error scales of both dtypes; as attnpanel/bench/certify/rounding.py and sixteen_bits.py.

/** @type {Record<DType, number>} half the distance from 1 to the next number */
export const ROUNDOFF = { float32: 2 ** -24, float16: 2 ** -11 };
/** @type {Record<DType, number>} the smallest weight that is never flushed to zero */
export const SMALLEST = { float32: 2 ** -126, float16: 2 ** -24 };

const scratch = new DataView(new ArrayBuffer(8));

/**
 * The power of two at or below a positive normal number.
 *
 * @param {number} x
 */
export function exponentOf(x) {
  scratch.setFloat64(0, x);
  return ((scratch.getUint32(0) >>> 20) & 0x7ff) - 1023;
}

/**
 * The distance of x to the next larger float16.
 *
 * @param {number} x
 */
export function lastBit(x) {
  return 2 ** (exponentOf(Math.max(Math.abs(x), 2 ** -14)) - 10);
}

/**
 * The nearest float16, ties to even; infinite from 65520 on.
 *
 * @param {number} x
 */
export function toHalf(x) {
  if (!Number.isFinite(x) || x === 0) return x;
  const step = lastBit(x);
  const count = x / step;
  const floor = Math.floor(count);
  const rest = count - floor;
  const up = rest > 0.5 || (rest === 0.5 && floor % 2 !== 0);
  const rounded = (floor + (up ? 1 : 0)) * step;
  return Math.abs(rounded) > 65504 ? Math.sign(x) * Infinity : rounded || (x < 0 ? -0 : 0);
}

/**
 * The bits of numbers that are float16 already.
 *
 * @param {Float32Array} numbers
 */
export function halfBits(numbers) {
  const bits = new Uint16Array(numbers.length);
  const words = new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length);
  for (let at = 0; at < numbers.length; at++) {
    const word = words[at];
    const sign = (word >>> 16) & 0x8000;
    const exponent = (word >>> 23) & 0xff;
    if (exponent === 0xff) bits[at] = sign | 0x7c00 | ((word >>> 13) & 0x3ff);
    else if (exponent >= 113) bits[at] = sign | ((exponent - 112) << 10) | ((word >>> 13) & 0x3ff);
    else bits[at] = sign | (Math.abs(numbers[at]) * 2 ** 24);
  }
  return bits;
}

/**
 * Rounds numbers to a dtype; float16 numbers stay in 32 bits, which hold them exactly.
 *
 * @param {Float64Array | Float32Array} numbers
 * @param {DType} dtype
 */
export function roundTo(numbers, dtype) {
  return dtype === "float32" ? Float32Array.from(numbers) : Float32Array.from(numbers, toHalf);
}
