import { BytePairs } from "./byte_pairs.js";
import { WordPiece } from "./wordpiece.js";

/** By the `kind` of their settings. @type {Record<string, new (settings: any) => Tokenizer>} */
const TOKENIZERS = { wordpiece: WordPiece, "byte-pairs": BytePairs };

/** @param {TokenizerSettings} settings @returns {Tokenizer} */
export function makeTokenizer(settings) {
  const kinds = Object.keys(TOKENIZERS);
  if (!Object.hasOwn(TOKENIZERS, settings.kind)) throw new Error(`a tokenizer must be one of ${kinds.join(", ")}; got ${settings.kind}`);
  return new TOKENIZERS[settings.kind](settings);
}
