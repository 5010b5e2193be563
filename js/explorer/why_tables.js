import { general, shorten } from "../core/format.js";
import { t } from "../core/translate.js";

// The numbers behind a pair's weight as tables: query, key and their products by channel, and the row.

/**
 * @typedef {import("./why_token.js").Contribution} Contribution
 * @typedef {import("./why_token.js").PairVectors} PairVectors
 * @typedef {{name: string, cells: string[]}} NumberRow a row of a table: its heading and its numbers
 * @typedef {{caption: string, heading: string[], rows: NumberRow[], total: boolean, left: string}} NumberTable
 */

// Keys and channels of values that are listed.
const MOST_KEYS = 64;
const MOST_CHANNELS = 16;

/** @param {Floats} weights */
export function total(weights) {
  let sum = 0;
  for (const weight of weights) sum += weight;
  return sum;
}

/** @param {Contribution[]} channels */
export function sumOf(channels) {
  return channels.reduce((total, { product }) => total + product, 0);
}

/** @param {Contribution[]} channels @param {boolean} paired @returns {NumberTable[]} */
export function channelTable(channels, paired) {
  if (channels.length === 0) return [];
  const rows = channels.flatMap(({ label, channels: group, query, key }) =>
    group.map((channel, at) => ({
      name: String(channel),
      cells: [...(paired ? [group.length > 1 ? label : "–"] : []), general(query[at], 4), general(key[at], 4), general(query[at] * key[at], 4)],
    })),
  );
  rows.push({ name: "q·k", cells: [...(paired ? [""] : []), "", "", general(sumOf(channels), 5)] });
  const heading = [t("channel"), ...(paired ? [t("pair")] : []), t("query"), t("key"), t("product")];
  return [{ caption: t("Query, key and their products by channel"), heading, rows, total: true, left: "" }];
}

/**
 * The row as a table: each key's score, weight, value and what is written, and what the token becomes.
 *
 * @param {Call} call
 * @param {State} state
 * @param {SelectionRow} row
 * @param {string[]} keys
 * @param {?PairVectors} vectors
 * @param {string} query
 * @param {?ArrayLike<number>} after length of each value after the output projection
 * @returns {NumberTable}
 */
export function rowTable(call, state, row, keys, vectors, query, after) {
  const { S, Dv } = call;
  const written = vectors?.written ?? null;
  const value = written === null || call.partial ? null : call.value(state.batch, state.head);
  const channels = value === null ? 0 : Math.min(Dv, MOST_CHANNELS);
  const shown = [...row.weights.keys()].sort((one, other) => (row.weights[other] || 0) - (row.weights[one] || 0)).slice(0, MOST_KEYS);
  /** @param {number} key @param {(key: number, channel: number) => number} number */
  const values = (key, number) => Array.from({ length: channels }, (_, channel) => general(number(key, channel), 4));
  const rows = shown.map((key) => ({
    name: shorten(keys[key], 18),
    cells: [
      scoreText(row, key),
      general(row.weights[key], 4),
      ...(written === null ? [] : [written.valueNorms, written.norms, written.shares].map((numbers) => general(numbers[key], 4))),
      ...(after === null ? [] : [general(row.weights[key] * after[key], 4)]),
      ...values(key, (at, channel) => /** @type {Floats} */ (value)[at * Dv + channel]),
    ],
  }));
  if (written !== null) {
    const length = Math.sqrt(written.output.reduce((total, number) => total + number * number, 0));
    rows.push({
      name: t("“{token}” becomes", { token: query }),
      cells: ["", general(total(row.weights), 4), "", general(length, 4), "", ...(after === null ? [] : [""]), ...values(0, (_, channel) => written.output[channel])],
    });
  }
  const lengths = written === null ? [] : [t("value length"), t("writes"), t("part of output"), ...(after === null ? [] : [t("writes after W_O")])];
  return {
    caption: t("The row as a table"),
    heading: [t("key"), t("score"), t("weight"), ...lengths, ...Array.from({ length: channels }, (_, channel) => `v${channel}`)],
    rows,
    total: written !== null,
    left: leftOut(S - shown.length, value === null ? 0 : Dv - channels),
  };
}

/** @param {SelectionRow} row @param {number} key */
function scoreText({ scores, visible }, key) {
  if (!visible[key]) return t("masked");
  return scores === null ? "–" : general(scores[key], 4);
}

/** @param {number} keys @param {number} channels */
function leftOut(keys, channels) {
  const parts = [keys > 0 ? t("{count} keys of smaller weight", { count: keys }) : "", channels > 0 ? t("{count} more channels", { count: channels }) : ""].filter(Boolean);
  return parts.length ? t("Not listed: {parts}.", { parts: parts.join(", ") }) : "";
}
