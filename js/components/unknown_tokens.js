import { t } from "../core/translate.js";

/**
 * What a reader is told of tokens that a vocabulary lacks.
 *
 * @param {number} count
 */
export function unknownWords(count) {
  if (count === 0) return "";
  const words = count === 1 ? t("One of them is [UNK]:") : t("{count} of them are [UNK]:", { count });
  return ` ${words} ${t("the model’s vocabulary has no pieces for such a word or sign, so that it can’t tell it from any other.")}`;
}
