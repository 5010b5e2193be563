// Attention's inner loops on 32-bit floats for WebAssembly: products of matrices and softmax, four numbers at a
// time. No library and no imports; build.py makes modules.js of this file, kernel.js calls it and owns the memory.
//
// Matrices are row-major. Compiled twice: with relaxed SIMD a multiply-add rounds once, without it twice.

#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(name)))

#ifdef __wasm_relaxed_simd__
#define MULTIPLY_ADD(a, b, c) wasm_f32x4_relaxed_madd(a, b, c)
#else
#define MULTIPLY_ADD(a, b, c) wasm_f32x4_add(wasm_f32x4_mul(a, b), c)
#endif

typedef v128_t vec;

enum {
  WIDTH = 8,  // columns that are computed side by side
  DEPTH = 256 // terms that are summed before they join the total: bounds the error, and fits the first-level cache
};

extern unsigned char __heap_base;

// The first byte that kernel.js may use.
EXPORT("heap_base") int heap_base(void) { return (int)&__heap_base; }

// The vectors of a matrix in groups of 8 that lie side by side; the last group is filled up with 0. Returns whether all
// numbers are finite.
EXPORT("pack") int pack(float *panels, const float *matrix, int count, int depth, int count_step, int depth_step) {
  float none = 0;
  for (int start = 0; start < count; start += WIDTH) {
    for (int d = 0; d < depth; d++) {
      for (int lane = 0; lane < WIDTH; lane++) {
        int index = start + lane;
        float number = index < count ? matrix[index * count_step + d * depth_step] : 0.0f;
        none += number * 0;
        *panels++ = number;
      }
    }
  }
  return none == 0;
}

// Adds factor times the sums of one row, or has them start it.
static inline void add_row(float *out, vec low, vec high, vec factor, int room, int starts) {
  low = wasm_f32x4_mul(low, factor);
  high = wasm_f32x4_mul(high, factor);
  if (room >= WIDTH) {
    if (!starts) {
      low = wasm_f32x4_add(low, wasm_v128_load(out));
      high = wasm_f32x4_add(high, wasm_v128_load(out + 4));
    }
    wasm_v128_store(out, low);
    wasm_v128_store(out + 4, high);
    return;
  }
  float sums[WIDTH];
  wasm_v128_store(sums, low);
  wasm_v128_store(sums + 4, high);
  for (int lane = 0; lane < room; lane++) out[lane] = starts ? sums[lane] : out[lane] + sums[lane];
}

// The first of the `terms` numbers of any of these rows that is not 0; `terms` where there is none.
static inline int first_term(const float *left, int step, int rows, int terms) {
  int first = terms;
  for (int row = 0; row < rows; row++, left += step) {
    int k = 0;
    while (k + 4 <= first && !wasm_v128_any_true(wasm_v128_load(left + k))) k += 4;
    while (k < first && left[k] == 0) k++;
    first = k;
  }
  return first;
}

// The end of the numbers of these rows that are not 0.
static inline int end_of_terms(const float *left, int step, int rows, int terms) {
  int end = 0;
  for (int row = 0; row < rows; row++, left += step) {
    int k = terms;
    while (k - 4 >= end && !wasm_v128_any_true(wasm_v128_load(left + k - 4))) k -= 4;
    while (k > end && left[k - 1] == 0) k--;
    end = k;
  }
  return end;
}

