/**
 * What a reader is told of tokens that a vocabulary lacks.
 *
 * @param {number} count
 */
export function unknownWords(count) {
  if (count === 0) return "";
  const words = count === 1 ? "One of them is [UNK]" : `${count} of them are [UNK]`;
  return ` ${words}: the model’s vocabulary has no pieces for such a word or sign, so that it can’t tell it from any other.`;
}
