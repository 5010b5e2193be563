// Attention with an online softmax: 64 queries of a head a workgroup, an invocation each, and keys and values in
// tiles that the workgroup shares. attnpanel/kernels/wgpu_online.py and js/offline_bench/shader.js fill it in: $NAME is
// replaced, and a line that begins with "for NAME:" is repeated, # counting from 0.
//
// Nothing of a hidden key is computed with. exponential() takes the place of exp(), which may err by some ulp times the
// exponent. Loops over channels are written out: Mesa 22.3's lavapipe ends all loops of an invocation after 65,535 rounds.
$ENABLE
@group(0) @binding(0) var<storage, read> query: array<vec4<$TYPE>>;
@group(0) @binding(1) var<storage, read> key: array<vec4<$TYPE>>;
@group(0) @binding(2) var<storage, read> value: array<vec4<$TYPE>>;
// 32 keys a word, the first in its lowest bit.
@group(0) @binding(3) var<storage, read> mask: array<u32>;
// Of each 64 queries, the first key that one may see, a multiple of 32, and the end of the keys.
@group(0) @binding(4) var<storage, read> ranges: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read> bias: array<$TYPE>;
@group(0) @binding(6) var<storage, read_write> result: array<vec4<$TYPE>>;
// Of each query, the largest score and the sum of the exponentials beside it.
@group(0) @binding(7) var<storage, read_write> sums: array<vec2<f32>>;

const T = $Tu;
const S = $Su;
const D4 = $D4u;
const DV4 = $DV4u;
const TILE = $TILEu;
const HEADS = $HEADSu;
const GROUP = $GROUPu;
const SCALE: f32 = $SCALE;
const BIAS_SCALE: f32 = $BIAS_SCALE;

var<workgroup> keys: array<vec4<f32>, $KEY_VECTORS>;
var<workgroup> values: array<vec4<f32>, $VALUE_VECTORS>;

// e^x for x up to 0: 2^k e^r with |r| up to ln(2) / 2, and the series of e^r; 0 below 2^-126.
fn exponential(x: f32) -> f32 {
  if (x < -87.3) { return 0.0; }
  let k = round(x * 1.4426950408889634);
  let r = (x - k * 0.693359375) + k * 2.12194440054690583e-4;
  let tail = r * (0.16666666666 + r * (0.041666666666 + r * (0.0083333333 + r * 0.0013888889)));
  return (1.0 + r * (1.0 + r * (0.5 + tail))) * bitcast<f32>(u32(i32(k) + 127) << 23u);
}

// The nearest float16, ties to even: a conversion may round in either direction.
fn nearest(x: vec4<f32>) -> vec4<f32> {
  let bits = bitcast<vec4<u32>>(x);
  let odd = (bits >> vec4<u32>(13u)) & vec4<u32>(1u);
  let normal = bitcast<vec4<f32>>((bits + vec4<u32>(0xfffu) + odd) & vec4<u32>(0xffffe000u));
  let subnormal = round(x * 16777216.0) / 16777216.0;
  return select(normal, subnormal, abs(x) < vec4<f32>(6.103515625e-5));
}

@compute @workgroup_size(64)
fn attention(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let head = workgroup.y;
  let row = workgroup.x * 64u + lane;
  let inside = row < T;
  let at_row = head * T + min(row, T - 1u);
  let batch = head / HEADS;
  let of_batch = head % HEADS;
  let first_key = (head / GROUP) * S;
  let masked = batch * $MASK_BATCHu + of_batch * $MASK_HEADu + min(row, T - 1u) * $MASK_QUERYu;
  let biased = (of_batch * T + min(row, T - 1u)) * S;
  let bounds = ranges[batch * $RANGE_BATCHu + of_batch * $RANGE_HEADu + workgroup.x];
  for D4: let q# = vec4<f32>(query[at_row * D4 + #u]);
  for DV4: var a# = vec4<f32>();
  var peak = 0.0;
  var total = 0.0;
  for (var first = bounds.x; first < bounds.y; first += TILE) {
    let count = min(TILE, S - first);
    workgroupBarrier();
    for KEY_LOADS: if (lane + #u * 64u < count * D4) { keys[lane + #u * 64u] = vec4<f32>(key[(first_key + first) * D4 + lane + #u * 64u]); }
    for VALUE_LOADS: if (lane + #u * 64u < count * DV4) { values[lane + #u * 64u] = vec4<f32>(value[(first_key + first) * DV4 + lane + #u * 64u]); }
    workgroupBarrier();
    var seen = select(0u, 0xffffffffu, inside);
    if ($MASKED) { seen &= mask[masked + (first >> 5u)] >> (first & 31u); }
    for (var j = 0u; j < count; j++) {
      if (((seen >> j) & 1u) == 0u) { continue; }
      var products = vec4<f32>();
      for D4: products += q# * keys[j * D4 + #u];
      var score = ((products.x + products.y) + (products.z + products.w)) * SCALE;
      if ($BIASED) { score += f32(bias[biased + first + j]) * BIAS_SCALE; }
      var weight = 1.0;
      if (total == 0.0 || score > peak) {
        if (total > 0.0) {
          let kept = exponential(peak - score);
          total *= kept;
          for DV4: a# *= kept;
        }
        peak = score;
      } else {
        weight = exponential(score - peak);
      }
      total += weight;
      for DV4: a# += weight * values[j * DV4 + #u];
    }
  }
  if (!inside) { return; }
  let divisor = select(total, 1.0, total == 0.0);
  for DV4: result[at_row * DV4 + #u] = vec4<$TYPE>($STORED(a# / divisor));
  sums[at_row] = vec2<f32>(peak, total);
}