// out = factor * left @ panels, of the shapes (rows, columns), (rows, depth) and what pack made. The terms of a sum
// are added in the same order whatever the number of rows, so that one row alone has the very numbers of its matrix.
// finite: what pack returned. Terms of 0 add nothing to finite sums: a mask's hidden keys are left out.
EXPORT("product") void product(float *out, const float *left, const float *panels, float factor, int rows, int columns, int depth, int finite) {
  const vec zero = wasm_f32x4_const_splat(0), scale = wasm_f32x4_splat(factor);
  for (int from = 0; from < depth; from += DEPTH) {
    int terms = depth - from < DEPTH ? depth - from : DEPTH, first = 0, starts = from == 0;
    if (finite) {
      first = first_term(left + from, depth, rows, terms);
      if (!starts && first == terms) continue;
      terms = end_of_terms(left + from + first, depth, rows, terms - first);
    }
    for (int column = 0; column < columns; column += WIDTH) {
      const float *right = panels + column * depth + (from + first) * WIDTH;
      const float *end = right + terms * WIDTH;
      int room = columns - column, row = 0;
      for (; row + 4 <= rows; row += 4) {
        const float *l0 = left + row * depth + from + first, *l1 = l0 + depth, *l2 = l1 + depth, *l3 = l2 + depth, *r = right;
        vec a0 = zero, a1 = zero, b0 = zero, b1 = zero, c0 = zero, c1 = zero, d0 = zero, d1 = zero;
        for (; r != end; l0++, l1++, l2++, l3++, r += WIDTH) {
          vec low = wasm_v128_load(r), high = wasm_v128_load(r + 4);
          vec x = wasm_v128_load32_splat(l0);
          a0 = MULTIPLY_ADD(x, low, a0);
          a1 = MULTIPLY_ADD(x, high, a1);
          x = wasm_v128_load32_splat(l1);
          b0 = MULTIPLY_ADD(x, low, b0);
          b1 = MULTIPLY_ADD(x, high, b1);
          x = wasm_v128_load32_splat(l2);
          c0 = MULTIPLY_ADD(x, low, c0);
          c1 = MULTIPLY_ADD(x, high, c1);
          x = wasm_v128_load32_splat(l3);
          d0 = MULTIPLY_ADD(x, low, d0);
          d1 = MULTIPLY_ADD(x, high, d1);
          // Each pointer is stepped by itself: sums of a common index cost a seventh of the time.
          __asm__("" : "+r"(l0), "+r"(l1), "+r"(l2), "+r"(l3), "+r"(r));
        }
        float *to = out + row * columns + column;
        add_row(to, a0, a1, scale, room, starts);
        add_row(to + columns, b0, b1, scale, room, starts);
        add_row(to + 2 * columns, c0, c1, scale, room, starts);
        add_row(to + 3 * columns, d0, d1, scale, room, starts);
      }
      for (; row < rows; row++) {
        const float *l = left + row * depth + from + first, *r = right;
        vec a0 = zero, a1 = zero;
        for (int k = 0; k < terms; k++, r += WIDTH) {
          vec x = wasm_v128_load32_splat(l + k);
          a0 = MULTIPLY_ADD(x, wasm_v128_load(r), a0);
          a1 = MULTIPLY_ADD(x, wasm_v128_load(r + 4), a1);
        }
        add_row(out + row * columns + column, a0, a1, scale, room, starts);
      }
    }
  }
}

// exp(x) for x <= 0, within 2 units in the last place; 0 where it is below the smallest normal number; nan for nan.
// The polynomial and ln 2 in two parts are those of expf in S. Moshier's Cephes library.
static inline vec exp_of_negative(vec x) {
  const vec lowest = wasm_f32x4_const_splat(-87.33654f);
  // Of numbers so large the last bit is 1: the sum is rounded to the power of 2, and ends in its bits.
  const vec large = wasm_f32x4_const_splat(0x1.8p23f);
  vec vanishes = wasm_f32x4_lt(x, lowest);
  x = wasm_f32x4_pmax(x, lowest);
  vec shifted = MULTIPLY_ADD(x, wasm_f32x4_const_splat(1.44269504f), large);
  vec power = wasm_f32x4_sub(shifted, large);
  vec r = MULTIPLY_ADD(power, wasm_f32x4_const_splat(-0.693359375f), x);
  r = MULTIPLY_ADD(power, wasm_f32x4_const_splat(2.12194440e-4f), r);
  vec sum = wasm_f32x4_const_splat(1.9875691500e-4f);
  sum = MULTIPLY_ADD(sum, r, wasm_f32x4_const_splat(1.3981999507e-3f));
  sum = MULTIPLY_ADD(sum, r, wasm_f32x4_const_splat(8.3334519073e-3f));
  sum = MULTIPLY_ADD(sum, r, wasm_f32x4_const_splat(4.1665795894e-2f));
  sum = MULTIPLY_ADD(sum, r, wasm_f32x4_const_splat(1.6666665459e-1f));
  sum = MULTIPLY_ADD(sum, r, wasm_f32x4_const_splat(5.0000001201e-1f));
  sum = wasm_f32x4_add(MULTIPLY_ADD(wasm_f32x4_mul(r, r), sum, r), wasm_f32x4_const_splat(1));
  vec two = wasm_i32x4_add(wasm_i32x4_shl(shifted, 23), wasm_i32x4_const_splat(127 << 23)); // 2^power: -126 at the least
  return wasm_v128_andnot(wasm_f32x4_mul(sum, two), vanishes);
}

static inline float larger(float a, float b) { return __builtin_wasm_max_f32(a, b); }

// -inf where visible holds 0.
static inline void hide(float *row, const unsigned char *visible, int length) {
  const vec minus_infinity = wasm_f32x4_const_splat(-__builtin_inff());
  int j = 0;
  for (; j + 4 <= length; j += 4) {
    vec seen = wasm_i32x4_ne(wasm_u32x4_extend_low_u16x8(wasm_u16x8_extend_low_u8x16(wasm_v128_load32_zero(visible + j))),
                             wasm_i32x4_const_splat(0));
    wasm_v128_store(row + j, wasm_v128_bitselect(wasm_v128_load(row + j), minus_infinity, seen));
  }
  for (; j < length; j++) if (visible[j] == 0) row[j] = -__builtin_inff();
}

