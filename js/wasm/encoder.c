// What a transformer's layers need beside attention's loops: weights of 16 bits, and GELU.

#include "attention.c"

// A number of 16 bits, exactly; weights are finite.
static inline float half_to_float(unsigned short half) {
  unsigned int magnitude = half & 0x7fff, sign = (unsigned int)(half & 0x8000) << 16;
  union { unsigned int bits; float number; } value;
  if (magnitude >= 0x0400) { // the exponent's bias grows from 15 to 127
    value.bits = sign | ((magnitude << 13) + (112 << 23));
    return value.number;
  }
  value.number = (float)magnitude * 0x1p-24f;
  value.bits |= sign;
  return value.number;
}

// pack, of a matrix of shape (count, depth) in 16 bits.
EXPORT("pack_halves") void pack_halves(float *panels, const unsigned short *halves, int count, int depth) {
  for (int start = 0; start < count; start += WIDTH) {
    for (int d = 0; d < depth; d++) {
      for (int lane = 0; lane < WIDTH; lane++) {
        int index = start + lane;
        *panels++ = index < count ? half_to_float(halves[index * depth + d]) : 0.0f;
      }
    }
  }
}

// x * Phi(x) in place, for a length that is a multiple of 4. erfc by Abramowitz and Stegun, 7.1.26: within 1.5e-7.
EXPORT("gelu") void gelu(float *numbers, int length) {
  const vec one = wasm_f32x4_const_splat(1), zero = wasm_f32x4_const_splat(0);
  for (int i = 0; i < length; i += 4) {
    vec x = wasm_v128_load(numbers + i);
    vec a = wasm_f32x4_mul(wasm_f32x4_abs(x), wasm_f32x4_const_splat(0.70710678f));
    vec t = wasm_f32x4_div(one, wasm_f32x4_add(one, wasm_f32x4_mul(a, wasm_f32x4_const_splat(0.3275911f))));
    vec sum = wasm_f32x4_const_splat(1.061405429f);
    sum = MULTIPLY_ADD(sum, t, wasm_f32x4_const_splat(-1.453152027f));
    sum = MULTIPLY_ADD(sum, t, wasm_f32x4_const_splat(1.421413741f));
    sum = MULTIPLY_ADD(sum, t, wasm_f32x4_const_splat(-0.284496736f));
    sum = MULTIPLY_ADD(sum, t, wasm_f32x4_const_splat(0.254829592f));
    vec erfc = wasm_f32x4_mul(wasm_f32x4_mul(sum, t), exp_of_negative(wasm_f32x4_neg(wasm_f32x4_mul(a, a))));
    vec tail = wasm_f32x4_mul(wasm_f32x4_mul(x, wasm_f32x4_const_splat(0.5f)), erfc);
    wasm_v128_store(numbers + i, wasm_v128_bitselect(wasm_f32x4_sub(x, tail), tail, wasm_f32x4_ge(x, zero)));
  }
}
