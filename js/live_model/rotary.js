/**
 * Rotates queries or keys by their positions, in place: channel c with channel c + headDim / 2, as Llama does.
 *
 * @param {Float32Array} numbers heads*T*headDim
 * @param {number} T
 * @param {number} first the position of the first row
 * @param {Float32Array} frequencies headDim / 2, in radians a position
 */
export function rotate(numbers, T, first, frequencies) {
  const half = frequencies.length;
  for (let row = 0; row < numbers.length / (2 * half); row++) {
    const position = first + (row % T);
    for (let c = 0, at = 2 * half * row; c < half; c++, at++) {
      const angle = Math.fround(position * frequencies[c]); // as PyTorch rounds it
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      const [x, y] = [numbers[at], numbers[at + half]];
      numbers[at] = x * cos - y * sin;
      numbers[at + half] = y * cos + x * sin;
    }
  }
}