static inline void fill(float *row, float value, int length) {
  for (int j = 0; j < length; j++) row[j] = value;
}

// Adds numbers to as many totals.
EXPORT("add") void add(float *totals, const float *numbers, int count) {
  int j = 0;
  for (; j + 4 <= count; j += 4) wasm_v128_store(totals + j, wasm_f32x4_add(wasm_v128_load(totals + j), wasm_v128_load(numbers + j)));
  for (; j < count; j++) totals[j] += numbers[j];
}

// Divides numbers in place.
EXPORT("divide") void divide(float *numbers, int count, float divisor) {
  const vec by = wasm_f32x4_splat(divisor);
  int j = 0;
  for (; j + 4 <= count; j += 4) wasm_v128_store(numbers + j, wasm_f32x4_div(wasm_v128_load(numbers + j), by));
  for (; j < count; j++) numbers[j] /= divisor;
}

// Scores to weights in place, row by row; see softmaxRows in attention.js.
//
// spans: of each row the first key that may be seen and the end of such keys; visible: bytes that say which of them are, rows
// visible_step apart, or -1 where all are. warmth: 1 / temperature; of_empty: the weight in a row that sees no key. Writes each
// row's peak and sum of exponentials, and the span of the scores that were weighed. totals: 0, or scores and weights of other heads,
// totals_apart numbers from each other, to which these are added.
EXPORT("softmax") void softmax(float *row, int *spans, const unsigned char *visible, int visible_step, double *sums, int rows,
                    int length, float warmth, float sink, float of_empty, float *totals, int totals_apart) {
  const vec warm = wasm_f32x4_splat(warmth);
  for (int i = 0; i < rows; i++, row += length, visible += visible_step, spans += 2) {
    if (totals) add(totals, row, length);
    int first = spans[0], stop = spans[1];
    if (visible_step >= 0) hide(row + first, visible + first, stop - first);
    // Most masks hide a row's ends: under a causal one, leaving them out halves the work. So may a bias.
    while (first < stop && row[first] == -__builtin_inff()) first++;
    while (first < stop && row[stop - 1] == -__builtin_inff()) stop--;
    spans[0] = first;
    spans[1] = stop;
    float outside = first == stop ? of_empty : 0;
    fill(row, outside, first);
    fill(row + stop, outside, length - stop);
    float *x = row + first;
    int count = stop - first, j = 0;
    float peak = sink;
    vec peaks = wasm_f32x4_splat(peak);
    for (; j + 4 <= count; j += 4) peaks = wasm_f32x4_pmax(peaks, wasm_v128_load(x + j)); // leaves nan out: the sum has it
    for (; j < count; j++) peak = larger(peak, x[j]);
    peak = larger(peak, larger(larger(wasm_f32x4_extract_lane(peaks, 0), wasm_f32x4_extract_lane(peaks, 1)),
                               larger(wasm_f32x4_extract_lane(peaks, 2), wasm_f32x4_extract_lane(peaks, 3))));
    vec top = wasm_f32x4_splat(peak);
    double total = 0;
    if (sink != -__builtin_inff()) {
      total = wasm_f32x4_extract_lane(exp_of_negative(wasm_f32x4_mul(wasm_f32x4_sub(wasm_f32x4_splat(sink), top), warm)), 0);
    }
    // Summed in float64: an error of the total would be one of every weight.
    vec low = wasm_f64x2_const_splat(0), high = low;
    for (j = 0; j + 4 <= count; j += 4) {
      vec e = exp_of_negative(wasm_f32x4_mul(wasm_f32x4_sub(wasm_v128_load(x + j), top), warm));
      wasm_v128_store(x + j, e);
      low = wasm_f64x2_add(low, wasm_f64x2_promote_low_f32x4(e));
      high = wasm_f64x2_add(high, wasm_f64x2_promote_low_f32x4(wasm_i32x4_shuffle(e, e, 2, 3, 2, 3)));
    }
    for (; j < count; j++) {
      x[j] = wasm_f32x4_extract_lane(exp_of_negative(wasm_f32x4_mul(wasm_f32x4_sub(wasm_f32x4_splat(x[j]), top), warm)), 0);
      total += x[j];
    }
    low = wasm_f64x2_add(low, high);
    total += wasm_f64x2_extract_lane(low, 0) + wasm_f64x2_extract_lane(low, 1);
    float share = (float)(1 / total);
    vec shares = wasm_f32x4_splat(share);
    for (j = 0; j + 4 <= count; j += 4) wasm_v128_store(x + j, wasm_f32x4_mul(wasm_v128_load(x + j), shares));
    for (; j < count; j++) x[j] *= share;
    *sums++ = peak;
    *sums++ = total;
    if (!totals) continue;
    if (outside == 0) add(totals + totals_apart + first, x, count);
    else add(totals + totals_apart, row, length);
    totals += length;
  }
}
