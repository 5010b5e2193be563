// Byte-level BPE writes every byte as one letter, as GPT-2 defines it: printable bytes of Latin-1 as they are, the
// others, in order, as the letters from U+0100.

const ENCODER = new TextEncoder();

/** @param {string} text */
export const utf8 = (text) => ENCODER.encode(text);

/** @param {number} byte */
const isPrintable = (byte) => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;

let others = 0x100;
/** The letter of each byte. @type {string[]} */
export const BYTE_LETTERS = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : others++));
